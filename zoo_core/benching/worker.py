"""The process that runs one format and measures it. It imports what the format needs, and no more:
its start-up and its memory are those of a program that has the model in use.

It reads one JSON object a line from standard input and answers each with another. Shapes: B batch.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from zoo_core.data.prefetch import prefetch
from zoo_core.data.prepared import normalised_array, prepared_content
from zoo_core.data.transforms import Pixels
from zoo_core.devices.malloc import freed_memory_kept
from zoo_core.errors import ZooError, is_out_of_memory, reason_of
from zoo_core.specs import resolve
from zoo_core.weights_specs import Preprocessing

AHEAD = 3  # batches that are decoded while one is computed, as in `zoo predict`
LEAST_BATCHES = 3  # of a measurement, however long they take
LEAST_IMAGES = 5

Answer = Callable[[Sequence[Pixels]], object]


@dataclass
class Model:
    """An opened format with the images that it is asked for."""

    contents: list[bytes]
    preprocessing: Preprocessing
    answer: Answer
    """The answers for prepared images (S, S, C)."""

    def latency(self, seconds: float) -> dict[str, Any]:
        """The seconds of images one by one, whole, and of that in the network."""
        whole, network = [], []
        end = time.perf_counter() + seconds
        for content in cycle(self.contents):
            start = time.perf_counter()
            pixels = prepared_content(content, self.preprocessing)
            ready = time.perf_counter()
            self.answer([pixels])
            done = time.perf_counter()
            whole.append(done - start)
            network.append(done - ready)
            if done > end and len(whole) >= LEAST_IMAGES:
                break
        return {"whole": whole, "network": network}

    def throughput(self, batch: int, seconds: float) -> dict[str, Any]:
        """Images a second with threads that prepare the next batches, from the end of the first
        batch on."""
        images = 0
        start = end = 0.0
        with closing(self._batches(batch)) as batches:  # type: ignore[type-var]  # a generator
            for count, squares in enumerate(batches):
                self.answer(squares)
                now = time.perf_counter()
                if not count:
                    start, end = now, now + seconds
                    continue
                images += batch
                if now > end and count >= LEAST_BATCHES:
                    break
        return {"rate": images / (now - start)}

    def batches(self, batch: int, count: int) -> dict[str, Any]:
        """Answer some batches."""
        with closing(self._batches(batch)) as batches:  # type: ignore[type-var]
            for squares in islice(batches, count):
                self.answer(squares)
        return {}

    def _batches(self, batch: int) -> Iterator[list[Pixels]]:
        coming = cycle(self.contents)

        def begin(group: Sequence[bytes]) -> list[Future[Pixels]]:
            return [pool.submit(prepared_content, content, self.preprocessing) for content in group]

        groups = (list(islice(coming, batch)) for _ in iter(int, 1))
        with ThreadPoolExecutor(_cores()) as pool, closing(prefetch(groups, begin, AHEAD)) as ready:
            for _, squares in ready:
                yield squares


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def opened(asked: dict[str, Any]) -> Model:
    """Open a format, and answer the first image."""
    contents = [path.read_bytes() for path in sorted(Path(asked["images"]).iterdir())]
    preprocessing = Preprocessing(**{**asked["preprocessing"], **_tuples(asked["preprocessing"])})
    open_format = _file if "file" in asked else _predictor
    return Model(contents, preprocessing, open_format(asked, preprocessing))


def _tuples(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) for name, value in facts.items() if isinstance(value, list)}


def _file(asked: dict[str, Any], preprocessing: Preprocessing) -> Answer:
    run = resolve(asked["run"])(Path(asked["file"]))
    return lambda squares: run(normalised_array(squares, preprocessing))


def _predictor(asked: dict[str, Any], preprocessing: Preprocessing) -> Answer:
    import numpy as np
    import torch

    from zoo_core.library import load

    predictor = load(asked["model"], device=asked["device"])

    def answer(squares: Sequence[Pixels]) -> object:
        pixels_BCHW = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
        return predictor.answer(pixels_BCHW, [""] * len(squares))

    return answer


def peak_bytes() -> int | None:
    """The most memory that this process has had, None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return _peak_of_mac()


def _peak_of_mac() -> int | None:
    if sys.platform != "darwin":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries may print
    if len(sys.argv) > 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])

    def tell(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    model: Model | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            match asked.pop("do"):
                case "open":
                    model = opened(asked)
                    model.answer([prepared_content(model.contents[0], model.preprocessing)])
                    found: dict[str, Any] = {}
                case "latency" if model:
                    found = model.latency(**asked)
                case "throughput" if model:
                    found = model.throughput(**asked)
                case "batches" if model:
                    found = model.batches(**asked)
                case "peak":
                    found = {"bytes": peak_bytes()}
        except ZooError as error:
            found = {"problem": str(error)}
        except Exception as error:  # a format's code may raise anything, and the others are measured
            found = {"problem": reason_of(error), "out_of_memory": is_out_of_memory(error)}
        tell(found)


if __name__ == "__main__":
    with freed_memory_kept():  # as in `zoo predict`
        main()
