"""lora on real backbones: its plan, the parameters that it moves, and the network that it leaves behind.

Seen to fail: without the test of `groups` in `can_be_adapted` the depthwise test, without that of dilation, padding or
class the layers' test; with the list of paths in place of the pattern the test of a path that ends like another.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from zoo_lora.adapters import adapt, can_be_adapted, merge
from zoo_lora.strategy import LoraOptions, lora

import zoo_core
from zoo_core import AppliedPlan, Chain, FinetuneConfig, Model, UsageError, parse_options
from zoo_core.testing import build, make_photos, stir

CATALOG = zoo_core.open_catalog()
STAGES = ("stem", "layer1", "layer2")


@pytest.fixture
def config(tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(
        backbone="lenet5",
        weights="none",
        strategy="lora:4",
        precision="float32",
        epochs=2,
        batch_size=8,
        size=32,
        data=str(make_photos(tmp_path / "photos")),
        out=str(tmp_path / "run"),
    )


def plain_model(backbone: str = "resnet18") -> Model:
    torch.manual_seed(0)
    return zoo_core.create_model(backbone, num_classes=3, weights="none", catalog=CATALOG)


def adapted(backbone: str, text: str) -> tuple[Model, AppliedPlan]:
    """A model with fresh weights, its adapters in place and its plan's rules applied."""
    model = plain_model(backbone)
    return model, zoo_core.freeze(model, text, catalog=CATALOG)


def take_steps(model: Model, applied: AppliedPlan, size: int) -> None:
    optimizer = torch.optim.AdamW(applied.parameter_groups(lr=0.01))
    generator = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(2):  # in the first the second factors move, which begin at zero; then the first factors do
        optimizer.zero_grad()
        images_BCHW = torch.randn(4, 3, size, size, generator=generator)
        nn.functional.cross_entropy(model(images_BCHW), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


def outputs(model: Model, size: int) -> torch.Tensor:
    images_BCHW = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))
    model.eval()
    with torch.inference_mode():
        outputs_BK: torch.Tensor = model(images_BCHW)
    return outputs_BK


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "lora": "stem=1added layer1=1added layer2=1added head=1",
        "lora:4,last=2": "stem=0 layer1=1added layer2=1added head=1",
        "lora:decay=0.5": "stem=0.25added layer1=0.5added layer2=1added head=1",
        "lora:last=2,decay=0.5": "stem=0 layer1=0.5added layer2=1added head=1",
    }.items(),
)
def test_the_plan_is_one_phase_in_which_adapters_and_head_learn(text: str, expected: str) -> None:
    options = parse_options("lora", LoraOptions, text.partition(":")[2])
    plan = lora(options, stages=STAGES, epochs=4)
    (phase,) = plan.phases
    told = [
        f"{part}={rule.lr:g}{'' if rule.parameters == 'all' else rule.parameters}"
        for part, rule in plan.rules(phase).items()
    ]
    assert (phase.epochs, " ".join(told)) == (4, expected)
    assert {rule.statistics for rule in phase.rules[:-1]} == {"frozen"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lora:0", "'lora': rank must be at least 1, got 0"),
        ("lora:alpha=0", "'lora': alpha must be above 0, got 0"),
        ("lora:dropout=1", r"'lora': dropout must be in \[0, 1\), got 1"),
        ("lora:last=0", "'lora': last must be at least 1, got 0"),
        ("lora:decay=0", "'lora': decay must be above 0 and at most 1, got 0"),
        ("lora:last=9", r"'lora:last=9' asks for 9 stages and this backbone has 5: stem, .*Use last=5 or less"),
    ],
)
def test_options_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        zoo_core.freeze(plain_model(), text, catalog=CATALOG)


@pytest.mark.parametrize("text", ["lora", "lora:rank=2,alpha=4,dropout=0.5,last=2", "lora:last=1,decay=0.5"])
def test_steps_move_exactly_the_adapters_and_the_head(text: str) -> None:
    model, applied = adapted("resnet18", text)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    take_steps(model, applied, size=32)
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    trainable = applied.plan.trainable(applied.plan.phases[0])
    adapters = {name for name in before if ".lora_" in name}
    assert {name.split(".")[1] for name in adapters} == set(trainable) - {"head"}
    assert moved == adapters | {name for name in before if name.startswith("head.")}


def test_stages_without_adapters_are_left_as_they_were() -> None:
    plain = plain_model()
    model, applied = adapted("resnet18", "lora:last=2")
    assert applied.plan.frozen_depth(applied.plan.phases[0]) == 3
    for stage in ("stem", "layer1", "layer2"):
        assert str(model.part(stage)) == str(plain.part(stage))


@pytest.mark.parametrize(("backbone", "size"), [("resnet18", 32), ("efficientnet_lite0", 32), ("inception_v3", 75)])
def test_fresh_adapters_change_nothing_and_merged_ones_answer_the_same(backbone: str, size: int) -> None:
    model, applied = adapted(backbone, "lora")
    plain = plain_model(backbone)
    merged_keys = [name for name, _ in plain.named_saved()]
    fresh_BK = outputs(model, size)
    take_steps(model, applied, size)
    adapted_BK = outputs(model, size)
    assert (adapted_BK - fresh_BK).abs().max() > 1e-3
    applied.merge()
    assert torch.allclose(outputs(model, size), adapted_BK, atol=1e-5, rtol=1e-5)
    assert [name for name, _ in model.named_saved()] == merged_keys
    assert str(model) == str(plain)
    assert vars(model.backbone).keys() == vars(plain.backbone).keys()


def test_a_fresh_adapter_adds_zero() -> None:
    model, _ = adapted("resnet18", "lora")
    assert torch.equal(outputs(model, 32), outputs(plain_model(), 32))


def test_depthwise_convolutions_stay_and_the_pointwise_ones_get_adapters() -> None:
    model, _ = adapted("efficientnet_lite0", "lora")
    names = [name for name, _ in model.backbone.named_parameters() if "lora_A" in name]
    assert not [name for name in names if "conv_dw" in name]
    assert "blocks2.0.conv_pw.lora_A.default.weight" in names
    assert len(names) == 32  # 15 blocks widen, 16 narrow, and the top; the stem pads in a way of its own


class Standardised(nn.Conv2d):
    """A convolution that does something with its weight before it uses it."""


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), True),
        (nn.Conv2d(4, 6, (1, 7), padding=(0, 3), bias=False), True),
        (nn.Conv2d(4, 6, 3, padding="same"), True),
        (nn.Linear(4, 6), True),
        (nn.Conv2d(4, 8, 3, groups=4), False),
        (nn.Conv2d(4, 6, 3, dilation=2), False),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), False),
        (Standardised(4, 6, 3), False),
        (nn.BatchNorm2d(4), False),
    ],
    ids=str,
)
def test_a_layer_is_adapted_when_its_adapter_can_be_merged(layer: nn.Module, expected: bool) -> None:
    assert can_be_adapted(layer) == expected
    if expected:
        base = Chain({"only": layer})  # a stage may be a layer itself
        adapt(LoraOptions(rank=2), base, stages=("only",))
        inputs = torch.randn(2, 9, 4) if isinstance(layer, nn.Linear) else torch.randn(2, 4, 9, 9)
        with torch.inference_mode():
            plain = base(inputs)
            nn.init.normal_(base.get_submodule("only.lora_B.default").weight)
            learnt = base(inputs)
            merge(base)
            assert (learnt - plain).abs().max() > 0.1
            assert torch.allclose(base(inputs), learnt, atol=1e-5)
        assert base.stage("only") is layer


def test_a_path_that_ends_like_another_stays_untouched() -> None:
    base = Chain({"first": nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3))), "0": nn.Sequential(nn.Conv2d(4, 4, 3))})
    adapt(LoraOptions(), base, stages=("0",))
    assert {name.split(".")[0] for name in base.state_dict() if "lora_" in name} == {"0"}


def test_a_backbone_with_nothing_to_adapt_is_refused() -> None:
    base = Chain({"stem": nn.Conv2d(4, 4, 3, groups=4), "body": nn.ReLU()})
    with pytest.raises(UsageError, match=r"'lora' finds nothing to adapt in stem, body: it adapts linear layers and"):
        adapt(LoraOptions(), base, stages=("stem", "body"))


def test_the_plan_counts_the_adapters_parameters() -> None:
    command = [sys.executable, "-W", "error", "-m", "zoo_core", "plan", "--backbone", "resnet18", "--json"]
    answer = subprocess.check_output([*command, "--strategy", "lora:rank=4,last=1"], text=True)
    base = plain_model().part("layer4")
    shapes = [module.weight.shape for module in base.modules() if isinstance(module, nn.Conv2d)]
    expected = sum(4 * (inner * height * width + outer) for outer, inner, height, width in shapes)
    assert json.loads(answer)["learning_parameters"] == [expected]


@pytest.mark.parametrize("backbone", ["lenet5", "resnet18"], ids=["plain", "with batch norm"])
def test_a_run_holds_the_merged_network_and_is_measured_with_it(
    config: FinetuneConfig, backbone: str, tmp_path: Path
) -> None:
    """Seen to fail with batch norm alone: where merging resets its statistics."""
    network = build(CATALOG.backbone(backbone).spec)
    stir(network)
    save_file({key: tensor.detach() for key, tensor in network.named_upstream()}, tmp_path / "start.safetensors")
    started = replace(config, backbone=backbone, weights=str(tmp_path / "start.safetensors"), epochs=2)
    result = zoo_core.finetune(started, catalog=CATALOG)
    assert json.loads((result.directory / "config.json").read_text())["strategy"]["name"] == "lora:4"
    best = result.trained.epochs[result.trained.best - 1]
    assert result.evaluation.loss == pytest.approx(best.val_loss, abs=1e-5)
    loaded = zoo_core.load(result.directory, device="cpu", catalog=CATALOG).network.state_dict()
    assert loaded.keys() == plain_model(backbone).state_dict().keys()
    again = zoo_core.evaluate_run(result.directory, device="cpu", catalog=CATALOG).evaluation
    assert again.loss == pytest.approx(result.evaluation.loss, abs=1e-6)


COMMANDS = """
import sys
from zoo_core.cli.main import main
for command in sys.argv[1:]:
    sys.argv = ["zoo", *command.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end
"""


def test_the_command_line_trains_with_it_and_predicts(config: FinetuneConfig) -> None:
    chosen = f"--backbone lenet5 --strategy lora:rank=2 --epochs 1 --out {config.out} --data {config.data}"
    commands = f"finetune {chosen}", f"predict {config.out} {config.data}/red/0.jpg --json"
    told = subprocess.check_output([sys.executable, "-W", "error", "-c", COMMANDS, *commands], text=True)
    (answered,) = json.loads(told)["predictions"]
    assert {one["class"] for one in answered["answers"]} == {"red", "blue"}
    assert json.loads(Path(config.out, "config.json").read_text())["strategy"]["name"] == "lora:2"


def test_one_seed_gives_one_file_byte_for_byte(config: FinetuneConfig, tmp_path: Path) -> None:
    def digest(out: str, **changes: object) -> str:
        changed = replace(config, out=str(tmp_path / out), epochs=1, **changes)
        weights = zoo_core.finetune(changed, catalog=CATALOG).directory / "model.safetensors"
        return hashlib.sha256(weights.read_bytes()).hexdigest()

    assert digest("a") == digest("b") != digest("c", seed=1)


WITHOUT = """
import sys
sys.modules["peft"] = sys.modules["zoo_lora"] = None  # an import of either fails
import zoo_core
print([round(share, 5) for _, share in zoo_core.load(sys.argv[1], device="cpu").predict([sys.argv[2]])[0].answers])
"""


def test_a_run_opens_where_neither_this_plugin_nor_peft_is(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = zoo_core.finetune(replace(config, strategy="lora", epochs=1), catalog=CATALOG).directory
    card = " ".join((run / "README.md").read_text().replace("\\", "").split())
    assert "1 epoch: c1 (added), c3 (added), c5 (added), head are trained" in card
    image = f"{config.data}/red/0.jpg"
    here = zoo_core.load(run, device="cpu", catalog=CATALOG).predict([image])[0].answers
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "zoo-lora")
    without = zoo_core.open_catalog()
    with pytest.raises(UsageError, match="The strategy 'lora' is provided by zoo-lora, which is disabled"):
        without.strategy("lora")
    assert zoo_core.load(run, device="cpu", catalog=without).predict([image])[0].answers == here
    zoo_core.evaluate_run(run, data=str(config.data), device="cpu", catalog=without)
    command = [sys.executable, "-c", WITHOUT, str(run), image]
    opened = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(opened.stdout) == [round(share, 5) for _, share in here]


@pytest.mark.parametrize("arguments", [["list", "strategies"], ["info", "lora"], ["finetune", "--help"]])
def test_peft_waits_until_the_strategy_is_used(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom zoo_core.cli.main import main\n"
        f"sys.argv = ['zoo', *{arguments}]\n"
        "try:\n    main()\nfinally:\n    print([n for n in ('peft', 'torch') if n in sys.modules], file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.strip().splitlines()[-1] == "[]"
    assert "lora" in answer.stdout or arguments[0] == "finetune"
