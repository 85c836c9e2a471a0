"""Passes with dropout: the numbers of whole passes, at the price of the part behind the first dropout."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from refusals import raises_naming
from torch import nn

from deepnets4eo.cards import Legend, Quantity
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import evaluate_values
from deepnets4eo.evaluation.value_tables import sparsification_figure, text_table
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import Ensemble, InputSpec, NetworkSegmenter, create_model, load_run
from deepnets4eo.segmenters.dropout import DropoutPasses, DropoutSegmenter, _PassSums
from deepnets4eo.segmenters.run import save_run


class Small(nn.Module):
    """A skip past the dropout, a layer used on both sides of it, and layers that work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.shared = nn.Conv2d(8, 8, 1)
        self.calls = 0
        self.encoder.register_forward_hook(self._count)
        self.decoder = nn.Sequential(
            nn.Dropout2d(0.5, inplace=True), nn.Conv2d(8, 8, 1), nn.Dropout(0.3), nn.ReLU(inplace=True)
        )
        self.output = nn.Conv2d(16, 4, 1)

    def _count(self, *_: object) -> None:
        self.calls += 1

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.encoder(image)
        inner = self.shared(self.decoder(self.shared(features)))
        output = self.output(torch.cat([features, inner], dim=1))
        return torch.cat([output[:, :3], output[:, 3:].exp()], dim=1)  # two classes, a value, its deviation


@pytest.fixture(scope="module")
def network() -> Small:
    torch.manual_seed(0)
    return Small().eval()


IMAGE = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def whole_passes(passes: DropoutPasses, image: torch.Tensor) -> torch.Tensor:
    """What the passes return, computed each time from the beginning."""
    total = _PassSums(passes._outputs(image, 0), passes.num_classes)
    for number in range(1, passes.passes):
        total.add(passes._outputs(image, number))
    return total.result(passes.passes)


@torch.inference_mode()
def test_the_numbers_are_those_of_whole_passes(network):
    passes = DropoutPasses(network, passes=5, num_classes=2)
    before = network(IMAGE)
    expected = whole_passes(passes, IMAGE)
    network.calls = 0
    result = passes(IMAGE)
    assert torch.equal(result, expected)
    assert network.calls == 5, "hooks see the remembered encoder"
    assert torch.equal(network(IMAGE), before), "the network itself is as it was"


@torch.inference_mode()
def test_mean_and_deviation_are_those_of_the_single_passes(network):
    passes = DropoutPasses(network, passes=6, num_classes=2)
    singles = torch.stack([passes._outputs(IMAGE, number) for number in range(6)])
    result = passes(IMAGE)
    np.testing.assert_allclose(result[:, :2].exp(), singles[:, :, :2].softmax(dim=2).mean(dim=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result[:, 2], singles[:, :, 2].mean(dim=0), rtol=1e-4, atol=1e-6)
    expected = singles[:, :, 2].var(dim=0) + singles[:, :, 3].square().mean(dim=0)
    np.testing.assert_allclose(result[:, 3], expected.sqrt(), rtol=1e-4, atol=1e-6)
    assert singles[:, :, 2].var(dim=0).min() > 0


@torch.inference_mode()
def test_a_tile_has_the_same_result_in_any_batch(network):
    passes = DropoutPasses(network, passes=3, num_classes=4)
    np.testing.assert_allclose(passes(IMAGE)[1:], passes(IMAGE[1:]), rtol=1e-4, atol=1e-6)


@torch.inference_mode()
def test_a_registered_network_keeps_its_numbers():
    torch.manual_seed(0)
    network = create_model("fc-ef", in_channels=6, num_classes=3).eval()
    passes = DropoutPasses(network, passes=3, num_classes=3)
    image = torch.rand(1, 6, 32, 32)
    assert torch.equal(passes(image), whole_passes(passes, image))


def test_networks_without_dropout_are_refused(network):
    with raises_naming(InputError, "Conv2d"):
        DropoutPasses(nn.Conv2d(3, 2, 1), passes=3)
    with raises_naming(InputError, "dropout_passes", "least 2"):
        DropoutPasses(network, passes=1)


SIDE_PX = 96
LEGEND = Legend("height", (), quantity=Quantity.from_name("height"))
QUICK = {"device": "cpu", "threads": 1, "tile_px": 64, "halo_px": 16}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.open(image=np.random.default_rng(0).normal(0, 1, (4, SIDE_PX, SIDE_PX)).astype(np.float32))


@pytest.fixture(scope="module")
def segmenter(scene) -> NetworkSegmenter:
    torch.manual_seed(0)
    inputs = InputSpec.measure([scene], ["image"])
    return NetworkSegmenter({"name": "fc-ef", "head": "units", "head_options": {"scale": 3.0}}, inputs, LEGEND)


def estimate(segmenter, scene, out: Path, **options: Any) -> np.ndarray:
    predict(segmenter, scene, out, PredictOptions(**QUICK, **options))
    with rasterio.open(out) as raster:
        assert raster.descriptions == ("height", "standard deviation")
        return raster.read()


def test_values_and_deviations_do_not_depend_on_the_cut_and_are_those_of_the_saved_run(segmenter, scene, tmp_path):
    sampled = DropoutSegmenter(segmenter, passes=3)
    values = estimate(sampled, scene, tmp_path / "once.tif")
    assert values[1].min() > 0
    np.testing.assert_array_equal(estimate(sampled, scene, tmp_path / "cut.tif", block_px=32, strip_px=32), values)
    save_run(sampled, tmp_path / "run")
    saved = load_run(tmp_path / "run").segmenter
    np.testing.assert_array_equal(estimate(saved, scene, tmp_path / "saved.tif"), values)
    double = estimate(DropoutSegmenter(segmenter, passes=3, factor=2), scene, tmp_path / "double.tif")
    np.testing.assert_allclose(double, values * np.array([1, 2])[:, None, None], rtol=1e-6)


def test_deviations_of_a_prediction_are_scored_and_drawn(segmenter, scene, tmp_path):
    values = estimate(DropoutSegmenter(segmenter, passes=3), scene, tmp_path / "out.tif")
    truth = values[0] + np.random.default_rng(1).normal(0, values[1]).astype(np.float32)
    report = evaluate_values([(tmp_path / "out.tif", truth)], Quantity.from_name("height"))
    assert report["deviations"]["coverage_90"] == pytest.approx(0.9, abs=0.02)
    assert "the intervals of 50 and 90 % hold" in text_table(report)
    assert sparsification_figure(report, tmp_path / "curve.png").stat().st_size > 1000
    without = evaluate_values([(values[0], truth)], Quantity.from_name("height"))
    with pytest.raises(InputError, match="the prediction has none"):
        sparsification_figure(without, tmp_path / "none.png")


def test_what_cannot_be_sampled_is_refused(segmenter, scene):
    with pytest.raises(InputError, match="a run that estimates them"):
        DropoutSegmenter(segmenter, factor=2)
    with raises_naming(InputError, "'ensemble'"):
        DropoutSegmenter(Ensemble([segmenter]), passes=3)
