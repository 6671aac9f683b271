"""The command lesson: convolutional networks in ten short chapters, measured on the reader's photos."""
