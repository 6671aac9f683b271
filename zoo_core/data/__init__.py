"""Images and targets: data sets, their inspection, and their way into batches."""
