"""SnapNet's networks: the published numbers of weights, what fusion reduces to, first weights, and sensors as layers."""

import pytest
import torch
from refusals import raises_naming
from safetensors.torch import save_file

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.errors import InputError
from deepnets4eo.points.snapnet.networks import SnapNetFusion, SnapNetUNet
from deepnets4eo.points.views.snapshots import snapshot_inputs
from deepnets4eo.segmentation import SegNet
from deepnets4eo.segmenters import NetworkSegmenter, create_model
from deepnets4eo.segmenters.run import save_run

TINY = {"width": 2}


def count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_the_unet_has_the_published_number_of_weights():
    with torch.device("meta"):
        assert count(SnapNetUNet(3, 10)) == 40_435_722


def test_the_correction_has_the_published_number_of_weights():
    with torch.device("meta"):
        network = SnapNetFusion((3, 3), 10)
    assert count(network.correction, network.head) == 116_490
    assert count(network) == 2 * 40_435_722 + 116_490


def test_layers_that_double_the_size_have_no_normalisation():
    network = SnapNetUNet(3, 10, **TINY)
    convolutions = [one for one in network.modules() if isinstance(one, torch.nn.Conv2d)]
    norms = [one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    assert len(convolutions) == len(norms) + 1 == 13 + 12 + 1
    assert [one.stride for one in network.enlarge] == [(2, 2)] * 5


def test_the_untrained_fusion_is_the_sum_of_both_networks():
    torch.manual_seed(0)
    network = SnapNetFusion((3, 3), 4, options=TINY).eval()
    image = torch.randn(2, 6, 40, 33)
    with torch.inference_mode():
        first, second = (member(part)[0] for member, part in zip(network.members, image.split(3, 1), strict=True))
        torch.testing.assert_close(network(image), first + second)


def test_a_trained_correction_may_lower_a_score():
    torch.manual_seed(0)
    network = SnapNetFusion((3, 3), 4, options=TINY).eval()
    image = torch.randn(2, 6, 32, 32)
    with torch.inference_mode():
        before = network(image)
        torch.nn.init.constant_(network.head.bias, -1.0)
        torch.testing.assert_close(network(image), before - 1)


def test_frozen_streams_stay_while_the_correction_learns():
    network = SnapNetFusion((3, 3), 4, options=TINY, frozen=True).train()
    network(torch.randn(2, 6, 32, 32)).square().mean().backward()
    learning = {name.split(".")[0] for name, value in network.named_parameters() if value.grad is not None}
    assert learning == {"correction", "head"}


def test_the_encoder_starts_from_a_segnet_of_a_file(tmp_path):
    segnet = SegNet(3, 4, width=2)
    save_file(segnet.state_dict(), tmp_path / "segnet.safetensors")
    network = create_model(
        "snapnet-unet", in_channels=3, num_classes=4, weights=str(tmp_path / "segnet.safetensors"), width=2
    )
    for name, value in segnet.encoder.state_dict().items():
        torch.testing.assert_close(network.encoder.state_dict()[name], value)


def test_the_fusion_starts_from_the_runs_of_its_two_networks(tmp_path):
    legend = Legend("few", tuple(LegendClass(v, f"class {v}", (v, v, 1)) for v in range(4)))
    runs = []
    for seed, layer in enumerate(["image", "composite"]):
        torch.manual_seed(seed)
        segmenter = NetworkSegmenter({"name": "snapnet-unet", **TINY}, snapshot_inputs([layer], "depth"), legend)
        runs.append((segmenter.module, str(save_run(segmenter, tmp_path / layer))))
    weights = ",".join(folder for _, folder in runs)
    network = SnapNetFusion((3, 3), 4, weights=weights, options=TINY, frozen=True).eval()
    image = torch.randn(1, 6, 40, 40)
    with torch.inference_mode():
        alone = [module(part) for (module, _), part in zip(runs, image.split(3, 1), strict=True)]
        torch.testing.assert_close(network(image), alone[0] + alone[1])


def test_images_of_other_bands_are_refused():
    with raises_naming(InputError, "in_channels", "4 bands", "U-Net of 3"):
        SnapNetUNet(3, 4, **TINY)(torch.zeros(1, 4, 32, 32))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fusenet", {"width": 2}),
        ("v-fusenet", {"width": 2}),
        ("residual-correction", {"options": {"width": 2}}),
        ("snapnet-fusion", {"options": {"width": 2}}),
        ("smp-fusion", {"encoder": "mobilenet_v2", "decoder_channels": [8] * 5}),
    ],
)
def test_networks_of_two_sensors_take_colours_and_composite(name, options):
    network = create_model(name, in_channels=6, num_classes=3, streams=[3, 3], **options).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 6, 64, 64)).shape == (1, 3, 64, 64)
