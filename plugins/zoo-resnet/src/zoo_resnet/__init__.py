"""ResNet-18, 34, 50, 101 and 152 for zoo."""
