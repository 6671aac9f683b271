"""`fitted.safetensors` of a run: the fit to its validation images, in float64.

Shapes: K classes, labels or numbers, S scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from zoo_core.errors import ZooError
from zoo_core.runs.directory import FITTED, file_of
from zoo_core.tasks.calibration import EXTREME
from zoo_core.tasks.familiar import MOST_DIRECTIONS, MOST_FEATURES, Familiar
from zoo_core.tasks.fitted import MOST_SCORES, UNFITTED, Fitted
from zoo_core.tasks.task import Task
from zoo_core.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 1e-15  # of a spread: below each that is fitted, and distances in shares of it are finite


def write_fitted(directory: Path, fitted: Fitted) -> None:
    """Write it beside the weights."""
    arrays = {"thresholds": fitted.thresholds_K, "scores": fitted.scores}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in arrays.items() if one is not None}
    temperature = torch.tensor([fitted.temperature], dtype=torch.float64)
    write_tensors(directory / FITTED, {"temperature": temperature, **tensors, **_of_familiar(fitted.familiar)})


def read_fitted(directory: Path, outputs: int, task: Task[Any]) -> Fitted:
    """The fit of a run with so many outputs; nothing for a run of an older zoo. A stranger may have
    written it.

    Raises ZooError for a file that is none of such a run.
    """
    path = file_of(directory, FITTED)
    if not path.is_file():
        return UNFITTED
    tensors = read_tensors(path)
    try:
        temperature = float(_checked(tensors["temperature"], (1,))[0])
        if not 1 / EXTREME <= temperature <= EXTREME or (temperature != 1 and not task.has_temperature):
            raise ValueError(f"the temperature {temperature:g}")
        if "thresholds" in tensors and (task.single_label or not task.has_temperature):
            raise ValueError("thresholds, which labels alone have")
        thresholds = _checked(tensors["thresholds"], (outputs,)) if "thresholds" in tensors else None
        scores = tensors.get("scores")
        if scores is not None and not (scores.ndim == 2 and 1 <= len(scores) <= MOST_SCORES):
            raise ValueError(f"scores of the shape {tuple(scores.shape)}")
        if scores is not None and scores.shape[1] != (1 if task.single_label else outputs):
            raise ValueError(f"scores of {scores.shape[1]} outputs")
        of_scores = None if scores is None else _checked(scores, tuple(scores.shape))
        familiar = _familiar(tensors, outputs) if "means" in tensors else None
    except (KeyError, ValueError) as error:
        raise ZooError(
            f"{path} was not fitted for this run: {error}. Remove it to go without temperature and thresholds."
        ) from error
    return Fitted(temperature, thresholds, of_scores, familiar)


def _of_familiar(familiar: Familiar | None) -> dict[str, Tensor]:
    """Its tensors: float32 for the features, whose spreads are far coarser."""
    if familiar is None:
        return {}
    large = {"means": familiar.means_GF, "directions": familiar.directions_DF}
    small = {"spreads": familiar.spreads_D, "rest_and_limit": np.array([familiar.rest, familiar.limit])}
    return {
        **{name: torch.from_numpy(one).float().contiguous() for name, one in large.items()},
        **{name: torch.from_numpy(one) for name, one in small.items()},
    }


def _familiar(tensors: Mapping[str, Tensor], outputs: int) -> Familiar:
    """Raises KeyError or ValueError for other shapes and types, and for spreads of almost 0."""
    means, directions = tensors["means"], tensors["directions"]
    if means.ndim != 2 or directions.ndim != 2 or means.shape[1] != directions.shape[1]:
        raise ValueError(f"means of the shape {tuple(means.shape)} and directions of {tuple(directions.shape)}")
    if not (1 <= len(means) <= outputs and len(directions) <= MOST_DIRECTIONS and 1 <= means.shape[1] <= MOST_FEATURES):
        raise ValueError(f"{len(means)} means and {len(directions)} directions of {means.shape[1]} features")
    if {means.dtype, directions.dtype} != {torch.float32}:
        raise ValueError(f"means of the type {means.dtype} and directions of {directions.dtype}")
    means_GF, directions_DF = (_checked(one.double(), tuple(one.shape)) for one in (means, directions))
    spreads, ends = _checked(tensors["spreads"], (len(directions),)), _checked(tensors["rest_and_limit"], (2,))
    if not (spreads > LEAST).all() or not (ends > LEAST).all():
        raise ValueError(f"spreads of at most {LEAST:g}")
    return Familiar(means_GF, directions_DF, spreads, float(ends[0]), float(ends[1]))


def _checked(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers of a shape. Raises ValueError."""
    if tuple(tensor.shape) != shape or tensor.dtype != torch.float64 or not bool(tensor.isfinite().all()):
        raise ValueError(f"numbers of the shape {tuple(tensor.shape)} and the type {tensor.dtype}")
    return tensor.numpy()
