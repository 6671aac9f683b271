"""Where a training step's time goes: zoo's layout beside that of timm's loop, by the kind of computation.

    pip install timm==1.0.31
    python benchmarks/layers.py [--networks resnet18 resnet50] [--images 32] [--rounds 3]

timm's network computes the gradients of a batch of random images of 224 x 224 pixels in one thread: as in timm's loop
(contiguous, freed memory goes back to the system), and as in zoo's (channels last, freed memory is kept). oneDNN tells the
time of each of its computations (ONEDNN_VERBOSE); what remains of the step's CPU seconds is batch norm, activations,
sums and fresh memory. Operations a second are two for each product of a convolution. Each measurement is a fresh process;
they take turns, and the one with the shortest computations counts. Nothing else
may run: oneDNN counts the seconds that pass.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import nullcontext

from measuring import environment

WAYS = ("timm's", "zoo's")
KINDS = {
    "forward_training": "convolutions, forward",
    "backward_data": "convolutions, gradients of inputs",
    "backward_weights": "convolutions, gradients of weights",
}
REORDERS, REST = "other layouts", "all else"
SHAPE = re.compile(r"(?:g(\d+))?mb(\d+)_ic(\d+)oc(\d+)_ih\d+oh(\d+)kh(\d+)\S*_iw\d+ow(\d+)kw(\d+)")
MARK = "LAST STEP"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="A step's time by the kind of computation, zoo's layout beside timm's."
    )
    parser.add_argument("--networks", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        network, way = arguments.child
        child(network, way, arguments.images)
        return
    print(environment("torch", "timm"))
    print("| network | computation | timm's: ms an image | billion operations a second | zoo's: ms | billion |")
    print("|---|---|---|---|---|---|")
    for network in arguments.networks:
        found = {way: [measured(network, way, arguments.images) for _ in range(arguments.rounds)] for way in WAYS}
        best = [min(rounds, key=told) for rounds in found.values()]
        for kind in (*KINDS.values(), REORDERS, REST):
            print(row(network, kind, [one[kind] for one in best], arguments.images), flush=True)
        whole = [(sum(ms for ms, _ in one.values()), 0.0) for one in best]
        print(row(network, "the step", whole, arguments.images), flush=True)


def told(one: dict[str, tuple[float, float]]) -> float:
    """The milliseconds that oneDNN told of."""
    return sum(ms for kind, (ms, _) in one.items() if kind != REST)


def row(network: str, kind: str, ways: list[tuple[float, float]], images: int) -> str:
    cells = [
        f"{ms / images:.1f} | {operations / ms / 1e6:.0f}" if operations else f"{ms / images:.1f} |"
        for ms, operations in ways
    ]
    return f"| {network} | {kind} | {' | '.join(cells)} |"


def measured(network: str, way: str, images: int) -> dict[str, tuple[float, float]]:
    """Milliseconds and operations of a step by the kind of computation."""
    command = [sys.executable, __file__, "--images", str(images), "--child", network, way]
    environ = {"ONEDNN_VERBOSE": "profile_exec", "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environ}).stdout
    lines = printed.partition(MARK)[2].splitlines()
    found: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for line in lines:
        cells = line.split(",")
        if "exec" not in cells:
            continue
        primitive, _, direction = cells[cells.index("exec") + 2 :][:3]
        kind = KINDS[direction] if primitive == "convolution" else REORDERS if primitive == "reorder" else REST
        ms, operations = found[kind]
        found[kind] = ms + float(cells[-1]), operations + (operations_of(cells[-2]) if kind in KINDS.values() else 0.0)
    step = next(float(line.split()[1]) for line in lines if line.startswith("SECONDS")) * 1000
    return {**{kind: found[kind] for kind in (*KINDS.values(), REORDERS)}, REST: (step - told(found), 0.0)}


def operations_of(shape: str) -> float:
    """Two for each product of a convolution, by oneDNN's description of its shape."""
    match = SHAPE.match(shape)
    if match is None:
        raise SystemExit(f"no convolution's shape: {shape}")
    groups, batch, inputs, outputs, height, kernel_height, width, kernel_width = (
        int(text or 1) for text in match.groups()
    )
    return 2.0 * batch * inputs * outputs * height * width * kernel_height * kernel_width / groups


def child(network: str, way: str, images: int) -> None:
    """Print what oneDNN tells of a step, after two that do not count, and its CPU seconds."""
    import timm
    import torch

    from zoo_core.devices.malloc import freed_memory_kept

    layout = torch.channels_last if way == "zoo's" else torch.contiguous_format
    module = timm.create_model(network, num_classes=4).to(memory_format=layout).train()
    batch = torch.randn(images, 3, 224, 224).contiguous(memory_format=layout)
    with freed_memory_kept() if way == "zoo's" else nullcontext():
        for number in range(3):
            if number == 2:
                print(MARK, flush=True)
            started = time.process_time()
            module.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(module(batch), torch.zeros(images, dtype=torch.long))
            loss.backward()  # type: ignore[no-untyped-call]
            seconds = time.process_time() - started
        print(f"\nSECONDS {seconds}", flush=True)


if __name__ == "__main__":
    main()
