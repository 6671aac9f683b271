"""The tracker trackio for zoo."""
