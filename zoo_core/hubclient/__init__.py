"""The guarded client of the Hugging Face Hub: resolves, downloads, explains errors."""
