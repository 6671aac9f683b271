"""The command view: a network in 3D, stage by stage, as one page."""
