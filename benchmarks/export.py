"""Exported files beside the run that they come from: accuracy, images a second, megabytes.

    python benchmarks/export.py RUN [RUN ...] [--formats onnx onnx:int8 ...] [--rounds 7] [--threads 1]

Each format is exported by `zoo export` and checked on the run's held-out images; no file is refused here, so
that a loss is told as it is. Beside them stand the run in torch, float32; where timm has the same architecture, the
file that timm's own onnx_export writes of the same weights; and zoo's float32 file in 8-bit integers by the call that
Ultralytics 8.4.190 makes (`onnx_int8_quantize`), with the same training images. All ways take the same normalised images, from
memory. They take turns, round by round, with so many threads each, on so many cores; a figure is the median of the rounds.
Ratios are medians of the rounds' ratios to torch.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from zoo_onnx.smaller import Reader

import zoo_core
from measuring import environment
from zoo_core.data.batches import Batches
from zoo_core.data.on_device import normalised
from zoo_core.exporting.export import Calibration
from zoo_core.hub.timm_export import export_for_timm
from zoo_core.predict import Predictor
from zoo_core.run_images import measured_part, training_images
from zoo_core.runs.directory import read_run
from zoo_core.specs import resolve

Array = npt.NDArray[Any]
FORMATS = ("onnx", "onnx:int8", "openvino", "openvino:int8")
BATCHES = (1, 16)
PASSES = 32  # images that a round passes through, so that one takes a second or so


@dataclass
class Way:
    """One way to answer images, and what was measured of it."""

    name: str
    answers: Callable[[Array], Array]
    bytes: int
    accuracy: float
    difference: float = 0.0
    changed: int = 0
    seconds: float = 0.0
    """The time of the export with its check."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure exported files beside their run.")
    parser.add_argument("runs", nargs="+", help="run directories of classifiers")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), help="formats of zoo export")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each way (default 7)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each way (default 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    print(
        environment("torch", "onnx", "onnxruntime", "openvino", "timm"),
        f"{arguments.threads} thread(s), {_processor()}",
    )
    for run in arguments.runs:
        with tempfile.TemporaryDirectory() as folder:
            report(run, measured(run, arguments, Path(folder)), arguments)


def measured(run: str, arguments: argparse.Namespace, folder: Path) -> tuple[list[Way], dict[Any, list[float]]]:
    """The ways of a run, and the images a second of each round by way and batch."""
    catalog = zoo_core.open_catalog()
    predictor = zoo_core.load(run, device="cpu", catalog=catalog)
    images_NCHW, targets_N = _held_out(run, predictor)

    def of_torch(images_BCHW: Array) -> Array:
        given = torch.from_numpy(images_BCHW).contiguous(memory_format=torch.channels_last)  # as `zoo predict` has it
        with torch.inference_mode():
            answers: Array = predictor.objective.values(predictor.network(given)).numpy()
        return answers

    expected_NK = _all(of_torch, images_NCHW)
    weights = Path(run) / "model.safetensors"
    ways = [Way("torch", of_torch, weights.stat().st_size, _accuracy(expected_NK, targets_N))]
    for to in arguments.formats:
        spec = catalog.exporter(to).spec
        path, start = folder / f"{len(ways)}{spec.suffix}", time.perf_counter()
        made = zoo_core.export_run(run, to, out=path, tolerance=1.0, max_loss=1.0, catalog=catalog)
        taken = time.perf_counter() - start
        # other formats than onnx take as many threads as the process may use cores
        answers = _session(path, arguments.threads) if spec.name == "onnx" else resolve(spec.run)(path)
        ways.append(Way(to, answers, made.bytes, made.after, made.difference, made.changed, taken))
    if (by_timm := _by_timm(run, folder, images_NCHW, catalog)) is not None:
        logits = _session(by_timm, arguments.threads)
        by_softmax = partial(_softmax, logits)
        ways.append(_way("timm's onnx_export", by_softmax, by_timm, images_NCHW, expected_NK, targets_N))
    path = _by_ultralytics(predictor, run, folder, images_NCHW)
    ways.append(_way("Ultralytics' int8", _session(path, arguments.threads), path, images_NCHW, expected_NK, targets_N))
    speeds: dict[Any, list[float]] = {}
    for _ in range(arguments.rounds + 1):  # the first does not count
        for batch in BATCHES:
            for way in ways:
                speeds.setdefault((way.name, batch), []).append(_images_a_second(way.answers, images_NCHW, batch))
    return ways, {key: rounds[1:] for key, rounds in speeds.items()}


def report(run: str, figures: tuple[list[Way], dict[Any, list[float]]], arguments: argparse.Namespace) -> None:
    """Print a table of one run in Markdown, and the figures as JSON."""
    ways, speeds = figures
    print(f"\n{Path(run).name}\n")
    columns = [f"images a second, batch {batch}" for batch in BATCHES]
    print(f"| | accuracy | changed | largest difference | MB | {' | '.join(columns)} | seconds of the export |")
    print("|---" * (6 + len(BATCHES)) + "|")
    for way in ways:
        cells = []
        for batch in BATCHES:
            own, base = speeds[way.name, batch], speeds["torch", batch]
            ratio = statistics.median(one / other for one, other in zip(own, base, strict=True))
            cells.append(f"{statistics.median(own):.1f} ({ratio:.2f} times)")
        shown = [f"{100 * way.accuracy:.1f} %", str(way.changed), f"{way.difference:.2g}", f"{way.bytes / 1e6:.1f}"]
        print(f"| {' | '.join([way.name, *shown, *cells, f'{way.seconds:.0f}'])} |")
    told = {f"{name} at {batch}": [round(one, 2) for one in rounds] for (name, batch), rounds in speeds.items()}
    print(json.dumps({"run": run, "threads": arguments.threads, "images_a_second": told}))


def _held_out(run: str, predictor: Predictor) -> tuple[Array, Array]:
    """The images (N, C, H, W) that a run was measured on, normalised, and their classes (N)."""
    assert predictor.facts is not None
    source, name = measured_part(run, predictor.facts, None, zoo_core.open_catalog(), command="zoo evaluate")
    part, cpu = source.parts[name], torch.device("cpu")
    batches = Batches(part, predictor.preprocessing, 16, 1).in_order()
    images = [normalised(pixels, predictor.preprocessing, cpu).contiguous().numpy() for pixels, _ in batches]
    return np.concatenate(images), part.targets


def _session(path: Path, threads: int) -> Callable[[Array], Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())

    def answers(images_BCHW: Array) -> Array:
        found: Array = session.run(None, {name: images_BCHW})[0]
        return found

    return answers


def _by_timm(run: str, folder: Path, images_NCHW: Array, catalog: Any) -> Path | None:
    """The file that timm writes of the run's weights, None where it has no such architecture."""
    import timm
    from timm.utils.onnx import onnx_export

    try:
        twin = export_for_timm(read_run(Path(run)), catalog)
    except zoo_core.ZooError as error:
        print(f"no file of timm: {error}")
        return None
    network = timm.create_model(twin.config["architecture"], num_classes=twin.config["num_classes"])
    network.load_state_dict(twin.tensors)
    path = folder / "timm.onnx"
    onnx_export(network, str(path), torch.from_numpy(images_NCHW[:2]), use_dynamo=True)
    return path


def _by_ultralytics(predictor: Predictor, run: str, folder: Path, images_NCHW: Array) -> Path:
    """zoo's float32 file in 8-bit integers, quantised as Ultralytics does: layers alone, by onnxruntime's defaults."""
    import onnx
    from onnxruntime.quantization import quantize_static

    whole, made = folder / "whole.onnx", folder / "ultralytics.onnx"
    zoo_core.export_run(run, "onnx", out=whole)
    nodes = onnx.load(whole).graph.node
    others = [node.name for node in nodes if node.op_type not in {"Conv", "Gemm", "MatMul"}]
    assert predictor.facts is not None
    train = training_images(run, predictor.facts, zoo_core.open_catalog()).parts["train"]
    batches = Calibration(predictor, lambda: (train, "train", None), False, None).batches(256)
    one_by_one = {"CalibStridedMinMax": 1}  # the same ranges, in less memory
    quantize_static(whole, made, Reader("images", batches), nodes_to_exclude=others, extra_options=one_by_one)
    return made


def _way(
    name: str, answers: Callable[[Array], Array], path: Path, images_NCHW: Array, expected_NK: Array, targets_N: Array
) -> Way:
    """A file of others, measured beside the answers of the run."""
    found_NK = _all(answers, images_NCHW)
    changed = int((found_NK.argmax(1) != expected_NK.argmax(1)).sum())
    difference = float(np.abs(found_NK - expected_NK).max())
    return Way(name, answers, path.stat().st_size, _accuracy(found_NK, targets_N), difference, changed)


def _softmax(outputs: Callable[[Array], Array], images_BCHW: Array) -> Array:
    """The answers of timm's outputs, which hold the run's temperature."""
    answers: Array = torch.from_numpy(outputs(images_BCHW)).softmax(1).numpy()
    return answers


def _all(answers: Callable[[Array], Array], images_NCHW: Array) -> Array:
    return np.concatenate([answers(images_NCHW[start : start + 16]) for start in range(0, len(images_NCHW), 16)])


def _accuracy(answers_NK: Array, targets_N: Array) -> float:
    return float((answers_NK.argmax(1) == targets_N).mean())


def _images_a_second(answers: Callable[[Array], Array], images_NCHW: Array, batch: int) -> float:
    groups = [np.ascontiguousarray(images_NCHW[start : start + batch]) for start in range(0, PASSES, batch)]
    start = time.perf_counter()
    for group in groups:
        answers(group)
    return sum(map(len, groups)) / (time.perf_counter() - start)


def _processor() -> str:
    """The processor, by its own words."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(":") for line in lines]
    facts = {key.strip(): value.strip() for key, _, value in reversed(pairs)}
    units = [flag for flag in ("avx2", "avx512_vnni", "avx_vnni", "amx_int8") if flag in facts.get("flags", "").split()]
    return (
        f"{facts.get('model name')}, family {facts.get('cpu family')}, model {facts.get('model')}, {', '.join(units)}"
    )


if __name__ == "__main__":
    main()
