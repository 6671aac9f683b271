"""The screen of `zoo advise`: a line for each network and each trial while they run, then the
tables, the answers and the recommended command."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.common import bar_on, console, print_columns, warn
from zoo_core.cli.comparing import CellBar, interval_text
from zoo_core.errors import printable
from zoo_core.wording import duration, percent, quoted, short_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress

    from zoo_core.advising.advice import Advice, Doubt
    from zoo_core.advising.frozen_case import Measured
    from zoo_core.advising.networks import Network
    from zoo_core.advising.probe import Probe
    from zoo_core.advising.sample import Sample
    from zoo_core.choosing.cells import Failure
    from zoo_core.choosing.elsewhere import Trained
    from zoo_core.choosing.grid import Cell
    from zoo_core.training.job import Job

MOST_NETWORKS = 20  # that stand in the table; `--json` has all
SHOWN_BOUNDARIES = 3  # of the chosen network; the picture and `--json` have all


class AdviceScreen:
    """Shows the networks and the trials on standard error."""

    def __init__(self, folder: Path, sample: Sample) -> None:
        self.folder, self.sample = folder, sample
        self.screen = console(error=True)
        self.title = ""
        self.network_bar: Progress | None = None
        self.task: Any = None
        self.bar: CellBar | None = None

    def __enter__(self) -> AdviceScreen:
        from zoo_core.data.findings import findings

        for finding in findings(self.sample.source):
            self._print(f"note: {finding}")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def begin_network(self, number: int, count: int, network: Network) -> None:
        self.title = f"network {number}/{count}  {printable(network.name)}"

    def on_features(self, done: int, total: int) -> None:
        self._move("features", done, total)

    def on_heads(self, done: int, total: int) -> None:
        self._move("heads", done, total)

    def end_network(self, network: Network, outcome: Measured | Failure) -> None:
        from zoo_core.choosing.cells import Failure

        self._stop()
        if isinstance(outcome, Failure):
            told = f"failed: {outcome.reason}"
        else:
            told = f"{percent(outcome.last.accuracy)} with a head on its features"
            if outcome.seconds_per_image:
                told += f" ({1000 * outcome.seconds_per_image:.0f} ms an image)"
        self._print(f"{self.title}: {told}")

    def begin(self, number: int, cell: Cell) -> CellBar:
        self._stop()
        self.title = printable(_trial_title(cell))
        self.bar = CellBar(self.screen, self.title)
        return self.bar

    def show(self, job: Job) -> None:
        if self.bar is not None:
            self.bar.epochs = job.plan.epochs

    def end(self, cell: Cell, outcome: Trained | Failure) -> None:
        from zoo_core.choosing.cells import Failure

        self._stop()
        if isinstance(outcome, Failure):
            told = f"failed: {outcome.reason}"
        else:
            told = f"{percent(outcome.score)} ({short_seconds(outcome.seconds)} s)"
        self._print(f"trial  {self.title}: {told}")

    def progress(self, done: int, total: int) -> None:
        self._move("trials", done, total)

    def message(self, text: str) -> None:
        self._print(text)

    def _move(self, name: str, done: int, total: int) -> None:
        if self.network_bar is None:
            self.network_bar = bar_on(self.screen)
            self.task = self.network_bar.add_task("", total=total)
            self.network_bar.start()
        self.network_bar.update(self.task, description=f"{self.title}: {name}", completed=done, total=total)

    def _stop(self) -> None:
        if self.network_bar is not None:
            self.network_bar.stop()
        if self.bar is not None:
            self.bar.close()
        self.network_bar = self.bar = None

    def _print(self, text: str) -> None:
        self.screen.print("\n".join(printable(line) for line in text.split("\n")), markup=False, soft_wrap=True)


def show_advice(advice: Advice) -> None:
    """Print the tables and the answers to standard output."""
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
    click.echo(f"In {printable(folder)}: advise.png, advise.json with every stage boundary{runs}.")


def _show_networks(advice: Advice) -> None:
    """The last boundary of each network, the best first; of the chosen one the best earlier ones,
    too."""
    ranks = {network.name: place for place, network in enumerate(advice.static, 1)}
    measured = sorted(advice.case.measured, key=lambda one: (one is not advice.network, -one.last.accuracy))
    shown: list[tuple[Measured, Probe]] = []
    for one in measured[:MOST_NETWORKS]:
        shown.append((one, one.last))
        if one is advice.network:
            earlier = sorted(one.probes[:-1], key=lambda probe: -probe.accuracy)
            shown += [(one, probe) for probe in earlier[:SHOWN_BOUNDARIES]]
    tied = {(probe.backbone, probe.stage) for probe in advice.choice.tied}
    rows = []
    for one, probe in sorted(shown, key=lambda pair: -pair[1].accuracy):
        top1 = one.network.top1
        rows.append(
            [
                one.network.name,
                probe.stage,
                percent(probe.accuracy),
                interval_text(probe.interval) + (" *" if (probe.backbone, probe.stage) in tied else ""),
                f"{probe.logme:.3f}",
                f"{probe.h_score:.2f}",
                f"{probe.sfda:.3f}",
                "-" if top1 is None else f"{top1:.1f}",
                str(ranks[one.network.name]),
            ]
        )
    columns = ("network", "up to", "accuracy", "95 % interval", "LogME", "H-score", "SFDA", "ImageNet", "its rank")
    below = ["* cannot be told apart from the best. LogME, H-score and SFDA decide nothing."]
    print_columns(columns, rows, right={"accuracy", "LogME", "H-score", "SFDA", "ImageNet", "its rank"}, below=below)


def _choice_text(advice: Advice) -> str:
    """The chosen network with the reason, and the choice of ImageNet accuracy alone."""
    chosen, best, first = advice.choice.chosen, advice.choice.best, advice.static[0]
    text = f"The network: {chosen.backbone}"
    if not chosen.is_last:
        text += f" up to {chosen.stage}, whose features are better here than those of its last stage"
    if len(advice.case.measured) == 1:
        return f"{text}, the only one here. `zoo pull NAME` or --all brings others."
    if chosen.backbone == best.backbone:
        text += ". None is better on these images."
    else:
        text += (
            f". {best.backbone} ({percent(best.accuracy)}) cannot be told apart from it ({percent(chosen.accuracy)}); "
            "within the noise the published ImageNet accuracy counts, and then the lower cost."
        )
    if first.top1 is None:
        return f"{text} None of them has a published ImageNet accuracy."
    return f"{text} By ImageNet accuracy alone it is {'the same' if first.name == chosen.backbone else first.name}."


def _situation_text(advice: Advice) -> str:
    situation, sample = advice.situation, advice.sample
    size = "many" if situation.is_large else "few"
    alike = "similar to" if situation.is_similar else "different from"
    return (
        f"How much data: {situation.images_per_class:,.0f} images a class ({sample.available:,} in {sample.classes} "
        f"classes): {size}, for {advice.network.network.name} has one image for every 100 parameters from "
        f"{situation.many:,.0f} on.\n"
        f"How similar to the images of the weights: the last stage removes {100 * situation.similarity:.0f} % of the "
        f"mistakes that the features of the first half make: {alike} them (half is the line).\n"
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
            f"  {trial.strategy:<12} {percent(trial.accuracy):>7}  {interval_text(trial.interval)}  ({epochs}, {folds}, "
            f"{len(trial.right):,} images)"
        )
    text = "\n".join(["Strategies, in short trainings:", *lines]) if lines else ""
    if not tuning.left_out:
        return text
    # A fifth more: the machine may be slower then.
    needed = f"--budget {ceil(1.2 * (advice.budget_needed or 0) / 60)}m"
    names = ", ".join(tuning.left_out)
    if not lines:
        return f"No strategy was tried: {duration(advice.budget)} are too short for a training of {names}. {needed} tries all."
    return f"{text}\nNot tried, for they take too long: {names}. {needed} tries all."


def _recommendation_text(advice: Advice) -> str:
    one = advice.recommended
    reach = f"{percent(one.accuracy)}, 95 % interval {interval_text(one.interval)}, from {one.images:,} images it had not seen"
    licence = advice.network.network.ref
    limit = "" if licence.commercial else f"\nIts weights forbid commercial use ({licence.licence})."
    return f"Recommended: `{one.command}`\nIt should reach about {reach}. It takes about {duration(one.seconds)} here.{limit}"


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


def _trial_title(cell: Cell) -> str:
    epochs = f", {cell.config.epochs} epochs" if cell.config.epochs else ""
    return f"{cell.candidate.strategy}{epochs}, fold {cell.config.fold.replace('/', ' of ')}"
