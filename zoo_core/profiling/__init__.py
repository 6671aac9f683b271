"""A network stage by stage: shapes, parameters, multiply-accumulates,
receptive fields, feature maps."""
