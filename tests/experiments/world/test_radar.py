"""What a radar sees of the miniature world: levels, speckle, layover and shadow, walls, wind, and floods that are found in it."""

import numpy as np
import pytest
from world import RadarLook, RadarView, draw_radar_flood, see_by_radar
from world.radar import IS_WATER, NOISE_DB, WALL, WATER_VV, backscatter
from world.surface import WorldSurface

from deepnets4eo.errors import InputError
from deepnets4eo.floods import RadarImage, equivalent_looks, radar_water
from deepnets4eo.floods.thresholds import FLOOD
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic.materials import CODE, NAMES

FINE = RadarLook(gsd_m=1.0, looks=1e6)  # of one pixel of the surface, hardly any speckle


def level(name: str, shape: tuple[int, int] = (64, 64), gsd_m: float = 1.0) -> WorldSurface:
    """Level ground of one material."""
    surface = WorldSurface.bare(gsd_m, 1, shape)
    surface.material[:] = CODE[name]
    return surface


def house(height_m: float = 10.0) -> WorldSurface:
    """A flat house of 20 m on level grass, columns 40 to 59."""
    surface = level("grass", (60, 100))
    surface.height[20:40, 40:60] = height_m
    surface.building[20:40, 40:60] = 1
    surface.material[20:40, 40:60] = CODE["roof"]
    return surface


def power_of(view: RadarView) -> np.ndarray:
    return 10 ** (view.bands.astype(np.float64) / 10)


def row_of(view: RadarView) -> np.ndarray:
    """VV power of a row through the middle of the house."""
    return power_of(view)[0, 30]


def test_every_material_has_a_level_and_water_is_the_darkest_in_both_polarisations():
    table = 10 * np.log10(backscatter(RadarLook()))
    assert np.isfinite(table).all()
    assert table.shape == (2, len(NAMES))
    assert (table[:, IS_WATER].max(axis=1) + 5 < table[:, ~IS_WATER].min(axis=1)).all()
    assert (table[0] > table[1] + 4).all()


@pytest.mark.parametrize("name", ["water", "grass", "foliage", "asphalt"])
def test_the_mean_power_of_a_surface_is_that_of_the_table(name):
    look = RadarLook(gsd_m=2.0, incidence_deg=33.0)
    measured = power_of(see_by_radar(level(name, (256, 256)), look, seed=4)).mean(axis=(1, 2))
    expected = backscatter(look)[:, CODE[name]] + 10 ** (NOISE_DB / 10)
    assert measured == pytest.approx(expected, rel=4 / np.sqrt(look.looks * 128**2))


def test_steeper_looks_are_brighter():
    near, far = (backscatter(RadarLook(incidence_deg=angle))[0] for angle in (30.0, 45.0))
    assert (near > far).all()


@pytest.mark.parametrize("looks", [1.0, 4.4, 12.0])
def test_speckle_has_the_looks_that_were_asked_for(looks):
    view = see_by_radar(level("crop", (512, 512)), RadarLook(gsd_m=1.0, looks=looks), seed=2)
    for power in power_of(view).astype(np.float32):
        assert equivalent_looks(power) == pytest.approx(looks, rel=0.1)
        assert power.mean() ** 2 / power.var() == pytest.approx(looks, rel=0.05)


def test_wind_raises_water_more_in_vv_than_in_vh_and_leaves_land():
    calm, windy = (backscatter(RadarLook(wind_m_s=wind)) for wind in (2.0, 8.0))
    gain = 10 * np.log10(windy / calm)
    assert gain[0, IS_WATER] == pytest.approx(WATER_VV[1] * np.log10(4))
    assert (gain[0, IS_WATER] > gain[1, IS_WATER]).all()
    assert (gain[1, IS_WATER] > 3).all()
    assert not gain[:, ~IS_WATER].any()


def test_layover_lies_on_the_near_side_and_shadow_on_the_far_side():
    """At 45° the roof of 10 m moves by 10 m to the sensor, and 10 m of ground behind it are hidden."""
    row = row_of(see_by_radar(house(), RadarLook(gsd_m=1.0, looks=1e6, incidence_deg=45.0)))
    grass, roof = backscatter(RadarLook(incidence_deg=45.0))[0, [CODE["grass"], CODE["roof"]]]
    noise = 10 ** (NOISE_DB / 10)
    assert row[:29] == pytest.approx(grass + noise, rel=0.02)
    assert row[31:39] == pytest.approx(grass + roof + noise, rel=0.02)
    assert row[40:49] == pytest.approx(roof + noise, rel=0.02)
    assert row[51:69] == pytest.approx(noise, rel=0.02)  # 20 m: what the roof left, and the ground behind
    assert row[71:] == pytest.approx(grass + noise, rel=0.02)


def test_layover_and_shadow_swap_with_the_direction_of_the_look():
    place = house()
    ascending, descending = (
        see_by_radar(place, RadarLook(orbit, gsd_m=1.0, looks=1e6)) for orbit in ("ascending", "descending")
    )
    np.testing.assert_allclose(power_of(ascending), power_of(descending)[..., ::-1], rtol=0.02)
    assert [view.tags["ORBIT_DIRECTION"] for view in (ascending, descending)] == ["ascending", "descending"]


def test_walls_are_bright_at_their_foot_brighter_in_water_and_dark_where_they_do_not_face_the_sensor():
    dry = row_of(see_by_radar(house(), FINE))
    assert dry[39] == pytest.approx(10 * WALL[0], rel=0.05)
    flooded = house()
    flooded.material[:, :40] = CODE["water"]
    assert row_of(see_by_radar(flooded, FINE))[39] == pytest.approx(2 * dry[39], rel=0.05)
    slanted = level("grass", (100, 100))
    rows, cols = np.indices(slanted.shape)
    slanted.building[:] = rows + cols > 100
    slanted.height[:] = 10.0 * slanted.building
    assert power_of(see_by_radar(slanted, FINE))[0, 40:60].max() < 0.3 * dry[39]


def test_crowns_hide_water_and_water_lies_on_level_ground():
    surface = level("water", (40, 60))
    surface.height[:] = 3.0  # of a flood, above ground that the world draws as level
    surface.cover[:, 30:], surface.canopy[:, 30:] = 0.9, 3.0
    view = see_by_radar(surface, FINE)
    assert view.water[:, :30].all()
    assert not view.water[:, 30:].any()
    table = backscatter(FINE)[0]
    row = power_of(view)[0, 20]
    assert row[:20] == pytest.approx(table[CODE["water"]] + 10 ** (NOISE_DB / 10), rel=0.02)
    assert row[35:55] == pytest.approx(table[CODE["foliage"]] + 10 ** (NOISE_DB / 10), rel=0.02)


def test_the_same_seed_makes_the_same_bits_and_another_seed_other_speckle():
    place = house()
    first, again, other = (see_by_radar(place, seed=seed).bands.tobytes() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_view_opens_as_a_layer_and_says_its_unit_and_orbit():
    view = see_by_radar(level("grass", (45, 60)), RadarLook("descending"))
    layer = Layer.open(view.bands, grid=view.grid)
    assert layer.shape == view.water.shape == (4, 6)
    assert layer.grid.affine.a == 10.0
    image = RadarImage("made", dict(zip(("VV", "VH"), view.bands, strict=True)), view.tags)
    assert (image.unit(), image.orbit()) == ("decibel", "descending")
    assert "SYNTHETIC" in view.tags


@pytest.mark.parametrize(
    ("options", "message"),
    [({"orbit": "north"}, "orbit"), ({"incidence_deg": 5.0}, "20 to 60"), ({"looks": 0.5}, "looks"), ({"wind_m_s": 30.0}, "wind")],
)  # fmt: skip
def test_looks_that_no_radar_has_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        RadarLook(**options)


@pytest.mark.parametrize("gsd_m", [0.5, 2.5, 80.0])
def test_a_pixel_size_that_does_not_fit_the_surface_is_refused(gsd_m):
    with pytest.raises(InputError, match="whole multiple"):
        see_by_radar(level("grass"), RadarLook(gsd_m=gsd_m))


def test_floods_finds_the_flood_of_a_place():
    """IoU 0.514 by the default options."""
    before, after = draw_radar_flood(2, style="farms", size_px=128)
    dates = (
        RadarImage("made", dict(zip(("VV", "VH"), view.bands, strict=True)), view.tags) for view in (before, after)
    )
    truth, found = after.water & ~before.water, radar_water(*dates).classes == FLOOD
    assert 0.1 < truth.mean() < 0.9
    assert (truth & found).sum() / (truth | found).sum() > 0.45
