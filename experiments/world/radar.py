"""A radar look at the miniature world: VV and VH in dB of a painted surface, with layover, shadow, bright walls and speckle.

Takes a surface; returns images such as Sentinel-1 makes at C band, in pixels that are a multiple of the surface's. Ascending passes look
to the east, descending ones to the west, along the rows. The terrain counts as level, crowns hide what is behind them, speckle is
independent from pixel to pixel; trunks in water and snow have no effect of their own. Everything is SYNTHETIC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine

from deepnets4eo.arrays import FloatImage, Floats, Indices, Mask
from deepnets4eo.errors import InputError, check_choice
from deepnets4eo.grid import Grid
from deepnets4eo.synthetic.city import CRS, ORIGIN
from deepnets4eo.synthetic.materials import CODE, NAMES
from world.hazard import Hazard
from world.layouts import lay_out
from world.outcome import draw_outcome
from world.paint_world import paint
from world.plan import AFTER, BEFORE
from world.style import WorldSeason, WorldStyle
from world.surface import WorldSurface
from world.vegetation import plant

POLARISATIONS, ORBITS = ("VV", "VH"), ("ascending", "descending")
REFERENCE_DEG = 38.0
# Materials → backscatter in dB at 38°, of VV and VH, and dB by which each degree more makes them darker. Set by hand, plants within 2 dB of
# the means of Sentinel-1 patches of BigEarthNet (VV, VH: arable −10.5, −17; pasture −10.7, −16; forest −8.6, −15), all in the order of Ulaby
# and Dobson, Handbook of Radar Scattering Statistics for Terrain (1989): smooth surfaces, soil, plants, buildings. Water comes from the wind.
BACKSCATTER = {
    ("asphalt", "old_asphalt", "paint", "concrete"): (-17.0, -25.0, 0.3),
    ("sand", "ash", "mud", "snow"): (-15.0, -23.0, 0.25),
    ("soil", "gravel", "laterite", "tilled_soil", "burnt"): (-12.0, -20.0, 0.2),
    ("grass", "dry_grass", "ripe_crop"): (-12.0, -17.5, 0.15),
    ("crop",): (-11.0, -16.5, 0.15),
    ("shrub", "scrub"): (-10.5, -16.0, 0.1),
    ("foliage", "branches"): (-9.0, -15.0, 0.1),
    ("rubble", "rock", "lava", "wood"): (-8.5, -15.0, 0.1),
    ("roof", "concrete_roof", "tarp", "glass"): (-9.0, -17.0, 0.1),
    ("car", "boat"): (-3.0, -11.0, 0.05),
}
IS_WATER = np.isin(NAMES, ("water", "flood_water", "pool"))  # (M,)
NOISE_DB = -28.0  # noise-equivalent backscatter, added everywhere: all that is left in shadow
CALM_M_S = 2.0  # winds below count as this: the models hold from about here
# dB at 2 m/s, more per decade of speed, less per degree: within 0.4 dB of CMOD5.N (Hersbach 2010) at 38°, 2 to 10 m/s, all directions.
WATER_VV = -24.4, 14.3, 0.5
WATER_VH = -35.6, 0.59  # dB, and per m/s, at all angles (Vachon and Wolfe 2011); lakes, of short fetch, have less
# Power of VV and VH that comes back by way of the ground from each m² of wall; by this, towns have a mean of −8 to −9 dB in VV.
WALL = 1.5, 0.12
WALL_SHARPNESS = 6.0  # power of the cosine of the angle between wall and look
WATER_MIRROR = 2.0  # times as bright are walls that stand in water
MIN_WALL_M = 1.5
OPAQUE = 0.5  # crowns of more cover hide what is below
FINE_M = 2.0  # largest pixel of surfaces that are painted here
SPECKLE_DRAW, PLACE_DRAW = 71, 41  # beside a seed, so that no other draw follows from the same numbers


@dataclass(frozen=True)
class RadarLook:
    """How a radar looks at a place.

    Parameters
    ----------
    orbit : str
        "ascending": the sensor stands in the west and looks to the east; "descending": the other way round.
    incidence_deg : float
        Angle between the ray and the vertical, 20 to 60 degrees, the same everywhere.
    looks : float
        Equivalent number of looks, from 1 on.
    wind_m_s : float
        Wind over water, metres a second, to 12; below 2 the water is as calm as at 2.
    gsd_m : float
        Side of a pixel, metres.
    """

    orbit: str = "ascending"
    incidence_deg: float = 38.0
    looks: float = 4.4
    wind_m_s: float = CALM_M_S
    gsd_m: float = 10.0

    def __post_init__(self) -> None:
        check_choice("orbit", self.orbit, ORBITS)
        spans = {"incidence_deg": (20, 60), "looks": (1, math.inf), "wind_m_s": (0, 12), "gsd_m": (0.2, 100)}
        for name, (low, high) in spans.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}, expected {low} to {high}. Give another look.")


@dataclass(frozen=True)
class RadarView:
    """What a radar sees of a place at one date.

    Attributes
    ----------
    bands : (2, H, W) float32
        VV and VH, dB.
    water : (H, W) bool
        The truth: more than half of the pixel is water, seen from above.
    grid : Grid
        Where it lies; `Layer.open(view.bands, grid=view.grid)` opens it.
    tags : dict
        The unit, the direction of flight, and that all is synthetic, as a file has them.
    """

    bands: FloatImage
    water: Mask
    grid: Grid
    tags: dict[str, str]


def backscatter(look: RadarLook) -> Floats:
    """Linear power of VV and VH (2, M) of each material in the order of `materials.NAMES`, without noise."""
    angle = look.incidence_deg - REFERENCE_DEG
    wind = max(look.wind_m_s, CALM_M_S)
    table = np.full((2, len(NAMES)), np.nan)
    for names, (*levels, per_deg) in BACKSCATTER.items():
        table[:, [CODE[name] for name in names]] = np.array(levels)[:, None] - per_deg * angle
    table[0, IS_WATER] = WATER_VV[0] + WATER_VV[1] * math.log10(wind / CALM_M_S) - WATER_VV[2] * angle
    table[1, IS_WATER] = WATER_VH[0] + WATER_VH[1] * wind
    return np.asarray(10 ** (table / 10))


def see_by_radar(surface: WorldSurface, look: RadarLook | None = None, *, seed: int = 0) -> RadarView:
    """Make the radar image of a painted surface.

    Parameters
    ----------
    surface : WorldSurface
        One date; its pixels are at most as large as those of the image.
    look : RadarLook | None
        Orbit, angle, looks, wind and pixel size.
    seed : int
        The seed of the speckle; another date has another one.

    Returns
    -------
    RadarView
        Rows and columns that fill no whole pixel are left out.

    Raises
    ------
    InputError
        The pixel size is no whole multiple of the surface's, or larger than the surface.
    """
    look = look or RadarLook()
    factor = round(look.gsd_m / surface.gsd_m)
    if abs(factor * surface.gsd_m / look.gsd_m - 1) > 1e-6 or factor > min(surface.shape):
        raise InputError(
            f"gsd_m is {look.gsd_m}, expected a whole multiple of the surface's {surface.gsd_m} m and at most its "
            f"{min(surface.shape) * surface.gsd_m:g} m. Paint the surface finer, or take another pixel size."
        )
    power = _mean_blocks(_received_power(surface, look), factor) + 10 ** (NOISE_DB / 10)
    speckle = np.random.default_rng([seed, SPECKLE_DRAW]).gamma(look.looks, 1 / look.looks, power.shape)
    open_water = (IS_WATER[surface.material] & (surface.cover <= OPAQUE))[None]
    made = f"deepnets4eo miniature world, seed={surface.seed}"
    return RadarView(
        bands=np.asarray(10 * np.log10(power * speckle), np.float32),
        water=_mean_blocks(open_water.astype(np.float64), factor)[0] > 0.5,
        grid=Grid((power.shape[1], power.shape[2]), Affine(look.gsd_m, 0, ORIGIN[0], 0, -look.gsd_m, ORIGIN[1]), CRS),
        tags={"UNIT": "dB", "ORBIT_DIRECTION": look.orbit, "SYNTHETIC": made},
    )


def draw_radar_flood(
    seed: int, *, style: str = "countryside", look: RadarLook | None = None, size_px: int = 256
) -> tuple[RadarView, RadarView]:
    """Draw a place, a flood that stands in it, and the radar images before and after.

    Parameters
    ----------
    seed : int
        The seed of everything.
    style : str
        One of `style_names()`.
    look : RadarLook | None
        How both dates are seen.
    size_px : int
        Side of the images, pixels.

    Returns
    -------
    (RadarView, RadarView)
        Before and after; water of the second that is none in the first is flood.

    Raises
    ------
    InputError
        There is no such style.
    """
    look = look or RadarLook()
    rng = np.random.default_rng([seed, PLACE_DRAW])
    kind, flood = WorldStyle.load(style), Hazard.load("flood")
    factor = math.ceil(look.gsd_m / FINE_M)
    standing = replace(flood, effects=flood.effects | {"drained": (0.0, 0.0)})
    plan = plant(lay_out(kind, (size_px * look.gsd_m,) * 2, rng), kind, rng)
    plan, outcome = draw_outcome(plan, standing, rng)
    season = WorldSeason(greenness=0.7, leaf=1.0)
    surfaces = (
        paint(plan.at(date), look.gsd_m / factor, (size_px * factor,) * 2, season, happened, seed=seed)
        for date, happened in ((BEFORE, None), (AFTER, outcome))
    )
    before, after = (see_by_radar(surface, look, seed=2 * seed + date) for date, surface in enumerate(surfaces))
    return before, after


def _received_power(surface: WorldSurface, look: RadarLook) -> Floats:
    """Linear power of VV and VH (2, h, w) on the surface's own pixels, where the ground range of each echo puts it."""
    side = np.s_[..., :: 1 if look.orbit == ORBITS[0] else -1]  # the sensor is on the left
    height, water = surface.height[side].astype(np.float64), IS_WATER[surface.material[side]]
    crown = surface.cover[side] > OPAQUE
    material = np.where(crown, CODE["foliage"], surface.material[side])
    # A flood stands where the world's level ground would be lower, so that its surface lies on that level.
    top = np.where(crown, np.maximum(surface.canopy[side], height), np.where(water, 0, height))
    tangent = math.tan(math.radians(look.incidence_deg))
    across = (np.arange(height.shape[1]) + 0.5) * surface.gsd_m
    ray = top + across / tangent  # rises along the ray from what hides to what is just hidden
    seen = ray >= np.maximum.accumulate(ray, axis=1) - 1e-6
    shift = np.rint(top / (tangent * surface.gsd_m)).astype(np.int64)
    walls = _wall_heights(height, surface.building[side] > 0, water) * seen / surface.gsd_m
    return (_towards_sensor(backscatter(look)[:, material] * seen, shift) + np.multiply.outer(WALL, walls))[side]


def _towards_sensor(echo: Floats, shift: Indices) -> Floats:
    """Move the echoes (2, h, w) to the left by whole pixels (h, w), and add what falls together; the left border cuts."""
    rows, cols = np.indices(shift.shape)
    kept = cols >= shift
    where = (rows * shift.shape[1] + cols - shift)[kept]
    return np.stack([np.bincount(where, band[kept], shift.size).reshape(shift.shape) for band in echo])


def _wall_heights(height: Floats, building: Mask, water: Mask) -> Floats:
    """Metres of wall (h, w) right of each pixel, weighted by how well they send a ray back by way of the pixel."""
    rise = np.zeros_like(height)
    rise[:, :-1] = np.where(building[:, 1:] & ~building[:, :-1], np.diff(height, axis=1), 0)
    down, along = np.gradient(height)
    facing = (along**2 / np.maximum(along**2 + down**2, 1e-9)) ** (WALL_SHARPNESS / 2)
    return np.where(rise > MIN_WALL_M, rise, 0) * facing * np.where(water, WATER_MIRROR, 1.0)


def _mean_blocks(layers: Floats, factor: int) -> Floats:
    """Means (C, h, w) of whole blocks of `factor` pixels."""
    count, rows, cols = layers.shape[0], layers.shape[1] // factor, layers.shape[2] // factor
    cut = layers[:, : rows * factor, : cols * factor]
    return np.asarray(cut.reshape(count, rows, factor, cols, factor).mean(axis=(2, 4)))
