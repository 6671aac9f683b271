"""Features as an answer of their own: tables of them, files, and the most similar images."""

POOLED = "pooled"
"""The place of the features that most heads take: those of the last stage, pooled as a run's own
head pools them, or else as the default head does."""
