"""The images of a run: those that it was trained on, and those that it is measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_core.catalog import Catalog
from zoo_core.data.arrange import arranged
from zoo_core.data.fix_list import NO_FIX_LIST
from zoo_core.data.places import may_change
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import PartName, Source
from zoo_core.errors import DataError, UsageError, ZooError, printable
from zoo_core.paths import user_path
from zoo_core.runs.images import Digests, digests_of
from zoo_core.runs.provided import as_in_run
from zoo_core.runs.schema import RunFacts
from zoo_core.settings import BadImages
from zoo_core.streaming.practice import practice_set
from zoo_core.training.opening import open_configured, open_dataset
from zoo_core.wording import quoted

PARTS: tuple[PartName, ...] = ("test", "val", "train")
"""The parts in the order in which they are measured: the first that the data have."""


def measured_part(
    run: str | Path,
    facts: RunFacts,
    data: Any,
    catalog: Catalog,
    scanning: Watch | None = None,
    bad_images: BadImages | None = None,
    *,
    command: str,
) -> tuple[Source, PartName]:
    """The images to measure a run on, scanned: those of `data`, or the held-out part of its own.

    `command` is that of the user, for the next step of an error. Raises as `evaluate_run`.
    """
    if data is None:
        check_own_data(str(run), facts.config.data_text, command)
        source = _own_data(facts, catalog, scanning, bad_images, f", or give other images: `{command} --data PLACE`")
        return source, _held_out(source, facts, str(run))
    opened = open_dataset(data, catalog, facts.task, scanning)
    source = scan_images(opened, bad_images=bad_images or "fail", watch=scanning)
    return source, next(name for name in PARTS if name in source.parts)


def part_title(name: PartName, data: Any) -> str:
    """The word for a measured part: "all" where the `data` that a user gave have no parts."""
    return "all" if data is not None and name == "train" else name


def _own_data(
    facts: RunFacts,
    catalog: Catalog,
    scanning: Watch | None = None,
    bad_images: BadImages | None = None,
    instead: str = "",
) -> Source:
    """The data of a run, scanned and split as it did. Raises DataError where they are gone, with
    another step, `instead`, behind that of putting them back."""
    own = facts.config
    catalog = as_in_run(catalog, facts, ["data"])
    try:
        opened = open_configured(replace(own, data=own.data_text, task=facts.task), catalog, scanning)
    except UsageError as error:
        if not Path(own.data_text).is_absolute() or user_path(own.data_text).exists():
            raise
        place = printable(own.data_text)
        raise DataError(f"the run's own data are no longer at {place}. Put them back there{instead}.") from error
    source = scan_images(opened, bad_images=bad_images or own.bad_images, watch=scanning)
    return arranged(source, own, facts.data.earlier_split)


def training_images(run: str | Path, facts: RunFacts, catalog: Catalog, scanning: Watch | None = None) -> Source:
    """The images that a run was trained on, as a data set of one part. Raises DataError where they
    are gone or have changed.

    Nothing is fetched for it, and no place is looked at that a stranger's config names.
    """
    if _is_fetched(facts.config.data_text) or _is_a_strangers(run):
        raise DataError(f"the training images of {printable(str(run))} are not on this machine.")
    source = _own_data(facts, catalog, scanning)
    train = source.parts["train"]
    if train.digest() != facts.data.digests.get("train"):
        raise DataError(
            f"the images in {printable(source.title)} are not those that the run was trained on: "
            f"{may_change(facts.config)} have changed since."
        )
    return replace(source, parts={"train": train})


def images_of_own_data(run: str | Path, facts: RunFacts, catalog: Catalog) -> Digests | None:
    """The images of a run that has no record of them, from its own data on this machine; None where
    they are gone.

    Nothing is fetched for it, and no place is looked at that a stranger's config names.
    """
    if _is_fetched(facts.config.data_text) or _is_a_strangers(run):
        return None
    try:
        source = _own_data(facts, catalog)
    except ZooError:
        return None
    same = source.parts["train"].digest() == facts.data.digests.get("train")
    return digests_of(source.parts) if same else None


def _is_fetched(data: str) -> bool:
    return data.startswith("hf:") or "://" in data or (practice_set(data) is not None and not user_path(data).exists())


def _is_a_strangers(run: str | Path) -> bool:
    """Whether a run came from the Hub, so that somebody else wrote its config."""
    return not Path(run).is_dir() or Path(run).absolute().parent.name == "snapshots"


def check_own_data(run: str, data: str, command: str) -> None:
    """Raise UsageError when a published model's config names data that would be fetched.

    A stranger wrote that config: its addresses are not asked without the user's word.
    """
    if _is_fetched(data) and _is_a_strangers(run):
        raise UsageError(
            f"the config of {printable(run)} names data that would be fetched: {printable(data):.200}. "
            f"If you trust them: `{command} --data {quoted(data):.200}`."
        )


def _held_out(source: Source, facts: RunFacts, run: str) -> PartName:
    """The part that the run was measured on. Raises DataError when its images have changed."""
    name = next((name for name in ("test", "val") if name in source.parts), None)
    if name is None:
        raise DataError(
            f"the run held no image out: it was trained on all images in {printable(source.title)} (--val-share 0). "
            "Measure it on others with --data."
        )
    if source.parts[name].digest() != facts.data.digests.get(name):
        moved = "" if Path(source.title).is_absolute() else ", or the run was started in another folder"
        raise DataError(
            f"the images in {printable(source.title)} are not those that the run held out: {may_change(facts.config)} have "
            f"changed since{moved}. {_how_to_measure(facts, run)}, knowing that some may have trained the model."
        )
    return name


def _how_to_measure(facts: RunFacts, run: str) -> str:
    """The beginning of a sentence on the way to measure a run on its own data as they are now."""
    own, data = facts.config, quoted(facts.config.data_text)
    has_fix_list = own.fix_list != NO_FIX_LIST
    if not has_fix_list and own.bad_images == "fail":
        return f"Measure all of them with --data {data}"
    measure = "Put the decisions back as they were, or measure" if has_fix_list else "Measure"
    command = f"`zoo evaluate {quoted(run)} --data {data} --bad-images skip`"
    return f"{measure} all that can be read with {command}"
