"""AlexNet for zoo."""
