"""Choosing with evidence: plain functions over runs. A comparison trains a grid of cells, and says
how sure it is."""
