"""The pass as a whole on a made-up street: what it tells apart, what it refuses to judge, and what it does not depend on."""

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from made_up_evidence import gather

from deepnets4eo.damage.images.working_grid import on_post
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.columns import COLUMNS, columns_of
from deepnets4eo.footprints import FootprintAlignment, Footprints, read_footprints
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.rasters import Layer

GSD_M = 0.5
SIDE = 320
GRID = Grid((SIDE, SIDE), Affine(GSD_M, 0, 500_000, 0, -GSD_M, 4_000_000), "EPSG:32615")
SHIFT = (3, -4)  # rows, cols by which post shows everything displaced
HOUSES = [(row, col) for row in range(40, 280, 60) for col in range(40, 280, 60)]
SIZE = (24, 32)
RUBBLE = [index for index in range(len(HOUSES)) if index % 3 == 0]


@dataclass(frozen=True)
class Known:
    """A registration in the shape that `gather` reads."""

    matrix: np.ndarray = field(default_factory=lambda: np.array([[1.0, 0, -SHIFT[1]], [0, 1, -SHIFT[0]]]))
    usable: bool = True


def street(*, after: bool) -> np.ndarray:
    """(3, H, W) uint8: lawns, and houses with two roof planes and a shadow; every third is rubble afterwards."""
    rng = np.random.default_rng(5)
    image = 90 + rng.normal(0, 7, (SIDE, SIDE))
    for index, (row, col) in enumerate(HOUSES):
        h, w = SIZE
        image[row + h : row + h + 5, col : col + w] = 25
        image[row : row + h // 2, col : col + w] = 150 + 4 * (index % 5)
        image[row + h // 2 : row + h, col : col + w] = 190 - 4 * (index % 5)
        if after and index in RUBBLE:
            image[row - 6 : row + h + 6, col - 6 : col + w + 6] = rng.uniform(30, 230, (h + 12, w + 12))
    image += rng.normal(0, 2, image.shape)
    if after:
        image = np.roll(0.8 * image + 12, SHIFT, axis=(0, 1))
    return np.clip(np.stack([image, image + 6, image - 6]), 1, 255).astype(np.uint8)


def outline(row: float, col: float, height: float = SIZE[0], width: float = SIZE[1]) -> shapely.Polygon:
    x, y = GRID.affine * (col, row)
    return shapely.box(x, y - height * GSD_M, x + width * GSD_M, y)


def footprints(shapes: list[shapely.Geometry]) -> Footprints:
    return Footprints(
        gpd.GeoDataFrame({"id": [str(k) for k in range(len(shapes))]}, geometry=shapes, crs=GRID.crs.to_wkt())
    )


@pytest.fixture(scope="module")
def pre() -> Layer:
    return Layer.open(street(after=False), grid=GRID)


@pytest.fixture(scope="module")
def post() -> Layer:
    return Layer.open(street(after=True), grid=GRID)


@pytest.fixture(scope="module")
def houses() -> Footprints:
    return footprints([outline(*house) for house in HOUSES])


@pytest.fixture(scope="module")
def table(pre: Layer, post: Layer, houses: Footprints) -> Buildings:
    return gather(pre, post, houses, Known())


def test_every_column_that_points_somewhere_points_there_between_intact_and_rubble(table: Buildings) -> None:
    damaged = np.isin(np.arange(len(HOUSES)), RUBBLE)
    assert sum(COLUMNS[name].points != 0 for name in table.names) > 8
    for name in table.names:
        values = table.frame[name]
        if COLUMNS[name].points and name not in {"ev_light_change", "ev_colour_change"}:
            assert COLUMNS[name].points * (values[damaged].median() - values[~damaged].median()) > 0, name


def test_the_table_has_a_row_for_each_footprint_in_order_and_a_meaning_for_each_column(table: Buildings) -> None:
    assert table.frame["id"].tolist() == [str(k) for k in range(len(HOUSES))]
    assert set(table.frame["status"]) == {"assessed"}
    assert set(table.frame["method"]) == {"pre_post"}
    assert table.names == [name for name in table.frame if name.startswith("ev_")]
    assert set(table.names) <= set(columns_of("structure"))


def test_outlines_are_carried_on_to_where_the_post_image_shows_them(table: Buildings) -> None:
    assert np.allclose(table.frame["dx_px"], SHIFT[1])
    assert np.allclose(table.frame["dy_px"], SHIFT[0])
    assert (table.frame.loc[~np.isin(np.arange(len(HOUSES)), RUBBLE), "ev_roof_match"] > 0.8).all()


@pytest.mark.parametrize("block_px", [64, 136, 1024])
def test_the_cut_into_blocks_and_the_number_of_workers_change_nothing(
    table: Buildings, pre: Layer, post: Layer, houses: Footprints, block_px: int
) -> None:
    other = gather(pre, post, houses, Known(), workers=1 + block_px % 3, block_px=block_px)
    assert len(table.names) > 8
    assert other.names == table.names
    for name in table.names:
        assert np.allclose(table.frame[name], other.frame[name], atol=1e-4, equal_nan=True), name


def test_gain_and_offset_of_the_sensor_change_next_to_nothing(table: Buildings, pre: Layer, houses: Footprints) -> None:
    strong = Layer.open((street(after=True).astype(np.uint16) * 37 + 500).astype(np.uint16), grid=GRID)
    other = gather(pre, strong, houses, Known())
    for name in ("ev_roof_roughness", "ev_outline_support", "ev_right_angles", "ev_roof_match", "ev_shadow_loss"):
        assert np.allclose(table.frame[name], other.frame[name], atol=0.02), name


def test_buildings_are_not_assessed_for_a_reason(pre: Layer) -> None:
    image = street(after=True)
    image[:, :120, :] = 0
    image[:, 150, 160] = 1
    cloud = np.zeros((1, SIDE, SIDE), np.uint8)
    cloud[:, 150:230, :120] = 1
    shapes = [
        outline(45, 40),  # no data
        outline(160, 40),  # cloud
        outline(220, 160),
        outline(400, 40),  # outside
        outline(SIDE - 6, 40),  # mostly outside
        outline(220, 220, 3, 5),  # tiny
        shapely.Polygon(),
    ]
    table = gather(pre, Layer.open(image, grid=GRID), footprints(shapes), None, cloud_mask=Layer.open(cloud, grid=GRID))
    reasons = table.frame["reason"].tolist()
    expected = ["no data", "cloud", "", "outside", "outside", "too small", "empty"]
    assert all(word in reason if word else not reason for word, reason in zip(expected, reasons, strict=True)), reasons
    left_out = table.frame["status"] == "not_assessed"
    assert left_out.tolist() == [True, True, False, True, True, True, True]
    assert table.frame.loc[left_out, table.names].isna().all().all()
    assert (table.frame.loc[left_out, "method"] == "").all()


def test_a_sliver_inside_the_image_is_too_small_and_not_outside_of_it(post: Layer) -> None:
    across, along = outline(200.6, 40, 0.3, 90), outline(40, 200.6, 90, 0.3)  # no centre of a pixel is enclosed
    speck = outline(100.6, 100.6, 0.3, 0.3)
    beyond = outline(SIDE + 30.6, 40, 0.3, 90)
    table = gather(None, post, footprints([across, along, speck, beyond]), None)
    small, outside = "footprint too small for the image resolution", "outside the post image"
    assert table.frame["reason"].tolist() == [small, small, small, outside]


def test_without_a_pre_image_or_with_a_failed_registration_all_is_post_only(
    pre: Layer, post: Layer, houses: Footprints
) -> None:
    alone = gather(None, post, houses, None)
    failed = gather(pre, post, houses, Known(np.eye(2, 3), usable=False))
    for table in (alone, failed):
        assert set(table.frame["method"]) == {"post_only"}
        assert "ev_roof_match" not in table.names
    assert np.allclose(alone.frame[alone.names], failed.frame[alone.names], equal_nan=True)


def test_a_building_without_pre_data_falls_back_by_itself(post: Layer, houses: Footprints) -> None:
    image = street(after=False)
    image[:, :100, :] = 0
    table = gather(Layer.open(image, grid=GRID), post, houses, Known())
    first_row = np.array([row < 100 for row, _ in HOUSES])
    assert (table.frame.loc[first_row, "method"] == "post_only").all()
    assert table.frame.loc[first_row, "ev_roof_match"].isna().all()
    assert (table.frame.loc[~first_row, "method"] == "pre_post").all()


def test_overlapping_footprints_are_measured_each_in_its_own_right(pre: Layer, post: Layer, table: Buildings) -> None:
    twice = footprints([outline(*HOUSES[1]), outline(*HOUSES[1]), outline(*HOUSES[2])])
    other = gather(pre, post, twice, Known()).frame
    assert np.allclose(
        other.loc[0, ["ev_roof_roughness"]].astype(float), other.loc[1, ["ev_roof_roughness"]].astype(float)
    )
    assert np.isclose(other.loc[0, "ev_outline_support"], table.frame.loc[1, "ev_outline_support"], atol=0.01)


def test_height_loss_is_that_of_the_surface_models(pre: Layer, post: Layer, houses: Footprints) -> None:
    before, after = np.full((1, SIDE, SIDE), 210.0, np.float32), np.full((1, SIDE, SIDE), 213.0, np.float32)
    for index, (row, col) in enumerate(HOUSES):
        before[0, row : row + SIZE[0], col : col + SIZE[1]] += 6
        after[0, row : row + SIZE[0], col : col + SIZE[1]] += 1.5 if index in RUBBLE else 6
    after = np.roll(after, SHIFT, axis=(1, 2))
    layers = {"dsm_pre": Layer.open(before, grid=GRID), "dsm_post": Layer.open(after, grid=GRID)}
    frame = gather(pre, post, houses, Known(), **layers).frame
    damaged = np.isin(np.arange(len(HOUSES)), RUBBLE)
    assert np.allclose(frame.loc[damaged, "ev_height_loss_m"], 4.5, atol=0.3)
    assert np.allclose(frame.loc[damaged, "ev_height_loss_share"], 0.75, atol=0.05)
    assert np.allclose(frame.loc[~damaged, "ev_height_loss_m"], 0.0, atol=0.3)


def test_a_fine_image_is_worked_on_at_half_a_metre_and_says_the_same(pre: Layer, houses: Footprints) -> None:
    fine = np.kron(street(after=True), np.ones((1, 4, 4), np.uint8))
    grid = Grid((4 * SIDE, 4 * SIDE), GRID.affine * Affine.scale(0.25), GRID.crs)
    matrix = np.array([[1.0, 0, -4 * SHIFT[1]], [0, 1, -4 * SHIFT[0]]])
    coarse = gather(pre, Layer.open(street(after=True), grid=GRID), houses, Known()).frame
    frame = gather(pre, Layer.open(fine, grid=grid), houses, Known(matrix)).frame
    assert np.allclose(frame["ev_roof_roughness"], coarse["ev_roof_roughness"], atol=0.1)
    assert np.allclose(frame["dx_px"], 4 * SHIFT[1])


def test_images_without_a_crs_are_taken_pixel_for_pixel() -> None:
    shapes = [shapely.box(col, row, col + SIZE[1], row + SIZE[0]) for row, col in HOUSES]
    plain = read_footprints(gpd.GeoDataFrame({"id": range(len(HOUSES))}, geometry=shapes), assume_crs="pixels")
    table = gather(Layer.open(street(after=False)), Layer.open(street(after=True)), plain, Known())
    assert np.allclose(table.frame["dx_px"], SHIFT[1])
    assert set(table.frame["method"]) == {"pre_post"}


def test_footprints_that_all_lie_beyond_the_image_give_a_table_all_the_same(pre: Layer, post: Layer) -> None:
    far = gather(pre, post, footprints([outline(5000, 5000), outline(-900, 40)]), Known()).frame
    assert far["reason"].tolist() == ["outside the post image"] * 2
    assert {"ev_roof_roughness", "ev_roof_match"} <= set(far.columns)


def test_progress_ends_at_one_and_never_goes_back(pre: Layer, post: Layer, houses: Footprints) -> None:
    shares: list[float] = []
    gather(pre, post, houses, Known(), progress=shares.append, block_px=64)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("affine", "crs"),
    [
        (Affine(0.3, 0, 499_990, 0, -0.4, 4_000_010), "EPSG:32615"),
        (Affine(0.5, 0, 500_000, 0, 0.5, 3_999_840), "EPSG:32615"),
        (Affine(0, 0.5, 500_000, -0.5, 0, 4_000_000), "EPSG:32615"),
        (Affine.translation(499_950, 4_000_050) * Affine.rotation(30) * Affine.scale(0.5, -0.5), "EPSG:32615"),
        (Affine(5e-6, 0, -93.001, 0, -5e-6, 36.145), "EPSG:4326"),
        (Affine.translation(-10_353_000, 4_323_000) * Affine.rotation(-75) * Affine.scale(0.6, -0.6), "EPSG:3857"),
        (Affine(0.5, 0, 1_039_500, 0, -0.5, 4_015_500), "EPSG:32614"),
    ],
    ids=["other pixels", "south-up", "transposed", "turned", "degrees", "turned web map", "next zone"],
)
def test_outlines_move_as_their_alignment_says_whatever_the_axes_of_the_post_image(affine: Affine, crs: str) -> None:
    table = footprints([outline(row, col) for row, col in HOUSES])
    count = len(HOUSES)
    offsets = np.random.default_rng(0).uniform(-12, 12, (count, 2))
    flags, agreement = np.zeros(count, bool), np.zeros(count)
    aligned = FootprintAlignment("ok", None, 1, 2, 1, 2, 0.5, 0.1, offsets, flags, agreement, GRID)
    grid = Grid((SIDE, SIDE), affine, crs)
    moved = on_post(table.in_pixels(grid), grid, aligned, None)
    found = gpd.GeoSeries(transform_shapes(affine, moved), crs=crs).to_crs(GRID.crs.to_wkt()).centroid
    assert found.distance(aligned.apply(table.frame).centroid).max() < 0.03


def test_a_blue_roof_is_a_tarp_and_no_other() -> None:
    picture = street(after=False)
    row, col = HOUSES[5]
    picture[:, row : row + SIZE[0], col : col + SIZE[1]] = np.array([60, 90, 200], np.uint8)[:, None, None]
    found = gather(None, Layer.open(picture, grid=GRID), footprints([outline(*house) for house in HOUSES]), None).frame
    assert found["ev_tarp"][5] > 0.9
    assert found["ev_tarp"].drop(5).max() < 0.05


def test_grey_is_not_green_and_the_width_is_that_of_a_house() -> None:
    picture = np.repeat(street(after=False)[:1], 3, axis=0)
    found = gather(None, Layer.open(picture, grid=GRID), footprints([outline(*house) for house in HOUSES]), None).frame
    assert np.allclose(found["ev_greenness"], 0, atol=1e-3)
    assert np.allclose(found["ev_roof_width_px"], 24 * 32 / (24 + 32), rtol=0.05)


def test_houses_of_less_than_eight_square_metres_are_not_assessed() -> None:
    for size_px, assessed in ((5, False), (6, True)):
        house = footprints([outline(40, 40, size_px, size_px)])
        found = gather(None, Layer.open(street(after=True), grid=GRID), house, None).frame
        assert (found["status"][0] == "assessed") == assessed


def test_shadow_is_looked_for_up_to_three_metres_from_the_wall(houses: Footprints) -> None:
    before, after = street(after=False), street(after=False)
    for row, col in HOUSES:
        south, wide = row + SIZE[0], slice(col, col + SIZE[1])
        before[:, south : south + 8, wide] = after[:, south : south + 8, wide] = 90
        before[:, south + 3 : south + 8, wide] = 25  # 1.5 to 4 m from the wall
    images = (Layer.open(image, grid=GRID) for image in (before, after))
    found = gather(*images, houses, Known(np.eye(2, 3))).frame
    assert found["ev_shadow_loss"].median() > 0.3
