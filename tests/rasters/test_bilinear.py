"""Large bilinear views by an affine: the values and the validity of GDAL's warper."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import Pixels
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer, bilinear

SHAPE = (300, 420)
pytest.importorskip("numba", reason="without numba GDAL reads such views itself")
GRID = GeoBox(SHAPE, Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000), "EPSG:32633")
MOTIONS = {
    "similarity": Affine.translation(5.3, -2.7) * Affine.rotation(0.2) * Affine.scale(1.0001),
    "half a pixel": Affine.translation(0.5, 0.25),
    "whole pixels": Affine.translation(-4, 7),
    "finer": Affine.translation(-20, -20) * Affine.scale(0.6),
    "mostly beside": Affine.translation(300.3, 200.2),
    "all beside": Affine.translation(5000, 0),
    "turned over": Affine.translation(0, SHAPE[0]) * Affine.scale(1, -1),
}


def read_both(
    monkeypatch: pytest.MonkeyPatch, image: np.ndarray, motion: Affine, nodata: float | None, own: GeoBox = GRID
) -> tuple[Pixels, Pixels]:
    """What the compiled function and GDAL read."""
    grid = GeoBox(own.shape, own.affine * motion, own.crs)
    read = []
    for largest in (1, 10**12):
        monkeypatch.setattr(bilinear, "LARGE_PX", largest)
        layer = Layer.open(image, grid=own, nodata=nodata).on(grid)
        parts = [layer.read(Window(row, 0, 100, own.shape[1]).clip(layer.shape)) for row in range(0, own.shape[0], 100)]
        read.append(tuple(np.concatenate(each, axis=-2) for each in zip(*parts, strict=True)))
    return read[0], read[1]


@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_values_and_validity_are_those_of_gdal(monkeypatch: pytest.MonkeyPatch, motion: Affine, dtype: str) -> None:
    image = np.random.default_rng(0).integers(1, 250, (3, *SHAPE)).astype(dtype)
    if dtype == "float32":
        image /= np.float32(7)
    ours, theirs = read_both(monkeypatch, image, motion, None)
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("error", [OSError("no room"), RuntimeError("cannot cache function: no locator available")])
def test_no_folder_for_compiled_code_is_needed(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def compiled(*, keep: bool) -> object:
        if keep:
            raise error
        return lambda *_: True

    monkeypatch.setattr(bilinear, "_compiled", compiled)
    assert bilinear._fill()


@pytest.mark.parametrize("nodata", [0, 255])
@pytest.mark.parametrize("shape", [(300, 420), (257, 513)])  # the last blocks of GDAL's view have 1 row and 1 column
def test_beyond_the_raster_and_in_its_last_blocks(
    monkeypatch: pytest.MonkeyPatch, nodata: float, shape: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(1, 250, (3, *shape)).astype(np.uint8)
    motion = Affine.translation(4, 3) * Affine.rotation(0.5)
    ours, theirs = read_both(monkeypatch, image, motion, nodata, GeoBox(shape, GRID.affine, GRID.crs))
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_array_equal(ours[0], theirs[0])


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_whether_a_centre_on_the_edge_is_seen_is_as_gdal_says(monkeypatch: pytest.MonkeyPatch, shift: float) -> None:
    """Of the values those halfway between two whole numbers may differ by one."""
    image = np.random.default_rng(0).integers(1, 250, (1, *SHAPE)).astype(np.uint8)
    thirds = GeoBox(SHAPE, Affine(1 / 3, 0, 500_000, 0, -1 / 3, 4_000_000), GRID.crs)
    ours, theirs = read_both(monkeypatch, image, Affine.translation(shift, shift), None, thirds)
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_allclose(ours[0], theirs[0], atol=1)


def test_without_a_crs_pixels_are_those_of_gdal(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(1, 250, (1, *SHAPE)).astype(np.uint8)
    plain = GeoBox(SHAPE, Affine(0.5, 0, 10, 0, 0.5, 20), None)
    ours, theirs = read_both(monkeypatch, image, MOTIONS["similarity"], None, plain)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.parametrize("gap", ["of all bands", "of one band"])
def test_gaps_are_left_to_gdal(monkeypatch: pytest.MonkeyPatch, gap: str) -> None:
    image = np.random.default_rng(0).integers(1, 250, (3, *SHAPE)).astype(np.uint8)
    image[:: 1 if gap == "of all bands" else 3, 120:140, 200:260] = 0
    ours, theirs = read_both(monkeypatch, image, MOTIONS["similarity"], 0)
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_array_equal(ours[0], theirs[0])


@pytest.mark.parametrize(
    ("grid", "resampling"),
    [
        (GeoBox(SHAPE, GRID.affine * Affine.rotation(2), GRID.crs), "bilinear"),
        (GeoBox(SHAPE, GRID.affine * Affine.scale(1.2), GRID.crs), "bilinear"),
        (GeoBox(SHAPE, GRID.affine, "EPSG:32634"), "bilinear"),
        (GeoBox(SHAPE, GRID.affine * Affine.translation(0.5, 0), GRID.crs), "cubic"),
        (GeoBox(SHAPE, GRID.affine * Affine.translation(0.5, 0), GRID.crs), ""),
    ],
    ids=["turned", "coarser", "another CRS", "cubic", "without numba"],
)
def test_what_gdal_does_in_another_way_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, grid: GeoBox, resampling: str
) -> None:
    """Of the first two GDAL would take more than four pixels."""
    monkeypatch.setattr(bilinear, "LARGE_PX", 1)
    monkeypatch.setattr(bilinear, "_fill", lambda *_: pytest.fail("was called"))
    if not resampling:
        monkeypatch.setattr(bilinear, "_njit", lambda: None)
    Layer.open(np.ones((1, *SHAPE), np.uint8), grid=GRID).on(grid, resampling or "bilinear").read(Window(0, 0, 50, 50))
