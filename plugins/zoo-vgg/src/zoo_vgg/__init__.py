"""VGG-11, 13, 16 and 19, with and without batch normalisation for zoo."""
