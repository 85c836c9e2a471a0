"""Shadows of clouds in an image in colour, next to an image of another day: dark and wide ground of unchanged colour.

Burnt ground and clear water over light soil are dark at one date as well; colours cannot separate them from shadow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.inspection.clouds import cells_of
from deepnets4eo.rasters import COLOURS, Layer

DARK = 0.01  # of the median, added to values, so that black is no division by zero


@dataclass(frozen=True)
class ShadowRules:
    """Numbers that decide what is in shadow; brightness is compared with the other day, after both have the same median.

    Chosen on a Sentinel-2 pair with shadows of clouds; on 40 pairs of 0.5 to 2 m without clouds they classify nothing.

    Parameters
    ----------
    core, edge : maximum brightness relative to the other day, inside a shadow and at its soft edge
    core_level, edge_level : maximum brightness relative to the median of the image
    spread : maximum ratio of the relative brightness of two bands: shadow has the colours of the ground
    min_blue : minimum relative brightness of blue over red: the sky lights shadows
    max_green : maximum relative brightness of green over blue: plants that grew are greener
    width_m, area_m2 : minimum size
    grown_m : width of the penumbra
    """

    core: float = 0.6
    edge: float = 0.75
    core_level: float = 0.6
    edge_level: float = 0.8
    spread: float = 1.8
    min_blue: float = 0.95
    max_green: float = 1.2
    width_m: float = 48.0
    area_m2: float = 10_000.0
    grown_m: float = 28.0

    def masks(self, image: FloatImage, other: FloatImage, seen: Mask) -> tuple[Mask, Mask]:
        """Return the cells (h, w) that are surely dark at one date, and those that may belong to them; bands red, green, blue."""
        light, light_before = image.mean(axis=0), other.mean(axis=0)
        level = float(np.median(light[seen]))
        dark = max(DARK * level, float(np.finfo(np.float32).tiny))
        relative = (light + dark) / np.maximum(light_before + dark, dark)
        usual = float(np.median(relative[seen]))
        relative, bands = relative / usual, (image + dark) / np.maximum(other + dark, dark) / usual
        red, green, blue = bands
        same_colour = (blue >= self.min_blue * red) & (green <= self.max_green * blue)
        same_colour &= bands.max(axis=0) < self.spread * bands.min(axis=0)
        core = seen & (relative < self.core) & (light < self.core_level * level) & same_colour
        return core, seen & (relative < self.edge) & (light < self.edge_level * level)

    def wide(self, core: Mask, edge: Mask, cell_m: float) -> Mask:
        """Return the wide and large parts of `core`, grown into `edge` and by the penumbra."""
        from scipy import ndimage

        half = round(self.width_m / 2 / cell_m)
        opened = ndimage.binary_opening(core, np.ones((2 * half + 1, 2 * half + 1)))
        parts, _ = ndimage.label(opened)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        kept = (sizes * cell_m**2 >= self.area_m2)[parts]
        if not kept.any():
            return np.asarray(kept)
        grown = ndimage.binary_propagation(kept, mask=edge | kept)
        return np.asarray(ndimage.binary_dilation(grown, iterations=max(1, round(self.grown_m / cell_m))))


def shadows_in_image(image: Layer, other: Layer, gsd_m: float, rules: ShadowRules = ShadowRules()) -> Layer | None:
    """Return the mask, 1 for wide ground that is dark in an image and not at another day, on a coarser grid; None without.

    Parameters
    ----------
    image, other : red, green and blue of two days, on one grid
    gsd_m : size of a pixel in metres
    rules : what is dark, and how wide it has to be
    """
    cell_m, shape = cells_of(image, gsd_m)
    (values, valid), (before, known) = image.read_coarse(shape), other.read_coarse(shape)
    seen = np.asarray(valid & known)
    if not seen.any():
        return None
    values, before = (np.where(seen, bands, 0).astype(np.float32) for bands in (values, before))
    core, edge = rules.masks(values, before, seen)
    if not core.any():
        return None
    dark = rules.wide(core, edge, cell_m) & seen
    return Layer.open(dark[None].astype(np.uint8), grid=image.grid.zoom_to(shape)) if dark.any() else None


def bands_in_colour(image: Layer) -> Layer | None:
    """Return red, green and blue of an image; None if it states no such bands and has other than three bands of bytes."""
    roles = image.sensor.roles
    if set(COLOURS) <= roles.keys():
        return image.subset([roles[name] for name in COLOURS]).with_names(COLOURS)
    if image.declared_colours is not None:
        return image.subset(image.declared_colours).with_names(COLOURS)
    return image.with_names(COLOURS) if image.dtype == np.uint8 and image.count == len(COLOURS) else None
