"""Loading a network from a local safetensors file: zoo beside timm.

    python benchmarks/load.py [--backbone resnet50] [--rounds 15]

The file holds random weights under torchvision's key names, which timm knows as well; it is made in a
temporary folder and lies in memory (the page cache) when it is read. Each measurement is a fresh process. Imports, and
in zoo's case the look for plugins, are done before the clock starts. Two ways take turns:

    zoo   what `--weights FILE` does: the network is built without storage, and memory-mapped tensors are put in its places
    timm  timm.create_model("resnet50", checkpoint_path=FILE); where its key names differ (vgg16), with the file as its
          pretrained weights, which translates them

Measured are the milliseconds until the whole network (classifier included) can be used, and the extra memory at its
peak (resident set); then both again with the first forward pass of one image of 224 x 224 pixels, because what is
memory-mapped is only read when it is used. Both must give the same outputs. A fine-tune from such a file also writes its
sha256 down; how long that takes is told beside.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE = 224
ZOO, TIMM = "zoo", "timm"
FIGURES = {"load_ms": "ms", "load_mb": "peak MB", "first_ms": "ms, 1st image", "first_mb": "peak MB, 1st image"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and weigh the loading of a network from a local file.")
    parser.add_argument("--backbone", default="resnet50", help="resnet50, vgg16 ... (default resnet50)")
    parser.add_argument("--rounds", type=int, default=15, help="processes of each kind (default 15)")
    parser.add_argument("--child", nargs=3, metavar=("WAY", "FILE", "BACKBONE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        way, file, backbone = arguments.child
        child(way, Path(file), backbone)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{arguments.backbone}.safetensors"
        make_weights(path, arguments.backbone)
        megabytes = path.stat().st_size / 1e6
        measured: dict[str, list[dict[str, Any]]] = {ZOO: [], TIMM: []}
        for way in measured:  # one that does not count: libraries and the file into memory
            measure(way, path, arguments.backbone)
        for _ in range(arguments.rounds):
            for way, results in measured.items():
                results.append(measure(way, path, arguments.backbone))
    report(measured, arguments.backbone, megabytes)


def make_weights(path: Path, backbone: str) -> None:
    """Write random weights of the right shapes."""
    import torch
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = torchvision.models.get_model(backbone)
    save_file(network.state_dict(), path, metadata={"format": "pt"})


def measure(way: str, path: Path, backbone: str) -> dict[str, Any]:
    """Load in a fresh process, which prints what it measured as its last line."""
    command = [sys.executable, __file__, "--child", way, str(path), backbone]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def child(way: str, path: Path, backbone: str) -> None:
    """Load in one way, then classify one image; print the figures."""
    import torch

    load = timm_loader(backbone) if way == TIMM else zoo_loader(backbone)
    image_BCHW = torch.linspace(-2, 2, 3 * SIZE * SIZE).reshape(1, 3, SIZE, SIZE)
    gc.collect()  # what the imports left is not looked through while the clock runs
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    start = time.perf_counter()
    network = load(path)
    loaded, peak_loaded = time.perf_counter(), status("VmHWM")
    again = time.perf_counter()
    with torch.inference_mode():
        outputs_BK = network(image_BCHW)
    done = time.perf_counter()
    figures = {
        "load_ms": 1000 * (loaded - start),
        "load_mb": peak_loaded - before,
        "first_ms": 1000 * (loaded - start + done - again),
        "first_mb": status("VmHWM") - before,
        "outputs": outputs_BK[0, :8].tolist(),
        "hash_ms": None,
    }
    if way == ZOO:
        from zoo_core.paths import sha256_of

        start = time.perf_counter()
        sha256_of(path)
        figures["hash_ms"] = 1000 * (time.perf_counter() - start)
    print(json.dumps(figures))


def zoo_loader(backbone: str) -> Callable[[Path], Any]:
    from zoo_core.catalog import open_catalog
    from zoo_core.model.assemble import build_network
    from zoo_core.specs import resolve
    from zoo_core.tensors import read_tensors
    from zoo_core.weights.load import build_empty, load_chain
    from zoo_core.weights.resolve import resolve_weights

    choice = open_catalog().backbone(backbone)
    resolve(choice.spec.build)  # imports the plugin's model and torchvision

    def load(path: Path) -> Any:
        local = resolve_weights(choice, str(path)).local
        assert local is not None
        network = build_empty(lambda: build_network(choice))
        load_chain(
            network, read_tensors(local.path), path=local.path, ignored=choice.spec.ignored_keys, classifier=None
        )
        return network.eval()

    return load


def timm_loader(backbone: str) -> Callable[[Path], Any]:
    import timm

    if backbone.startswith("vgg"):
        return lambda path: timm.create_model(
            backbone, pretrained=True, pretrained_cfg_overlay={"file": str(path)}
        ).eval()
    return lambda path: timm.create_model(backbone, checkpoint_path=str(path)).eval()


def status(name: str) -> float:
    """A line of this process's memory status in MB (10^6 bytes)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return kibibytes * 1024 / 1e6


def report(measured: dict[str, list[dict[str, Any]]], backbone: str, megabytes: float) -> None:
    import timm
    import torch

    first = measured[ZOO][0]["outputs"]
    for way, results in measured.items():
        for one in results:
            if max(abs(a - b) for a, b in zip(one["outputs"], first, strict=True)) > 1e-4 * max(map(abs, first)):
                raise SystemExit(f"{way} gives other outputs than {ZOO}: the comparison means nothing.")
    print(
        f"{backbone}, a file of {megabytes:.0f} MB; {len(measured[ZOO])} rounds, {len(os.sched_getaffinity(0))} cores"
    )
    print(f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}\n")
    print(f"{'median':<22}" + "".join(f"{title:>20}" for title in FIGURES.values()))
    for way, results in measured.items():
        values = (statistics.median(one[figure] for one in results) for figure in FIGURES)
        print(f"{way:<22}" + "".join(f"{value:>20.1f}" for value in values))
    hashing = statistics.median(one["hash_ms"] for one in measured[ZOO])
    print(f"\nthe sha256 of the file, for the records of a fine-tune: {hashing:.1f} ms\n")
    print(f"{'ratio':<22}" + "".join(f"{title:>20}" for title in FIGURES.values()))
    pairs = list(zip(measured[TIMM], measured[ZOO], strict=True))
    ratios = (statistics.median(theirs[name] / ours[name] for theirs, ours in pairs) for name in FIGURES)
    print("timm / zoo".ljust(22) + "".join(f"{ratio:>20.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
