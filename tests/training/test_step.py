"""The training step: its precision, gradient checkpointing, the compiler, the batch size that a trial finds.

Seen to fail: without autocast in the training steps and with it in evaluation or in the frozen prefix, with statistics
that move when a stage is computed again, without the way back when the compiler fails, with a cache of its own for each
precision, and with a trial that leaves gradients or moved statistics behind.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers import Zoo
from survive.support import weights_of
from survive.test_numbers import OUT_OF_MEMORY, Hearing, small_memory
from zoo_core.catalog import Catalog
from zoo_core.devices import precision
from zoo_core.errors import TrainingError, UsageError
from zoo_core.frozen.split import FrozenPrefix, SplitPoint, Tail
from zoo_core.runs.directory import read_facts, read_metrics
from zoo_core.settings import FinetuneConfig
from zoo_core.tensors import read_tensors
from zoo_core.training import autotune, compiling, train_step
from zoo_core.training.callback import NullCallback
from zoo_core.training.evaluator import Evaluator
from zoo_core.training.job import Job, prepare
from zoo_core.training.result import Result
from zoo_core.training.run import run_job

TINY = FinetuneConfig(
    backbone="norms", weights="none", size=32, strategy="last:2", epochs=2, batch_size=8, precision="float32"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def job(photos: Path, catalog: Catalog) -> Job:
    return prepare(replace(TINY, backbone="resnet18", data=str(photos)), catalog)


def trained(
    config: FinetuneConfig, photos: Path, out: Path, catalog: Catalog, callback: NullCallback | None = None
) -> Result:
    return run_job(prepare(replace(config, data=str(photos), out=str(out)), catalog), callback or NullCallback())


def seen_types(job: Job) -> dict[str, set[torch.dtype]]:
    """In which types each stage gives its features while the job runs; in place of those cut off, the front's copies."""
    found: dict[str, set[torch.dtype]] = {}
    for name in job.model.backbone.stages:
        types = found.setdefault(name, set())
        job.model.backbone.stage(name).register_forward_hook(lambda *given, types=types: types.add(given[2].dtype))
    return found


def test_bfloat16_computes_training_steps_alone_and_weights_stay_float32(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: set[torch.dtype] = set()
    real = Evaluator._passes

    def noted(evaluator: Evaluator, network: Tail, *more: object, **named: object) -> object:
        hook = network.stages[-1].register_forward_hook(lambda *given: evaluated.add(given[2].dtype))
        try:
            return real(evaluator, network, *more, **named)
        finally:
            hook.remove()

    monkeypatch.setattr(Evaluator, "_passes", noted)
    config = replace(TINY, backbone="resnet18", precision="bfloat16", data=str(photos), out=str(tmp_path / "run"))
    job = prepare(config, catalog)
    types = seen_types(job)
    result = run_job(job, NullCallback())
    assert torch.bfloat16 in types["layer3"]
    assert torch.bfloat16 in types["layer4"]
    assert evaluated == {torch.float32}
    assert {tensor.dtype for tensor in job.model.parameters()} == {torch.float32}
    saved = read_tensors(result.directory / "model.safetensors")
    assert torch.bfloat16 not in {tensor.dtype for tensor in saved.values()}
    assert read_facts(result.directory).config.precision == "bfloat16"


def test_runs_of_both_precisions_read_the_same_features(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    assert trained(replace(TINY, precision="bfloat16"), photos, tmp_path / "one", catalog).num_computed > 0
    assert trained(TINY, photos, tmp_path / "two", catalog).num_computed == 0


@pytest.mark.parametrize("views", [None, 0])
def test_a_frozen_prefix_computes_in_float32(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, views: int | None
) -> None:
    found: set[torch.dtype] = set()
    real = FrozenPrefix.forward

    def noted(prefix: FrozenPrefix, *given: object) -> dict[SplitPoint, torch.Tensor]:
        outputs = real(prefix, *given)
        found.update(output.dtype for output in outputs.values())
        return outputs

    monkeypatch.setattr(FrozenPrefix, "forward", noted)
    trained(replace(TINY, precision="bfloat16", views=views), photos, tmp_path / "run", catalog)
    assert found == {torch.float32}


@pytest.mark.parametrize("able", [{"amx_bf16": True}, {"avx512_bf16": True}, {}])
def test_auto_is_float32_on_every_cpu(monkeypatch: pytest.MonkeyPatch, able: dict[str, bool]) -> None:
    """Seen to fail: a CPU with units for bfloat16 trained in it, and gave other numbers than every other CPU."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert precision.resolve_precision("auto", torch.device("cpu")) == "float32"
    assert precision.resolve_precision("bfloat16", torch.device("cpu")) == "bfloat16"


@pytest.mark.parametrize(("able", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_on_a_gpu_that_supports_it(monkeypatch: pytest.MonkeyPatch, able: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able)
    assert precision.resolve_precision("auto", torch.device("cuda")) == expected
    assert precision.resolve_precision("float32", torch.device("cuda")) == "float32"


def test_gradient_checkpointing_changes_nothing_but_the_memory(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    config = replace(TINY, head="mlp:hidden=8,dropout=0.5")
    trained(config, photos, tmp_path / "kept", catalog)
    trained(replace(config, gradient_checkpointing=True), photos, tmp_path / "twice", catalog)
    assert weights_of(tmp_path / "kept") == weights_of(tmp_path / "twice")


def test_gradient_checkpointing_keeps_less(job: Job, catalog: Catalog) -> None:
    job = prepare(replace(job.config, strategy="full"), catalog)
    job.model.apply_rules(job.plan.rules(job.plan.phases[0]))

    def kept(recompute: bool) -> int:
        sizes: list[int] = []
        tail = Tail(job.model, SplitPoint(0), recompute=recompute).train()

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            tail(torch.rand(8, 3, 32, 32, requires_grad=True))
        return sum(sizes)

    assert kept(recompute=True) < kept(recompute=False) / 3


def test_memory_that_is_short_is_first_won_without_another_result(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch with normalisation that learns is another one in pieces: it is computed again for the gradients before that."""
    trained(TINY, photos, tmp_path / "whole", catalog)
    hearing, real = Hearing(), Tail.forward

    def forward(self: Tail, inputs: torch.Tensor) -> torch.Tensor:
        outputs_BK = real(self, inputs)
        if self.training and not self.recompute:
            raise OUT_OF_MEMORY[0]
        return outputs_BK

    with monkeypatch.context() as patch:
        patch.setattr(Tail, "forward", forward)
        trained(TINY, photos, tmp_path / "less", catalog, hearing)
    assert [text.partition(":")[0] for text in hearing.said] == ["out of memory"]
    assert weights_of(tmp_path / "whole") == weights_of(tmp_path / "less")
    with monkeypatch.context() as patch:
        small_memory(patch, 4, OUT_OF_MEMORY[0])
        trained(TINY, photos, tmp_path / "pieces", catalog, hearing)
    assert "going on with 4" in hearing.said[-1]


def test_batch_normalisation_learns_from_two_images_at_least(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    """Where maps are one pixel small torch refuses a single image; pieces of a batch have two however small they are."""
    small = replace(TINY, backbone="resnet18", strategy="full", epochs=1)
    trained(replace(small, micro_batch=1), photos, tmp_path / "pieces", catalog)
    with pytest.raises(TrainingError, match="a single image whose feature map is one pixel. Give a larger"):
        trained(replace(small, batch_size=1), photos, tmp_path / "single", catalog)
    head = replace(TINY, head="mlp:hidden=8,batchnorm=yes", strategy="head-only", batch_size=1)
    with pytest.raises(TrainingError, match="the head's batch norm .* Give a --batch-size of at least 2, or a head wi"):
        trained(head, photos, tmp_path / "head", catalog)


def test_a_compiled_step_gives_what_the_plain_one_gives(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced and differentiated by the real compiler; the code it would write needs another compiler, not always there."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    hearing = Hearing()
    trained(TINY, photos, tmp_path / "plain", catalog)
    trained(replace(TINY, compile="on"), photos, tmp_path / "compiled", catalog, hearing)
    assert any(text.startswith("compiling the trainable layers") for text in hearing.said)
    assert not any("cannot be compiled" in text for text in hearing.said)
    for one, other in zip(read_metrics(tmp_path / "plain"), read_metrics(tmp_path / "compiled"), strict=True):
        assert one.get("train_loss", 0) == pytest.approx(other.get("train_loss", 0), rel=1e-4)


@pytest.mark.parametrize(("micro_batch", "compiled", "plain"), [(None, 6, {4}), (3, 3, {2}), (4, 3, {4})])
def test_only_the_usual_number_of_images_is_compiled_for(
    photos: Path,
    tmp_path: Path,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
    micro_batch: int | None,
    compiled: int,
    plain: set[int],
) -> None:
    """The last batch of an epoch would else be compiled for as well."""
    seen: dict[str, set[int]] = {"compiled": set(), "plain": set()}

    def compile(network: nn.Module, **settings: object) -> object:
        def call(inputs: torch.Tensor) -> object:
            seen["compiled"].add(len(inputs))
            return real(network, inputs)

        return call

    real = Tail.forward

    def forward(self: Tail, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            seen["plain"].add(len(inputs))
        return real(self, inputs)

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(Tail, "forward", forward)
    config = replace(TINY, compile="on", batch_size=6, micro_batch=micro_batch)
    trained(config, photos, tmp_path / "run", catalog)
    assert seen == {"compiled": {compiled}, "plain": plain}


def test_where_the_compiler_fails_the_training_goes_on_without_it(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(network: nn.Module, **settings: object) -> object:
        def call(inputs: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no C++ compiler found\nat length")

        return call

    trained(TINY, photos, tmp_path / "plain", catalog)
    monkeypatch.setattr(torch, "compile", failing)
    hearing = Hearing()
    trained(replace(TINY, compile="on"), photos, tmp_path / "run", catalog, hearing)
    assert "the trainable layers cannot be compiled here and run without: no C++ compiler found" in hearing.said
    assert weights_of(tmp_path / "plain") == weights_of(tmp_path / "run")


@pytest.mark.parametrize(
    ("device", "stages", "processes", "expected"),
    [("cuda", 3, 1, True), ("cuda:1", 1, 1, True), ("cuda", 0, 1, False), ("cuda", 3, 2, False), ("cpu", 3, 1, False)],
)
def test_a_tail_on_a_gpu_is_recorded(device: str, stages: int, processes: int, expected: bool) -> None:
    assert compiling.recording_pays(torch.device(device), SplitPoint(stages), processes) == expected


def test_what_is_recorded_is_compiled_so(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def plain(network: nn.Module, *, mode: str | None, **settings: object) -> nn.Module:
        asked.append(mode)
        return network

    monkeypatch.setattr(torch, "compile", plain)
    trained(replace(TINY, compile="on"), photos, tmp_path / "plain", catalog)
    monkeypatch.setattr(train_step, "recording_pays", lambda device, cut, processes: True)
    trained(replace(TINY, compile="on"), photos, tmp_path / "recorded", catalog)
    assert asked == [None, "reduce-overhead"]
    assert weights_of(tmp_path / "plain") == weights_of(tmp_path / "recorded")
    trained(replace(TINY, compile="on", micro_batch=4), photos, tmp_path / "in pieces", catalog)
    assert asked[2:] == [None]


def test_pieces_of_a_batch_go_through_no_recording(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording writes each piece's gradients to one place, where the second piece takes the first one's."""
    recorded: list[int] = []

    def compile(network: nn.Module, **settings: object) -> object:
        def call(inputs: torch.Tensor) -> object:
            recorded.append(len(inputs))
            return network(inputs)

        return call

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(train_step, "recording_pays", lambda device, cut, processes: True)
    config = replace(TINY, compile="on", strategy="last:2,statistics=frozen", micro_batch=8)
    small_memory(monkeypatch, 4, OUT_OF_MEMORY[0])
    trained(config, photos, tmp_path / "run", catalog)
    assert recorded == [8]  # the batch for which the memory was too small


def test_compiling_pays_only_where_it_saves_more_than_it_takes(job: Job) -> None:
    assert compiling.compiling_pays(
        job.plan, layers=21, seconds_per_epoch=[300.0]
    )  # of 600 s it saves 54, and takes 44
    assert not compiling.compiling_pays(job.plan, layers=21, seconds_per_epoch=[200.0])
    assert not compiling.compiling_pays(job.plan, layers=21, seconds_per_epoch=[0.0])


def test_a_short_run_is_not_compiled_and_says_so_in_its_facts(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "estimate", lambda job: pytest.fail("its seconds are not worth measuring"))
    trained(replace(TINY, compile="auto"), photos, tmp_path / "run", catalog)
    assert read_facts(tmp_path / "run").config.compile == "off"


@pytest.mark.parametrize(
    ("seconds", "most", "expected"),
    [
        ({32: 1.0, 64: 0.6, 128: 0.4, 256: 0.3, 512: 0.2}, 10_000, 512),
        ({32: 1.0, 64: 0.6, 128: 0.58}, 10_000, 64),  # the last was hardly faster
        ({32: 1.0, 64: 0.6, 128: None}, 10_000, 64),  # the last did not fit
        ({32: 1.0, 64: 0.6}, 100, 64),  # more would leave too few steps
        ({32: None}, 10_000, 32),
    ],
)
def test_the_batch_grows_while_that_is_faster_and_fits(
    seconds: dict[int, float | None], most: int, expected: int
) -> None:
    assert autotune.largest_worthwhile(lambda size: seconds[size], most) == expected


def test_a_trial_leaves_the_model_as_it_was_and_knows_when_memory_is_short(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: tensor.clone() for name, tensor in job.model.state_dict().items()}
    drawn = torch.get_rng_state()
    seconds = autotune.seconds_per_image(job, 4)
    assert seconds
    assert seconds > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in job.model.state_dict().items())
    assert all(parameter.grad is None for parameter in job.model.parameters())
    assert torch.equal(drawn, torch.get_rng_state())

    def full(*_: object) -> None:
        raise OUT_OF_MEMORY[0]

    job.model.head.register_forward_hook(full)
    assert autotune.seconds_per_image(job, 4) is None


def test_a_batch_size_of_auto_is_a_number_in_the_run(photos: Path, zoo: Zoo, tmp_path: Path) -> None:
    done = zoo(
        "finetune", "--backbone", "lenet5", "--data", photos, "--epochs", 1, "--batch-size", "auto", "--out", "run"
    )
    assert done.returncode == 0, done.stderr
    assert "batch-size: 32, because larger batches are no faster on a CPU" in done.stderr
    assert read_facts(tmp_path / "run").config.batch_size == 32


def test_a_precision_is_one_of_the_words() -> None:
    with pytest.raises(UsageError, match="precision must be one of auto, float32, bfloat16, got 'fp8'"):
        FinetuneConfig(backbone="lenet5", precision="fp8")  # type: ignore[arg-type]
