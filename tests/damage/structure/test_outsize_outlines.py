"""Outlines of any size and number: what they cost, and that their neighbours' evidence stays as it is, to the bit."""

import gc
import tracemalloc

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from made_up_evidence import gather

from deepnets4eo.damage.structure import block
from deepnets4eo.damage.structure.moved_outlines import _inside_share
from deepnets4eo.footprints import Footprints, read_footprints
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters import Layer
from deepnets4eo.zonal import Outlines, class_counts

SIDE, GSD_M = 256, 0.5
GRID = Grid((SIDE, SIDE), Affine(GSD_M, 0, 500_000, 0, -GSD_M, 4_000_000), "EPSG:32615")
CENTRE = (500_000 + SIDE * GSD_M / 2, 4_000_000 - SIDE * GSD_M / 2)
LARGE = "footprint larger than any building"


class Known:
    """A registration in the shape that `gather` reads: the images lie right."""

    matrix = np.eye(2, 3)
    usable = True


def images() -> tuple[Layer, Layer]:
    rng = np.random.default_rng(2)
    coarse = np.kron(rng.uniform(40, 200, (3, 32, 32)), np.ones((1, 8, 8)))
    pre, post = (np.clip(coarse + rng.normal(0, 9, coarse.shape), 1, 255).astype(np.uint8) for _ in range(2))
    return Layer.open(pre, grid=GRID), Layer.open(post, grid=GRID)


PRE, POST = images()


def houses(count: int = 30, seed: int = 0) -> list[shapely.Geometry]:
    rng = np.random.default_rng(seed)
    left = 500_000 + rng.uniform(2, SIDE * GSD_M - 20, count)
    low = 4_000_000 - rng.uniform(20, SIDE * GSD_M - 2, count)
    width, height = rng.uniform(6, 16, (2, count))
    return list(shapely.box(left, low, left + width, low + height))


def around(metres: float) -> shapely.Polygon:
    x, y = CENTRE
    return shapely.box(x - metres, y - metres, x + metres, y + metres)


def evidence(shapes: list[shapely.Geometry], **options: int) -> pd.DataFrame:
    ids = [str(number) for number in range(len(shapes))]
    table = Footprints(gpd.GeoDataFrame({"id": ids}, geometry=shapes, crs=GRID.crs.to_wkt()))
    return evidence_of(table, **options)


def evidence_of(footprints: Footprints, **options: int) -> pd.DataFrame:
    return gather(PRE, POST, footprints, Known(), **options).frame  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain() -> pd.DataFrame:
    return evidence(houses())


@pytest.mark.parametrize(
    "giants",
    [
        [around(2e6)],
        [around(5e4 + number) for number in range(50)],
        [around(2e6).difference(around(150))],
        [shapely.MultiPolygon([around(3000), shapely.box(1e6, 1e6, 1.1e6, 1.1e6)])],
        [around(9e8)],
    ],
    ids=["4,000 km", "fifty of 100 km", "with a hole around the image", "two parts", "the limit"],
)
def test_giants_among_the_buildings_leave_the_evidence_of_others_unchanged(
    plain: pd.DataFrame, giants: list[shapely.Geometry]
) -> None:
    frame = evidence([*houses(), *giants])
    pd.testing.assert_frame_equal(frame.iloc[: len(plain)], plain, check_exact=True)
    assert set(frame["reason"].iloc[len(plain) :]) == {LARGE}
    assert set(frame["status"].iloc[len(plain) :]) == {"not_assessed"}


def test_an_outline_of_the_site_leaves_the_evidence_of_its_buildings_unchanged(plain: pd.DataFrame) -> None:
    frame = evidence([around(60), *houses()])
    pd.testing.assert_frame_equal(frame.iloc[1:].drop(columns="id").reset_index(drop=True), plain.drop(columns="id"))
    assert frame.loc[0, ["status", "reason"]].tolist() == ["not_assessed", "footprint encloses other footprints"]


def test_outlines_over_the_border_hold_the_pixels_that_the_image_has() -> None:
    x, y = 500_000, CENTRE[1]
    shapes = [shapely.box(x - 2, y, x + 14, y + 12), shapely.box(x - 12, y - 30, x + 4, y - 18), *houses(6)]
    frame = evidence(shapes)
    assert frame["reason"].iloc[0] == ""
    assert np.isfinite(frame["ev_roof_roughness"].iloc[0])
    assert frame["reason"].iloc[1] != ""
    inside = evidence([shapely.box(x, y, x + 14, y + 12), *shapes[1:]])  # cut at the border by hand
    for name in ("ev_roof_roughness", "ev_texture", "ev_tarp"):  # a middle that moves, moves a window of the radiometry
        assert np.isclose(frame[name].iloc[0], inside[name].iloc[0], rtol=1e-4), name


def test_the_share_of_an_outline_inside_the_image_is_that_of_its_area() -> None:
    """Outlines across each of the four borders of an image of 20 rows and 30 columns, across a corner, inside, and beyond."""
    boxes = [(-2, 5, 6, 9), (3, -3, 7, 1), (26, 4, 34, 8), (4, 18, 8, 26), (28, 18, 32, 22), (0, 0, 30, 20), (40, 2, 44, 6), (21, 2, 29, 8)]  # fmt: skip
    shares = _inside_share(np.array([*(shapely.box(*box) for box in boxes), shapely.Polygon()], object), (20, 30))
    np.testing.assert_allclose(shares, [6 / 8, 1 / 4, 4 / 8, 2 / 8, 1 / 4, 1, 0, 1, 1])


def test_an_outline_over_the_whole_image_and_one_with_a_small_far_part_are_measured() -> None:
    house, *others = houses(4)  # more would make the wide one that of a site
    x, y = house.bounds[0] + 900_000, house.bounds[1]
    two_parts = shapely.MultiPolygon([house, shapely.box(x, y, x + 1, y + 1)])
    frame = evidence([around(SIDE * GSD_M / 2), two_parts, *others])
    assert frame["reason"].iloc[:2].tolist() == ["", ""]
    alone = evidence([around(SIDE * GSD_M / 2), house, *others])
    for name in ("ev_roof_roughness", "ev_texture", "ev_right_angles", "ev_tarp"):
        assert np.isclose(frame[name].iloc[1], alone[name].iloc[1], atol=0.02), name


def test_buildings_measured_a_few_at_a_time_have_the_same_evidence(
    plain: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Outlines.some_at_a_time
    runs: list[int] = []

    def few(self: Outlines, window: Window) -> list[np.ndarray]:
        found = whole(self, window, 900)
        runs.append(len(found))
        return found

    monkeypatch.setattr(Outlines, "some_at_a_time", few)
    pd.testing.assert_frame_equal(evidence(houses()), plain, check_exact=True)
    assert max(runs) > 5


@pytest.mark.parametrize("block_px", [40, 64])
def test_only_buildings_across_a_border_keep_the_sums_of_every_shift(
    block_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, set[int]] = {"best": set(), "shifted": set()}
    measure = block.measure_block

    def watched(*inputs: object) -> block.BlockSums:
        part = measure(*inputs)  # type: ignore[arg-type]
        kept["best"] |= set(part.best.buildings.tolist())
        kept["shifted"] |= set(part.shifted.buildings.tolist())
        assert part.shifted.rows["pair_light"].shape[1] > 10 * part.best.rows["pair_light"].shape[1]
        return part

    monkeypatch.setattr(block, "measure_block", watched)
    frame = evidence(houses(), block_px=block_px)
    assert kept["best"]
    assert kept["shifted"]
    assert not kept["best"] & kept["shifted"]
    assert kept["best"] | kept["shifted"] == set(range(len(frame)))
    assert frame["ev_roof_match"].notna().sum() == (frame["method"] == "pre_post").sum()


def test_a_building_costs_less_than_five_kilobytes_however_many_lie_on_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Outlines.some_at_a_time
    monkeypatch.setattr(Outlines, "some_at_a_time", lambda self, window: whole(self, window, 1 << 16))

    def peak(count: int) -> int:
        shapes = houses(count, seed=7)
        gc.collect()
        tracemalloc.start()
        evidence(shapes)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = 200, 600  # both hold more pixels than are measured at the same time
    assert (peak(many) - peak(few)) / (many - few) < 5000


def test_class_counts_of_overlapping_outlines_are_those_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    labels = Layer.open(rng.integers(0, 4, (1, 90, 120)).astype(np.uint8))
    shapes = np.array([shapely.box(x, y, x + 40, y + 25) for x, y in rng.uniform(-20, 100, (25, 2))], object)
    whole = Outlines.some_at_a_time
    monkeypatch.setattr(Outlines, "some_at_a_time", lambda self, window: whole(self, window, 1500))
    together = class_counts(labels, shapes, 4).counts
    alone = np.concatenate([class_counts(labels, shapes[[number]], 4).counts for number in range(25)])
    assert together.sum() > 5000
    assert np.array_equal(together, alone)


def test_a_footprint_out_of_the_images_reach_is_outside_and_not_empty() -> None:
    near = gpd.GeoSeries(houses(4), crs=GRID.crs.to_wkt()).to_crs(4326).tolist()
    far = shapely.Polygon([(179.9, 0.0), (180.0, 0.0), (179.9, 0.1)])  # this zone's projection is infinite there
    footprints = read_footprints(gpd.GeoDataFrame(geometry=[*near, far], crs=4326))
    assert shapely.is_empty(footprints.in_pixels(GRID)).tolist() == [False] * 4 + [True]
    assert evidence_of(footprints)["reason"].tolist() == [""] * 4 + ["outside the post image"]
