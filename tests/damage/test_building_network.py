"""The network for buildings looks within outlines: the mean of its logits there, on images that it takes."""

from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from affine import Affine

from deepnets4eo.damage.network import find_buildings
from deepnets4eo.damage.network.find_buildings import WORKING_GSD_M, BuildingNetwork
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.tiling import Tiling

SIDE = 120


def bright_is_built() -> BuildingNetwork:
    """A network whose logit of a building is the red value over 50, less 2; none of a border."""
    names = ["background", "building", "border"]

    def predict_raw(bands: np.ndarray, margin_px: int) -> np.ndarray:
        inner = bands[:, :1, margin_px : bands.shape[2] - margin_px, margin_px : bands.shape[3] - margin_px]
        return np.concatenate([np.zeros_like(inner), inner / 50 - 2, np.full_like(inner, -50)], axis=1)

    legend = SimpleNamespace(names=names, num_classes=3)
    inputs = InputSpec({"image": LayerInput(("red", "green", "blue"), (0.0,) * 3, (1.0,) * 3, 0, 255)})
    segmenter = SimpleNamespace(legend=legend, predict_raw=predict_raw)
    return BuildingNetwork(SimpleNamespace(inputs=inputs, legend=legend, segmenter=segmenter, tiling=Tiling(64, 8)))


def image(gsd_m: float = WORKING_GSD_M, level: int = 40) -> Layer:
    """Dark ground with one bright half."""
    values = np.full((3, SIDE, SIDE), level, np.uint8)
    values[:, :, SIDE // 2 :] = 200
    return Layer.open(values, grid=Grid((SIDE, SIDE), Affine(gsd_m, 0, 500_000, 0, -gsd_m, 4_000_000), "EPSG:32615"))


@pytest.mark.parametrize("gsd_m", [WORKING_GSD_M, 0.35, 1.4])
def test_log_odds_are_those_of_the_mean_logit_within_an_outline(gsd_m: float) -> None:
    dark, bright = shapely.box(8, 10, 30, 28), shapely.box(80, 62, 108, 90)
    half, beside = shapely.box(50, 40, 70, 60), shapely.box(500, 500, 520, 520)
    outlines = np.array([dark, bright, half, beside], object)
    found = bright_is_built().log_odds(image(gsd_m), outlines)
    assert found is not None
    np.testing.assert_allclose(found[:3], [40 / 50 - 2, 200 / 50 - 2, 120 / 50 - 2], atol=0.15)
    assert np.isnan(found[3])


def test_images_that_the_network_does_not_take_are_not_looked_at() -> None:
    outlines = np.array([shapely.box(8, 10, 30, 28)], object)
    network = bright_is_built()
    assert network.log_odds(image(1.6), outlines) is None
    dark = image(level=2)
    assert network.log_odds(Layer.open(dark.read()[0] // 20, grid=dark.grid), outlines) is None
    assert network.log_odds(dark.subset(dark.bands[:1]), outlines) is None


def test_a_copy_without_the_weights_has_no_such_network(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_buildings.ShippedModel, "folder", tmp_path)
    assert BuildingNetwork.in_box() is None
