"""Data sets in shards: WebDataset tar files and the Hub's data sets, which may be larger than the
memory or the disk."""
