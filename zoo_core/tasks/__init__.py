"""The tasks, one object and one file each: loss, evaluation, words, picture and checks."""

from __future__ import annotations

from typing import Any

from zoo_core.specs import TaskName
from zoo_core.tasks.classification import Classification
from zoo_core.tasks.multilabel import Multilabel
from zoo_core.tasks.regression import Regression
from zoo_core.tasks.task import Task

ALL: dict[TaskName, Task[Any]] = {task.name: task for task in (Classification(), Multilabel(), Regression())}


def task_named(name: TaskName) -> Task[Any]:
    """The task of this name."""
    return ALL[name]
