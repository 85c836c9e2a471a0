"""A world's surface as one of the miniature city: surface models, point clouds and spectra are made of it as there."""

from __future__ import annotations

import numpy as np

from deepnets4eo.synthetic.surface import Surface
from deepnets4eo.synthetic.world.surface import WorldSurface


def surface_of(surface: WorldSurface) -> Surface:
    """Return the surface in the miniature city's layout.

    Parameters
    ----------
    surface
        Painted; display values are rounded to whole numbers.

    Returns
    -------
    Surface, for `synthetic.points.sample_points` and `synthetic.spectra.material_spectra`; its `dsm` is the top of all.
    """
    return Surface(
        surface.gsd_m,
        surface.ground,
        height=surface.height,
        canopy=surface.canopy,
        cover=np.rint(surface.cover * 255).astype(np.uint8),
        leaf=_bands_first(surface.leaf),
        building=surface.building,
        material=surface.material,
        albedo=_bands_first(surface.albedo),
        slope_x=surface.slope_x.astype(np.float16),
        slope_y=surface.slope_y.astype(np.float16),
    )


def _bands_first(colours: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.rint(np.clip(colours, 0, 255)).astype(np.uint8).transpose(2, 0, 1))
