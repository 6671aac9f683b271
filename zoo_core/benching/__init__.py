"""The cost of a model in use: latency, throughput, memory, start-up and accuracy, by format."""
