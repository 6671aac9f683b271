"""The guarded client of the Hugging Face Hub: resolve, download, and errors that say what to do."""
