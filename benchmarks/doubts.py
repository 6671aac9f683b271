"""Counts planted label errors among the first doubtful labels of a report.

    python benchmarks/stamps.py STAMPS
    python benchmarks/doubts.py STAMPS [--backbone efficientnet_lite0] [--seeds 5]

For each seed five images, drawn by chance, get the label of another class, drawn by chance too.
"""

from __future__ import annotations

import argparse

import numpy as np

import zoo_core
from zoo_core.checking.labels import out_of_fold
from zoo_core.data.sources import Part
from zoo_core.reporting.labels import ranked

PLANTED, FIRST = 5, 10


def main() -> None:
    parser = argparse.ArgumentParser(description="Count planted label errors among the first doubtful labels.")
    parser.add_argument("data")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    with zoo_core.features(arguments.backbone, arguments.data) as table:
        vectors, labels, classes = np.asarray(table), np.asarray(table.targets), len(table.classes)
    counts = []
    for seed in range(arguments.seeds):
        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(labels), PLANTED, replace=False)
        wrong = labels.copy()
        wrong[chosen] = (labels[chosen] + generator.integers(1, classes, PLANTED)) % classes
        probabilities = out_of_fold(vectors, wrong, np.arange(len(wrong)), classes)
        first = ranked(probabilities, wrong, [Part(range(len(wrong)), wrong)])[:FIRST]  # type: ignore[arg-type]
        counts.append(len(set(chosen.tolist()) & {one.index for one in first}))
    print(f"{arguments.backbone}, {len(labels)} images: {counts} of {PLANTED} among the first {FIRST}")


if __name__ == "__main__":
    main()
