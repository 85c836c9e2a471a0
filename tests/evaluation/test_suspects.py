"""Labels that are probably wrong: as cleanlab finds them, and as regions of a raster."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import find_wrong_labels, rank_wrong_labels
from deepnets4eo.rasters import Layer

GRID = GeoBox((60, 80), Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000), "EPSG:32636")
CHANGE = 1


@pytest.fixture(scope="module")
def guesses() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (600, 4) of an unsure classifier, and labels of which a fifth is wrong."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 600)
    scores = rng.normal(0, 1, (600, 4)) + 2.5 * np.eye(4)[truth]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return probabilities, np.where(rng.random(600) < 0.2, rng.integers(0, 4, 600), truth)


def test_the_same_labels_are_suspected_as_by_cleanlab(guesses: tuple[np.ndarray, np.ndarray]) -> None:
    count = pytest.importorskip("cleanlab.count")
    probabilities, labels = guesses
    joint, indices = count.compute_confident_joint(
        labels, probabilities, calibrate=False, return_indices_of_off_diagonals=True
    )
    found = rank_wrong_labels(probabilities, labels)
    assert sorted(found.order.tolist()) == sorted(indices)
    np.testing.assert_array_equal(found.counts, joint)


def test_the_surest_comes_first_and_void_is_left_out(guesses: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = guesses
    void = labels.copy()
    void[::2] = 255
    found = rank_wrong_labels(probabilities, void)
    assert len(found.order) > 15
    assert (found.order % 2 == 1).all()
    assert (np.diff(found.margin) <= 0).all()
    own, other = (probabilities[found.order, index] for index in (labels[found.order], found.suggested))
    np.testing.assert_allclose(found.margin, np.maximum(other - own, 1e-9))


@pytest.mark.parametrize("scale", [3.0, np.nan])
def test_scores_are_refused(guesses: tuple[np.ndarray, np.ndarray], scale: float) -> None:
    with raises_naming(InputError, "between 0", "and 1"):
        rank_wrong_labels(guesses[0] * scale, guesses[1])
    with pytest.raises(InputError, match="expected"):
        rank_wrong_labels(guesses[0], guesses[1][:5])


@pytest.fixture(scope="module")
def rasters() -> tuple[Layer, Layer]:
    """A network that sees two buildings; one of them and a single pixel of ground are labelled wrongly."""
    building = np.zeros(GRID.shape, bool)
    building[5:15, 5:25] = building[30:50, 40:60] = True
    packed = np.where(building, [[[30]], [[224]]], [[[240]], [[14]]]).astype(np.uint8)
    labels = building.astype(np.uint8)
    labels[30:50, 40:60] = 0
    labels[0, 0] = 1
    labels[20:22] = 255
    return Layer.open(packed, grid=GRID), Layer.open(labels, grid=GRID)


def test_regions_are_ranked_with_what_they_probably_are(rasters: tuple[Layer, Layer]) -> None:
    shares: list[float] = []
    table = find_wrong_labels(*rasters, Legend.load("change"), progress=shares.append)
    (region,) = table.to_dict("records")
    names = Legend.load("change").names
    assert (region["rank"], region["labelled"], region["suggested"], region["area_m2"]) == (
        1,
        names[0],
        names[CHANGE],
        100.0,
    )
    assert region["margin"] == pytest.approx((224 - 30) / 254, abs=0.005)
    assert region["geometry"].bounds == (500_020, 3_999_975, 500_030, 3_999_985)
    assert table.crs == GRID.crs
    shown = (GRID.shape[0] - 2) * GRID.shape[1]
    ground = shown - 200 - 1
    assert table.attrs["shares"] == pytest.approx({names[0]: 400 / ground, names[1]: 1 / 201})
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_small_regions_are_shown_where_they_are_wanted(rasters: tuple[Layer, Layer]) -> None:
    assert len(find_wrong_labels(*rasters, Legend.load("change"), least_px=1)) == 2


def test_classes_are_those_that_the_bands_are_called_and_others_are_left_out(
    rasters: tuple[Layer, Layer], tmp_path: Path
) -> None:
    packed = rasters[0].read()[0]
    path = write_geotiff(tmp_path / "p.tif", packed[::-1].copy(), crs=GRID.crs, transform=GRID.affine)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("change", "no change")
    labels = rasters[1].read()[0][0].copy()
    labels[55:] = 2
    three = replace(Legend.load("change"), classes=(*Legend.load("change").classes, LegendClass(2, "cloud", (9, 9, 9))))
    table = find_wrong_labels(path, Layer.open(labels, grid=GRID), labels_legend=three)
    assert table[["labelled", "suggested"]].to_numpy().tolist() == [["no change", "change"]]


def test_rasters_that_are_no_probabilities_are_refused(rasters: tuple[Layer, Layer]) -> None:
    with raises_naming(InputError, "2", "uint8", "6"):
        find_wrong_labels(*rasters, Legend.load("isprs"))
    with pytest.raises(InputError, match="no legend"):
        find_wrong_labels(*rasters)
