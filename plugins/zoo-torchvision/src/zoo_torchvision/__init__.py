"""torchvision's image classifiers for zoo."""
