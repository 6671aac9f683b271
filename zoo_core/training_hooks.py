"""The hooks around a training: the machines that train, and the trackers that follow it. They are
two of those in `zoo_core.hookspecs`, which says how a plugin implements one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from zoo_core.result_specs import TrackerSpec
from zoo_core.specs import RunnerSpec

PROJECT = "zoo"
"""The name of the pluggy project and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def zoo_runners() -> Sequence[RunnerSpec]:
    """Return the runners that this plugin provides: machines that train a comparison's cells.

    `start` names a function `(options) -> concurrent.futures.Executor`. Since hook API 2.

    # zoo_pool/plugin.py
    from zoo_core import RunnerSpec, hookimpl

    HOOK_API = 2

    @hookimpl
    def zoo_runners():
        summary = "two processes of this machine"
        return [RunnerSpec(name="pool", start="zoo_pool.runner:start", summary=summary)]

    # zoo_pool/runner.py
    from concurrent.futures import ProcessPoolExecutor

    def start(options):
        return ProcessPoolExecutor(2)
    """
    raise NotImplementedError


@hookspec
def zoo_trackers() -> Sequence[TrackerSpec]:
    """Return the trackers that this plugin provides: services or files that record trainings.

    `start` names a function `(options, run: TrackedRun) -> Tracker`. Since hook API 2.

    # zoo_diary/plugin.py
    from zoo_core import TrackerSpec, hookimpl

    HOOK_API = 2

    @hookimpl
    def zoo_trackers():
        summary = "lines in a text file"
        return [TrackerSpec(name="diary", start="zoo_diary.diary:Diary", summary=summary)]

    # zoo_diary/diary.py
    class Diary:
        def __init__(self, options, run):
            run.folder.mkdir(exist_ok=True)
            self.path = run.folder / "diary.txt"
            self.id = run.id or run.name
            self.place = str(self.path)
            self.write(f"{run.name} from epoch {run.first_epoch} on: {run.settings}")

        def epoch(self, epoch, figures):
            self.write(f"epoch {epoch}: {figures}")

        def end(self, outcome, figures):
            self.write(f"{outcome}: {figures}")

        def write(self, line):
            with self.path.open("a") as file:
                print(line, file=file)
    """
    raise NotImplementedError
