"""The failures of a run: each says how far the run is kept, and the command that resumes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from zoo_core.devices.world import World
from zoo_core.errors import DataError, LostError, TrainingError, ZooError, is_out_of_memory, reason_of
from zoo_core.runs.directory import RunWriter
from zoo_core.settings import GIVEN_AUGMENT, IN_MEMORY, augment_text
from zoo_core.training.job import Job
from zoo_core.training.stopping import ForcedExit, Interrupted, StopRequest
from zoo_core.wording import quoted

LOCK = ".lock"
"""The file in a run directory by which its writer keeps others out."""
A_MOMENT = 0.5
"""The seconds for which a writer waits: whoever only looks whether there is one (`is_written`) is
gone sooner."""


@contextmanager
def raising_callback_errors(writer: RunWriter, job: Job, stop_request: StopRequest) -> Iterator[None]:
    """Raise the error of a callback for which the run has stopped, with a note that tells how it is
    resumed."""
    try:
        yield
    except Interrupted:
        error = stop_request.error
        if error is None:
            raise
        command = _resuming(writer.directory, job)
        error.add_note(f"The training stopped for it; all that was done is saved. Go on with: {command}")
        raise error from None


@contextmanager
def explain_how_to_resume(writer: RunWriter, job: Job, *, resumed: bool) -> Iterator[None]:
    """Turn a stop, a missing image, a full disk, a lost rank and a full memory into errors that
    tell how the run is resumed."""
    world, command = job.world, _resuming(writer.directory, job)
    try:
        yield
    except Interrupted as stopped:
        raise Interrupted(f"{stopped} Go on with: {command}", stopped.signum) from None
    except ForcedExit as left:
        raise Interrupted(
            f"left at once; what the last checkpoint holds is kept. Go on with: {command}", left.signum
        ) from None
    except DataError as error:  # an image is gone, or is another one
        if not (resumed or writer.begun):
            raise
        kept = f"All up to the last checkpoint is kept: with the images as they were, go on with: {command}"
        raise DataError(f"{error} {kept}") from error
    except (OSError, RuntimeError, MemoryError) as error:
        next_step = f"go on with: {command}" if resumed or writer.begun else "start again."
        if isinstance(error, OSError):
            if isinstance(error, BrokenPipeError):  # the reader of our output has gone
                raise
            if error.errno is None or isinstance(error, ConnectionError | TimeoutError):  # no file's: a callback's
                raise
            raise TrainingError(
                f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}. Free space or make "
                f"it writable (ZOO_CACHE names another cache folder), then {next_step}"
            ) from error
        if isinstance(error, RuntimeError) and world.is_lost(error):
            raise LostError(f"another process of this training ended. When that is mended, {next_step}") from error
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"out of memory: {reason_of(error)}. Give a smaller --batch-size or --image-size, or free "
            f"memory and {next_step}"
        ) from error


def _resuming(directory: Path, job: Job) -> str:
    """The command that resumes a run, or the call, if a program handed its images or its
    augmentation over."""
    given = ["data=..."] if job.config.data_text.startswith(IN_MEMORY) else []
    given += ["augment=..."] if augment_text(job.config.augment).startswith(GIVEN_AUGMENT) else []
    if given:
        return f"zoo_core.resume({str(directory)!r}, {', '.join(given)})"
    return f"zoo resume {quoted(directory)}" + (f" --devices {job.world.size}" if job.world.size > 1 else "")


@contextmanager
def only_writer(directory: Path, world: World) -> Iterator[None]:
    """Lock the run directory against another run that writes to it. Raises ZooError if there is
    one, or if the lock cannot be made."""
    if not world.is_main:
        yield
        return
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=A_MOMENT)
    except Timeout:
        raise ZooError(f"another process is writing to {directory}. Wait for it, or stop it first.") from None
    except OSError as error:  # a link or a folder of that name is not followed
        if not os.path.lexists(directory / LOCK):
            raise ZooError(f"{directory} cannot be written to: {reason_of(error)}. Make it writable.") from error
        raise ZooError(f"{directory / '.lock'} cannot be locked: {reason_of(error)}. Remove it.") from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file; the release does it there
            (directory / LOCK).unlink(
                missing_ok=True
            )  # while it is held: the next writer may lock it after the release
        lock.release()


def is_written(directory: Path) -> bool:
    """Whether a process writes to a run directory now: it holds the lock of `only_writer`."""
    lock = FileLock(directory / LOCK)
    try:
        if (directory / LOCK).is_file():
            lock.acquire(timeout=0)
            lock.release()
    except Timeout:
        return True
    except OSError:  # the training will say why
        return False
    return False
