"""The Hub: opens published models, publishes runs, searches for models of others."""
