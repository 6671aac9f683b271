"""Advice before a training: which network, which strategy, and how surely. It measures on the
user's own images, within a budget of time."""
