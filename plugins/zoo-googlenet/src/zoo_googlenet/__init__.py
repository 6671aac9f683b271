"""GoogLeNet and Inception v3 for zoo."""
