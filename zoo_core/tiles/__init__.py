"""3 x 3 convolutions from tiles, with a quarter of the products, on a CPU: those of a frozen
prefix, and those of training where a trial finds that faster."""
