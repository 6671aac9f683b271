"""Counts planted label errors among the first doubtful labels of a report.

    python benchmarks/stamps.py STAMPS
    python benchmarks/doubts.py STAMPS [--backbone efficientnet_lite0] [--seeds 30] [--pages 3]

For each seed five images, drawn by chance, get the label of another class, drawn by chance too. Counted are those among the
first ten by the odds of another class, as in a report, and by the probability of the own label, as in confident learning.
With --pages the wrong labels of the first seeds are folders on the disk, a head is trained on them, and they are counted on the
page that `zoo report` writes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

import zoo_core
from zoo_core.catalog import open_catalog
from zoo_core.checking.labels import out_of_fold
from zoo_core.cli.report import write_page
from zoo_core.data.sources import Part
from zoo_core.reporting.labels import ranked

PLANTED, FIRST, ENOUGH = 5, 10, 4


def main() -> None:
    parser = argparse.ArgumentParser(description="Count planted label errors among the first doubtful labels.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--pages", type=int, default=0, help="seeds of which a whole report is written")
    given = parser.parse_args()
    with zoo_core.features(given.backbone, str(given.data)) as table:
        vectors, labels, classes = np.asarray(table), np.asarray(table.targets), list(table.classes)
    by_odds, by_own = [], []
    for seed in range(given.seeds):
        chosen, wrong = planted(labels, len(classes), seed)
        probabilities = out_of_fold(vectors, wrong, np.arange(len(wrong)), len(classes))
        doubts = ranked(probabilities, wrong, [Part(range(len(wrong)), wrong)])  # type: ignore[arg-type]
        by_odds.append(len(chosen & {one.index for one in doubts[:FIRST]}))
        by_own.append(len(chosen & {one.index for one in sorted(doubts, key=lambda one: one.own)[:FIRST]}))
    print(f"{given.backbone}, {len(labels)} images, {PLANTED} planted, among the first {FIRST}:")
    for way, counts in (("by the odds", by_odds), ("by the probability of the own label", by_own)):
        enough = np.mean(np.array(counts) >= ENOUGH)
        print(f"{way}: {np.mean(counts):.2f} on the mean, at least {ENOUGH} in {enough:.0%}; {counts}", flush=True)
    for seed in range(given.pages):
        print(f"page of seed {seed}: {on_the_page(given.data, given.backbone, seed)} of {PLANTED}", flush=True)


def planted(labels: npt.NDArray[np.int64], classes: int, seed: int) -> tuple[set[int], npt.NDArray[np.int64]]:
    """The images (by index) whose label is made wrong, and all labels with theirs."""
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(labels), PLANTED, replace=False)
    wrong = labels.copy()
    wrong[chosen] = (labels[chosen] + generator.integers(1, classes, PLANTED)) % classes
    return set(chosen.tolist()), wrong


def on_the_page(data: Path, backbone: str, seed: int) -> int:
    """Train on images of which five lie in the folder of another class; count these on the report's page."""
    images = sorted(path for path in data.glob("*/*") if path.is_file())
    classes = sorted({path.parent.name for path in images})
    labels = np.array([classes.index(path.parent.name) for path in images])
    chosen, wrong = planted(labels, len(classes), seed)
    with tempfile.TemporaryDirectory() as folder:
        for index, (path, label) in enumerate(zip(images, wrong.tolist(), strict=True)):
            target = Path(folder, "photos", classes[label], f"{index:04}{path.suffix}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        config = zoo_core.FinetuneConfig(
            backbone=backbone, data=f"{folder}/photos", strategy="head-only", out=f"{folder}/run"
        )
        run = zoo_core.finetune(config).directory
        page = run / "report.html"
        write_page(run, page, open_catalog())
        section = page.read_text(encoding="utf-8").partition('id="doubts"')[2]
    shown = re.findall(r"looks like [^<]*<span>[^<]*?(\d{4})\.", section)
    return len(chosen & {int(name) for name in shown[:FIRST]})


if __name__ == "__main__":
    main()
