"""Outlines on bare ground of the pre image are recognised by what open ground looks like there, and houses are kept."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter, zoom

from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.damage.structure.unbuilt import find_unbuilt, place_decoys
from deepnets4eo.footprints import Footprints, read_footprints
from deepnets4eo.rasters import Layer

SIZE_PX, STEP_PX, HOUSES = 480, 40, 100
GRID = GeoBox((SIZE_PX, SIZE_PX), Affine(0.5, 0, 360_000, 0, -0.5, 4_100_000), "EPSG:32615")


def plots(rng: np.random.Generator) -> np.ndarray:
    """A house-sized rectangle in the middle of each plot of 20 m, in pixels; the rest of the plot is garden."""
    count = SIZE_PX // STEP_PX
    return np.array(
        [
            shapely.box(x, y, x + rng.integers(14, 20), y + rng.integers(14, 20))
            for y in range(8, count * STEP_PX, STEP_PX)
            for x in range(8, count * STEP_PX, STEP_PX)
        ],
        dtype=object,
    )


def image(boxes: np.ndarray, built: np.ndarray, rng: np.random.Generator) -> Layer:
    """Green ground with soft patches, and smooth grey or brown roofs where houses are built."""
    patches = gaussian_filter(rng.normal(size=(SIZE_PX, SIZE_PX)), 6)
    light = 90 + 12 * patches / patches.std() + rng.normal(0, 4, (SIZE_PX, SIZE_PX))
    picture = np.stack([light, light * 1.12, light * 0.85])
    for box in boxes[built]:
        left, top, right, bottom = (int(edge) for edge in box.bounds)
        colour = rng.uniform(120, 190) * np.array([1.0, rng.uniform(0.85, 0.98), rng.uniform(0.8, 1.0)])
        roof = rng.normal(0, 2, (3, bottom - top, right - left))
        picture[:, top:bottom, left:right] = colour[:, None, None] + roof
    return Layer.open(np.clip(picture, 1, 255).astype(np.uint8), grid=GRID)


def on_ground(boxes: np.ndarray) -> Footprints:
    a = GRID.affine
    shapes = [shapely.affinity.affine_transform(box, [a.a, a.b, a.d, a.e, a.c, a.f]) for box in boxes]
    return read_footprints(gpd.GeoDataFrame({"id": range(len(boxes))}, geometry=shapes, crs="EPSG:32615"))


@pytest.fixture(scope="module")
def street() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    boxes = plots(rng)
    return boxes, rng.random(len(boxes)) < 0.88


def test_outlines_on_bare_ground_are_found_and_houses_kept(street: tuple[np.ndarray, np.ndarray]) -> None:
    boxes, built = street
    found = find_unbuilt(image(boxes, built, np.random.default_rng(0)), on_ground(boxes), None, workers=1)
    assert found.auc > 0.85
    assert found.flags[~built].mean() > 0.6
    assert found.flags[built].mean() <= 0.03


class Looker:
    """A network that sees a building where most of an outline lies on one, on the whole."""

    def __init__(self, boxes: np.ndarray) -> None:
        self.boxes, self.rng = boxes, np.random.default_rng(3)

    def log_odds(self, image: Layer, outlines: np.ndarray, work: TileWork) -> np.ndarray:
        on_houses = shapely.area(shapely.intersection(outlines, shapely.union_all(self.boxes))) / shapely.area(outlines)
        return np.where(on_houses > 0.5, 2.0, -4.0) + self.rng.normal(0, 1, len(outlines))


def test_with_the_network_for_buildings_nearly_all_outlines_on_bare_ground_are_found(
    street: tuple[np.ndarray, np.ndarray],
) -> None:
    boxes, built = street
    picture, footprints = image(boxes, built, np.random.default_rng(0)), on_ground(boxes)
    alone = find_unbuilt(picture, footprints, None, workers=1)
    both = find_unbuilt(picture, footprints, None, workers=1, network=Looker(boxes[built]))
    assert both.flags[~built].sum() > alone.flags[~built].sum()
    assert both.flags[~built].mean() > 0.9
    assert both.flags[built].mean() <= alone.flags[built].mean()


def test_neither_their_order_nor_an_outline_around_all_of_them_changes_what_is_found(
    street: tuple[np.ndarray, np.ndarray],
) -> None:
    boxes, built = street
    picture = image(boxes, built, np.random.default_rng(0))
    found = find_unbuilt(picture, on_ground(boxes), None, workers=1)
    order = np.random.default_rng(2).permutation(len(boxes))
    shuffled = find_unbuilt(picture, on_ground(boxes[order]), None, workers=1)
    assert shuffled.auc == pytest.approx(found.auc)
    assert np.array_equal(shuffled.flags, found.flags[order])
    site, world = shapely.box(1, 1, SIZE_PX - 1, SIZE_PX - 1), shapely.box(-1e5, -1e5, 1e5, 1e5)
    around = find_unbuilt(picture, on_ground(np.array([site, *boxes, world])), None, workers=1)
    assert around.auc == pytest.approx(found.auc)
    assert np.array_equal(around.flags, [False, *found.flags, False])


def test_that_no_open_ground_is_left_for_copies_is_said(street: tuple[np.ndarray, np.ndarray]) -> None:
    boxes, built = street
    picture = image(boxes, built, np.random.default_rng(0))
    assert find_unbuilt(picture, on_ground(boxes[:49]), None, workers=1).few_copies is None
    lots = np.array([shapely.box(x, y, x + 39, y + 39) for x in range(0, 480, 40) for y in range(0, 480, 40)])
    found = find_unbuilt(picture, on_ground(lots), None, workers=1)
    assert found.few_copies == 0
    assert not found.flags.any()


def test_an_image_that_shows_no_houses_at_all_settles_nothing(street: tuple[np.ndarray, np.ndarray]) -> None:
    boxes, built = street
    found = find_unbuilt(
        image(boxes, np.zeros_like(built), np.random.default_rng(0)), on_ground(boxes), None, workers=1
    )
    assert found.auc < 0.8
    assert not found.flags.any()


def test_few_outlines_and_coarse_images_are_left_alone(street: tuple[np.ndarray, np.ndarray]) -> None:
    boxes, built = street
    few = find_unbuilt(image(boxes, built, np.random.default_rng(0)), on_ground(boxes[:49]), None, workers=1)
    assert np.isnan(few.auc)
    assert not few.flags.any()
    values, _ = image(boxes, built, np.random.default_rng(0)).read()
    coarse = zoom(values, (1, 0.25, 0.25), order=1)
    grid = GeoBox(coarse.shape[1:], GRID.affine * Affine.scale(4), GRID.crs)
    assert np.isnan(find_unbuilt(Layer.open(coarse, grid=grid), on_ground(boxes), None, workers=1).auc)


def test_copies_lie_in_the_image_apart_from_outlines_and_from_each_other(street: tuple[np.ndarray, np.ndarray]) -> None:
    boxes, built = street
    decoys = place_decoys(boxes, image(boxes, built, np.random.default_rng(0)), np.random.default_rng(1))
    assert len(decoys) > 20
    frame = shapely.box(0, 0, SIZE_PX, SIZE_PX)
    assert shapely.contains(frame, decoys).all()
    assert shapely.distance(decoys[:, None], boxes[None]).min() >= 2.0  # 1 m
    apart = shapely.distance(decoys[:, None], decoys[None])
    assert apart[~np.eye(len(decoys), dtype=bool)].min() >= 2.0
