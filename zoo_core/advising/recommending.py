"""The recommended training, and the doubts that are left: candidates within the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo_core.advising.frozen_case import Choice, FrozenCase, Measured, right
from zoo_core.advising.networks import Network
from zoo_core.advising.probe import Probe
from zoo_core.advising.rungs import FINAL_EPOCHS
from zoo_core.advising.sample import FOLDS, Sample
from zoo_core.advising.strategies import FROZEN_BASE, HEAD, VIEWS, Trial, Tuning
from zoo_core.choosing.commands import command
from zoo_core.choosing.grid import settings_asked
from zoo_core.choosing.statistics import Paired, paired

SEEDS = 3  # of a comparison that is to decide


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The training to begin with, as a command, with the accuracy that it should reach and its
    seconds on this machine. `accuracy` is measured on `images` images that it had not seen."""

    backbone: str
    strategy: str
    epochs: int | None
    command: str
    accuracy: float
    interval: tuple[float, float]
    images: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """Two candidates within the noise, and the comparison that would decide, with its seconds. Both
    are None where no one command makes it: of networks whose weights have different names."""

    first: str
    second: str
    paired: Paired
    command: str | None
    seconds: float | None


def best_trial(trials: Sequence[Trial], tuning: Tuning) -> Trial:
    """The cheapest strategy that McNemar's exact test does not tell apart from the best.

    A trial is measured on few images, and of several the best is too good by chance. On few images
    the frozen base, which is the cheapest, was the best of all in benchmarks/advise.py; to leave it
    takes evidence.
    """
    best, *others = sorted(trials, key=lambda one: one.rank)
    near = [one for one in others if not best.against(one).differ]
    return min([best, *near], key=lambda one: tuning.costs[one.strategy].seconds(FINAL_EPOCHS[0]))


def recommend(network: Measured, choice: Choice, tuning: Tuning, sample: Sample) -> Recommendation:
    chosen = choice.chosen
    base, strategy, epochs = chosen.base, FROZEN_BASE, None
    accuracy, interval, images = chosen.accuracy, chosen.interval, len(sample.part)  # measured on every image
    if tuning.trials:
        trial = best_trial(tuning.trials, tuning)
        strategy, epochs = trial.strategy, trial.epochs
        if strategy != FROZEN_BASE:
            base = network.network.name
            accuracy, interval, images = trial.accuracy, trial.interval, len(trial.right)
    values = {**_asked(sample, network.network), "backbone": base, **_as_tried([strategy], epochs, tuning)}
    return Recommendation(
        backbone=base,
        strategy=strategy,
        epochs=epochs,
        command=command("finetune", values),
        accuracy=accuracy,
        interval=interval,
        images=images,
        seconds=_pass_seconds(network, sample) + _training_seconds(chosen, strategy, epochs, tuning, sample),
    )


def _as_tried(strategies: Sequence[str], epochs: int | None, tuning: Tuning) -> dict[str, object]:
    """The settings of a command that trains as the trials of these strategies did."""
    values: dict[str, object] = {"strategy": ",".join(strategies), "head": HEAD}
    if epochs:
        values["epochs"] = epochs
    if epochs and any(tuning.costs[name].has_cache for name in strategies):
        values["views"] = VIEWS  # of a head alone it is the default
    return values


def _pass_seconds(network: Measured, sample: Sample) -> float:
    """About the seconds of the frozen pass, once for all trainings: over the images that are not in
    the sample."""
    return (sample.available - len(sample.part)) * network.seconds_per_image


def _training_seconds(chosen: Probe, strategy: str, epochs: int | None, tuning: Tuning, sample: Sample) -> float:
    """About the seconds of one training on all images, whose frozen part is cached."""
    cost = tuning.costs.get(strategy)
    of_sample = chosen.seconds if cost is None else cost.seconds(epochs or FINAL_EPOCHS[0])
    return of_sample * sample.available / len(sample.part)


def network_doubt(
    case: FrozenCase, choice: Choice, recommended: Recommendation, tuning: Tuning, sample: Sample
) -> Doubt | None:
    """The network whose frozen features are the best of those that cannot be told apart from the
    chosen one's."""
    targets, chosen, network = sample.part.targets, choice.chosen, case.of(choice.chosen.backbone)
    right_N = right(chosen, targets)
    rivals = [
        (other, pair)
        for other in case.measured
        if other is not network and not (pair := paired(right_N, right(other.best, targets), sample.groups_N)).differ
    ]
    if not rivals:
        return None
    other, pair = min(rivals, key=lambda one: one[0].best.loss)
    is_frozen = recommended.strategy == FROZEN_BASE
    names = (chosen.base, other.best.base) if is_frozen else (chosen.backbone, other.best.backbone)
    if network.network.weights != other.network.weights:
        return Doubt(first=names[0], second=names[1], paired=pair, command=None, seconds=None)
    strategy, epochs = recommended.strategy, recommended.epochs
    each = _training_seconds(chosen, strategy, epochs, tuning, sample)
    ratio = other.network.cost / network.network.cost if network.network.cost else 1.0
    values = {
        **_asked(sample, network.network),
        "backbone": ",".join(names),
        **_as_tried([strategy], epochs, tuning),
    }
    passes = _pass_seconds(network, sample) + _pass_seconds(other, sample)
    return _doubt(names, pair, values, each * (1 + ratio), passes)


def strategy_doubt(
    network: Measured, choice: Choice, recommended: Recommendation, tuning: Tuning, sample: Sample
) -> Doubt | None:
    """The best other strategy, where it cannot be told apart from the recommended one.

    A frozen base that ends earlier is another backbone: the comparison has both with both
    strategies.
    """
    own = next((one for one in tuning.trials if one.strategy == recommended.strategy), None)
    if own is None:
        return None
    others = [one for one in tuning.trials if one is not own and not own.against(one).differ]
    if not others:
        return None
    other = min(others, key=lambda one: one.rank)
    names, epochs = (own.strategy, other.strategy), own.epochs or other.epochs
    bases = {choice.chosen.base if FROZEN_BASE in names else choice.chosen.backbone, choice.chosen.backbone}
    seconds = len(bases) * sum(_training_seconds(choice.chosen, one, epochs, tuning, sample) for one in names)
    asked = {**_asked(sample, network.network), "backbone": ",".join(sorted(bases))}
    values = {**asked, **_as_tried(names, epochs, tuning)}
    return _doubt(names, own.against(other), values, seconds, _pass_seconds(network, sample))


def _doubt(names: tuple[str, str], pair: Paired, values: Mapping[str, object], seconds: float, passes: float) -> Doubt:
    """The doubt whose comparison takes so many seconds for one training of each, and for the frozen
    passes before all trainings."""
    text = command("compare", {**values, "folds": FOLDS, "seeds": SEEDS})
    total = passes + FOLDS * SEEDS * seconds
    return Doubt(first=names[0], second=names[1], paired=pair, command=text, seconds=total)


def _asked(sample: Sample, network: Network) -> dict[str, object]:
    """The settings of a command for one network."""
    weights = {} if network.weights == "default" else {"weights": network.weights}
    return {"backbone": network.name, **common_settings(sample), **weights}


def common_settings(sample: Sample) -> dict[str, object]:
    """The settings that somebody gave and that every command needs; the data as they were given."""
    ours = ("backbone", "weights", "strategy", "head", "epochs", "fold", "train_share", "val_share", "cache_dtype")
    asked = {name: value for name, value in settings_asked(sample.config).items() if name not in ours}
    fix_list = {"fix_list": sample.config.fix_list} if "fix_list" in asked else {}
    return {**asked, "data": sample.config.data_text, **fix_list}
