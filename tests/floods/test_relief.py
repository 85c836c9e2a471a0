"""Layover and shadow of made-up mountains beside exact ray tracing along single lines (SYNTHETIC)."""

import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from pyproj import Transformer

from deepnets4eo.errors import InputError
from deepnets4eo.floods import FloodOptions
from deepnets4eo.floods.relief import CLEAR, LAYOVER, SHADOW, check_radar_view, hide_relief, layover_and_shadow
from deepnets4eo.rasters import Layer

INCIDENCE = 35.0
NORTH_UP = np.array([[1.0, 0.0], [0.0, -1.0]])  # metres to the east and north of a pixel to the right and down


def trace(heights: np.ndarray, size_m: float, incidence_deg: float) -> np.ndarray:
    """Classes of one line seen from its beginning: by the order of slant ranges, and by the highest ray so far."""
    angle, x = np.radians(incidence_deg), np.arange(len(heights)) * size_m
    slant = x * np.sin(angle) - heights * np.cos(angle)
    across = x * np.cos(angle) + heights * np.sin(angle)
    before = np.r_[-np.inf, np.maximum.accumulate(slant)[:-1]]
    after = np.r_[np.minimum.accumulate(slant[::-1])[::-1][1:], np.inf]
    classes = np.where((before > slant) | (after < slant), LAYOVER, CLEAR)
    return np.where(np.r_[-np.inf, np.maximum.accumulate(across)[:-1]] > across, SHADOW, classes)


def mountains(seed: int, side: int = 120) -> np.ndarray:
    rng, at = np.random.default_rng(seed), np.arange(side)
    peaks = rng.uniform(20, 100, (3, 2))
    return sum(
        60 * np.exp(-((at[:, None] - row) ** 2 + (at[None] - col) ** 2) / 50) for row, col in peaks
    ).astype(np.float32)  # fmt: skip


@pytest.mark.parametrize(("look_deg", "turns"), [(90, 0), (180, 1), (270, 2), (0, 3)])
def test_layover_and_shadow_are_those_of_rays_along_rows_and_columns(look_deg: int, turns: int) -> None:
    heights = mountains(look_deg)
    found = np.rot90(layover_and_shadow(heights, 5.0 * NORTH_UP, INCIDENCE, look_deg), turns)
    lines = np.rot90(heights, turns).astype(float)
    traced = np.stack([trace(line, 5.0, INCIDENCE) for line in lines])
    assert {LAYOVER, SHADOW} <= set(np.unique(traced))
    assert (found != traced).mean() < 1e-3  # ties of single precision


def test_a_diagonal_view_hides_the_slopes_before_and_behind_a_peak() -> None:
    at = np.arange(101)
    cone = np.maximum(0, 80 - 2.0 * np.hypot(at[:, None] - 50, at[None] - 50)).astype(np.float32)  # 63°
    found = layover_and_shadow(cone, NORTH_UP, INCIDENCE, 45.0)  # from the south-west
    assert found[60, 40] == LAYOVER  # the side that faces the radar
    assert found[40, 60] == SHADOW
    assert found[10, 10] == CLEAR
    np.testing.assert_array_equal(found, found.T[::-1, ::-1])  # alike on both sides of the view


def test_flat_ground_and_unknown_heights_hide_nothing() -> None:
    assert not layover_and_shadow(np.full((20, 20), 7.0, np.float32), NORTH_UP, 40, 80).any()
    assert not layover_and_shadow(np.full((20, 20), np.nan, np.float32), NORTH_UP, 40, 80).any()


def test_the_finding_has_the_share_of_each_reason(tmp_path) -> None:
    """A quarter of the ground is steep; an eighth has no height, which hides nothing."""
    heights = np.zeros((1, 64, 64), np.float32)
    heights[0, :, 32:48] = 10 * np.arange(16)  # 45°
    heights[0, :, 48:] = 150
    heights[0, :, 56:] = np.nan
    dem = Layer.open(write_geotiff(tmp_path / "dem.tif", heights, gsd=10.0, nodata=np.nan))
    image = Layer.open(np.ones((1, 64, 64), np.float32)).with_grid(dem.grid)
    hidden, finding = hide_relief(image, dem, FloodOptions(steepest_deg=20.0), tmp_path / "scratch")
    steep = float(finding.message.split("% steeper than 20°")[0].split()[-1])
    seen = hidden.read()[1]
    assert steep == pytest.approx(100 * 16.5 / 64, abs=1.6)  # slopes reach a pixel into the flat
    assert steep == pytest.approx(100 * (1 - seen.mean()), abs=0.05) == float(finding.message.split("%")[0])
    assert seen[:, 57:].all()  # water often has no height
    assert "layover" not in finding.message


def test_a_kept_mask_of_slopes_is_of_these_heights_and_limits_and_made_again_if_damaged(tmp_path) -> None:
    slope = np.broadcast_to(3.0 * np.arange(32, dtype=np.float32), (1, 32, 32))  # 17°
    scratch, image = tmp_path / "scratch", np.ones((1, 32, 32), np.float32)

    def seen(heights: np.ndarray, name: str, steepest_deg: float) -> float:
        dem = Layer.open(write_geotiff(tmp_path / name, heights, gsd=10.0))
        layer = Layer.open(image).with_grid(dem.grid)
        return float(hide_relief(layer, dem, FloodOptions(steepest_deg=steepest_deg), scratch)[0].read()[1].mean())

    assert seen(slope, "steep.tif", 10.0) == 0
    for _ in range(2):  # the job goes on with another limit and other heights
        assert seen(slope, "steep.tif", 20.0) == 1
        assert seen(0 * slope, "flat.tif", 10.0) == 1
    for mask in scratch.glob("*.tif"):
        mask.write_bytes(mask.read_bytes()[:200])
    assert seen(slope, "steep.tif", 10.0) == 0


@pytest.mark.parametrize(
    "view", [{"look_deg": 80.0}, {"incidence_deg": 40.0}, {"look_deg": 80.0, "incidence_deg": 40.0}]
)
def test_half_a_view_and_one_without_heights_are_refused(view: dict[str, float]) -> None:
    with pytest.raises(InputError, match="Give all three"):
        check_radar_view(FloodOptions(**view))


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        pytest.param("EPSG:32633", Affine(10, 0, 500_000, 0, 10, 6_600_000), id="south is up"),
        pytest.param("EPSG:32633", Affine(0, 10, 500_000, 10, 0, 6_600_000), id="columns run north"),
        pytest.param("EPSG:3413", Affine(10, 0, 1_500_000, 0, -10, 1_500_000), id="north of the CRS is elsewhere"),
    ],
)
def test_the_radar_looks_along_true_directions_on_any_grid(tmp_path, crs: str, affine: Affine) -> None:
    """A steep cone seen from the east: its eastern side lies over, its western side is in shadow."""
    rows, cols = np.indices((101, 101))
    cone = np.maximum(0, 800 - 20.0 * np.hypot(rows - 50, cols - 50)).astype(np.float32)  # 63°
    dem = Layer.open(write_geotiff(tmp_path / "dem.tif", cone, crs=crs, transform=affine))
    image = Layer.open(np.ones((1, 101, 101), np.float32)).with_grid(dem.grid)
    view = FloodOptions(steepest_deg=90.0, incidence_deg=INCIDENCE, look_deg=270.0)
    hide_relief(image, dem, view, tmp_path / "scratch")
    (mask,) = (tmp_path / "scratch").glob("relief-*.tif")
    classes = Layer.open(mask).read()[0][0]
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(*(affine * (cols + 0.5, rows + 0.5)))
    east = (lon - lon[50, 50]) * np.cos(np.radians(lat)) * 111_320
    near = np.abs(lat - lat[50, 50]) * 111_320 < 30
    assert (classes[near & (east > 100) & (east < 300)] == LAYOVER).mean() > 0.9
    assert (classes[near & (east < -100) & (east > -300)] == SHADOW).mean() > 0.9
