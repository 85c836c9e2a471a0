"""Measures at their limits: equal images, complex images, areas, quarters of tiles, centres of tiles across 180°, CRS records."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS

from deepnets4eo.damage.products.exchange_formats import _centre
from deepnets4eo.damage.site.site import Site
from deepnets4eo.errors import InputError
from deepnets4eo.floods.figures import _with_unknown
from deepnets4eo.floods.thresholds import ModeRules, _histogram, _quarters
from deepnets4eo.grid import Window
from deepnets4eo.interferometry.complex_image import ComplexImage
from deepnets4eo.interferometry.looks import MIN_LOOKS
from deepnets4eo.maps.areas import label_area, redraw_blocks
from deepnets4eo.osm.pbf import Block, _unzigzag, _varints
from deepnets4eo.outputs.quantity import Quantity, Unit
from deepnets4eo.points.files.las_crs import _is_elsewhere, _parts
from deepnets4eo.points.rubble.motion import RigidMotion, rotation_of
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as.images import _same_values

UTM = "EPSG:32631"


@pytest.mark.parametrize(("changed_px", "same"), [(0, True), (20, True), (21, False)])
def test_images_that_differ_in_up_to_two_thousandths_are_one(changed_px: int, same: bool) -> None:
    first = np.random.default_rng(0).integers(1, 255, (1, 100, 100)).astype(np.uint8)
    second = first.copy()
    second.ravel()[:changed_px] -= 1
    second[second == 0] = 255
    assert _same_values(Layer.open(first), Layer.open(second)) is same
    assert not _same_values(Layer.open(first), Layer.open(np.concatenate([first, first])))


def test_what_only_one_image_shows_is_not_compared_and_nothing_is_no_equality() -> None:
    first = np.full((1, 100, 100), 7, np.uint8)
    second = first.copy()
    first[:, :50], second[:, 50:] = 0, 0
    assert not _same_values(Layer.open(first, nodata=0), Layer.open(second, nodata=0)), "no pixel is in both"
    second[:, 50:60] = 7
    assert _same_values(Layer.open(first, nodata=0), Layer.open(second, nodata=0))
    second[:, 50] = 8
    assert not _same_values(Layer.open(first, nodata=0), Layer.open(second, nodata=0)), "a tenth of what is in both"


@pytest.mark.parametrize(("negative", "is_complex"), [(0.25, False), (0.26, True), (0.74, True), (0.75, False)])
def test_two_bands_are_complex_if_a_quarter_of_each_is_on_either_side_of_zero(
    negative: float, is_complex: bool, tmp_path: Any
) -> None:
    from geotiff import write_geotiff

    part = np.ones(10_000, np.float32)
    part[: round(10_000 * negative)] = -1
    half = np.where(np.arange(10_000) % 2, 1.0, -1.0).astype(np.float32)
    part = np.random.default_rng(0).permutation(part)
    path = write_geotiff(tmp_path / "a.tif", np.stack([half, part]).reshape(2, 100, 100))
    if is_complex:
        values = ComplexImage(path).read(Window(-2, 98, 4, 4))
        assert values[:2].tolist() == [[0] * 4] * 2
        assert values[2, 0] == half[98] + 1j * part[98]
        assert values[2, 2] == 0, "beyond the image"
        part[99] = np.nan
        write_geotiff(path, np.stack([half, part]).reshape(2, 100, 100))
        assert ComplexImage(path).read(Window(0, 98, 1, 2)).tolist() == [[half[98] + 1j * part[98], 0]], "no data"
    else:
        with pytest.raises(InputError, match="the real and the imaginary part"):
            ComplexImage(path)
    assert MIN_LOOKS == 2.0


def test_tiles_are_quartered_down_to_64_pixels() -> None:
    assert _quarters(Window(10, 20, 127, 500)) == []
    assert ModeRules.min_tile_px == 64
    assert _quarters(Window(10, 20, 129, 131)) == [
        Window(10, 20, 64, 65), Window(10, 85, 64, 65), Window(74, 20, 64, 65), Window(74, 85, 64, 65)
    ]  # fmt: skip


def test_a_histogram_leaves_out_a_thousandth_at_either_end_and_gaps() -> None:
    values = np.r_[np.linspace(0, 1, 10_001), np.nan, 1e9, -1e9].astype(np.float32)
    found = _histogram([values[:5000], values[5000:]])
    assert 9970 <= found.counts.sum() <= 9990
    low, high = np.nanpercentile(values, [0.1, 99.9])
    assert found.centres[0] == pytest.approx(low, abs=0.01)
    assert found.centres[-1] == pytest.approx(high, abs=0.01)
    assert _histogram([np.full(5, np.nan)]).counts.sum() == 0
    flat = _histogram([np.full(7, 3.0)])
    assert (flat.counts[0], flat.counts[1:].sum()) == (7, 0)
    assert flat.centres[[0, -1]] == pytest.approx([3 + 1 / 512, 4 - 1 / 512])


def grid_of(rows: int, cols: int, crs: str | None = UTM) -> GeoBox:
    return GeoBox((rows, cols), Affine(10, 0, 500_000, 0, -10, 5_000_000), crs)


@pytest.mark.parametrize(("side", "has_interval"), [(96, True), (64, False)])
def test_areas_have_an_interval_from_eight_blocks_on(side: int, has_interval: bool) -> None:
    labels = np.zeros((1, side, side), np.uint8)
    labels[:, : side // 2] = np.random.default_rng(0).random((1, side // 2, side)) < 0.5
    wet = int((labels == 1).sum())
    found = label_area(Layer.open(labels, grid=grid_of(side, side)), 1)
    assert found.block_px == 32
    assert found.area.value == pytest.approx(wet / 100, rel=2e-3)  # hectares of pixels of 100 m²
    assert found.seen.value == pytest.approx(side**2 / 100, rel=2e-3)
    assert (found.area.interval is not None) is has_interval
    if found.area.interval is not None:
        assert found.area.interval[0] < found.area.value < found.area.interval[1]
    plain = label_area(Layer.open(labels), 1)
    assert plain.area.unit == Unit.pixels
    assert (plain.area.value, plain.seen.value) == pytest.approx((wet, side**2))


def test_doubtful_ground_counts_not_at_the_low_end_and_whole_at_the_high_end() -> None:
    labels, doubt = np.zeros((1, 64, 64), np.uint8), np.zeros((1, 64, 64), np.uint8)
    labels[:, :32] = 1
    doubt[:, 16:48] = 1
    found = label_area(Layer.open(labels), 1, doubt=Layer.open(doubt))
    assert found.area.value == pytest.approx(32 * 64)
    assert found.area.interval == pytest.approx((16 * 64, 48 * 64))
    assert found.area.unknown == pytest.approx(16 * 64)


def test_redrawn_blocks_have_the_sum_of_the_site_on_average() -> None:
    counts = np.array([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])
    sums = redraw_blocks(counts, 4000, 0)
    assert sums.shape == (4000, 2)
    assert sums.mean(axis=0) == pytest.approx(counts.sum(axis=0), rel=0.03)
    assert sums.std(axis=0) == pytest.approx(counts.std(axis=0) * 3**0.5, rel=0.05)
    np.testing.assert_allclose(sums[:, 1], 10 * sums[:, 0])


def test_an_area_without_a_place_is_in_pixels_with_its_interval_and_what_is_unknown() -> None:
    on_ground = Quantity.area(1.5, on_ground=True, interval=(1.0, 2.0), unknown=0.5)
    assert (on_ground.value, on_ground.interval, on_ground.unknown) == (1.5, (1.0, 2.0), 0.5)
    plain = Quantity.area(1.5, on_ground=False, interval=(1.0, 2.0), unknown=0.5)
    assert (plain.value, plain.interval, plain.unknown) == (15_000, (10_000, 20_000), 5_000)
    assert Quantity.area(1.5, on_ground=False).interval is None


def test_unknown_ground_may_be_flooded() -> None:
    area = {
        "flood_ha": 3.0,
        "flood_ha_interval": (2.0, 4.0),
        "not_seen_ha": 7.0,
        "interval_of": "blocks",
        "flood_share": 0.1,
    }
    found = _with_unknown(area, 5.0, 0.01)
    assert found["flood_ha_interval"] == (2.0, 8.0)
    assert (found["unknown_ha"], found["not_seen_ha"], found["flood_share"]) == (5.0, 2.0, None)
    assert _with_unknown(area | {"flood_ha_interval": None}, 5.0, 0.01)["flood_ha_interval"] == (3.0, 8.0)


def test_the_middle_of_outlines_on_both_sides_of_180_degrees_is_among_them() -> None:
    shapes = np.array([shapely.box(179, -18, 179.2, -17.8), shapely.box(-179.4, -17, -179.2, -16.8)])
    lon, lat = _centre(shapes)
    assert (abs(lon), lat) == (pytest.approx(179.9, abs=0.2), pytest.approx(-17.4))
    west = np.array([shapely.box(178, 0, 178.2, 1), shapely.box(-179.9, 0, -179.7, 1)])
    assert _centre(west)[0] == pytest.approx(179.15, abs=0.05)
    east = np.array([shapely.box(179.8, 0, 180, 1), shapely.box(-178.2, 0, -178, 1)])
    assert _centre(east)[0] == pytest.approx(-179.1, abs=0.05)


@pytest.mark.parametrize(("shift_m", "elsewhere"), [(9.0, False), (11.0, True)])
def test_two_records_of_a_cloud_are_of_two_places_if_a_point_is_ten_metres_apart(
    shift_m: float, elsewhere: bool
) -> None:
    plain, point = "+proj=utm +zone=31 +datum=WGS84 +units=m", (500_000.0, 5_000_000.0)
    moved = CRS(f"+proj=tmerc +lon_0=3 +k=0.9996 +x_0={500_000 + shift_m} +datum=WGS84 +units=m")
    assert _is_elsewhere(CRS(plain), moved, point) is elsewhere
    degrees = CRS("EPSG:4326")
    assert not _is_elsewhere(degrees, CRS("EPSG:4258"), (3.0, 45.0)), "another realisation of the datum"
    assert not _is_elsewhere(CRS(plain), CRS('LOCAL_CS["site",UNIT["metre",1]]'), point)


def test_a_compound_crs_has_a_horizontal_and_a_vertical_part() -> None:
    horizontal, vertical = _parts(CRS("EPSG:32631+5773"))
    assert horizontal.to_epsg() == 32631
    assert vertical is not None
    assert vertical.to_epsg() == 5773
    assert _parts(CRS("EPSG:32631")) == (CRS("EPSG:32631"), None)


def test_rows_of_an_evidence_are_put_in_the_order_of_the_buildings() -> None:
    site: Any = SimpleNamespace(buildings=SimpleNamespace(frame=pd.DataFrame({"id": ["a", "b", "7"]})))
    by_position = pd.DataFrame({"x": [1, 2, 3]})
    assert Site._in_order(site, by_position, "e") is by_position
    by_id = pd.DataFrame({"x": [3, 1, 2]}, index=[7, "a", "b"])
    assert Site._in_order(site, by_id, "e")["x"].tolist() == [1, 2, 3]
    for index in (["a", "b", "c"], ["a", "a", "7"], [1, 2, 3]):
        with pytest.raises(InputError, match="expected an index of 0 to 2"):
            Site._in_order(site, by_position.set_axis(index), "e")


def test_heights_of_a_tilted_surface_are_those_of_the_middles_of_its_cells() -> None:
    grid = GeoBox((4, 5), Affine(2, 0, 1000, 0, -2, 2000), None)
    heights = np.full((4, 5), 30.0, np.float32)
    motion = RigidMotion(
        rotation_of(np.array([0.002, -0.004, 0.0])), np.array([0.0, 0.0, 0.5]), np.array([1005.0, 1996.0, 30.0])
    )
    cols, rows = np.meshgrid(np.arange(5), np.arange(4))
    middles = np.stack([1001 + 2 * cols, 1999 - 2 * rows, heights], axis=-1).reshape(-1, 3)
    expected = motion.apply(middles)[:, 2].reshape(4, 5)
    np.testing.assert_allclose(motion.raise_heights(heights, grid), expected, atol=2e-4)
    assert motion.tilt_deg == pytest.approx(np.degrees(np.hypot(0.002, 0.004)), rel=1e-4)
    turned = RigidMotion(
        rotation_of(np.array([0, 0, np.radians(3)])), np.array([4.0, -5.0, 0]), np.array([1005.0, 1996, 0])
    )
    assert turned.turn_deg == pytest.approx(3)
    moved = turned.grid_of(grid)
    corner = turned.apply(np.array([[1000.0, 2000.0, 0.0]]))[0, :2]
    assert moved.affine * (0, 0) == pytest.approx(tuple(corner))


def test_ways_and_nodes_of_a_block_without_any_are_none() -> None:
    assert Block(b"").ways.tolist() == []
    assert Block(b"").refs.tolist() == []
    numbers = [0, 1, -1, 64, -64, 300, 2**40, -(2**40)]
    packed = b"".join(_as_varint(2 * number if number >= 0 else -2 * number - 1) for number in numbers)
    assert _unzigzag(_varints(packed)).tolist() == numbers
    assert _varints(b"").tolist() == []


def _as_varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have the highest bit."""
    parts = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(part | 0x80 for part in parts[:-1]), parts[-1]])
