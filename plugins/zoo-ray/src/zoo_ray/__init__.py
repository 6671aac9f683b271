"""The runner ray: trainings on the machines of a Ray cluster."""
