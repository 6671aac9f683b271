"""`fitted.safetensors` of a stranger: what does not fit the run is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zoo_core.errors import ZooError
from zoo_core.runs.fitted import read_fitted, write_fitted
from zoo_core.tasks import task_named
from zoo_core.tasks.fitted import Fitted
from zoo_core.tensors import write_tensors

ONE = torch.ones(1, dtype=torch.float64)
FAMILIAR = {
    "means": torch.ones(3, 5),
    "directions": torch.ones(2, 5),
    "spreads": torch.ones(2, dtype=torch.float64),
    "rest_and_limit": torch.ones(2, dtype=torch.float64),
}


def test_a_fit_is_read_back(tmp_path: Path) -> None:
    write_fitted(tmp_path, Fitted(2.0))
    assert read_fitted(tmp_path, 3, task_named("classification")).temperature == 2
    write_tensors(tmp_path / "fitted.safetensors", {"temperature": ONE, **FAMILIAR})
    assert read_fitted(tmp_path, 3, task_named("classification")).familiar is not None


@pytest.mark.parametrize(
    ("task", "tensors"),
    [
        ("classification", {"thresholds": torch.ones(3, dtype=torch.float64)}),
        ("classification", {"scores": torch.ones(4, 3, dtype=torch.float64)}),
        ("classification", {**FAMILIAR, "means": torch.ones(0, 5)}),
        ("classification", {**FAMILIAR, "means": torch.ones(4, 5)}),
        ("classification", {**FAMILIAR, "means": torch.ones(3, 5, dtype=torch.float64)}),
        ("classification", {**FAMILIAR, "spreads": torch.full((2,), 1e-300, dtype=torch.float64)}),
        ("regression", {"scores": torch.ones(4, 1, dtype=torch.float64)}),
        ("regression", {"temperature": 2 * ONE}),
    ],
)
def test_a_fit_of_another_run_is_refused(tmp_path: Path, task: str, tensors: dict[str, torch.Tensor]) -> None:
    write_tensors(tmp_path / "fitted.safetensors", {"temperature": ONE, **tensors})
    with pytest.raises(ZooError, match="was not fitted for this run"):
        read_fitted(tmp_path, 3, task_named(task))  # type: ignore[arg-type]
