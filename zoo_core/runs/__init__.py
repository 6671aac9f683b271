"""A run is a directory: config.json, metrics.jsonl, model.safetensors, two pictures and a card."""
