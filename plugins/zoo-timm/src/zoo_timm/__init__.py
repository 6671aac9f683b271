"""timm's image classifiers for zoo."""
