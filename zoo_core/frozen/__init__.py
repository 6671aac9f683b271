"""The frozen prefix is computed once per image: split points, the feature cache, and the inputs of
each phase."""
