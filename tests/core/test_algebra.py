"""Dense algebra is that of numpy, by the threads of torch."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from zoo_core.algebra import eigh, product, solve, svd

CORE = Path(__file__).parents[2] / "zoo_core"
ITS_OWN_THREADS = re.compile(r"(?:np|numpy)\.linalg\.(?!norm\b|LinAlgError\b)\w+")
"""Functions of numpy whose threads are not those of the run."""


@pytest.fixture
def matrix_NF() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, 4))


def test_it_computes_as_numpy_does(matrix_NF: np.ndarray) -> None:
    square_FF = product(matrix_NF.T, matrix_NF)
    assert np.allclose(square_FF, matrix_NF.T @ matrix_NF)
    values, vectors = eigh(square_FF)
    assert np.allclose(values, np.linalg.eigvalsh(square_FF))
    assert np.allclose(vectors * values @ vectors.T, square_FF)
    left, singular, right = svd(matrix_NF)
    assert left.shape == (7, 4)
    assert np.allclose(singular, np.linalg.svd(matrix_NF, compute_uv=False))
    assert np.allclose(left * singular @ right, matrix_NF)
    assert np.allclose(solve(square_FF, matrix_NF.T), np.linalg.solve(square_FF, matrix_NF.T))


@pytest.mark.filterwarnings("error")
def test_arrays_of_any_kind_are_taken_and_left_as_they_are(matrix_NF: np.ndarray) -> None:
    before = matrix_NF.copy()
    matrix_NF.flags.writeable = False
    for found_NF in (matrix_NF, before[::-1, ::2]):
        assert np.allclose(product(found_NF.T, found_NF), found_NF.T @ found_NF)
    assert np.array_equal(matrix_NF, before)


def test_what_cannot_be_found_raises_the_error_of_numpy() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        solve(np.zeros((2, 2)), np.ones((2, 1)))


def test_nothing_in_zoo_core_computes_with_the_threads_of_numpy() -> None:
    found = [
        f"{path.relative_to(CORE)}: {call}"
        for path in sorted(CORE.rglob("*.py"))
        for call in ITS_OWN_THREADS.findall(path.read_text())
    ]
    assert found == []
