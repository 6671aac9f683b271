"""Builds a published model: the files of a run without local paths, and a card with metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from zoo_core.catalog import Catalog
from zoo_core.data.findings import without_examples
from zoo_core.errors import UsageError, did_you_mean, printable
from zoo_core.hub.timm_export import FILE as TWIN_FILE
from zoo_core.hub.timm_export import export_for_timm
from zoo_core.paths import json_text
from zoo_core.predictors import open_run
from zoo_core.runs.card import render_card, score_of
from zoo_core.runs.directory import CARD, CONFIG, CURVES, FITTED, IMAGES, MODEL, Run, file_of, read_result
from zoo_core.runs.schema import RunFacts
from zoo_core.settings.words import NO_TRACKERS
from zoo_core.spec_checks import is_repository
from zoo_core.specs import TASKS
from zoo_core.tasks import task_named
from zoo_core.tensors import write_tensors
from zoo_core.weights.resolve import HUB_PREFIX

LIBRARY = "zoo"
PAGE = "report.html"


@dataclass(frozen=True)
class PublishOptions:
    """Options of a publish: a licence, the data set's id on the Hub, a copy for timm, and the text
    of a page about the run, as `zoo_core.reporting.public` makes it."""

    licence: str | None = None
    dataset: str | None = None
    also_timm: bool = False
    page: str | None = None


def build_bundle(run: Run, repo: str, options: PublishOptions, catalog: Catalog, folder: Path) -> dict[str, Path]:
    """Write the files to publish into `folder`; return their paths by their published names.

    Raises ZooError for a run that did not finish or has damaged weights, UsageError for an option
    that the run cannot have.
    """
    if options.dataset is not None and not is_repository(options.dataset):
        raise UsageError(
            f"--dataset is the id of a data set on the Hub, 'owner/name', and '{options.dataset}' is none."
        )
    result = read_result(run)
    open_run(run.directory, catalog, torch.device("cpu"))  # weights that zoo refuses are refused here
    facts = without_local_paths(run.facts)
    config = facts.to_dict()
    files: dict[str, Path] = {MODEL: run.weights_path}
    if options.also_timm:
        twin = export_for_timm(run, catalog)
        config |= twin.config
        files[TWIN_FILE] = folder / TWIN_FILE
        write_tensors(files[TWIN_FILE], twin.tensors)
    for name in (CURVES, task_named(facts.task).picture, IMAGES, FITTED):
        if file_of(run.directory, name).is_file():
            files[name] = run.directory / name
    written = {
        CONFIG: json_text(config),
        CARD: _card(facts, result, repo, options),
        **({} if options.page is None else {PAGE: options.page}),
    }
    for name, text in written.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        files[name] = path
    return dict(sorted(files.items()))


def published_names() -> frozenset[str]:
    """The names of all files that a published model may have."""
    pictures = {task_named(task).picture for task in TASKS}
    return frozenset({MODEL, CONFIG, CARD, CURVES, IMAGES, FITTED, PAGE, TWIN_FILE, *pictures})


def without_local_paths(facts: RunFacts) -> RunFacts:
    """The facts with only the last part of each folder's path, and without names of images."""
    start = facts.start
    if start is not None and not start.source.startswith((HUB_PREFIX, "package:", "torchvision:")):
        start = replace(start, tag=_last(start.tag), source=_last(start.source))
    config = replace(
        facts.config,
        data=_last(facts.config.data_text),
        fix_list=_last(facts.config.fix_list),
        from_run=_last(facts.config.from_run),
        weights=_last_path(facts.config.weights),
        out=None,
        track=NO_TRACKERS,
    )
    findings = tuple(without_examples(finding) for finding in facts.data.findings)
    data = replace(facts.data, title=_last(facts.data.title), findings=findings)
    provided = {name: parts for name, parts in facts.provided.items() if name != "track"}
    return replace(facts, start=start, config=config, data=data, provided=provided)


def _last(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _last_path(weights: str) -> str:
    return weights if weights.startswith(HUB_PREFIX) else _last(weights)


def _card(facts: RunFacts, result: Mapping[str, Any], repo: str, options: PublishOptions) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    base = (
        printable(facts.start.source.removeprefix(HUB_PREFIX))
        if facts.start and facts.start.source.startswith(HUB_PREFIX)
        else None
    )
    licence = options.licence or (facts.start.licence if facts.start else None)
    licence_id, licence_name = licence_metadata(licence, chosen=options.licence is not None)
    task = task_named(facts.task)
    names = {kind: printable(getattr(facts, kind).name) for kind in ("backbone", "head", "strategy")}
    metric, score = score_of(result)
    measured = result["part"] and EvalResult(
        task_type=task.hub_task,
        dataset_type=options.dataset or "custom",
        dataset_name=options.dataset or printable(facts.data.title),
        dataset_split={"val": "validation"}.get(result["part"], printable(result["part"])),
        metric_type=metric,
        metric_value=score,
    )
    metadata = ModelCardData(
        library_name=LIBRARY,
        pipeline_tag=task.pipeline_tag,
        license=licence_id,
        license_name=licence_name,
        base_model=base,
        datasets=[options.dataset] if options.dataset else None,
        tags=[LIBRARY, *(["timm"] if options.also_timm else []), names["backbone"].partition(":")[0]],
        metrics=[metric] if measured else None,
        model_name=repo.partition("/")[2],
        eval_results=[measured] if measured else None,
        zoo=names,
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{render_card(facts, result, address=repo, page=options.page and PAGE)}"


def licence_metadata(licence: str | None, *, chosen: bool) -> tuple[str | None, str | None]:
    """The Hub's identifier of a licence and, where that is "other", a name.

    Raises UsageError when the publisher has `chosen` a licence that the Hub does not know; it
    refuses such metadata only after the upload.
    """
    if licence is None:
        return None, None
    identifier = licence.lower()
    known = files("zoo_core").joinpath("resources/licences.txt").read_text(encoding="utf-8").split()
    if identifier in known:
        return identifier, None
    if chosen:
        raise UsageError(
            f"'{printable(licence)}' is no licence that the Hub knows.{did_you_mean(identifier, known)} "
            "`--licence other` stands for any other one; name it in the card."
        )
    return "other", re.sub(r"[^a-z0-9.+-]+", "-", identifier)[:100]
