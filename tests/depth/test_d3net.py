"""D3-Net has the published number of weights, and takes what fits of a DenseNet."""

import logging
from pathlib import Path

import pytest
import torch
from refusals import raises_naming
from safetensors.torch import save_file
from torch.nn.functional import avg_pool2d
from torchvision.models import DenseNet

from deepnets4eo.depth import D3Net
from deepnets4eo.errors import InputError

SMALL = {"blocks": (1, 1, 1, 1), "growth": 8}


@pytest.mark.parametrize(
    ("channels", "tasks", "count"), [(1, (), 24_212_544), (22, (1, 21), 24_692_224), (8, (1, 7), 24_684_160)]
)
def test_the_weights_are_as_many_as_published(channels: int, tasks: tuple[int, ...], count: int) -> None:
    with torch.device("meta"):
        network = D3Net(3, channels, tasks=tasks)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert sum(parameter.numel() for parameter in network.encoder.parameters()) == 7_011_840


def test_what_fits_of_a_densenet_is_loaded_and_the_rest_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(1)
    state = DenseNet(growth_rate=8, block_config=(1, 1, 1, 1)).state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for name, value in state.items()}
    for names in (state, old):
        save_file({name: value.contiguous() for name, value in names.items()}, tmp_path / "dense.safetensors")
        with caplog.at_level(logging.INFO):
            network = D3Net(4, 1, **SMALL, weights=str(tmp_path / "dense.safetensors"))
        own = network.encoder.features.state_dict()
        assert all(torch.equal(own[name], state[f"features.{name}"]) for name in own)
        assert "conv0.weight" in caplog.text
    with pytest.raises(InputError, match="no weights that fit"):
        D3Net(3, 1, blocks=(2, 1, 1, 1), growth=4, weights=_other(tmp_path))


def _other(folder: Path) -> str:
    save_file({"features.conv0.weight": torch.zeros(3, 3, 7, 7)}, folder / "other.safetensors")
    return str(folder / "other.safetensors")


def test_tasks_and_dropout_that_cannot_be_are_refused() -> None:
    with raises_naming(InputError, "tasks", "3 channels", "but 4"):
        D3Net(3, 4, tasks=[2, 1], **SMALL)
    with pytest.raises(InputError, match="no share"):
        D3Net(3, 1, dropout=1.0, **SMALL)


def test_each_level_of_the_encoder_goes_on_from_the_pooled_transition_before():
    torch.manual_seed(0)
    encoder, image = D3Net(3, 1, **SMALL).encoder.eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps = list(encoder(image))
        current = encoder.second(encoder.first(image))
        for level in (1, 2, 3):
            current = getattr(encoder.features, f"denseblock{level}")(current)
            part = getattr(encoder.features, f"transition{level}")
            current = part.conv(torch.relu(part.norm(current)))
            torch.testing.assert_close(maps[level], current)
            current = avg_pool2d(current, 2)
    assert [(one.shape[1], one.shape[2]) for one in maps] == list(zip(encoder.channels, (32, 16, 8, 4, 2), strict=True))


def test_the_tasks_are_channels_of_the_whole_image():
    torch.manual_seed(0)
    network, image = D3Net(3, 3, tasks=(1, 2), **SMALL).eval(), torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        out = network(image)
        stem, first, second, third, maps = network.encoder(image)
        maps = network.decoder[1](torch.cat([network.decoder[0](maps), third], dim=1))
        maps = network.decoder[2](torch.cat([maps, second], dim=1))
        alone = [tail(maps, first, stem) for tail in network.tails]
    assert [one.shape[1] for one in alone] == [1, 2]
    torch.testing.assert_close(out, torch.cat(alone, dim=1))
    assert out.shape == (2, 3, 64, 96)
