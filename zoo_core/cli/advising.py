"""The screen of `zoo advise`: a line for each network and each trial while they run, then the
tables, the answers and the recommended command."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import click

from zoo_core.cli.cells import CellsScreen
from zoo_core.cli.common import print_columns, warn
from zoo_core.errors import printable
from zoo_core.wording import duration, percent, quoted

if TYPE_CHECKING:
    from zoo_core.advising.advice import Advice
    from zoo_core.advising.frozen_case import Measured
    from zoo_core.advising.networks import Network
    from zoo_core.advising.probe import Probe
    from zoo_core.advising.recommending import Doubt
    from zoo_core.advising.sample import Sample
    from zoo_core.choosing.cells import Failure
    from zoo_core.choosing.grid import Cell

MOST_NETWORKS = 20  # that stand in the table; `--json` has all
SHOWN_BOUNDARIES = 3  # of the chosen network; the picture and `--json` have all


class AdviceScreen(CellsScreen):
    """Shows the networks and the trials on standard error."""

    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self.sample = sample
        self.network = ""

    def __enter__(self) -> AdviceScreen:
        from zoo_core.data.findings import findings

        for finding in findings(self.sample.source):
            self.message(f"note: {finding}")
        return self

    def begin_network(self, number: int, count: int, network: Network) -> None:
        self.network = f"network {number}/{count}  {network.name}"

    def on_features(self, done: int, total: int) -> None:
        self.move(self.network, "features", done, total)

    def on_heads(self, done: int, total: int) -> None:
        self.move(self.network, "heads", done, total)

    def end_network(self, network: Network, outcome: Measured | Failure) -> None:
        from zoo_core.choosing.cells import Failure

        self.stop()
        if isinstance(outcome, Failure):
            told = f"failed: {outcome.reason}"
        else:
            best = outcome.best
            upto = "" if best.is_last else f" up to {best.stage}"
            told = f"{percent(best.accuracy)} with a head on its features{upto}"
            if outcome.seconds_per_image:
                told += f" ({1000 * outcome.seconds_per_image:.0f} ms an image)"
        self.message(f"{self.network}: {told}")

    def title(self, cell: Cell) -> str:
        epochs = f", {cell.config.epochs} epochs" if cell.config.epochs else ""
        return f"{cell.candidate.strategy}{epochs}, fold {cell.config.fold.replace('/', ' of ')}"

    def place(self, cell: Cell) -> str:
        return "trial"


def show_advice(advice: Advice, *, drawn: bool = True) -> None:
    """Print the tables and the answers to standard output; the picture is named if it was drawn."""
    sample = advice.sample
    click.echo()
    looked = "" if sample.is_whole else f", of {sample.available:,}"
    click.echo(f"A head on frozen features, out-of-fold accuracy over {len(sample.part):,} images{looked}:")
    _show_networks(advice)
    paragraphs = [
        _choice_text(advice),
        _situation_text(advice),
        _machine_text(advice),
        _strategies_text(advice),
        _recommendation_text(advice),
        *map(_doubt_text, advice.doubts),
    ]
    for text in filter(None, paragraphs):
        click.echo("\n" + "\n".join(printable(line) for line in text.split("\n")))
    click.echo()
    warn(f"failed: {one.title}: {one.reason}" for one in (*advice.case.failures, *advice.tuning.failures))
    folder = quoted(advice.directory)
    runs = f", and a run for each trial (`zoo runs {folder}`)" if advice.tuning.trials else ""
    picture = "advise.png, " * drawn
    click.echo(f"In {printable(folder)}: {picture}advise.json with every stage boundary{runs}.")


def _show_networks(advice: Advice) -> None:
    """The best and the last boundary of each network, and other good ones of the chosen one."""
    ranks = {network.name: place for place, network in enumerate(advice.static, 1)}
    measured = sorted(advice.case.measured, key=lambda one: (one is not advice.network, one.best.loss))
    shown: list[tuple[Measured, Probe]] = []
    for one in measured[:MOST_NETWORKS]:
        ordered = sorted(one.probes, key=lambda probe: probe.loss)
        kept = ordered[: SHOWN_BOUNDARIES if one is advice.network else 1]
        own = {
            probe.depth: probe
            for probe in (*kept, one.last, advice.choice.chosen)
            if probe.backbone == one.network.name
        }
        shown += [(one, probe) for probe in own.values()]
    near = {(probe.backbone, probe.stage) for probe in advice.choice.near}
    rows = []
    for one, probe in sorted(shown, key=lambda pair: pair[1].loss):
        top1 = one.network.top1
        rows.append(
            [
                one.network.name,
                probe.stage,
                percent(probe.accuracy),
                _interval_text(probe.interval),
                f"{probe.loss:.3f}" + (" *" if (probe.backbone, probe.stage) in near else "  "),
                f"{probe.logme:.3f}",
                f"{probe.h_score:.2f}",
                f"{probe.sfda:.3f}",
                "-" if top1 is None else f"{top1:.1f}",
                str(ranks[one.network.name]),
            ]
        )
    columns = (
        "network",
        "up to",
        "accuracy",
        "95 % interval",
        "loss  ",
        "LogME",
        "H-score",
        "SFDA",
        "ImageNet",
        "its rank",
    )
    below = [
        "* within one standard error of the highest accuracy; of these the lowest loss (cross-entropy) decides. LogME, "
        "H-score and SFDA decide nothing."
    ]
    print_columns(
        columns, rows, right={"accuracy", "loss  ", "LogME", "H-score", "SFDA", "ImageNet", "its rank"}, below=below
    )


def _choice_text(advice: Advice) -> str:
    """The chosen network with the reason, and the choice of ImageNet accuracy alone."""
    chosen, best, first = advice.choice.chosen, advice.choice.best, advice.static[0]
    text = f"The network: {chosen.backbone}"
    if not chosen.is_last:
        text += f" up to {chosen.stage} ({chosen.base}), whose features serve these images best"
    if len(advice.case.measured) == 1:
        return (
            f"{text}, the only one that was measured. --backbone takes several; `zoo pull NAME` or --all brings others."
        )
    if chosen.accuracy == best.accuracy:
        text += ". None is better on these images."
    else:
        text += (
            f". {best.backbone} ({percent(best.accuracy)}) is better than it ({percent(chosen.accuracy)}) by at most one "
            "standard error; within that the lower cross-entropy decides."
        )
    if first.top1 is None:
        return f"{text} None of them has a published ImageNet accuracy."
    return f"{text} By ImageNet accuracy alone it is {'the same' if first.name == chosen.backbone else first.name}."


def _situation_text(advice: Advice) -> str:
    situation, sample = advice.situation, advice.sample
    size = "many" if situation.is_large else "few"
    alike = "similar to" if situation.is_similar else "different from"
    share = f"{100 * situation.similarity:.0f} %" if situation.similarity > 0 else "none"
    removed = f"the last stage removes {share} of the"
    return (
        f"How much data: {situation.images_per_class:,.0f} images a class ({sample.available:,} in {sample.classes} "
        f"classes): {size}, for {advice.network.network.name} has one image for every 100 parameters from "
        f"{situation.many:,.0f} on.\n"
        f"How similar to the images of the weights: {removed} mistakes that the features of the first half make: "
        f"{alike} them (half is the line).\n"
        f"The rule of thumb there: {situation.rule}."
    )


def _machine_text(advice: Advice) -> str:
    seconds = advice.network.seconds_per_image
    texts = []
    if seconds:
        total = duration(seconds * advice.sample.available)
        texts.append(f"the frozen network sees each image once, {total} for all")
    texts += [f"{name} {duration(each)}" for name, each in advice.epoch_seconds.items()]
    return f"This machine, an epoch: {'; '.join(texts)}." if texts else ""


def _strategies_text(advice: Advice) -> str:
    tuning = advice.tuning
    lines = []
    for trial in tuning.trials:
        epochs = f"{trial.epochs} epochs" if trial.epochs else "solved"
        folds = f"{trial.folds} fold{'s' * (trial.folds > 1)}"
        lines.append(
            f"  {trial.strategy:<12} {percent(trial.accuracy):>7}  {_interval_text(trial.interval)}  ({epochs}, {folds}, "
            f"{len(trial.right):,} images)"
        )
    text = "\n".join(["Strategies, in short trainings:", *lines]) if lines else ""
    if not tuning.left_out:
        return text
    needed = f"--budget {_budget(advice.budget_needed or 0)}"
    names = ", ".join(tuning.left_out)
    if not lines:
        return f"No strategy was tried: {duration(advice.budget)} are too short for a training of {names}. {needed} tries all."
    return f"{text}\nNot tried, for they take too long: {names}. {needed} tries all."


def _budget(seconds: float) -> str:
    """A budget of so many seconds and a fifth more, because the machine may be slower then."""
    minutes = ceil(1.2 * seconds / 60)
    return f"{minutes}m" if minutes < 120 else f"{ceil(minutes / 60)}h"


def _recommendation_text(advice: Advice) -> str:
    one = advice.recommended
    reach = f"{percent(one.accuracy)}, 95 % interval {_interval_text(one.interval)}, from {one.images:,} images it had not seen"
    told = f"It should reach about {reach}."
    licence = advice.network.network.ref
    limit = "" if licence.commercial else f"\nIts weights forbid commercial use ({licence.licence})."
    return f"Recommended: `{one.command}`\n{told} It takes about {duration(one.seconds)} here.{limit}"


def _doubt_text(doubt: Doubt) -> str:
    pair = doubt.paired
    low, high = (100 * end for end in pair.interval)
    p = "< 0.001" if pair.p < 0.001 else f"= {pair.p:.2g}"
    told = (
        f"{doubt.first} and {doubt.second} are within the noise: {100 * pair.difference:+.1f} points, 95 % interval "
        f"{low:.1f} to {high:.1f}, p {p} on the same {pair.images:,} images."
    )
    if doubt.command is None or doubt.seconds is None:
        return f"{told} No one command compares them, because their weights have different names."
    return f"{told} To decide, in about {duration(doubt.seconds)}:\n  `{doubt.command}`"


def _interval_text(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f} to {percent(interval[1])}"
