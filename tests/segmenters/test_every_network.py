"""What every network of the toolbox does alike; one without an entry in `small_networks` fails here."""

import copy
import functools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from gradients import without_gradient
from small_networks import NETWORKS
from torch import Tensor, nn

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, create_model, list_models, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

ODD = ((45, 37), (1, 7))
SMALLEST_BATCH = {"osmnet", "patch-alexnet", "segnet", "fusenet", "v-fusenet", "dual-stream", "residual-correction"}


def build(name: str, bands: int) -> nn.Module:
    """A network of its own for each test, as it was initialised once."""
    return copy.deepcopy(initialised(name, bands))


@functools.lru_cache(maxsize=1)  # tests are sorted by network, and those of the same bands follow each other
def initialised(name: str, bands: int) -> nn.Module:
    torch.manual_seed(0)
    network = create_model(
        name, in_channels=bands, num_classes=NETWORKS[name].num_classes, **NETWORKS[name].arguments(bands)
    )
    for key, parameter in network.named_parameters():
        starts_at_zero = not parameter.any() and (parameter.ndim > 1 or key.endswith("weight"))
        if starts_at_zero:  # such layers hide those before them
            nn.init.normal_(parameter, std=0.1)
    return network


def outputs_of(network: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """Logits, and in training those of further scales."""
    output = network(image)
    return output if isinstance(output, tuple) else (output,)


@pytest.fixture(params=NETWORKS, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_network_that_is_listed_has_an_entry() -> None:
    assert sorted(list_models()) == sorted(NETWORKS)


@pytest.mark.parametrize("which", [0, 2])
def test_every_parameter_gets_a_gradient_for_the_fewest_bands_and_for_many(name: str, which: int) -> None:
    small = NETWORKS[name]
    bands, side = small.bands[which], small.side_px
    network = build(name, bands).train()
    outputs = outputs_of(network, torch.randn(2, bands, side, side))
    assert all(logits.shape == (2, small.num_classes, side, side) for logits in outputs)
    torch.stack([logits.square().mean() for logits in outputs]).sum().backward()
    assert [one for one in without_gradient(network) if not re.fullmatch(small.unused, one)] == []


def test_any_size_is_predicted_and_a_run_returns_the_same_bits(name: str, tmp_path: Path) -> None:
    small = NETWORKS[name]
    bands, side = small.bands[1], small.side_px
    layer = LayerInput(tuple(f"band_{n}" for n in range(bands)), (0.0,) * bands, (1.0,) * bands, 0, 255)
    spec = {"name": name, **small.arguments(bands)}
    legend = Legend("few", tuple(LegendClass(v, f"class {v}", (v, v, 1)) for v in range(small.num_classes)))
    segmenter = NetworkSegmenter(
        spec, InputSpec({"image": layer}), legend, tiling=Tiling(side, side // 8), module=build(name, bands)
    )
    loaded = load_run(save_run(segmenter, tmp_path / "run")).segmenter
    rng = np.random.default_rng(0)
    sizes = [(side, side)] if small.fixed_size else [(side - 1 - side // 7, side - 1 - side // 5), (side + 32, side)]
    for size in sizes:
        image = rng.normal(size=(1, bands, *size)).astype(np.float32)
        scores = segmenter.predict_raw(image)
        assert scores.shape == (1, small.num_classes, *size)
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(loaded.predict_raw(image), scores)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "hyperspectral/behind-spectra"], scope="module")
def test_a_network_on_another_device_leaves_nothing_behind_and_reads_no_value(name: str) -> None:
    """As on a GPU, which here is a device without values; the network left out switches autocast, which it lacks."""
    small = NETWORKS[name]
    network = build(name, small.bands[1]).to("meta")
    image = torch.empty(2, small.bands[1], small.side_px, small.side_px, device="meta")
    with torch.no_grad():
        outputs = [*outputs_of(network.train(), image), *outputs_of(network.eval(), image)]
    assert {logits.device.type for logits in outputs} == {"meta"}


@pytest.mark.parametrize("size", ODD)
@pytest.mark.parametrize("name", [name for name, small in NETWORKS.items() if small.pads], scope="module")
def test_networks_of_the_toolbox_pad_any_size_themselves(name: str, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        assert build(name, 4).eval()(torch.zeros(2, 4, *size)).shape == (2, NETWORKS[name].num_classes, *size)


def test_one_image_is_learned_from_or_refused_in_plain_words_and_always_predicted(name: str) -> None:
    small = NETWORKS[name]
    side = small.side_px if small.side_px != 64 else 32  # which may leave a single value to normalise
    network = build(name, small.bands[1]).train()
    image = torch.randn(1, small.bands[1], side, side)
    try:
        assert all(logits.isfinite().all() for logits in outputs_of(network, image))
    except ValueError as error:  # the training loop says what to do
        assert name not in SMALLEST_BATCH
        assert "more than 1 value per channel" in str(error)  # noqa: PT017
    with torch.inference_mode():
        scores = network.eval()(image)
    assert scores.shape == (1, small.num_classes, side, side)
    assert scores.isfinite().all()
