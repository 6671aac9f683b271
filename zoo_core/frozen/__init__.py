"""What is frozen is computed once: where the network is cut, what is kept there, and how a training reads it."""
