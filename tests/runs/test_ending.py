"""The end of a training is told as it was."""

from __future__ import annotations

from zoo_core.runs.ending import ending_in_words, loss_rises_since, rule_in_words
from zoo_core.runs.epochs import EpochReport
from zoo_core.tasks import task_named


def epochs(*losses: float) -> list[EpochReport]:
    return [EpochReport(n, 1, 0.01, 0.0, loss, 0.5, "accuracy", 0.0) for n, loss in enumerate(losses, 1)]


def test_a_loss_has_risen_since_the_epoch_with_the_lowest() -> None:
    assert loss_rises_since(epochs(0.9, 0.7, 0.5, 0.6, 0.55)) == 3
    assert loss_rises_since(epochs(0.9, 0.7, 0.5)) is None
    assert loss_rises_since(epochs(0.5, 0.5, 0.5)) is None


def test_an_early_stop_gives_its_reason_and_every_best_epoch_its_rule() -> None:
    classes, numbers = task_named("classification"), task_named("regression")
    steady = rule_in_words("steady", classes)
    assert steady == "the latest whose accuracy is within one standard error of the highest"
    assert rule_in_words("highest", classes) == "the one with the highest accuracy"
    assert rule_in_words("steady", numbers) == "the one with the highest R2"
    assert ending_in_words(best=4, last=13, planned=30, rises_since=3, rule=steady) == (
        f"Validation loss has risen since epoch 3; stopped after epoch 13 of 30. Best epoch 4: {steady}."
    )
    assert ending_in_words(best=9, last=10, planned=10, rises_since=3, rule=steady) == f"Best epoch 9: {steady}."
    assert ending_in_words(best=1, last=1, planned=1, rises_since=None, rule=steady) == "Best epoch 1, the only one."
