"""Dense algebra of float64 arrays by torch, with the threads that the run computes with.

numpy has threads of its own, which know nothing of `--threads` and spin while they wait: beside
other work they take many times as long.

Shapes: N rows, F columns, K right-hand sides, P the smaller of N and F.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # a listing of runs does without
    from torch import Tensor

FloatArray = npt.NDArray[np.float64]


def product(one: FloatArray, other: FloatArray) -> FloatArray:
    """The product of two matrices."""
    return _array(_tensor(one) @ _tensor(other))


def eigh(matrix_FF: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The eigenvalues (F) of a symmetric matrix, the smallest first, and its eigenvectors as
    columns. Raises numpy's LinAlgError where they are not found."""
    values, vectors = _solved("eigh", matrix_FF)
    return _array(values), _array(vectors)


def svd(matrix_NF: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The singular vectors (N, P) as columns, the singular values (P), the largest first, and the
    vectors (P, F) as rows. Raises numpy's LinAlgError where they are not found."""
    left, values, right = _solved("svd", matrix_NF, full_matrices=False)
    return _array(left), _array(values), _array(right)


def solve(matrix_FF: FloatArray, wanted_FK: FloatArray) -> FloatArray:
    """The matrix (F, K) whose product with `matrix_FF` from the left is `wanted_FK`. Raises numpy's
    LinAlgError where there is none."""
    return _array(_solved("solve", matrix_FF, wanted_FK))


def _solved(name: str, *matrices: FloatArray, **settings: bool) -> Any:
    """The answer of a function of torch.linalg."""
    import torch

    try:
        return getattr(torch.linalg, name)(*map(_tensor, matrices), **settings)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise np.linalg.LinAlgError(str(error)) from error


def _tensor(array: FloatArray) -> Tensor:
    import torch

    is_plain = array.flags.writeable and min(array.strides) >= 0
    return torch.from_numpy(array if is_plain else array.copy())


def _array(tensor: Tensor) -> FloatArray:
    found: FloatArray = tensor.numpy()
    return found
