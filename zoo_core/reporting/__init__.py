"""`zoo report`: one page about a run, for people who have to trust it."""
