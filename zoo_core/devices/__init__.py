"""What computes: the device, the numbers it computes in, and the processes that compute together."""
