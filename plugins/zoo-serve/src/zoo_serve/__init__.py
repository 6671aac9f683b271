"""The command `zoo serve`: a model answers images over HTTP."""
