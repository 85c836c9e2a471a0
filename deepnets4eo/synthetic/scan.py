"""Laser scans of the miniature city from the air and from the street, with what each cannot see.

Coordinates are true; classes are ASPRS codes and `points.RUBBLE_CLASS` for rubble.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.points import RUBBLE_CLASS, PointCloud
from deepnets4eo.synthetic.city import City
from deepnets4eo.synthetic.materials import CODE, intensities, surface_classes
from deepnets4eo.synthetic.sensor import Acquisition
from deepnets4eo.synthetic.surface import OPAQUE, CitySurface

CROWN_BASE = 0.35  # of the height of its top
HALVINGS = 12
CHUNK = 1 << 17  # rays at a time

RANGE_NOISE_M = 0.02
THROUGH_CROWNS_SHARE = 0.35  # share of pulses that pass a crown
EYE_M = 1.8  # of a scanner on its tripod
LOWEST, STEEPEST = math.radians(-60.0), math.radians(75.0)  # elevation of a terrestrial scanner's rays
TREE = 5


def aerial_scan(
    acquisition: Acquisition, density: float = 8.0, *, max_angle_deg: float = 15.0, strips: int = 2, seed: int = 0
) -> PointCloud:
    """Scan the city from the air, in strips.

    Errors: InputError (a density that is not above 0, an angle out of range, or no strip).

    Parameters
    ----------
    acquisition : `city.pre` or `city.post`
    density : pulses per square metre, of all strips together
    max_angle_deg : largest angle from the nadir, 0 to 60 degrees
    strips : flight lines, spread evenly from the western to the eastern edge; a single line is in the middle
    seed : of the random numbers

    Returns
    -------
    With colour, near infrared, intensity, returns and classes. A pulse that passes a crown has two returns.

    Examples
    --------
    >>> cloud = aerial_scan(City(seed=1, size_px=96).pre, 2.0)
    >>> int(cloud.return_number.max()) <= 2, cloud.colour.shape == (len(cloud), 3)
    (True, True)
    """
    if density <= 0 or not 0 <= max_angle_deg <= 60 or strips < 1:
        raise InputError(
            f"density is {density}, max_angle_deg {max_angle_deg}, strips {strips}; expected more than 0, 0 to 60, and "
            "at least 1. Correct them."
        )
    rng = np.random.default_rng([acquisition.seed, 32, seed])
    surface = acquisition.surface
    left, top, right, bottom = _local_extent(acquisition)
    number = int(rng.poisson(density * (right - left) * (bottom - top)))
    line = rng.integers(0, strips, number)
    lines = np.linspace(left, right, strips) if strips > 1 else np.array([(left + right) / 2])
    spread = max(float(lines.max() - left), float(right - lines.min()))
    altitude = spread / max(np.tan(np.radians(max_angle_deg)), 1e-6)
    across = rng.uniform(np.arctan((left - lines[line]) / altitude), np.arctan((right - lines[line]) / altitude))
    level = float(np.median(surface.ground))
    highest, lowest = float(surface.dsm.max()) + 1, float(surface.ground.min()) - 1
    x = lines[line] + np.tan(across) * altitude
    directions = np.stack([np.sin(across), np.zeros(number), -np.cos(across)], axis=1)
    targets = np.stack([x, rng.uniform(top, bottom, number), np.full(number, level)], axis=1)
    origins = targets - directions * ((highest - level) / np.cos(across))[:, None]
    reach = (highest - lowest) / np.cos(np.radians(max_angle_deg)) + 1
    return _measure(acquisition, Rays(origins, directions, np.ones(number, bool)), reach, rng, two_returns=True)


def terrestrial_scan(
    acquisition: Acquisition,
    positions: Floats,
    rays: int = 100_000,
    *,
    range_m: float = 60.0,
    eye_m: float = EYE_M,
    seed: int = 0,
) -> PointCloud:
    """Scan the city from tripods or masts on the ground, with one return per ray.

    Errors: InputError: positions that are no (K, 2) coordinates on the canvas.

    Parameters
    ----------
    acquisition : `city.pre` or `city.post`
    positions : (K, 2) ground coordinates of the scanners, as in `scanner_positions`
    rays : of each scanner, even in azimuth and elevation (−60° to 75°)
    range_m : maximum distance of measured points, metres
    eye_m : height of the scanners above the ground or the object under them, metres; 1.8 is the height of a tripod
    seed : of the random numbers

    Returns
    -------
    The same measurements as in `aerial_scan`, for all scanners.
    """
    surface = acquisition.surface
    local = apply_affine(~acquisition.canvas.affine, np.asarray(positions, float).reshape(-1, 2)) * surface.gsd_m
    col, row = (np.floor(local / surface.gsd_m).astype(int)).T
    inside = (col >= 0) & (col < surface.shape[1]) & (row >= 0) & (row < surface.shape[0])
    if not len(local) or not inside.all():
        raise InputError(
            f"{int((~inside).sum())} of {len(local)} scanner positions lie off the city; expected at least one position, "
            "all on it. Use scanner_positions."
        )
    rng = np.random.default_rng([acquisition.seed, 33, seed])
    eyes = np.column_stack([local, surface.ground[row, col] + surface.height[row, col] + eye_m])
    azimuth = rng.uniform(0, 2 * np.pi, (len(eyes), rays))
    elevation = rng.uniform(LOWEST, STEEPEST, (len(eyes), rays))
    flat = np.cos(elevation)
    directions = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=-1).reshape(-1, 3)
    stopped = rng.random(len(directions)) >= THROUGH_CROWNS_SHARE
    return _measure(acquisition, Rays(np.repeat(eyes, rays, axis=0), directions, stopped), range_m, rng)


def scanner_positions(city: City, spacing_m: float = 25.0) -> Floats:
    """Positions for tripods along the streets, in ground coordinates.

    Parameters
    ----------
    city : the city
    spacing_m : distance between neighbours on a street, metres

    Returns
    -------
    (K, 2) float64.
    """
    import shapely

    lines = city.roads.geometry.to_numpy()
    parts = [
        shapely.line_interpolate_point(line, np.arange(spacing_m / 2, line.length, spacing_m))
        for line in shapely.get_parts(lines)
    ]
    return shapely.get_coordinates(np.concatenate(parts)) if parts else np.zeros((0, 2))


def _local_extent(acquisition: Acquisition) -> tuple[float, float, float, float]:
    """Return the image's extent in local metres: left, top, right, bottom."""
    box = acquisition.grid.extent.boundingbox
    corners = apply_affine(~acquisition.canvas.affine, np.array([(box.left, box.top), (box.right, box.bottom)]))
    (left, top), (right, bottom) = corners * acquisition.surface.gsd_m
    return float(left), float(top), float(right), float(bottom)


def _measure(
    acquisition: Acquisition, rays: Rays, range_m: float, rng: np.random.Generator, *, two_returns: bool = False
) -> PointCloud:
    """Return the cloud of all hits; with `two_returns`, some pulses continue below a crown."""
    surface = acquisition.surface
    distance = hit_distances(surface, rays, range_m)
    hit = np.isfinite(distance)
    rays, distance = rays.subset(np.flatnonzero(hit)), distance[hit]
    number, total = np.ones(len(distance), np.uint8), np.ones(len(distance), np.uint8)
    if two_returns:
        crown = _in_crown(surface, rays.at(distance)) & (rng.random(len(distance)) < THROUGH_CROWNS_SHARE)
        below = rays.subset(np.flatnonzero(crown))
        below = Rays(below.origins, below.directions, np.zeros(len(below.origins), bool))
        further = hit_distances(surface, below, range_m)
        reached = np.isfinite(further)
        total[np.flatnonzero(crown)[reached]] = 2
        last = below.subset(np.flatnonzero(reached))
        rays = Rays(*(np.concatenate([getattr(rays, name), getattr(last, name)]) for name in Rays.__dataclass_fields__))
        distance = np.concatenate([distance, further[reached]])
        number = np.concatenate([number, np.full(int(reached.sum()), 2, np.uint8)])
        total = np.concatenate([total, np.full(int(reached.sum()), 2, np.uint8)])
    exact = rays.at(distance)
    local = rays.at(distance + rng.normal(0, RANGE_NOISE_M, len(distance)))
    return _cloud(acquisition, exact, local, number, total, rng)


def _cloud(
    acquisition: Acquisition,
    exact: Floats,
    local: Floats,
    number: NDArray[np.uint8],
    total: NDArray[np.uint8],
    rng: np.random.Generator,
) -> PointCloud:
    """Points in ground coordinates with what the surface shows at the hits (`exact`)."""
    surface = acquisition.surface
    row, col = _pixel(surface, exact)
    crown = _in_crown(surface, exact)
    classes = surface_classes(surface, row, col, surface.height[row, col])
    classes = np.where(np.isin(surface.material[row, col], (CODE["rubble"], CODE["burnt"])), RUBBLE_CLASS, classes)
    colour = np.where(crown, surface.leaf[:, row, col], surface.albedo[:, row, col])
    ground_xy = apply_affine(acquisition.canvas.affine, local[:, :2] / surface.gsd_m)
    return PointCloud(
        np.column_stack([ground_xy, local[:, 2]]),
        colour=colour[:3].T.astype(np.uint8),
        near_infrared=colour[3].astype(np.uint8),
        intensity=intensities(colour[3], rng).astype(np.float32),
        return_number=number,
        number_of_returns=total,
        classification=np.where(crown, TREE, classes).astype(np.uint8),
        crs=None if acquisition.grid.crs is None else acquisition.grid.crs.proj,
        source="scan of the miniature city",
        synthetic=True,
    )


def _pixel(surface: CitySurface, local: Floats) -> tuple[Indices, Indices]:
    col, row = np.floor(local[:, :2] / surface.gsd_m).astype(np.int64).T
    return np.clip(row, 0, surface.shape[0] - 1), np.clip(col, 0, surface.shape[1] - 1)


def _in_crown(surface: CitySurface, local: Floats) -> Mask:
    """Return whether each position is in a crown, above everything solid."""
    row, col = _pixel(surface, local)
    above = local[:, 2] - surface.ground[row, col]
    return (surface.cover[row, col] > OPAQUE) & (above > surface.height[row, col] + 0.1)


@dataclass(frozen=True)
class Rays:
    """N rays: origins (N, 3) and unit directions (N, 3), metres; stopped_by_crowns (N,) bool."""

    origins: Floats
    directions: Floats
    stopped_by_crowns: Mask

    def subset(self, index: NDArray[np.intp] | slice) -> Rays:
        """Return some of the rays."""
        return Rays(self.origins[index], self.directions[index], self.stopped_by_crowns[index])

    def at(self, distance_m: Floats) -> Floats:
        """Return (N, 3) positions after distances (N,)."""
        return self.origins + self.directions * distance_m[:, None]


def hit_distances(surface: CitySurface, rays: Rays, range_m: float) -> Floats:
    """Compute the distance (N,) in metres to each ray's first hit, infinite without one."""
    chunks = (slice(first, first + CHUNK) for first in range(0, len(rays.origins), CHUNK))
    parts = [_march(surface, rays.subset(chunk), range_m) for chunk in chunks]
    return np.concatenate(parts) if parts else np.zeros(0)


def _march(surface: CitySurface, rays: Rays, range_m: float) -> Floats:
    """Distances of one chunk; rays that have hit or left the canvas are dropped."""
    distance = np.full(len(rays.origins), np.inf)
    level = np.hypot(rays.directions[:, 0], rays.directions[:, 1])
    step = np.minimum(0.5 * surface.gsd_m / np.maximum(level, 1e-6), range_m / 4)
    active, gone = np.arange(len(distance)), np.zeros(len(distance))
    while len(active):
        some = rays.subset(active)
        ahead = gone + step[active]
        inside, blocked = _blocked(surface, some, some.at(ahead))
        hit = inside & blocked
        distance[active[hit]] = _halve(surface, some.subset(np.flatnonzero(hit)), gone[hit], ahead[hit])
        onward = inside & ~blocked & (ahead < range_m)
        active, gone = active[onward], ahead[onward]
    return distance


def _halve(surface: CitySurface, rays: Rays, free: Floats, hit: Floats) -> Floats:
    """Return the distance at which the ray is stopped, between the last free and the first blocked one."""
    for _ in range(HALVINGS):
        middle = (free + hit) / 2
        _, blocked = _blocked(surface, rays, rays.at(middle))
        free, hit = np.where(blocked, free, middle), np.where(blocked, middle, hit)
    return hit


def _blocked(surface: CitySurface, rays: Rays, xyz: Floats) -> tuple[Mask, Mask]:
    """Return whether positions (N, 3) are over the canvas, and whether they are inside something that stops the ray."""
    col, row = (np.floor(xyz[:, axis] / surface.gsd_m).astype(np.int64) for axis in (0, 1))
    height, width = surface.shape
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    flat = np.where(inside, row * width + col, 0)
    above = xyz[:, 2] - surface.ground.reshape(-1)[flat]
    canopy = surface.canopy.reshape(-1)[flat]
    crown = rays.stopped_by_crowns & (surface.cover.reshape(-1)[flat] > OPAQUE)
    crown &= (above <= canopy) & (above >= CROWN_BASE * canopy)
    return inside, (above <= surface.height.reshape(-1)[flat]) | crown
