"""The tracker wandb for zoo."""
