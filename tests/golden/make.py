"""Make the golden fixtures: `python tests/golden/make.py`, from the root of a checkout, on a CPU.

They hold what the zoo of one commit wrote, and the tests hold every later zoo to it. So this is run again only where
something was added to the fixtures, and then with the code of the commit that fixtures/made.json names: it uses internals
of that commit (`zoo_core.hub.bundle`) that later ones call otherwise.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]
os.environ |= {"OMP_NUM_THREADS": "1", "ZOO_CACHE": tempfile.mkdtemp(), "HF_ENDPOINT": "http://127.0.0.1:9"}

import torch  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import zoo_core  # noqa: E402
from golden.support import FIXTURES, IMAGES, options, reference, shape, zoo  # noqa: E402
from helpers import make_photos  # noqa: E402
from zoo_core.catalog import open_catalog  # noqa: E402
from zoo_core.hub.bundle import PublishOptions, build_bundle  # noqa: E402
from zoo_core.hub.timm_export import export_for_timm  # noqa: E402
from zoo_core.paths import sha256_of  # noqa: E402
from zoo_core.runs.directory import read_run  # noqa: E402
from zoo_core.training.callback import NullCallback  # noqa: E402
from zoo_core.training.stopping import Interrupted  # noqa: E402

EXACT = ["--seed", "3", "--device", "cpu", "--precision", "float32", "--compile", "off"]
LENET = ["--backbone", "lenet5", "--batch-size", "5", *EXACT]
PHOTOS = ["--data", "photos"]
START = HERE.parents[1] / "plugins/zoo-lenet/src/zoo_lenet/weights/lenet5-mnist.safetensors"
RUNS = {
    "classification": [*LENET, *PHOTOS, "--strategy", "head-only", "--epochs", "4"],
    "multilabel": [*LENET, "--data", "labels.csv", "--strategy", "head-only", "--epochs", "4"],
    "regression": [*LENET, "--data", "warmth.csv", "--strategy", "last:1", "--epochs", "4", "--optimizer", "sgd"],
    "solved": [*LENET, *PHOTOS, "--strategy", "head-only", "--head", "solved"],
    "full": [*LENET, *PHOTOS, "--strategy", "full", "--epochs", "2", "--optimizer", "sgd", "--lr", "0.001"],
}
INTERRUPTED: dict[str, tuple[int, dict[str, Any]]] = {
    "head-only": (5, {"strategy": "head-only", "lr": "auto", "mixup": 0.4, "views": 4, "optimizer": "sgd"}),
    "lp-ft": (10, {"strategy": "lp-ft", "head": "mlp:hidden=8,dropout=0.5", "micro_batch": 2, "ema": 0.9}),
}
"""After which step of three an epoch each is stopped, and its settings. The first stands in the middle of a cached phase,
the second in one of fine-tuning, with all that a checkpoint can hold."""
SHAPES = [
    ["list"],
    *(["list", kind] for kind in ("backbones", "heads", "strategies", "datasets", "weights")),
    *(["info", name] for name in ("lenet5", "resnet18", "mlp", "last")),
    ["plan", "--backbone", "lenet5", "--strategy", "last:1"],
    ["plan", "--backbone", "lenet5", "--strategy", "gradual:every=2", "--data", "photos", "--epochs", "5"],
    ["plugins"],
    ["cache"],
]


class Stopping(NullCallback):
    """Sends Ctrl-C to this process after so many steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
            print(f"stopped in epoch {epoch} after step {step} of {steps}")


def images() -> None:
    """Twenty small PNG files of two classes, and two tables that say of each its labels and its warmth."""
    make_photos(Path("photos"), size=20)
    for path in Path("photos").rglob("*.jpg"):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    labels, warmth = ["path,tags"], ["path,warmth,weight"]
    for path in sorted(Path("photos").rglob("*.png")):
        red, even = path.parent.name == "red", int(path.stem) % 2 == 0
        labels.append(f"{path},{'|'.join(name for name, holds in (('warm', red), ('even', even)) if holds)}")
        warmth.append(f"{path},{int(path.stem) / 10 + 2 * red},{5 - int(path.stem) / 4}")
    Path("labels.csv").write_text("\n".join(labels) + "\n")
    Path("warmth.csv").write_text("\n".join(warmth) + "\n")


def runs() -> dict[str, Any]:
    """A finished run of each kind, what `finetune` printed, and the features that two of them kept."""
    printed = {}
    for name, arguments in RUNS.items():
        os.environ["ZOO_CACHE"] = "cache" if name in ("classification", "regression") else tempfile.mkdtemp()
        printed[f"finetune {name}"] = shape(zoo("finetune", *arguments, "--out", f"runs/{name}", "--json"))
    for path in Path("cache").iterdir():
        if path.name != "features":  # what was seen of files is kept by their place and time
            shutil.rmtree(path)
    for path in Path("cache").rglob("lock"):
        path.unlink()
    return printed


def interrupted() -> dict[str, Any]:
    """Runs that were stopped in the middle of an epoch, and what they end with when they go on."""
    ends = {}
    for name, (step, settings) in INTERRUPTED.items():
        os.environ["ZOO_CACHE"] = tempfile.mkdtemp()
        settings = {"backbone": "lenet5", "data": "photos", "epochs": 4, "batch_size": 5, "seed": 3, **settings}
        settings |= {"device": "cpu", "precision": "float32", "compile": "off"}
        config = zoo_core.FinetuneConfig(**settings, out=f"interrupted/{name}")
        try:
            zoo_core.finetune(config, callback=Stopping(step))
        except Interrupted as stopped:
            print(stopped)
        run, finished = Path("interrupted", name), Path("resumed", name)
        shutil.copytree(run, finished)
        os.environ["ZOO_CACHE"] = tempfile.mkdtemp()
        printed = zoo("resume", str(finished), "--json")
        assert any((run / "checkpoints").iterdir())
        ends[name] = {"sha256": sha256_of(finished / "model.safetensors"), "settings": settings, "json": shape(printed)}
        start = load_file(START)
        tensors = load_file(finished / "model.safetensors").items()
        learnt = {key: tensor for key, tensor in tensors if key not in start or not tensor.equal(start[key])}
        for path in finished.iterdir():
            if path.name != "metrics.jsonl":
                path.unlink()
        save_file(learnt, finished / "trained.safetensors")
    return ends


def published() -> None:
    """A run as it is published, and the keys that a twin for timm adds to its config."""
    catalog, folder = open_catalog(), Path(tempfile.mkdtemp())
    wishes = PublishOptions(licence="mit", dataset="acme/photos")
    for name, path in build_bundle(read_run(Path("runs/classification")), "acme/net", wishes, catalog, folder).items():
        target = Path("bundle", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    os.environ["ZOO_CACHE"] = str(folder / "cache")
    resnet = ["--backbone", "resnet18", "--weights", "none", "--size", "32", "--strategy", "head-only", *EXACT]
    zoo("finetune", *resnet, *PHOTOS, "--epochs", "1", "--out", str(folder / "resnet"))
    write("timm.json", export_for_timm(read_run(folder / "resnet"), catalog).config)


def answers() -> dict[str, Any]:
    """What the finished runs say and score, each with the command that was asked."""
    asked = [["predict", f"runs/{name}", *IMAGES] for name in RUNS]
    asked += [["evaluate", f"runs/{name}"] for name in RUNS]
    asked += [["evaluate", "runs/classification", "--data", "photos"], ["predict", "bundle", *IMAGES, "--top", "1"]]
    asked += [["predict", "lenet5", *IMAGES, "--top", "3"], ["predict", "lenet5", *IMAGES, "--weights", "mnist"]]
    return {" ".join(command): zoo(*command, *_on_cpu(command), "--json") for command in asked}


def _on_cpu(command: list[str]) -> list[str]:
    return ["--device", "cpu"] if command[0] in ("predict", "evaluate") else []


def write(name: str, data: Any) -> None:
    Path(name).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    commit = subprocess.run(
        ["git", "log", "-1", "--format=%H", "--", "zoo_core", "plugins"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert not subprocess.run(["git", "status", "--porcelain", "zoo_core", "plugins"], capture_output=True).stdout
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir()
    os.chdir(FIXTURES)
    images()
    shapes = runs()
    write("interrupted.json", interrupted())
    published()
    for path in [*Path("runs").rglob("*.png")]:
        path.unlink()  # nothing reads them but who publishes, and the bundle has two
    write("answers.json", answers())
    os.environ["ZOO_CACHE"] = tempfile.mkdtemp()
    shapes |= {" ".join(command): shape(zoo(*command, "--json")) for command in SHAPES}
    for name in ("classification", "multilabel", "regression"):
        command = ["publish", f"runs/{name}", "acme/net", "--dry-run"]
        shapes[" ".join(command)] = shape(zoo(*command, "--json"))
    write("shapes.json", shapes)
    write("finetune.json", RUNS)
    write("options.json", options())
    write("names.json", zoo_core.__all__)
    made = {"commit": commit, "zoo_core": zoo_core.__version__, "torch": torch.__version__}
    write("made.json", made | {"machine": platform.machine(), "reference": reference()})


if __name__ == "__main__":
    main()
