"""A training that starts from a finished run: its weights, and the rows of its head for the classes
that it knows.

Shapes: K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo_core.catalog import Catalog, Choice
from zoo_core.data.arrange import arranged
from zoo_core.data.places import may_change
from zoo_core.data.scan import scan_images
from zoo_core.data.sources import Part, PartName
from zoo_core.devices.world import World
from zoo_core.errors import DataError, UsageError, ZooError, printable, shown
from zoo_core.model.solvers import Solvable
from zoo_core.paths import user_path
from zoo_core.runs.directory import MODEL, read_run
from zoo_core.runs.provided import as_in_run
from zoo_core.runs.schema import RunFacts
from zoo_core.runs.started import listed, rows_in_words
from zoo_core.settings import IN_MEMORY, FinetuneConfig
from zoo_core.settings.words import NO_RUN
from zoo_core.specs import HEAD, HeadSpec
from zoo_core.streaming.practice import practice_set
from zoo_core.tasks import task_named
from zoo_core.tensors import read_tensors
from zoo_core.training.opening import open_configured
from zoo_core.wording import quoted

HELD_OUT: tuple[PartName, ...] = ("test", "val")


@dataclass(frozen=True)
class KnownRun:
    """The run that a training starts from, and the names of the outputs that the training has."""

    directory: Path
    facts: RunFacts
    names: tuple[str, ...] = ()
    held_out: Part | None = None
    """The images that it held out, to measure what a training forgets."""
    reason: str | None = None
    """Why there are none."""

    @cached_property
    def rows(self) -> dict[str, tuple[str, ...]]:
        """The outputs whose rows are kept, the new ones, and those of the run that are gone: by
        their exact names."""
        old, now = self.facts.classes, self.names
        return {
            "kept": tuple(name for name in now if name in old),
            "new": tuple(name for name in now if name not in old),
            "gone": tuple(name for name in old if name not in now),
        }

    def of(self, names: tuple[str, ...], task: str) -> KnownRun:
        """The run beside the outputs of the training's data. Raises UsageError where it knows none
        of them."""
        own, where = self.facts.task, printable(str(self.directory))
        only_weights = f"--weights {quoted(self.directory)} starts from its backbone alone"
        if own != task:
            raise UsageError(f"{where} is a run for {own}, and the data are for {task}. {only_weights}.")
        if not task_named(own).has_temperature:
            raise UsageError(f"{where} answers with numbers, whose units are those of its own images. {only_weights}.")
        known = replace(self, names=names)
        if not known.rows["kept"]:
            outputs = task_named(self.facts.task).outputs
            raise UsageError(
                f"{where} knows none of the {outputs} {listed(names)}; it knows {listed(self.facts.classes)}. Names must be "
                f"the same to the letter. {only_weights}."
            )
        return known

    def with_held_out(self, catalog: Catalog, world: World) -> KnownRun:
        """The run with the images that it held out, where they are still there for all ranks, which
        call this together."""
        held_out: Part | None = None
        reason: str | None = None
        try:
            held_out = _held_out(self.facts, catalog)
        except ZooError as error:
            reason = str(error).removesuffix(".")
        reason = next(filter(None, world.all_gather_object(reason)), None)
        return replace(self, held_out=None if reason else held_out, reason=reason)

    @property
    def note(self) -> str:
        """The rows that are kept, new and gone, in a sentence."""
        return rows_in_words(self.rows, self.facts.task, printable(str(self.directory)))

    def keep_rows(self, head: nn.Module, build: Callable[[int], nn.Module]) -> None:
        """Copy the run's head into a new one, by rows where a tensor has one for each output.

        `build` makes the same head for another number of outputs, which shows the tensors that have
        rows. Raises UsageError for a head without.
        """
        if isinstance(head, Solvable):
            raise UsageError(
                f"the head of {printable(str(self.directory))} is solved at once, from all its images: it has no rows to go "
                f"on with. --weights {quoted(self.directory)} starts from its backbone."
            )
        old, new = self.facts.classes, self.names
        saved, wider = self.head_tensors, build(len(new) + 1).state_dict()
        pairs = [(place, old.index(name)) for place, name in enumerate(new) if name in old]
        places, rows = (torch.tensor(one) for one in zip(*pairs, strict=True))
        with torch.no_grad():
            for name, tensor in head.state_dict(keep_vars=True).items():
                found, has_rows = saved.get(name), wider[name].shape != tensor.shape
                expected = (len(old), *tensor.shape[1:]) if has_rows else tuple(tensor.shape)
                if found is None or tuple(found.shape) != expected or (has_rows and len(tensor) != len(new)):
                    raise UsageError(
                        f"the tensor {name} of the head in {printable(str(self.directory))} does not fit the head here: it "
                        f"has no row for each output, or belongs to another --image-size. --weights "
                        f"{quoted(self.directory)} starts from its backbone alone."
                    )
                if has_rows:
                    tensor[places] = found[rows].to(tensor.dtype)
                else:
                    tensor.copy_(found)

    @property
    def head_tensors(self) -> Mapping[str, Tensor]:
        """The tensors of the run's head."""
        tensors = read_tensors(self.directory / MODEL)
        return {key.removeprefix(f"{HEAD}."): one for key, one in tensors.items() if key.startswith(f"{HEAD}.")}


def open_known(config: FinetuneConfig, head: Choice[HeadSpec]) -> tuple[FinetuneConfig, KnownRun | None]:
    """The config with the weights of the run that it names, and that run, None without one.

    Raises UsageError for other weights or another head than the run's.
    """
    if config.from_run == NO_RUN:
        return config, None
    directory = user_path(config.from_run)
    run = read_run(directory)
    if config.weights not in ("default", config.from_run):
        raise UsageError(f"--from {shown(config.from_run)} starts from the weights of that run: leave out --weights.")
    own, given = run.facts.head, head.entry.distribution
    if (own.name, own.distribution) != (str(head), given):
        owners = (f" of {own.distribution}", f" of {printable(given)}") if own.name == str(head) else ("", "")
        raise UsageError(
            f"{printable(str(directory))} has the head '{shown(own.name)}'{owners[0]}, and --head is "
            f"'{shown(str(head))}'{owners[1]}. Leave out --head, or start from the backbone alone with --weights."
        )
    return replace(config, weights=config.from_run), KnownRun(directory, run.facts)


def _held_out(facts: RunFacts, catalog: Catalog) -> Part:
    """The images that a run held out. Raises ZooError where they are not there, or no longer the
    same."""
    config = facts.config
    if config.data_text.startswith(IN_MEMORY):
        raise DataError("the images of the earlier run were handed over by a program")
    if config.data_text.startswith("hf:") or "://" in config.data_text or practice_set(config.data_text):
        raise DataError("the images of the earlier run would be fetched")
    catalog = as_in_run(catalog, facts, ["data"])
    source = scan_images(open_configured(replace(config, task=facts.task), catalog), bad_images=config.bad_images)
    parts = arranged(source, config, facts.data.earlier_split).parts
    name = next((name for name in HELD_OUT if name in parts), None)
    if name is None:
        raise DataError("the earlier run held no images out")
    if parts[name].digest() != facts.data.digests.get(name):
        changed = f"{may_change(config)} have changed since"
        raise DataError(f"the images that the earlier run held out are no longer what they were: {changed}")
    return parts[name]
