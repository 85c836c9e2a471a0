"""Weights for the encoder: paired by name and kind, whatever the order of the file; fitted to the bands; else refused."""

import numpy as np
import pytest
import torch
from refusals import raises_naming
from safetensors.torch import save_file
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import SegNet, SegNetEncoder, load_encoder
from deepnets4eo.segmenters import create_model, fit_bands
from deepnets4eo.segmenters.downloads import allow_downloads

WIDTH = 4


def vgg_layers(width=WIDTH, in_channels=3):
    """`features` of VGG-16-BN, narrower, as torchvision numbers them: a pooling after each stage."""
    layers, before = [], in_channels
    for stage in ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8)):
        for relative in stage:
            layers += [nn.Conv2d(before, relative * width, 3, padding=1), nn.BatchNorm2d(relative * width), nn.ReLU()]
            before = relative * width
        layers.append(nn.MaxPool2d(2))
    network = nn.Sequential(*layers)
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight.data, layer.bias.data, layer.running_mean):
                nn.init.normal_(values)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval()


@pytest.fixture
def vgg():
    torch.manual_seed(0)
    return vgg_layers()


def written(path, network, drop=(), prefix="features."):
    """A file as older versions wrote it, its entries in no useful order."""
    state = {f"{prefix}{name}": value for name, value in network.state_dict().items() if not name.endswith(drop)}
    state["classifier.0.weight"] = torch.zeros(3, 3)
    save_file(dict(sorted(state.items(), key=lambda item: item[0][::-1])), path)
    return path


@pytest.mark.parametrize("drop", [(), ("num_batches_tracked",)])
@pytest.mark.parametrize("prefix", ["features.", "encoder.features."])
def test_the_encoder_computes_what_vgg_does(vgg, tmp_path, drop, prefix):
    encoder = SegNetEncoder(3, width=WIDTH)
    load_encoder(encoder, written(tmp_path / "vgg.safetensors", vgg, drop, prefix))
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(encoder.eval()(image)[0], vgg(image))


def test_an_encoder_of_another_run_is_taken_whole(tmp_path):
    torch.manual_seed(0)
    other = SegNet(4, 6, width=WIDTH)
    path = tmp_path / "weights.safetensors"
    save_file(other.state_dict(), path)
    network = create_model("segnet", in_channels=4, num_classes=3, width=WIDTH, weights=str(path))
    mine = network.encoder.state_dict()
    assert all(torch.equal(value, mine[name]) for name, value in other.encoder.state_dict().items())


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4, 13])
def test_the_first_layer_fits_any_number_of_bands(vgg, tmp_path, in_channels):
    encoder = SegNetEncoder(in_channels, width=WIDTH)
    load_encoder(encoder, written(tmp_path / "vgg.safetensors", vgg))
    weight, original = encoder.stages[0][0].weight.detach().numpy(), vgg[0].weight.detach().numpy()
    grey = np.full((WIDTH, in_channels, 3, 3), 1.0) * weight  # an image whose bands are all alike
    np.testing.assert_allclose(grey.sum(axis=1), original.sum(axis=1), rtol=1e-4, atol=1e-5)
    if in_channels >= 3:
        np.testing.assert_allclose(weight[:, :3], original * 3 / in_channels, rtol=1e-6)


def test_bands_beyond_the_first_get_the_mean():
    weight = torch.arange(6.0).reshape(2, 3, 1, 1)
    assert fit_bands(weight, 3) is weight
    assert fit_bands(weight, 6)[0].flatten().tolist() == [0.0, 0.5, 1.0, 0.5, 0.5, 0.5]
    assert fit_bands(weight, 1).flatten().tolist() == [3.0, 12.0]


def test_imagenet_is_downloaded_only_when_asked_for(vgg, tmp_path, monkeypatch):
    asked = []

    def download(repository, file):
        asked.append((repository, file))
        return str(written(tmp_path / "vgg.safetensors", vgg))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    SegNet(3, 2, width=WIDTH)
    assert asked == []
    with pytest.raises(InputError, match="online=True"):
        SegNet(3, 2, width=WIDTH, weights="imagenet")
    assert asked == []
    with allow_downloads():
        network = SegNet(3, 2, width=WIDTH, weights="imagenet")
    assert asked == [("timm/vgg16_bn.tv_in1k", "model.safetensors")]
    assert torch.equal(network.encoder.stages[0][0].weight, vgg[0].weight)


def test_a_download_that_fails_says_what_to_do(monkeypatch):
    def download(repository, file):
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with allow_downloads(), pytest.raises(InputError, match=r"could not be fetched .*no route.* Go online once"):
        SegNet(3, 2, width=WIDTH, weights="imagenet")


def test_what_is_no_vgg_is_refused(vgg, tmp_path):
    plain = nn.Sequential(*[layer for layer in vgg if not isinstance(layer, nn.BatchNorm2d)])
    shorter = vgg[:-7]
    cases = {
        "plain": (plain, r"13 convolutions named features\.N, 0 of them with normalisation"),
        "shorter": (shorter, "11 convolutions"),
        "wider": (vgg_layers(5), r"stages\.0\.0\.weight is \(5, 3, 3, 3\), the encoder has \(4, 3, 3, 3\)"),
    }
    for name, (network, message) in cases.items():
        with pytest.raises(InputError, match=message):
            load_encoder(SegNetEncoder(3, width=WIDTH), written(tmp_path / f"{name}.safetensors", network))


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    for path in (tmp_path / "absent.safetensors", tmp_path / "text.safetensors"):
        if path.stem == "text":
            path.write_text("weights")
        with pytest.raises(InputError, match="cannot be read"):
            load_encoder(SegNetEncoder(3, width=WIDTH), path)


def test_vggs_weights_are_loaded_where_normalisation_comes_last_too(vgg, tmp_path):
    encoder = SegNetEncoder(3, width=WIDTH, order="conv-relu-bn")
    load_encoder(encoder, written(tmp_path / "vgg.safetensors", vgg))
    assert torch.equal(encoder.stages[0][0].weight, vgg[0].weight)
    assert torch.equal(encoder.stages[0][2].running_var, vgg[1].running_var)
    assert torch.equal(encoder.stages[0][5].bias, vgg[4].bias)


def test_a_run_of_several_encoders_is_refused(tmp_path):
    state = SegNetEncoder(3, width=4).state_dict()
    both = {f"members.{k}.encoder.{name}": value.clone() for k in (0, 1) for name, value in state.items()}
    save_file(both, tmp_path / "w.safetensors")
    with raises_naming(InputError, "members.0.encoder", "members.1.encoder"):
        load_encoder(SegNetEncoder(3, width=4), tmp_path / "w.safetensors")
