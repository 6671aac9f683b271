"""Settings of the generated tests: the same examples in every run, no deadlines, nothing kept on the disk."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "zoo",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("zoo")
