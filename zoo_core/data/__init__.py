"""Images and labels: where they come from, how they are read, how they become batches."""
