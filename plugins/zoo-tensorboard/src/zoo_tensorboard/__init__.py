"""The tracker tensorboard for zoo."""
