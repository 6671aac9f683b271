"""A sample of timm's families, cut as their users get them: equal to timm's networks, operator by operator and in numbers.

`scripts/survey.py` proves all architectures; these keep the way there sound. `pytest plugins/zoo-timm -m whole` compares
the outputs of the cheapest network of each family.
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
CHEAPEST = {spec.family: spec.name for spec in sorted(SPECS.values(), key=lambda spec: -spec.gmacs)}
SAMPLE = [
    "timm-repghostnet_050",
    "timm-mambaout_femto",  # computes (B, H, W, C)
    "timm-levit_128",  # gives tokens, and remembers a table of the first call
]


@pytest.fixture(autouse=True)
def timm_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", SAMPLE)
def test_the_index_holds_the_facts_of_a_proved_cut(name):
    spec = SPECS[name]
    facts = facts_of(spec.variant)
    found = spec.channels, spec.stride, spec.size_step, spec.min_size, spec.params, spec.gmacs, spec.stages
    keys = ("channels", "stride", "step", "min_size", "params", "gmacs", "stages")
    assert found == (*(facts[key] for key in keys[:-1]), tuple(facts["stages"]))


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


def test_a_copy_of_a_stage_computes_the_same():
    base = build(SPECS[SAMPLE[0]]).split()[0].eval()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(copy.deepcopy(base)(images), base(images))


def test_a_network_that_cannot_be_cut_says_why():
    with pytest.raises(UncutError, match="returns a list, not a tensor"):
        facts_of("crossvit_9_240")


def test_every_entry_names_its_paper_and_known_sizes():
    index = json.loads(INDEX.read_text(encoding="utf-8"))
    assert {entry["family"] for entry in index["backbones"]} == index["papers"].keys()
    assert all(spec.takes_size(ref.preprocessing.size) for spec in SPECS.values() for ref in spec.weights)


def test_weights_that_forbid_commercial_use_are_known():
    refs = [ref for spec in SPECS.values() for ref in spec.weights]
    assert {ref.commercial for ref in refs if ref.licence.startswith("cc-by-nc")} <= {False}
    assert all(ref.commercial for ref in refs if ref.licence in ("apache-2.0", "mit"))
