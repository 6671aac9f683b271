"""Writes the index that the plugin carries, and the table of all architectures, from a survey.

python scripts/make_index.py survey.jsonl [results-imagenet.csv]

The CSV file is that of timm's repository; its top-1 and top-5 figures go into the index.
"""

import csv
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import timm
from timm.models import _registry

HERE = Path(__file__).parents[1]
INDEX, TABLE = HERE / "src/zoo_timm/index.json", HERE / "ARCHITECTURES.md"


def paper_of(family: str) -> str | None:
    """The arXiv number that the docstring of a family's module names first."""
    text = importlib.import_module(f"timm.models.{family}").__doc__ or ""
    found = re.search(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})", text, re.IGNORECASE)
    return found[1] if found else None


def preprocessing_of(cfg: Any) -> list[Any]:
    """Size, crop, interpolation, mean, standard deviation, and the fit of those that do not crop an oblong image.

    A crop of more than the image counts as the whole.
    """
    crop = min(1.0, round(cfg.crop_pct or 0.875, 4))
    known = cfg.interpolation if cfg.interpolation in ("nearest", "bilinear", "bicubic") else "bicubic"
    fit = {"border": ["pad"], "squash": ["squash"]}.get(cfg.crop_mode, [])
    return [cfg.input_size[1], crop, known, list(cfg.mean), list(cfg.std), *fit]


def weights_of(name: str, row: dict[str, Any], results: dict[str, tuple[float, float]]) -> list[list[Any]]:
    """For each tag on the Hub that fits the network's sizes: its facts."""
    found = []
    for tag, cfg in _registry._model_default_cfgs[name].cfgs.items():
        size = cfg.input_size[1]
        fits = size == row["size"] if row["step"] is None else size >= row["min_size"] and size % row["step"] == 0
        if not (cfg.has_weights and cfg.hf_hub_id and fits and cfg.input_size[0] == 3):
            continue
        full = f"{name}.{tag}" if tag else name
        repo = f"{cfg.hf_hub_id}{full}" if cfg.hf_hub_id.endswith("/") else cfg.hf_hub_id
        figures = results.get(full, (None, None))
        known = cfg.crop_mode in (None, "center", "border", "squash")
        note = "" if known else f"timm's crop mode is '{cfg.crop_mode}'"
        licence = cfg.license or "unknown"
        found.append([tag or "default", repo, preprocessing_of(cfg), licence, cfg.num_classes, *figures, note])
    return found


def main(survey: Path, figures: Path | None) -> None:
    rows = {row["name"]: row for row in map(json.loads, survey.read_text().splitlines())}
    results = {}
    if figures:
        with figures.open(encoding="utf-8") as file:
            results = {line["model"]: (float(line["top1"]), float(line["top5"])) for line in csv.DictReader(file)}
    names = [name for name in timm.list_models() if name in rows]
    entries = []
    for name in names:
        row = rows[name]
        if "reason" in row:
            continue
        default = _registry._model_default_cfgs[name].default
        entry = {
            key: row[key] for key in ("name", "family", "stages", "channels", "tokens", "stride", "step", "min_size")
        }
        entry |= {key: row[key] for key in ("params", "gmacs", "classifier")}
        weights = weights_of(name, row, results)
        entries.append({**entry, "preprocessing": preprocessing_of(default), "weights": weights})
    papers = {family: paper_of(family) for family in sorted({entry["family"] for entry in entries})}
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    head = json.dumps({"timm": timm.__version__, "papers": papers})[:-1]
    INDEX.write_text(f'{head}, "backbones": [\n{lines}\n]}}\n', encoding="utf-8")
    TABLE.write_text(table(names, rows), encoding="utf-8")
    print(f"{len(entries)} of {len(names)} tried architectures, {sum(len(one['weights']) for one in entries)} weights")


def table(names: list[str], rows: dict[str, dict[str, Any]]) -> str:
    cut = [name for name in names if "reason" not in rows[name]]
    untried = len(timm.list_models()) - len(names)
    text = [
        f"# The architectures of timm {timm.__version__}",
        "",
        f"`scripts/survey.py` tried {len(names)} architectures: {len(cut)} are cut into stages. The stages of each compute",
        "the same operators with the same wiring as timm's network, so that no output differs, and have all of its keys.",
        f"{len(names) - len(cut)} are not provided, for the reason in the last column. {untried or 'None'} are not tried yet.",
        "`pytest plugins/zoo-timm -m whole` compares the outputs of the cheapest network of each family in numbers.",
        "`scripts/make_index.py` wrote this table.",
        "",
        "| architecture | features | stages | equal | reason |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        row = rows[name]
        if "reason" in row:
            reason = row["reason"].replace("|", "/")
            text.append(f"| {name} | - | - | - | {reason} |")
        else:
            shape = " x ".join(map(str, row["shapes"][-1]))
            kind = "map" if row["tokens"] is None else "tokens"
            text.append(f"| {name} | {kind} {shape} | {len(row['stages'])} | yes | |")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
