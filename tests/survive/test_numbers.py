"""Rows 20 and 21: a loss that is no number, weights that are none, and memory that is too small.

Seen to fail: without the check before the optimizer's step (the weights were spoilt), without putting back what the failed
forward pass had moved, after a loss that is no number and after memory that was too small; without the check of the first
weights; without the words of a full CPU; without the size of the pieces in the checkpoint.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from survive.support import weights_of
from survive.test_interruptions import stopped_at
from zoo_core.catalog import Catalog
from zoo_core.errors import TrainingError, WeightsError, ZooError
from zoo_core.evaluation import evaluate_run
from zoo_core.frozen.split import Tail
from zoo_core.library import load
from zoo_core.runs.directory import read_metrics
from zoo_core.settings import FinetuneConfig
from zoo_core.tensors import read_tensors, write_tensors
from zoo_core.training.callback import NullCallback
from zoo_core.training.checkpoint import newest_checkpoint
from zoo_core.training.job import prepare
from zoo_core.training.phase_trainer import PhaseTrainer
from zoo_core.training.run import resume, run_job

LENET = FinetuneConfig(backbone="lenet5", strategy="full", epochs=2, batch_size=8, views=0)
NORMS = replace(LENET, backbone="norms", weights="none", size=32, strategy="last:1", batch_size=4)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def spoil_forward(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """From the training step `at` on, the network's outputs are not finite; its norms' statistics neither."""
    real, calls = Tail.forward, []

    def forward(self: Tail, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            calls.append(1)
        outputs = real(self, inputs * float("nan") if self.training and len(calls) >= at else inputs)
        assert isinstance(outputs, torch.Tensor)
        return outputs

    monkeypatch.setattr(Tail, "forward", forward)


@pytest.mark.parametrize("config", [LENET, NORMS], ids=["lenet5", "norms"])
def test_a_loss_that_is_no_number_leaves_the_state_before_that_step(
    config: FinetuneConfig, photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, data=str(photos), out=str(tmp_path / "run"))
    steps = 16 // config.batch_size
    with monkeypatch.context() as patch:
        spoil_forward(patch, at=steps + 2)
        with pytest.raises(
            TrainingError,
            match=f"the loss is nan in epoch 2, step 2 of {steps}: the training diverged and stopped there. Try a smaller --lr",
        ):
            run_job(prepare(config, catalog), NullCallback())
    stop = replace(config, out=str(tmp_path / "good"))
    assert stopped_at(steps + 1, lambda callback: run_job(prepare(stop, catalog), callback), monkeypatch)
    kept, good = newest_checkpoint(tmp_path / "run", clean=False), newest_checkpoint(tmp_path / "good", clean=False)
    assert kept is not None
    assert good is not None
    assert kept.tensors.keys() == good.tensors.keys()
    for name, tensor in good.tensors.items():
        assert torch.equal(kept.tensors[name], tensor), name
        assert tensor.isfinite().all()
    for run in ("run", "good"):
        resume(tmp_path / run, catalog, NullCallback())
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "good")


def test_weights_that_are_no_numbers_are_found_before_the_training(
    photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    config = replace(LENET, data=str(photos), epochs=1, out=str(tmp_path / "run"))
    run = run_job(prepare(config, catalog), NullCallback()).directory
    tensors = {name: tensor.clone() for name, tensor in read_tensors(run / "model.safetensors").items()}
    spoilt = next(name for name in tensors if not name.startswith("head") and name.endswith("weight"))
    tensors[spoilt].view(-1)[0] = float("nan")
    write_tensors(tmp_path / "spoilt.safetensors", tensors)
    with pytest.raises(WeightsError, match=f"spoilt.safetensors holds numbers in {spoilt} that are not finite"):
        prepare(replace(config, weights=str(tmp_path / "spoilt.safetensors")), catalog)


def test_huge_weights_whose_sum_is_no_number_are_numbers(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    config = replace(LENET, data=str(photos), epochs=1, out=str(tmp_path / "run"))
    base = prepare(config, catalog).model.backbone
    huge = {name: torch.full_like(tensor, 3e38) for name, tensor in base.named_upstream()}
    write_tensors(tmp_path / "huge.safetensors", huge)
    loaded = prepare(replace(config, weights=str(tmp_path / "huge.safetensors")), catalog).model.backbone
    assert not sum(tensor.sum() for tensor in loaded.parameters()).isfinite()


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
        "4000 bytes. Error code 12 (Cannot allocate memory)"
    ),
]


def small_memory(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> None:
    """A tail that cannot learn from more than `most` images at once: it fails when it has computed all of them."""
    real = Tail.forward

    def forward(self: Tail, inputs: torch.Tensor) -> torch.Tensor:
        outputs = real(self, inputs)
        if self.training and len(inputs) > most:
            raise error
        assert isinstance(outputs, torch.Tensor)
        return outputs

    monkeypatch.setattr(Tail, "forward", forward)


class Hearing(NullCallback):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def test_torch_says_that_a_cpu_is_full_in_the_words_that_are_known() -> None:
    from zoo_core.errors import is_out_of_memory

    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(RuntimeError("could not create a primitive"))  # oneDNN
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu"])
def test_a_batch_that_is_too_large_is_cut_and_gives_what_it_would_have_given(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    config = replace(LENET, data=str(photos), micro_batch=8, out=str(tmp_path / "whole"))
    run_job(prepare(config, catalog), NullCallback())
    hearing, config = Hearing(), replace(config, out=str(tmp_path / "cut"))
    with monkeypatch.context() as patch:
        small_memory(patch, 3, error)
        run_job(prepare(config, catalog), hearing)
    assert hearing.said == [
        "out of memory with 8 images at once: going on with 4 (--micro-batch 4); the batch of the optimizer stays "
        "as it was",
        "out of memory with 4 images at once: going on with 2 (--micro-batch 2); the batch of the optimizer stays "
        "as it was",
    ]
    for one, other in zip(read_metrics(tmp_path / "whole"), read_metrics(tmp_path / "cut"), strict=True):
        for name in ("train_loss", "val_loss"):
            assert one.get(name, 0) == pytest.approx(other.get(name, 0), rel=1e-5), name  # sums in another order
    whole, cut = (read_tensors(tmp_path / run / "model.safetensors") for run in ("whole", "cut"))
    for name, tensor in whole.items():
        assert torch.allclose(tensor, cut[name], rtol=1e-3, atol=1e-4), name


def test_a_failed_pass_leaves_no_trace_in_statistics_or_random_numbers(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With norms a cut batch is another computation: here it is compared with the same cut from the start."""
    config = replace(NORMS, data=str(photos), head="mlp:hidden=8,dropout=0.5", micro_batch=2, out=str(tmp_path / "two"))
    run_job(prepare(config, catalog), NullCallback())
    with monkeypatch.context() as patch:
        small_memory(patch, 2, OUT_OF_MEMORY[0])
        run_job(prepare(replace(config, micro_batch=4, out=str(tmp_path / "cut")), catalog), NullCallback())
    assert weights_of(tmp_path / "two") == weights_of(tmp_path / "cut")


def test_a_run_that_was_cut_is_resumed_as_it_was(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(LENET, data=str(photos), micro_batch=8, out=str(tmp_path / "run"))
    with monkeypatch.context() as patch:
        small_memory(patch, 3, OUT_OF_MEMORY[0])
        run_job(prepare(replace(config, out=str(tmp_path / "whole")), catalog), NullCallback())
        assert stopped_at(1, lambda callback: run_job(prepare(config, catalog), callback), monkeypatch)
    resume(tmp_path / "run", catalog, NullCallback())  # with memory enough: it goes on in the pieces that it had
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")


def test_no_memory_for_a_single_image_ends_the_run(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_memory(monkeypatch, 0, OUT_OF_MEMORY[0])
    with pytest.raises(TrainingError, match="out of memory with a single image. Give a smaller --image-size"):
        run_job(prepare(replace(LENET, data=str(photos), out=str(tmp_path / "run")), catalog), NullCallback())


def test_no_memory_elsewhere_is_said_with_the_command_that_goes_on(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(self: PhaseTrainer, evaluator: object) -> None:
        raise OUT_OF_MEMORY[1]

    config = replace(LENET, data=str(photos), save_every=0, out=str(tmp_path / "run"))
    with monkeypatch.context() as patch:
        patch.setattr(PhaseTrainer, "evaluate", evaluate)
        with pytest.raises(TrainingError, match="out of memory: .*go on with: zoo resume .*run"):
            run_job(prepare(config, catalog), NullCallback())
    resume(tmp_path / "run", catalog, NullCallback())
    run_job(prepare(replace(config, out=str(tmp_path / "whole")), catalog), NullCallback())
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")


def test_a_run_that_failed_before_anything_was_kept_is_not_said_to_go_on(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, the command was named for a run directory that had been removed again."""

    def evaluate(self: PhaseTrainer, evaluator: object) -> None:
        raise OUT_OF_MEMORY[1]

    monkeypatch.setattr(PhaseTrainer, "evaluate", evaluate)
    with pytest.raises(TrainingError, match="out of memory: .* or free memory and start again.$"):
        run_job(prepare(replace(LENET, data=str(photos), out=str(tmp_path / "run")), catalog), NullCallback())
    assert not (tmp_path / "run").exists()


def test_answers_and_figures_that_are_no_numbers_are_refused(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    """Seen to fail: weights are finite, their products are not, and `zoo predict --json` printed NaN."""
    run = run_job(
        prepare(replace(LENET, data=str(photos), epochs=1, out=str(tmp_path / "run")), catalog), NullCallback()
    )
    path = run.directory / "model.safetensors"
    tensors = {name: torch.full_like(tensor, 3e38) for name, tensor in read_tensors(path).items()}
    write_tensors(path, tensors)
    predictor = load(run.directory, device="cpu", catalog=catalog)
    image = next(photos.rglob("*.jpg"))
    with pytest.raises(ZooError, match=f"gives numbers that are not finite for {image}. Are its weights sound"):
        predictor.predict(image)
    with pytest.raises(ZooError, match="gives numbers that are not finite"):
        evaluate_run(run.directory, data=str(photos), device="cpu", catalog=catalog)
