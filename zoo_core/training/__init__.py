"""Training: a job is prepared from a config, then run phase by phase as its plan says."""
