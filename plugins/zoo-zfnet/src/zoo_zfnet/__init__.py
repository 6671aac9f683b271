"""ZFNet for zoo."""
