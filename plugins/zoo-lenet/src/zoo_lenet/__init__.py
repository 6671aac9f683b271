"""LeNet-5 for the zoo."""
