"""Records a training as a run of MLflow, by its client alone: nothing global is changed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis

from zoo_core import TrackedRun
from zoo_mlflow.plugin import MlflowOptions

LONGEST = 6000  # characters of a parameter
STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class Record:
    """A run in an experiment: the settings as parameters, losses and scores by epoch as metrics, the
    result as metrics `result.*`, and the facts as the tag `zoo.facts`."""

    def __init__(self, options: MlflowOptions, run: TrackedRun) -> None:
        uri = options.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').absolute()}"
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of the tables that it makes
        # MLflow without its server knows no registry of models in a database, and none is needed.
        registry = Path("mlflow-registry").absolute().as_uri() if "://" in uri and not uri.startswith("http") else None
        self.client = MlflowClient(tracking_uri=uri, registry_uri=registry)
        self.id = run.id or self._new(options.experiment, run)
        if run.id:
            self.client.update_run(self.id, status="RUNNING")
        experiment = self.client.get_run(self.id).info.experiment_id
        self.place = f"{uri} (experiment {options.experiment}, run {self.id})"
        if uri.startswith("http"):
            self.place = f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{self.id}"
        self.last = run.first_epoch - 1

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        self.last = epoch
        self._add(figures)

    def end(self, outcome: str, figures: Mapping[str, float]) -> None:
        self._add({f"result.{name}": value for name, value in figures.items()})
        self.client.set_terminated(self.id, STATUS[outcome])

    def _new(self, experiment: str, run: TrackedRun) -> str:
        number = self._number_of(experiment)
        made = self.client.create_run(
            number, run_name=run.name, tags={"zoo.facts": json.dumps(run.facts, default=str)[:LONGEST]}
        )
        params = [Param(name, str(value)[:LONGEST]) for name, value in run.settings.items()]
        self.client.log_batch(made.info.run_id, params=params)
        return str(made.info.run_id)

    def _number_of(self, experiment: str) -> str:
        found = self.client.get_experiment_by_name(experiment)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(experiment))
        except MlflowException:  # another training made it meanwhile
            found = self.client.get_experiment_by_name(experiment)
            if found is None:
                raise
            return str(found.experiment_id)

    def _add(self, figures: Mapping[str, float]) -> None:
        now = get_current_time_millis()
        self.client.log_batch(self.id, [Metric(name, value, now, self.last) for name, value in figures.items()])
