"""The advice: the situation of a data set, the recommended training, and the doubts left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo_core.advising.frozen_case import Choice, FrozenCase, Measured, Paired, paired, right, similarity
from zoo_core.advising.networks import Network, static_ranking
from zoo_core.advising.rungs import FINAL_EPOCHS, seconds_needed
from zoo_core.advising.sample import FOLDS, Sample
from zoo_core.advising.strategies import FROZEN_BASE, HEAD, VIEWS, Trial, Tuning
from zoo_core.choosing.commands import command
from zoo_core.choosing.grid import settings_asked
from zoo_core.training.defaults import PARAMETERS_PER_IMAGE

SIMILAR = 0.5
"""Images are called similar where the last stage removes at least half of the mistakes of the first
half. A convention: the number itself is shown."""
SEEDS = 3  # of a comparison that is to decide


@dataclass(frozen=True)
class Situation:
    """The data set among the four quadrants of transfer learning: its size, and its similarity to
    the images of the weights."""

    images_per_class: float
    many: float
    """The images a class from which `zoo finetune` trains everything: one image for every 100
    parameters of the network."""
    similarity: float

    @property
    def is_large(self) -> bool:
        return self.images_per_class >= self.many

    @property
    def is_similar(self) -> bool:
        return self.similarity >= SIMILAR

    @property
    def rule(self) -> str:
        """The rule of thumb of the quadrant."""
        if self.is_large:
            return "fine-tune everything" if self.is_similar else "fine-tune everything, or train from scratch"
        return "train a head alone" if self.is_similar else "train a head on earlier features, or the last stages too"


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


@dataclass(frozen=True, kw_only=True)
class Advice:
    """An advice, ready to be shown."""

    directory: Path
    sample: Sample
    case: FrozenCase
    choice: Choice
    static: tuple[Network, ...]
    """The networks by their published ImageNet accuracy."""
    situation: Situation
    tuning: Tuning
    recommended: Recommendation
    doubts: tuple[Doubt, ...]
    budget: float
    budget_needed: float | None
    """The budget, in seconds, with which all strategies are tried; None where they were."""
    seconds: float
    stopped_by: int | None

    @property
    def network(self) -> Measured:
        return self.case.of(self.choice.chosen.backbone)

    @property
    def epoch_seconds(self) -> Mapping[str, float]:
        """The seconds of an epoch under each strategy."""
        return {name: cost.epoch for name, cost in self.tuning.costs.items() if cost.has_epochs}


def advise(
    case: FrozenCase,
    choice: Choice,
    tuning: Tuning,
    sample: Sample,
    directory: Path,
    *,
    budget: float,
    seconds: float,
    stopped_by: int | None = None,
) -> Advice:
    """Put the advice together. `seconds` are those that it took so far."""
    network = case.of(choice.chosen.backbone)
    recommended = _recommended(network, choice, tuning, sample)
    doubts = [
        _network_doubt(case, network, recommended, tuning, sample),
        _strategy_doubt(network, recommended, tuning, sample),
    ]
    left_out = tuning.left_out
    spent = seconds - sum(tuning.costs[one.strategy].seconds(one.epochs or 1) for one in tuning.trials)
    return Advice(
        directory=directory,
        sample=sample,
        case=case,
        choice=choice,
        static=tuple(static_ranking([one.network for one in case.measured])),
        situation=situation(network, sample),
        tuning=tuning,
        recommended=recommended,
        doubts=tuple(one for one in doubts if one is not None),
        budget=budget,
        budget_needed=max(0.0, spent) + seconds_needed(tuning.costs, tuple(tuning.costs)) if left_out else None,
        seconds=seconds,
        stopped_by=stopped_by,
    )


def situation(network: Measured, sample: Sample) -> Situation:
    """The place of a data set among the quadrants, as a network sees it."""
    return Situation(
        images_per_class=sample.images_per_class,
        many=network.parameters / PARAMETERS_PER_IMAGE / sample.classes,
        similarity=similarity(network),
    )


def best_trial(trials: Sequence[Trial], tuning: Tuning) -> Trial:
    """The cheapest strategy within one standard error of the best.

    The rule of one standard error (Breiman et al., Classification and Regression Trees, 1984), by
    which `zoo finetune` chooses its epoch, too: that of the paired difference.
    """
    best, *others = sorted(trials, key=lambda one: one.rank)
    near = [one for one in others if (pair := best.against(one)).difference <= standard_error(pair)]
    return min([best, *near], key=lambda one: tuning.costs[one.strategy].seconds(FINAL_EPOCHS[0]))


def standard_error(pair: Paired) -> float:
    """The standard error of a paired difference d of N answers, sqrt((b + c) / N - d^2) / sqrt(N),
    from the b + c images that one side alone got right."""
    discordant = (pair.first_only + pair.second_only) / pair.images
    return math.sqrt(max(0.0, discordant - pair.difference**2) / pair.images)


def _recommended(network: Measured, choice: Choice, tuning: Tuning, sample: Sample) -> Recommendation:
    behind = network.last.depth - choice.chosen.depth
    strategy, epochs = (f"last:{behind}" if behind else FROZEN_BASE), None
    accuracy, interval, images = choice.chosen.accuracy, choice.chosen.interval, len(sample.part)
    if tuning.trials:
        trial = best_trial(tuning.trials, tuning)
        strategy, epochs = trial.strategy, trial.epochs
        if strategy == FROZEN_BASE:  # measured on every image already
            accuracy, interval = network.last.accuracy, network.last.interval
        else:
            accuracy, interval, images = trial.accuracy, trial.interval, len(trial.right)
    values = {**_asked(sample, network.network), **_as_tried([strategy], epochs, tuning)}
    return Recommendation(
        backbone=network.network.name,
        strategy=strategy,
        epochs=epochs,
        command=command("finetune", values),
        accuracy=accuracy,
        interval=interval,
        images=images,
        seconds=_pass_seconds(network, sample) + _training_seconds(network, strategy, epochs, tuning, sample),
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


def _training_seconds(network: Measured, strategy: str, epochs: int | None, tuning: Tuning, sample: Sample) -> float:
    """About the seconds of one training on all images, whose frozen part is cached."""
    cost = tuning.costs.get(strategy)
    of_sample = network.last.seconds if cost is None else cost.seconds(epochs or FINAL_EPOCHS[0])
    return of_sample * sample.available / len(sample.part)


def _network_doubt(
    case: FrozenCase, network: Measured, recommended: Recommendation, tuning: Tuning, sample: Sample
) -> Doubt | None:
    """The network whose frozen features are the best of those that cannot be told apart from the
    chosen one's."""
    targets = sample.part.targets
    rivals = [
        (other, pair)
        for other in case.measured
        if other is not network
        and not (pair := paired(right(network.last, targets), right(other.last, targets))).differ
    ]
    if not rivals:
        return None
    other, pair = max(rivals, key=lambda one: one[0].last.accuracy)
    names = network.network.name, other.network.name
    if network.network.weights != other.network.weights:
        return Doubt(first=names[0], second=names[1], paired=pair, command=None, seconds=None)
    strategy, epochs = recommended.strategy, recommended.epochs
    each = _training_seconds(network, strategy, epochs, tuning, sample)
    ratio = other.network.cost / network.network.cost if network.network.cost else 1.0
    values = {
        **_asked(sample, network.network),
        "backbone": ",".join(names),
        **_as_tried([strategy], epochs, tuning),
    }
    passes = _pass_seconds(network, sample) + _pass_seconds(other, sample)
    return _doubt(names, pair, values, each * (1 + ratio), passes)


def _strategy_doubt(network: Measured, recommended: Recommendation, tuning: Tuning, sample: Sample) -> Doubt | None:
    """The best other strategy, where it cannot be told apart from the recommended one."""
    own = next((one for one in tuning.trials if one.strategy == recommended.strategy), None)
    if own is None:
        return None
    others = [one for one in tuning.trials if one is not own and not own.against(one).differ]
    if not others:
        return None
    other = min(others, key=lambda one: one.rank)
    names, epochs = (own.strategy, other.strategy), own.epochs or other.epochs
    seconds = sum(_training_seconds(network, one, epochs, tuning, sample) for one in names)
    values = {**_asked(sample, network.network), **_as_tried(names, epochs, tuning)}
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
    return {"backbone": network.name, **_common(sample), **weights}


def _common(sample: Sample) -> dict[str, object]:
    """The settings that somebody gave and that every command needs; the data as they were given."""
    ours = ("backbone", "weights", "strategy", "head", "epochs", "fold", "train_share", "val_share", "cache_dtype")
    asked = {name: value for name, value in settings_asked(sample.config).items() if name not in ours}
    return {**asked, "data": sample.config.data_text}
