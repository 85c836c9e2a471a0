"""Classes from → to: their legend, their maps, and areas with intervals against sums and formulas by hand."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod
from refusals import raises_naming

from deepnets4eo.cards import VOID, Legend, LegendClass
from deepnets4eo.change import Transitions, adjust_transitions, compare_covers, from_to_legend, split_from_to
from deepnets4eo.change.transitions import cover_legend, join_covers
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters import CogWriter, Layer

COVER = Legend("three", tuple(LegendClass(v, n, (v, 9, 9)) for v, n in [(3, "built"), (5, "field"), (8, "water")]))
LEGEND = from_to_legend(COVER)
GSD_M = 2.0


def measured_areas(path: Path, **how: int) -> Transitions:
    """Areas of a map from → to by its two maps of land cover."""
    parts = split_from_to(path, path.with_suffix(""))
    return compare_covers(parts["cover_pre"], parts["cover_post"], **how)


def write_map(path: Path, labels: np.ndarray, crs: str | None = "EPSG:32631") -> Path:
    height, width = labels.shape
    affine = Affine(GSD_M, 0, 500_000, 0, -GSD_M, 5_000_000)
    with CogWriter(path, Grid((height, width), affine, crs), legend=LEGEND, nodata=VOID) as cog:
        cog.write(Window(0, 0, height, width), labels[None].astype(np.uint8))
    return path


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    pre, post = rng.integers(0, 3, (2, 90, 130)).astype(np.uint8)
    pre[:5, :7] = VOID
    return pre, post


def test_a_pair_of_equals_has_the_name_and_colour_of_the_class() -> None:
    assert LEGEND.names[:4] == ("built", "built → field", "built → water", "field → built")
    assert LEGEND.values == tuple(range(9))
    assert [LEGEND.classes[4 * k].color for k in range(3)] == [one.color for one in COVER.classes]
    assert cover_legend(LEGEND).names == COVER.names
    for legend in (COVER, Legend.load("isprs"), Legend.load("minicity")):
        with pytest.raises(InputError, match="no pairs from → to"):
            cover_legend(legend)


def test_more_pairs_than_a_byte_holds_are_refused() -> None:
    many = Legend("many", tuple(LegendClass(v, f"c{v}", (v, 1, 1)) for v in range(16)))
    with raises_naming(InputError, "16 classes", "2 to 15"):
        from_to_legend(many)


def test_a_map_from_to_splits_into_the_maps_it_was_joined_from(tmp_path: Path, maps) -> None:
    pre, post = maps
    parts = split_from_to(write_map(tmp_path / "map.tif", join_covers(pre, post, 3)), tmp_path / "parts")
    known = pre != VOID
    expected = {"change": pre != post, "cover_pre": pre, "cover_post": post}
    assert parts.keys() == expected.keys()
    for name, values in expected.items():
        layer = Layer.open(parts[name])
        np.testing.assert_array_equal(layer.read()[0][0], np.where(known, values, VOID))
        assert layer.legend is not None
        assert layer.legend.names == (("no change", "change") if name == "change" else COVER.names)


def test_areas_are_pixels_times_their_ground(tmp_path: Path, maps) -> None:
    pre, post = maps
    measured = measured_areas(write_map(tmp_path / "map.tif", join_covers(pre, post, 3)), block_px=20)
    for i in range(3):
        for j in range(3):
            assert measured.hectares[i, j] == pytest.approx(((pre == i) & (post == j)).sum() * 4 / 10_000, rel=2e-3)
    assert (measured.low <= measured.hectares).all()
    assert (measured.hectares <= measured.high).all()
    table = measured.table()
    assert (
        table.loc[(table["from"] == "built") & (table["to"] == "water"), "hectares"].item() == measured.hectares[0, 2]
    )


def test_areas_of_a_map_in_degrees_are_those_of_each_latitude(tmp_path: Path) -> None:
    pre = np.zeros((60, 8), np.uint8)  # 60° north to the equator
    post = np.repeat([1, 0], [10, 50])[:, None].repeat(8, axis=1).astype(np.uint8)
    with CogWriter(
        tmp_path / "map.tif", Grid((60, 8), Affine(1, 0, 0, 0, -1, 60), "EPSG:4326"), legend=LEGEND, nodata=VOID
    ) as cog:
        cog.write(Window(0, 0, 60, 8), join_covers(pre, post, 3)[None])
    zone = Geod(ellps="WGS84").polygon_area_perimeter(np.r_[0:9, 8:-1:-1], np.repeat([50, 60], 9))[0]
    hectares = measured_areas(tmp_path / "map.tif", block_px=4).hectares
    assert hectares[0, 1] == pytest.approx(zone / 10_000, rel=0.01)


def test_intervals_are_those_of_a_bootstrap_over_blocks(tmp_path: Path) -> None:
    """One block of four holds all change: its number of draws is binomial, (4, 1/4)."""
    labels = np.zeros((20, 20), np.uint8)
    labels[:10, :10] = 1
    path = write_map(tmp_path / "map.tif", labels)
    measured = measured_areas(path, block_px=10, draws=4000)
    block_ha = 100 * 4 / 10_000
    assert measured.low[0, 1] == 0
    assert measured.high[0, 1] == pytest.approx(3 * block_ha, rel=2e-3)  # P(4) = 0.4 %, P(≥ 3) = 5 %
    assert measured.high[2, 2] == 0
    with raises_naming(InputError, "256"):
        measured_areas(path, block_px=256)
    with raises_naming(InputError, "CRS"):
        measured_areas(write_map(tmp_path / "plain.tif", labels, None), block_px=10)


def test_a_sample_of_references_moves_areas_as_olofsson_does() -> None:
    mapped = np.array([[80.0, 20.0], [0.0, 0.0]])
    sample = np.zeros((4, 4), int)
    sample[0, [0, 1]] = 45, 5
    sample[1, [0, 1, 3]] = 4, 5, 1  # a pair that is nowhere on the map
    adjusted = adjust_transitions(Transitions(("a", "b"), mapped, mapped, mapped, ""), sample)
    expected = [80 * 0.9 + 20 * 0.4, 80 * 0.1 + 20 * 0.5, 0, 20 * 0.1]
    assert adjusted.hectares.ravel() == pytest.approx(expected)
    error = (0.8**2 * 0.1 * 0.9 / 49 + 0.2**2 * 0.5 * 0.5 / 9) ** 0.5 * 100  # equation 10, in hectares
    assert adjusted.high[0, 1] - adjusted.hectares[0, 1] == pytest.approx(1.959964 * error)
    with pytest.raises(InputError, match="nowhere on the map"):
        adjust_transitions(Transitions(("a", "b"), mapped, mapped, mapped, ""), np.full((4, 4), 2))


def test_void_in_either_map_is_void_in_the_pair() -> None:
    grid = np.array([[VOID, 1, VOID]], np.uint8), np.array([[0, VOID, VOID]], np.uint8)
    assert (join_covers(*grid, 15) == VOID).all()
    assert join_covers(np.array([[14]], np.uint8), np.array([[14]], np.uint8), 15).item() == 224
