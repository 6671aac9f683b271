"""The Hub: published models are opened, runs are published, what others published is found."""
