"""The tracker mlflow for zoo."""
