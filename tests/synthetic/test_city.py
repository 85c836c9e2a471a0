"""The miniature city is one coherent scene: image, heights, labels, vectors and the event agree with each other."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from rasterio.features import rasterize
from scipy import ndimage

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.synthetic import City, Event, Light, Season

SHARES = (0.5, 0.15, 0.1, 0.25)


@pytest.fixture(scope="module")
def city() -> City:
    return City(11, 448, 0.4, event=Event(damage_shares=SHARES, kind="quake"))


def footprint_numbers(city: City) -> np.ndarray:
    """Row of the building whose outline holds each pixel's centre, by GDAL: an independent rasterisation."""
    shapes = [(shape, row + 1) for row, shape in enumerate(city.all_buildings.geometry)]
    return rasterize(shapes, city.shape, transform=city.grid.affine, dtype="int32")


def small_city() -> City:
    return City(11, 160, 0.4, event=Event(damage_shares=SHARES, kind="quake"))


def test_the_same_seed_gives_the_same_city_bit_for_bit() -> None:
    city, twin = small_city(), small_city()
    np.testing.assert_array_equal(twin.image, city.image)
    np.testing.assert_array_equal(twin.post.image, city.post.image)
    np.testing.assert_array_equal(twin.post.dsm, city.post.dsm)
    assert twin.footprints().equals(city.footprints())


def test_the_order_in_which_layers_are_computed_does_not_matter() -> None:
    city, twin = small_city(), small_city()
    np.testing.assert_array_equal(city.image, city.pre.image)
    twin.footprints()
    np.testing.assert_array_equal(twin.post.image, city.post.image)
    np.testing.assert_array_equal(twin.image, city.image)


def test_other_seeds_give_other_cities() -> None:
    assert (City(1, 64).image != City(2, 64).image).mean() > 0.5


def test_layers_have_the_promised_shapes_and_types(city: City) -> None:
    assert city.image.shape == (4, 448, 448)
    assert city.image.dtype == np.uint8
    assert city.dsm.dtype == city.dtm.dtype == np.float32
    assert city.labels("isprs").dtype == np.uint8
    assert city.post.image.shape == city.image.shape
    assert city.grid.crs.to_epsg() == 32633
    oblong = City(3, (64, 96), 0.5)
    assert oblong.image.shape == (4, 64, 96)
    assert oblong.grid.shape == (64, 96)


def test_height_above_ground_is_roof_height_inside_buildings(city: City) -> None:
    numbers = footprint_numbers(city)
    trees = city.labels("minicity") == Legend.load("minicity").value("tree")
    above = city.dsm - city.dtm
    checked = 0
    for row, building in enumerate(city.all_buildings.itertuples()):
        own = ndimage.binary_erosion(numbers == row + 1, iterations=2) & ~trees
        if own.sum() < 60:
            continue
        checked += 1
        if building.roof == "flat":
            assert np.median(above[own]) == pytest.approx(building.height_m, abs=0.02)
        else:
            assert 0.55 * building.height_m < np.quantile(above[own], 0.9) <= building.height_m + 0.02
    assert checked >= 8


def test_no_roof_rises_much_above_its_stated_ridge(city: City) -> None:
    numbers = city.pre.building_ids()
    trees = city.labels("minicity") == Legend.load("minicity").value("tree")
    above = city.dsm - city.dtm
    checked = 0
    for row in np.unique(numbers[numbers > 0]):
        own = (numbers == row) & ~trees
        if own.any():
            checked += 1
            fitting = 3.0  # parapets, chimneys, machines
            assert above[own].max() <= city.all_buildings.height_m[row - 1] + fitting
    assert checked >= 8


def test_building_labels_lie_inside_footprints(city: City) -> None:
    legend = Legend.load("minicity")
    labels, numbers = city.labels(legend), footprint_numbers(city)
    building, tree = labels == legend.value("building"), labels == legend.value("tree")
    inside = numbers > 0
    assert (building & ~inside).sum() / building.sum() < 0.01
    assert (building | tree)[inside].mean() > 0.99


@pytest.mark.parametrize("name", ["isprs", "dfc2015", "minicity"])
def test_labels_hold_only_values_of_their_legend(city: City, name: str) -> None:
    Legend.load(name).check(city.labels(name))
    Legend.load(name).check(city.post.labels(name))


def test_damage_shares_are_kept(city: City) -> None:
    counts = city.all_buildings.damage.value_counts(normalize=True)
    for grade, share in zip(("no-damage", "minor-damage", "major-damage", "destroyed"), SHARES, strict=True):
        assert counts[grade] == pytest.approx(share, abs=1.5 / len(city.all_buildings) + 1e-9)


def test_destroyed_buildings_lose_their_height_and_intact_ones_keep_it() -> None:
    event = Event(shift_px=(0.0, 0.0), rotation_deg=0.0, damage_shares=SHARES, lookalike_share=0.0)
    city = City(12, 448, 0.4, event=event)
    before, after = city.dsm - city.dtm, city.post.dsm - city.post.dtm
    tree = Legend.load("minicity").value("tree")
    open_sky = (city.labels("minicity") != tree) & (city.post.labels("minicity") != tree)
    numbers = footprint_numbers(city)
    seen = {"no-damage": 0, "destroyed": 0}
    for row, building in enumerate(city.all_buildings.itertuples()):
        own = (numbers == row + 1) & open_sky
        if own.sum() < 40 or building.damage not in seen:
            continue
        loss = np.median(before[own] - after[own])
        seen[building.damage] += 1
        if building.damage == "destroyed":
            assert np.median(after[own]) <= 1.6
            assert loss > 0.3 * building.height_m
        else:
            assert abs(loss) < 0.05
    assert min(seen.values()) >= 3


def test_post_pixels_are_displaced_by_the_stated_transform() -> None:
    event = Event(shift_px=(6.5, -4.25), rotation_deg=0.4, scale=1.002, damage_shares=(1, 0, 0, 0), lookalike_share=0.0)
    city = City(5, 256, 0.4, event=event)
    rows, cols = np.mgrid[20:236:9, 20:236:9]
    east, north = city.post.grid.affine * (cols + 0.5, rows + 0.5)
    true = ~city.grid.affine * (city.post.to_pre * (east, north))
    expected = ndimage.map_coordinates(city.dtm, [true[1] - 0.5, true[0] - 0.5], order=1, mode="nearest")
    inside = (true[0] > 1) & (true[0] < 255) & (true[1] > 1) & (true[1] < 255)
    np.testing.assert_allclose(city.post.dtm[rows, cols][inside], expected[inside], atol=0.01)


def test_a_pure_shift_moves_content_by_that_many_pixels() -> None:
    event = Event(shift_px=(7.0, -4.0), rotation_deg=0.0, damage_shares=(1, 0, 0, 0), lookalike_share=0.0)
    city = City(6, 192, 0.4, event=event)
    pre, post = city.pre.building_ids(), city.post.building_ids()
    np.testing.assert_array_equal(post[7:, :-4], pre[:-7, 4:])


def test_a_coarser_post_image_covers_the_same_ground() -> None:
    city = City(7, 128, 0.3, event=Event(gsd_m=0.6))
    assert city.post.image.shape == (4, 64, 64)
    assert city.post.grid.extent.boundingbox == city.grid.extent.boundingbox


def test_outlines_moved_to_post_lie_on_its_buildings(city: City) -> None:
    outlines = city.to_post(city.all_buildings)
    shapes = [(shape, row + 1) for row, shape in enumerate(outlines.geometry)]
    numbers = rasterize(shapes, city.post.shape, transform=city.post.grid.affine, dtype="int32")
    ids = city.post.building_ids()
    known = ids <= len(shapes)
    assert (numbers == ids)[known].mean() > 0.985


def test_footprints_are_off_by_metres_with_some_missing_and_some_invented(city: City) -> None:
    truth = city.buildings.set_index("id")
    layer = city.footprints(offset_m=2.0, missing_share=0.2, extra_share=0.2).set_index("id")
    known = layer[~layer.index.str.startswith("x")]
    assert 0 < len(known) < len(truth)
    assert len(known) < len(layer)
    away = known.geometry.centroid.distance(truth.loc[known.index].geometry.centroid, align=False)
    assert 1.0 < away.median() < 3.5


def test_osm_is_incomplete(city: City) -> None:
    layers = city.osm(missing_share=0.5)
    assert set(layers) == {"buildings", "roads", "water"}
    assert len(layers["buildings"]) < len(city.buildings)


def test_the_cloud_shows_what_the_surface_model_shows(city: City) -> None:
    cloud = city.points(density=2.0)
    first = cloud.return_number == 1
    col, row = ~city.grid.affine * (cloud.xyz[first, 0], cloud.xyz[first, 1])
    gap = cloud.xyz[first, 2] - city.dsm[row.astype(int), col.astype(int)]
    assert np.quantile(np.abs(gap), 0.99) < 0.15
    assert set(np.unique(cloud.classification)) <= {1, 2, 3, 5, 6, 9, 11}
    density = len(first[first]) / (448 * 0.4) ** 2
    assert density == pytest.approx(2.0, rel=0.05)


def test_spectra_agree_with_the_image_about_vegetation(city: City) -> None:
    spectra = city.spectra(np.array([650.0, 830.0]))
    assert spectra.reflectance.shape == (len(spectra.names), 2)
    assert spectra.reflectance.min() > 0
    cube = [band[spectra.material] * spectra.brightness**2 for band in spectra.reflectance.T]
    index = (cube[1] - cube[0]) / (cube[1] + cube[0])
    labels = city.labels("minicity")
    low, road = (labels == Legend.load("minicity").value(name) for name in ("low_vegetation", "impervious"))
    assert np.median(index[low]) > np.median(index[road]) + 0.15


def test_a_series_is_greener_in_summer() -> None:
    city = City(4, 128, 0.5)
    dates = [datetime.date(2020, 1, 15), datetime.date(2020, 6, 10)]
    ndvi = {}
    low = city.labels("minicity") == Legend.load("minicity").value("low_vegetation")
    for date, image in city.series(dates):
        red, near = image[0].astype(float), image[3].astype(float)
        ndvi[date.month] = np.median(((near - red) / (near + red + 1))[low])
    assert ndvi[6] > ndvi[1] + 0.05


def test_seasons_strip_and_clothe_trees() -> None:
    assert Season.of_day(15).leaf == 0.0
    assert Season.of_day(180).leaf == 1.0
    assert Season.of_day(290).tint > 0.5


def test_the_event_keeps_what_is_given_and_draws_the_rest() -> None:
    light = Light(180.0, 45.0, 0.7)
    city = City(3, 64, event=Event(light=light))
    assert city.event.light == light
    assert city.event.season is not None
    assert city.event.sensor is not None


@pytest.mark.parametrize(
    ("size", "gsd", "words"), [(16, 0.3, "at least 32"), (64, 0.0, "0.05 to 2"), (64, 9.0, "0.05 to 2")]
)
def test_impossible_sizes_are_refused_with_the_reason(size: int, gsd: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        City(0, size, gsd)


@pytest.mark.parametrize(("size", "gsd"), [(32, 0.05), ((33, 57), 0.1), (40, 2.0)])
def test_the_smallest_and_the_coarsest_cities_can_be_made(size: int | tuple[int, int], gsd: float) -> None:
    city = City(0, size, gsd)
    assert city.post.image.shape[1:] == city.shape
    assert len(city.footprints()) <= len(city.buildings) + 1


@pytest.mark.parametrize("seed", range(6))
def test_a_small_image_has_buildings_whatever_the_seed(seed: int) -> None:
    assert len(City(seed, 256, 0.3).buildings) >= 3


@pytest.mark.parametrize("kind", ["tornado", "quake", "fire", "hurricane"])
def test_every_kind_of_event_can_strike(kind: str) -> None:
    city = City(2, 96, 0.6, event=Event(kind=kind, damage_shares=(0.2, 0.2, 0.2, 0.4)))
    assert (city.post.image != city.image).mean() > 0.5


def test_an_unknown_kind_of_event_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="tornado, quake, fire, hurricane"):
        Event(kind="flood")
