"""The device that computes, its precision, and the processes that train together."""
