"""Images that only ground control points place: too few are refused, and contradicting ones named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer

CORNERS = ((0, 0), (0, 64), (64, 0), (64, 64))
GRID = tuple((row, col) for row in range(0, 65, 16) for col in range(0, 65, 16))


def _write(path: Path, points: tuple[tuple[int, int], ...], *, wrong_m: float = 0.0, bend_m: float = 0.0) -> Path:
    """Pixels of 2 m. wrong_m : how far the first point is off; bend_m : by which the image is bent."""
    placed = [
        GroundControlPoint(
            row, col, 500_000 + 2 * col + (0 if number else wrong_m) + bend_m * (col / 64) ** 2, 5_000_000 - 2 * row
        )
        for number, (row, col) in enumerate(points)
    ]
    with rasterio.open(path, "w", driver="GTiff", count=1, height=64, width=64, dtype="uint8") as file:
        file.write(np.arange(4096, dtype=np.uint8).reshape(1, 64, 64))
        file.gcps = placed, rasterio.crs.CRS.from_epsg(32631)
    return path


@pytest.mark.parametrize("number", [1, 2])
def test_one_or_two_points_place_nothing(tmp_path: Path, number: int) -> None:
    with raises_naming(InputError, "a.tif", f"{number} ground control point", "at least 3", "gdal_translate"):
        Layer.open(_write(tmp_path / "a.tif", CORNERS[:number]))
    assert Layer.open(_write(tmp_path / "b.tif", CORNERS[:3])).grid.crs is not None


def test_points_at_one_place_are_refused(tmp_path: Path) -> None:
    with raises_naming(InputError, "a.tif", "all at one place"):
        Layer.open(_write(tmp_path / "a.tif", ((5, 5),) * 4))


@pytest.mark.parametrize(
    ("points", "how", "named"),
    [
        (CORNERS, {}, False), (CORNERS, {"wrong_m": 36.0}, False), (CORNERS, {"wrong_m": 50.0}, True), (GRID, {"bend_m": 60.0}, False),
        (CORNERS + ((0, 32),), {"bend_m": 120.0}, True),
    ],
)  # fmt: skip
def test_points_that_contradict_each_other_are_named_once(
    tmp_path: Path,
    points: tuple[tuple[int, int], ...],
    how: dict[str, float],
    named: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of four corners, of which one is wrong, each takes a quarter; from ten points on, GDAL bends the image."""
    layer = Layer.open(_write(tmp_path / "a.tif", points, **how))
    layer.read()
    assert sum("contradict each other" in text for text in caplog.messages) == int(named)
