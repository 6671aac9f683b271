"""Writes the index that the plugin carries, and the table of all architectures, from a survey.

python scripts/make_index.py survey.jsonl [results-imagenet.csv]

The CSV file is that of timm's repository; its top-1 and top-5 figures go into the index.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import timm
from papers import paper_of
from timm.models import _registry

Results = dict[str, tuple[float, float]]
HERE = Path(__file__).parents[1]
INDEX, TABLE = HERE / "src/zoo_timm/index.json", HERE / "ARCHITECTURES.md"
COPIED = ("name", "family", "stages", "channels", "tokens", "class_token", "stride", "step", "min_size", "params")
COPIED += ("gmacs", "classifier")


def preprocessing_of(cfg: Any) -> list[Any]:
    """Size, crop, interpolation, mean, standard deviation, and the fit of those that do not crop an oblong image.

    A crop of more than the image counts as the whole.
    """
    crop = min(1.0, round(cfg.crop_pct or 0.875, 4))
    known = cfg.interpolation if cfg.interpolation in ("nearest", "bilinear", "bicubic") else "bicubic"
    fit = {"border": ["pad"], "squash": ["squash"]}.get(cfg.crop_mode, [])
    return [cfg.input_size[1], crop, known, list(cfg.mean), list(cfg.std), *fit]


def reason_against(name: str, tag: str, cfg: Any, row: dict[str, Any]) -> str | None:
    """The reason why the weights of a tag are left out, if there is one."""
    if not cfg.hf_hub_id:
        return "not on the Hub"
    owner, _, repo = repo_of(name, tag, cfg).partition("/")
    if owner != "timm" and repo != full_name(name, tag):  # timm translates the keys of the model that it is a part of
        return f"{owner}/{repo} holds another model's keys"
    size = cfg.input_size[1]
    fits = size == row["size"] if row["step"] is None else size >= row["min_size"] and size % row["step"] == 0
    if not fits:
        return f"made for {size} pixels, which the network does not take"
    return None if cfg.input_size[0] == 3 else f"made for {cfg.input_size[0]} channels"


def full_name(name: str, tag: str) -> str:
    return f"{name}.{tag}" if tag else name


def repo_of(name: str, tag: str, cfg: Any) -> str:
    """The repository of the weights. An owner alone stands for a repository of the weights' full name."""
    return f"{cfg.hf_hub_id}{full_name(name, tag)}" if cfg.hf_hub_id.endswith("/") else str(cfg.hf_hub_id)


def weights_of(name: str, row: dict[str, Any], results: Results) -> tuple[list[list[Any]], list[str]]:
    """The facts of each tag that zoo provides, and for each of the others its name and the reason."""
    found, left_out = [], []
    for tag, cfg in _registry._model_default_cfgs[name].cfgs.items():
        if not cfg.has_weights:
            continue
        reason = reason_against(name, tag, cfg, row)
        if reason:
            left_out.append(f"{tag or 'default'}: {reason}")
            continue
        known = cfg.crop_mode in (None, "center", "border", "squash")
        note = "" if known else f"timm's crop mode is '{cfg.crop_mode}'"
        figures = results.get(full_name(name, tag), (None, None))
        facts = [repo_of(name, tag, cfg), preprocessing_of(cfg), cfg.license or "unknown", cfg.num_classes]
        found.append([tag or "default", *facts, *figures, note])
    return found, left_out


def main(survey: Path, figures: Path | None) -> None:
    rows = {row["name"]: row for row in map(json.loads, survey.read_text().splitlines())}
    results: Results = {}
    if figures:
        with figures.open(encoding="utf-8") as file:
            results = {line["model"]: (float(line["top1"]), float(line["top5"])) for line in csv.DictReader(file)}
    names = [name for name in timm.list_models() if name in rows]
    entries, left_out = [], {}
    for name in names:
        row = rows[name]
        if "reason" in row:
            continue
        default = _registry._model_default_cfgs[name].default
        weights, left_out[name] = weights_of(name, row, results)
        more = {"paper": paper_of(name), "preprocessing": preprocessing_of(default), "weights": weights}
        entries.append({key: row[key] for key in COPIED} | more)
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    head = json.dumps({"timm": timm.__version__})[:-1]
    INDEX.write_text(f'{head}, "backbones": [\n{lines}\n]}}\n', encoding="utf-8")
    TABLE.write_text(table(names, rows, left_out), encoding="utf-8")
    print(f"{len(entries)} of {len(names)} tried architectures, {sum(len(one['weights']) for one in entries)} weights")


def table(names: list[str], rows: dict[str, dict[str, Any]], left_out: dict[str, list[str]]) -> str:
    cut = [name for name in names if "reason" not in rows[name]]
    versions = " and ".join(sorted({rows[name]["timm"] for name in names}))
    untried = len(timm.list_models()) - len(names)
    left = f" {untried} are not tried yet." if untried else ""
    text = [
        f"# The architectures of timm {timm.__version__}",
        "",
        f"`scripts/survey.py` tried {len(names)} architectures of timm {versions}: {len(cut)} are cut into stages.",
        "",
        "The column *difference* is the largest difference between the outputs of the stages and of timm's network with",
        "the same weights. It is 0 where both run the same operators on the same tensors with the same arguments: that was",
        "compared for each, on the meta device, so no number had to be computed. *Keys* says that the stages' published keys",
        "are those of timm's network, all of them and no others. `pytest plugins/zoo-timm -m whole` repeats this for every",
        "architecture, and compares the outputs of the cheapest network of each family in numbers.",
        "",
        f"{len(names) - len(cut)} are not provided, for the reason in the last column.{left}",
        "`scripts/make_index.py` wrote this table.",
        "",
        "| architecture | features | stages | difference | keys | reason |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        row = rows[name]
        if "reason" in row:
            reason = row["reason"].replace("|", "/")
            text.append(f"| {name} | - | - | - | - | {reason} |")
        else:
            shape = " x ".join(map(str, row["shapes"][-1]))
            kind = "map" if row["tokens"] is None else "tokens"
            text.append(f"| {name} | {kind} {shape} | {len(row['stages'])} | 0 | all | |")
    text += ["", "## Weights that are left out", "", "| architecture | weights | reason |", "|---|---|---|"]
    for name, lines in left_out.items():
        text += [f"| {name} | {tag} | {reason} |" for tag, _, reason in (line.partition(": ") for line in lines)]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
