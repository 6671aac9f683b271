"""The images that a user names for a model to answer, and the files that hold its answers."""
