"""Heat maps of what in an image speaks for an answer, and a check of whether a map means anything."""
