"""A run as one file of another format, kept only where it answers as the run does."""
