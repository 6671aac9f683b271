"""The model: a chain of named stages, a head, and what joins them."""
