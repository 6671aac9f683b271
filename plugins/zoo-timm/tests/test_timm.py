"""A few of timm's architectures, cut as their users get them: equal to timm's networks, operator by operator and in numbers.

`pytest plugins/zoo-timm -m whole` proves the facts of every architecture anew, as `scripts/survey.py` found them, and
compares the outputs of the cheapest network of each family.
"""

import copy
import json
import warnings

import pytest
import torch
from zoo_timm import plugin
from zoo_timm.model import network
from zoo_timm.plugin import INDEX
from zoo_timm.reading import UncutError
from zoo_timm.survey import facts_of

from zoo_core.testing import backbone_checks, build, difference_from, stir

SPECS = {spec.name: spec for spec in plugin.zoo_backbones()}
ENTRIES = {entry["name"]: entry for entry in json.loads(INDEX.read_text(encoding="utf-8"))["backbones"]}
CHEAPEST = {spec.family: spec.name for spec in sorted(SPECS.values(), key=lambda spec: -spec.gmacs)}
SAMPLE = [
    "timm-repghostnet_050",
    "timm-mambaout_femto",  # computes (B, H, W, C)
    "timm-levit_128",  # gives tokens, and remembers a table of the first call
]
PROVED = ["vgg11", "resnet10t", "convnext_atto_ols", "test_efficientnet", "starnet_s050", "test_mambaout"]
PROVED += ["beit_base_patch16_224", "test_vit4"]
COPIED = ("name", "family", "stages", "channels", "tokens", "class_token", "stride", "step", "min_size", "params")
COPIED += ("gmacs", "classifier")  # by scripts/make_index.py
CHUNKS = 40  # of all architectures: a minute or two of one core each


@pytest.fixture(autouse=True)
def timm_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    "names",
    [
        *([name] for name in PROVED),
        *(pytest.param([*ENTRIES][place::CHUNKS], marks=pytest.mark.whole) for place in range(CHUNKS)),
    ],
    ids=lambda names: names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more",
)
def test_the_index_holds_the_facts_of_a_proved_cut(names):
    for name in names:
        facts = facts_of(name)
        assert {key: ENTRIES[name][key] for key in COPIED} == {key: facts[key] for key in COPIED}


def test_an_entry_has_the_facts_of_the_cut_and_nothing_unknown():
    """Seen to fail: only what both the entry and the facts had was compared, so a fact that either lost was not missed."""
    assert {*map(frozenset, ENTRIES.values())} == {frozenset({*COPIED, "paper", "preprocessing", "weights"})}
    assert sum(entry["paper"] is None for entry in ENTRIES.values()) == 481, "papers.py knows fewer or more than it did"


@pytest.mark.parametrize(
    "name",
    [*SAMPLE, *(pytest.param(name, marks=pytest.mark.whole) for name in CHEAPEST.values() if name not in SAMPLE)],
)
def test_outputs_equal_timms_for_the_same_weights(name):
    spec = SPECS[name]
    upstream = network(spec.variant)
    stir(upstream)
    assert difference_from(upstream, spec, size=spec.preprocessing.size) == 0


CHECKS = [
    check for check in backbone_checks(plugin, slow=False) if check.name.partition(":")[0] in (*SAMPLE, plugin.__name__)
]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check):
    check()


LAMBDA = "timm-lambda_resnet26t"  # has weights of five dimensions
UNSTEADY = (
    "timm-visformer_tiny"  # with random weights rounding grows to 2 % through its attention; its stages are the same
)
FAMILIES = [name for name in CHEAPEST.values() if name != UNSTEADY]


@pytest.mark.parametrize("name", [LAMBDA, *(pytest.param(name, marks=pytest.mark.whole) for name in FAMILIES)])
def test_a_network_of_every_family_is_cached_as_it_computes(name):
    """Seen to fail: torch lays out no weights of five dimensions channels last, nor then any others of the network."""
    (check,) = [one for one in backbone_checks(plugin, slow=False) if one.name == f"{name}: is cached as it computes"]
    check()


FAULTLESS = ["timm-eva02_tiny_patch14_224: keeps its stages apart", "timm-cait_xxs24_224: costs the gmacs of its spec"]


@pytest.mark.parametrize(
    "check", [one for one in backbone_checks(plugin, slow=False) if one.name in FAULTLESS], ids=str
)
def test_networks_without_a_fault_pass(check):
    """Seen to fail: a table of angles that two stages share was taken for a parameter, and counting the cost of a network
    with a class token of its own ended in an error of the counter's."""
    check()


def test_a_copy_of_a_stage_computes_the_same():
    base = build(SPECS[SAMPLE[0]]).split()[0].eval()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(copy.deepcopy(base)(images), base(images))


def test_a_network_that_cannot_be_cut_says_why():
    with pytest.raises(UncutError, match="returns a list, not a tensor"):
        facts_of("crossvit_9_240")


def test_every_entry_names_known_sizes():
    assert all(spec.takes_size(ref.preprocessing.size) for spec in SPECS.values() for ref in spec.weights)


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("mobilenetv2_100", 2018),
        ("tf_efficientnet_b0", 2019),
        ("vit_base_patch14_reg4_dinov2", 2023),
        ("resnet26t", None),
    ],
)
def test_a_year_is_that_of_the_architectures_own_paper(name, year):
    assert SPECS[f"timm-{name}"].year == year


@pytest.mark.parametrize(
    ("name", "found"),
    [("vit_medium_patch16_reg4_gap_256", False), ("vit_small_patch14_reg4_dinov2", True), ("levit_128", False)],
)
def test_registers_are_no_class_token(name, found):
    assert SPECS[f"timm-{name}"].features.class_token is found


def test_weights_with_another_models_keys_are_left_out():
    """timm itself translates the keys of CLIP and of Florence-2; zoo loads timm's own."""
    owners = {
        source.repo.partition("/")[0] for spec in SPECS.values() for ref in spec.weights for source in ref.sources
    }
    assert owners == {"timm", "belfner", "munehiro-k", "naver-ai"}


def test_weights_that_forbid_commercial_use_are_known():
    refs = [ref for spec in SPECS.values() for ref in spec.weights]
    assert {ref.commercial for ref in refs if ref.licence.startswith("cc-by-nc")} <= {False}
    assert all(ref.commercial for ref in refs if ref.licence in ("apache-2.0", "mit"))
