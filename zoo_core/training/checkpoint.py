"""Checkpoints of a run: the state that a training goes on from as if it had never stopped, as
safetensors and JSON.

A checkpoint is a folder `RUN/checkpoints/NUMBER` with `tensors.safetensors` and `state.json`. It is
written under another name, synced to disk and renamed, and state.json holds the hash of the
tensors: a folder with its final name and the right hash is complete. The older checkpoint is
removed after that. Equal numbers mean equal states, so a folder that exists is never written again.

A run may come from a stranger: only regular files of the run itself are read, no links and no
pipes.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from zoo_core.errors import TrainingError, WeightsError, ZooError, reason_of
from zoo_core.paths import sha256_of, sync
from zoo_core.tensors import read_tensors
from zoo_core.wording import quoted

FOLDER = "checkpoints"
STATE = "state.json"
TENSORS = "tensors.safetensors"
VERSION = 1
MAX_STATE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and plain data for JSON."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def write_checkpoint(run: Path, number: int, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all, then remove the older ones. Raises TrainingError if
    that fails."""
    root = run / FOLDER
    target = root / f"{number:010d}"
    aside = root / f".new-{number:010d}"
    if target.exists():
        return
    try:
        root.mkdir(exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}, aside / TENSORS
        )
        sync(aside / TENSORS)
        state = {"version": VERSION, "sha256": sha256_of(aside / TENSORS), **checkpoint.state}
        (aside / STATE).write_text(json.dumps(state), encoding="utf-8")
        sync(aside / STATE)
        sync(aside)
        os.rename(aside, target)
        sync(root)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise _unwritable(root, error) from error
    for other in _numbered(root):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)


def newest_checkpoint(run: Path, *, clean: bool) -> Checkpoint | None:
    """The newest complete checkpoint of a run, None when none was ever written; `clean` removes the
    remains of others.

    Raises TrainingError when all checkpoints are damaged.
    """
    root = run / FOLDER
    numbered = _numbered(root)
    damaged: list[Path] = []
    found = None
    for folder in reversed(numbered):
        found = _read(folder)
        if found is not None:
            break
        damaged.append(folder)
    if numbered and found is None:
        raise TrainingError(
            f"the checkpoint {numbered[-1]} is damaged, and there is no other. Remove {root} to start this run again "
            f"from its beginning: `zoo resume {quoted(run)}`."
        )
    for folder in (*damaged, *root.glob(".new-*")) if clean else ():
        shutil.rmtree(folder, ignore_errors=True)
    return found


def remove_checkpoints(run: Path) -> None:
    """Remove the checkpoints of a finished run, which needs none."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def _numbered(root: Path) -> list[Path]:
    if root.is_symlink():
        raise TrainingError(f"{root} is a link, and checkpoints are read from the run itself. Put the folder there.")
    return sorted(path for path in root.glob("[0-9]*") if path.is_dir() and not path.is_symlink())


def _read(folder: Path) -> Checkpoint | None:
    try:
        facts = [os.lstat(folder / name) for name in (STATE, TENSORS)]
        if not all(stat.S_ISREG(one.st_mode) for one in facts) or facts[0].st_size > MAX_STATE_BYTES:
            return None
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if not isinstance(state, dict) or state.get("sha256") != sha256_of(folder / TENSORS):
            return None
        if state.get("version") != VERSION:
            raise TrainingError(f"{folder} was written by another zoo-core; resume with that version, or start again.")
        # A copy: tensors that are mapped from the file would change with it.
        return Checkpoint({name: tensor.clone() for name, tensor in read_tensors(folder / TENSORS).items()}, state)
    except FileNotFoundError:
        return None
    except OSError as error:  # it may be whole
        raise TrainingError(
            f"the checkpoint {folder} cannot be read: {reason_of(error)}. Nothing was changed. When it can be read, go on "
            f"with `zoo resume {quoted(folder.parent.parent)}`."
        ) from error
    except (ValueError, RecursionError, WeightsError):
        return None


def _unwritable(root: Path, error: Exception) -> ZooError:
    if not root.parent.is_dir():
        return TrainingError(
            f"the run directory {root.parent} is gone, and nothing can be saved there. Start a new run."
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return TrainingError(
        f"a checkpoint could not be written to {root}: {reason}. The one before it is untouched. Free space or make "
        f"the folder writable, then go on with `zoo resume {quoted(root.parent)}`."
    )
