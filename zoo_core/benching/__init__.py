"""What a model costs in use: latency, throughput, memory, start-up and accuracy, by format."""
