"""The ground under a surface model: close to the truth where there is one, whole where the surface has gaps."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City
from deepnets4eo.terrain import ground, without_gaps


def plane(shape: tuple[int, int], down: float, right: float) -> np.ndarray:
    rows, cols = np.indices(shape)
    return (100 + down * rows + right * cols).astype(np.float32)


def test_the_ground_of_the_miniature_city_is_right_to_centimetres():
    city = City(5, 400, 0.3)
    noisy = city.dsm + np.random.default_rng(0).normal(0, 0.05, city.dsm.shape)
    error = ground(noisy, 0.3) - city.dtm
    assert np.abs(error).mean() < 0.08
    built = city.dsm - city.dtm > 2.5
    assert built.mean() > 0.05
    assert np.sqrt((error[built] ** 2).mean()) < 0.3


@pytest.mark.real_data
def test_the_ground_of_a_real_town_is_right_to_a_metre(real_data):
    folder = real_data / "elevation_buildings" / "elevation"
    dsm, dtm = (Layer.open(folder / f"{name}.tif", nodata=-9999) for name in ("dsm", "dtm"))
    (upper, seen), (lower, known) = dsm.read(), dtm.read()
    error = (ground(np.where(seen, upper[0], np.nan), 2.0) - lower[0])[seen & known]
    assert np.abs(error).mean() < 1.0
    assert (upper[0] - lower[0])[seen & known].mean() > 3


@pytest.mark.real_data
@pytest.mark.parametrize(("sample", "worst"), [("samp12", 0.06), ("samp21", 0.03), ("samp31", 0.03)])
def test_few_points_of_the_isprs_filter_test_fall_on_the_wrong_side(real_data, sample, worst):
    """City samples of Sithole and Vosselman 2003, against their bare-earth points, 0.5 m apart at most."""
    points = np.load(real_data / "isprs_filtertest" / f"{sample}.npz")
    places, heights = points["xyz"][:, 1::-1], points["xyz"][:, 2]
    cells = tuple(((places - places.min(axis=0)) / 1.5).astype(int).T)
    lowest = np.full([int(side.max()) + 1 for side in cells], np.inf)
    np.minimum.at(lowest, cells, heights)
    found = ground(np.where(np.isinf(lowest), np.nan, lowest), 1.5)
    assert ((heights - found[cells] < 0.5) != points["ground"].astype(bool)).mean() < worst


@given(down=st.floats(-0.1, 0.1), right=st.floats(-0.1, 0.1), height=st.floats(3, 40))
def test_a_house_on_a_slope_is_taken_away_and_the_slope_stays(down, right, height):
    terrain = plane((48, 56), down, right)
    surface = terrain.copy()
    surface[16:28, 20:34] += height
    assert np.abs(ground(surface, max_building_m=16) - terrain).max() < 0.25


def test_buildings_wider_than_the_largest_stay_in_the_ground():
    surface = np.zeros((120, 120), np.float32)
    surface[30:90, 30:90] = 10
    assert ground(surface, max_building_m=80).max() < 0.01
    assert ground(surface, max_building_m=20)[60, 60] == 10
    assert ground(surface, 0.25, max_building_m=20).max() < 0.01  # the same pixels, 15 m now


def test_unknown_heights_get_a_ground_and_do_not_disturb_their_surroundings():
    surface = plane((64, 64), 0.05, -0.02)
    truth = surface.copy()
    surface[10:20, 10:20] += 12
    surface[30:40, 25:45] = np.nan
    surface[0, :] = np.nan
    found = ground(surface, max_building_m=14)
    assert np.isfinite(found).all()
    assert np.abs(found - truth).max() < 0.25


def test_a_single_pixel_deep_below_its_neighbours_does_not_pull_the_ground_down():
    surface = plane((64, 64), 0, 0)
    surface[32, 32] -= 80
    found = ground(surface)
    assert np.abs(found - 100).max() < 0.01


def test_gaps_in_a_plane_are_bridged_by_the_plane_and_known_heights_stay():
    truth = plane((61, 50), 0.2, 0.1)
    known = np.ones(truth.shape, bool)
    known[20:32, 17:30] = False
    filled = without_gaps(np.where(known, truth, np.nan), known)
    assert np.array_equal(filled[known], truth[known])
    assert np.abs(filled - truth).max() < 0.2


def test_surfaces_and_settings_without_sense_are_refused():
    flat = np.zeros((8, 8), np.float32)
    with pytest.raises(InputError, match="no valid height"):
        ground(np.full((8, 8), np.nan))
    with raises_naming(InputError, "gsd_m", "0"):
        ground(flat, 0)
    with raises_naming(InputError, "max_building_m", "-3"):
        ground(flat, max_building_m=-3)
    with raises_naming(InputError, "(1, 8, 8)"):
        ground(flat[None])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 2)])
def test_surfaces_of_a_few_pixels_work(shape):
    assert ground(np.full(shape, 3.0)).tolist() == np.full(shape, 3.0).tolist()


def test_a_building_wider_than_the_surface_changes_nothing_and_takes_no_time():
    surface = np.zeros((40, 40), np.float32)
    surface[10:20, 12:25] = 8.0
    np.testing.assert_array_equal(ground(surface, max_building_m=1e300), ground(surface, max_building_m=500))
    for width in (float("nan"), float("inf"), 0.0):
        with raises_naming(InputError, "max_building_m", "more than 0"):
            ground(surface, max_building_m=width)
