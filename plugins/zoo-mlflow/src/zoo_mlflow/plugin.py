"""The facts about the tracker mlflow."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from zoo_core import TrackerSpec, hookimpl

HOOK_API = 2


@dataclass(frozen=True)
class MlflowOptions:
    uri: str | None = None
    """The tracking server or store: http://HOST:PORT or sqlite:///FILE; without it MLFLOW_TRACKING_URI,
    or the file mlflow.db here."""
    experiment: str = "zoo"

    def __post_init__(self) -> None:
        try:
            has_password = urlsplit(self.uri or "").password is not None
        except ValueError as error:
            raise ValueError(f"the uri is no address: {error}") from error
        if has_password:
            raise ValueError(
                "the uri has a password, and the run directory would have it too. Leave it out, and set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )


@hookimpl
def zoo_trackers() -> list[TrackerSpec]:
    return [
        TrackerSpec(
            name="mlflow",
            start="zoo_mlflow.record:Record",
            options=MlflowOptions,
            summary="runs of MLflow, at a server or in a local file",
        )
    ]
