"""Fusion over smp encoders: stages are the encoder, and the sums reduce to one network where a sensor is silent."""

import pytest
import torch
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.fusion import SmpFusion
from deepnets4eo.fusion.smp_fusion import encoder_stages
from deepnets4eo.segmenters import create_model

SMALL = {"architecture": "unet/resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("resnet18", 3),
        ("resnet18", 5),
        ("se_resnet50", 5),
        ("timm-skresnet18", 5),
        ("vgg11_bn", 3),
        ("mobilenet_v2", 5),
    ],
)
@pytest.mark.filterwarnings("ignore:.timm-. encoders are deprecated")
def test_the_chain_of_stages_is_the_encoder(name, depth):
    encoder = get_encoder(name, in_channels=2, depth=depth, weights=None).eval()
    image = torch.randn(1, 2, 64, 64)
    expected = encoder(image)
    stages, with_image = encoder_stages(encoder, name)
    maps, found = image, [image] if with_image else []
    for stage in stages:
        maps = stage(maps)
        found.append(maps.clone())  # the next stage may begin in place
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def twin_of(network, **further):
    """The plain network whose encoder is the fusion's first one."""
    plain = create_model("unet", encoder="resnet18", in_channels=3, num_classes=5, **further).eval()
    stages, _ = encoder_stages(plain.encoder, "resnet18")
    nn.ModuleList(stages).load_state_dict(network.encoders[0].state_dict())
    plain.decoder.load_state_dict(network.decoder.state_dict())
    plain.segmentation_head.load_state_dict(network.head.state_dict())
    return plain


def test_with_a_silent_auxiliary_it_is_the_network_of_the_main_sensor():
    network = SmpFusion((3, 1), 5, absent="silent", **SMALL).eval()
    plain = twin_of(network, encoder_depth=3, decoder_channels=[16, 8, 8])
    image = torch.randn(2, 4, 64, 96)
    image[1, 3] = 0
    torch.testing.assert_close(network(image)[1], plain(image[:, :3])[1])
    assert not torch.allclose(network(image)[0], plain(image[:, :3])[0])


def test_the_virtual_encoder_adds_one_encoder_less_its_stem_plus_two_convolutions():
    def count(fusion):
        with torch.device("meta"):
            network = SmpFusion((3, 3), 6, fusion=fusion, architecture="unet/resnet18")
        return sum(parameter.numel() for parameter in network.parameters())

    with torch.device("meta"):
        encoder = get_encoder("resnet18", in_channels=3, weights=None)
    rest = sum(p.numel() for name, p in encoder.named_parameters() if name.startswith("layer"))
    first = (128 * 64 * 9 + 64) + (64 * 64 * 9 + 64) + 4 * 64
    assert count("v-fusenet") - count("fusenet") == rest + first


@pytest.mark.parametrize("fusion", ["fusenet", "v-fusenet"])
@pytest.mark.parametrize("architecture", ["fpn", "deeplabv3plus", "segformer"])
def test_decoders_of_other_architectures_take_the_sums(architecture, fusion):
    network = SmpFusion((3, 1), 5, fusion=fusion, architecture=architecture, encoder="resnet18").eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 4, 64, 80)).shape == (1, 5, 64, 80)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fusion": "late"}, "fusion='late' is unknown; expected fusenet or v-fusenet"),
        ({"architecture": "unet/mit_b0"}, "encoder 'mit_b0' cannot be taken apart into stages"),
        ({"architecture": "osmnet"}, "'osmnet' is no architecture of segmentation-models-pytorch"),
        ({"architecture": "unet/resnet18", "encoder_dept": 3}, "Did you mean 'encoder_depth'"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        SmpFusion((3, 1), 5, **arguments)
