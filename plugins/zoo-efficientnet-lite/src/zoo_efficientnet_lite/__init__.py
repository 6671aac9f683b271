"""EfficientNet-Lite for the zoo."""
