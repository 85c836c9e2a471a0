"""Weights from elsewhere: by name and shape, fitted to other bands and sizes, and what is refused."""

import logging
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.networks import create_model
from deepnets4eo.segmenters.pretrained import load_pretrained

RESNET, VIT = "test_resnet", "test_vit"


def write(module: nn.Module, path: Path, prefix: str = "", **metadata: str) -> Path:
    save_file({prefix + name: value for name, value in module.state_dict().items()}, path, metadata or None)
    return path


def encoder(bands: int = 3, **options: int) -> nn.Module:
    return timm.create_model(RESNET, in_chans=bands, num_classes=0, **options)


@pytest.mark.parametrize("prefix", ["", "visual.trunk.", "module."])
def test_the_encoder_of_a_file_gets_into_a_segmentation_network(
    prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = timm.create_model(RESNET, num_classes=7)
    file = write(theirs, tmp_path / "theirs.safetensors", prefix)
    with caplog.at_level(logging.INFO, "deepnets4eo"):
        network = create_model("unet", in_channels=3, num_classes=2, encoder=f"tu-{RESNET}", weights=str(file))
    weight = dict(theirs.named_parameters())["layer1.0.conv1.weight"]
    assert torch.equal(dict(network.encoder.named_parameters())["model.layer1.0.conv1.weight"], weight)
    assert f"not used: {prefix}fc.bias, {prefix}fc.weight" in caplog.text


def test_classifiers_take_files_too(tmp_path: Path) -> None:
    theirs = encoder()
    file = write(theirs, tmp_path / "theirs.safetensors")
    network = create_model(
        "image-classifier", in_channels=3, num_classes=2, encoder=RESNET, weights=str(file), patch_px=32
    )
    assert torch.equal(network.encoder.conv1[0].weight, theirs.conv1[0].weight)


def test_bands_are_placed_by_their_names(tmp_path: Path) -> None:
    theirs, ours = encoder(3), encoder(3)
    file = write(theirs, tmp_path / "theirs.safetensors", bands="B02,B03,B04")
    report = load_pretrained(ours, file, bands=["red", "green", "blue"])
    assert torch.equal(ours.conv1[0].weight, theirs.conv1[0].weight.flip(1))
    assert "had its bands as B02, B03, B04" in str(report)


def test_bands_between_others_get_their_share_of_both(tmp_path: Path) -> None:
    theirs, ours = encoder(2), encoder(3)
    file = write(theirs, tmp_path / "theirs.safetensors", bands="B02,B04")
    load_pretrained(ours, file, bands=["B02", "B03", "B08"])
    first, second = theirs.conv1[0].weight.unbind(1)
    share = (560 - 492) / (665 - 492)
    expected = torch.stack([first, (1 - share) * first + share * second, second], dim=1) * 2 / 3
    torch.testing.assert_close(ours.conv1[0].weight, expected)


def test_other_numbers_of_bands_without_names_get_the_mean(tmp_path: Path) -> None:
    theirs, ours = encoder(3), encoder(2)
    load_pretrained(ours, write(theirs, tmp_path / "theirs.safetensors"))
    mean = theirs.conv1[0].weight.mean(dim=1, keepdim=True)
    torch.testing.assert_close(ours.conv1[0].weight, (mean * 1.5).expand(-1, 2, -1, -1))


def test_positions_are_resized(tmp_path: Path) -> None:
    theirs, ours = (timm.create_model(VIT, img_size=side, num_classes=0) for side in (160, 64))
    report = load_pretrained(ours, write(theirs, tmp_path / "theirs.safetensors"))
    assert report.fitted == {"pos_embed": "resized from 101 to 17 positions"}
    assert torch.equal(ours.pos_embed[:, :1], theirs.pos_embed[:, :1])
    torch.testing.assert_close(ours.pos_embed[:, 1:].mean(), theirs.pos_embed[:, 1:].mean(), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("metadata", "bands", "match"),
    [
        ("B02,B03", ["B02", "B03", "B04"], "name 2 bands"),
        ("B02,B03,B04", ["VV", "VH", "B02"], "not VV, whose wavelength"),
    ],
)
def test_bands_that_cannot_be_placed_are_refused(metadata: str, bands: list[str], match: str, tmp_path: Path) -> None:
    file = write(encoder(3), tmp_path / "theirs.safetensors", bands=metadata)
    with pytest.raises(InputError, match=match):
        load_pretrained(encoder(3), file, bands=bands)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = write(timm.create_model(VIT, num_classes=0), tmp_path / "theirs.safetensors")
    with pytest.raises(InputError, match=r"lack \d+ of the \d+ tensors .* they are of another network"):
        create_model("unet", in_channels=3, num_classes=2, encoder=f"tu-{RESNET}", weights=str(file))
