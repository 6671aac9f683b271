"""The end of a training is told as it was."""

from __future__ import annotations

from typing import Any

from zoo_core.runs.ending import ending_in_words, loss_rises_since, no_improvement, rule_in_words
from zoo_core.runs.epochs import EpochReport
from zoo_core.tasks.chosen import metric_named
from zoo_core.tasks.metrics import ACCURACY
from zoo_core.tasks.regression import R2


def epochs(*losses: float) -> list[EpochReport]:
    return [EpochReport(n, 1, 0.01, 0.0, loss, 0.5, "accuracy", 0.0) for n, loss in enumerate(losses, 1)]


def test_a_loss_has_risen_since_the_epoch_with_the_lowest() -> None:
    assert loss_rises_since(epochs(0.9, 0.7, 0.5, 0.6, 0.55)) == 3
    assert loss_rises_since(epochs(0.9, 0.7, 0.5)) is None
    assert loss_rises_since(epochs(0.5, 0.5, 0.5)) is None


def test_an_early_stop_gives_its_reason_and_every_best_epoch_its_rule() -> None:
    classes, numbers = ACCURACY, R2
    steady = rule_in_words("steady", classes, None)
    assert steady == "the latest whose accuracy is within one standard error of the highest"
    assert rule_in_words("highest", classes, 0.01) == "the one with the highest accuracy"
    assert rule_in_words("steady", numbers, 0.01) == "the latest whose R2 is within one standard error of the highest"
    assert rule_in_words("steady", numbers, None) == "the one with the highest R2"
    loss = metric_named("log-loss")
    assert rule_in_words("steady", loss, 0.1) == "the latest whose log loss is within one standard error of the lowest"
    early: dict[str, Any] = {"best": 4, "last": 13, "planned": 30, "rises_since": 3, "metric": classes}
    assert ending_in_words(**early, rule="steady") == (
        f"Validation loss has risen since epoch 3; stopped after epoch 13 of 30. Best epoch 4: {steady}."
    )
    whole = {**early, "last": 10, "planned": 10}
    assert ending_in_words(**whole, rule="steady") == f"Best epoch 4: {steady}."
    assert (
        ending_in_words(**{**whole, "best": 1, "last": 1, "planned": 1}, rule="steady") == "Best epoch 1, the only one."
    )


def test_an_early_stop_gives_the_reason_that_was_counted() -> None:
    """Seen to fail: with --best-epoch highest the score alone counts, and the loss was given as the reason."""
    assert ending_in_words(best=4, last=13, planned=30, rises_since=3, rule="highest", metric=ACCURACY).startswith(
        "No accuracy was higher than that of epoch 4; stopped after epoch 13 of 30. Best epoch 4: "
    )
    score = "no accuracy was higher than that of epoch 4"
    assert no_improvement("highest", ACCURACY, highest=4, rises_since=3) == score
    assert no_improvement("steady", ACCURACY, highest=4, rises_since=None) == score
    assert no_improvement("steady", ACCURACY, highest=4, rises_since=3) == (
        f"validation loss has risen since epoch 3, and {score}"
    )
    assert no_improvement("steady", ACCURACY, highest=None, rises_since=None) == "nothing improved"
    lower = no_improvement("highest", metric_named("log-loss"), highest=4, rises_since=3)
    assert lower == "no log loss was lower than that of epoch 4"
