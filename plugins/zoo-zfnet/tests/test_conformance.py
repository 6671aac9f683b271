import pytest
import torch
from zoo_zfnet import plugin

from zoo_core.testing import build, plugin_checks, stage_shapes


@pytest.mark.parametrize("check", plugin_checks(plugin, slow=False), ids=str)
def test_conformance(check):
    check()


def network():
    with torch.device("meta"):
        return build(plugin.zoo_backbones()[0])


def test_maps_have_the_sizes_of_the_papers_figure_3():
    chain = network()
    shapes = stage_shapes(chain, 3, 224)
    assert shapes == {
        "conv1": (96, 55, 55),
        "conv2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 6, 6),
        "classifier": (1000,),
    }
    images_BCHW = torch.empty(1, 3, 224, 224, device="meta")
    assert chain.stage("conv1").conv(images_BCHW).shape[2:] == (110, 110)
    assert chain.stage("conv2").conv(torch.empty(1, 96, 55, 55, device="meta")).shape[2:] == (26, 26)


def test_contrast_is_normalised_over_five_maps_as_krizhevsky_does():
    features_BCHW = 100 * torch.rand(1, 96, 2, 2, generator=torch.Generator().manual_seed(0))
    normalised_BCHW = network().stage("conv1").norm(features_BCHW)
    energy_BHW = features_BCHW[:, 8:13].square().sum(dim=1)  # map 10 and two on either side
    torch.testing.assert_close(normalised_BCHW[:, 10], features_BCHW[:, 10] / (2 + 1e-4 * energy_BHW) ** 0.75)
