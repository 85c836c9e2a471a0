"""What a sensor sees of a surface: tall things lean away from the nadir and show their walls; labels lean with them.

Takes the painted surface, its sun and sky, and a direction of view; gives linear radiance and the truth of each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.synthetic.light import SKY_TINT
from deepnets4eo.synthetic.materials import KIND
from deepnets4eo.synthetic.style import Light
from deepnets4eo.synthetic.world.light import sun_and_sky
from deepnets4eo.synthetic.world.plan import Plan
from deepnets4eo.synthetic.world.shade import CLOUD_PX, Layers, Scene, face_sun, find_tops, see_pixels
from deepnets4eo.synthetic.world.surface import Floats, WorldSurface


@dataclass(frozen=True)
class Frame:
    """Where an image lies on a surface and from where it is seen.

    Parameters
    ----------
    shape
        (rows, columns) of the image.
    origin
        Row and column of the surface at the image's upper left pixel.
    lean
        (right, down) displacement in metres per metre of height.
    """

    shape: tuple[int, int]
    origin: tuple[int, int]
    lean: tuple[float, float]


@dataclass(frozen=True)
class Sky:
    """Clouds over an image on a coarse lattice of `CLOUD_PX` pixels: `veil` (h, w) opacity of thin cloud, `dimming` (h,
    w) share of direct light that cloud shadow takes, 0–1."""

    veil: Floats
    dimming: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, int]) -> Sky:
        """Draw a sky: mostly clear; thin cloud over one image in twelve, cloud shadow over one in ten."""
        size = tuple(side // CLOUD_PX + 2 for side in shape)
        veil = _soft_patches(rng, size, rng.uniform(0.08, 0.45)) if rng.random() < 0.08 else np.zeros(size, np.float32)
        shadow = _soft_patches(rng, size, rng.uniform(0.4, 0.85)) if rng.random() < 0.1 else np.zeros(size, np.float32)
        return cls(veil, shadow)


def _soft_patches(rng: np.random.Generator, size: tuple[int, ...], depth: float) -> Floats:
    """Smooth random patches of 0 to `depth`."""
    from scipy import ndimage

    field = ndimage.gaussian_filter(rng.normal(size=size), rng.uniform(2.0, 6.0), mode="reflect")
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    return np.clip(depth * (0.5 + 0.9 * (field - rng.uniform(0, 1))), 0, depth).astype(np.float32)


@dataclass(frozen=True)
class Sight:
    """What an image shows: radiance (H, W, 4), linear, 1 for a white level field in full light; labels of the legend
    "minicity"; `roofs`, row of `plan.buildings` plus 1, also under crowns; height above ground in metres of what is
    seen."""

    radiance: Floats
    labels: NDArray[np.uint8]
    roofs: NDArray[np.int32]
    height: Floats


def see(surface: WorldSurface, plan: Plan, light: Light, frame: Frame, sky: Sky) -> Sight:
    """Return what an image of a surface shows under a sun and clouds; `frame` has the position and lean of the image,
    and walls stand under the roofs of the plan."""
    sun, crown_sun, open_sky = sun_and_sky(surface, light)
    azimuth, elevation = np.radians(light.azimuth_deg), np.radians(light.elevation_deg)
    to_sun = (np.array([np.sin(azimuth), -np.cos(azimuth)]) / np.tan(elevation)).astype(np.float32)
    facing = face_sun(
        surface.ground,
        surface.height,
        surface.canopy,
        surface.slope_x,
        surface.slope_y,
        to_sun,
        surface.gsd_m,
        crown_sun,
    )
    lean = np.array(frame.lean, np.float32) / np.float32(surface.gsd_m)
    crowns, highest = find_tops(surface.height, surface.canopy, surface.cover, lean)
    seen: tuple[Any, ...] = (
        surface.height, surface.albedo, surface.material, surface.building, surface.roof, surface.slope_x,
        surface.slope_y, crowns, surface.cover, surface.leaf, sun, open_sky, facing, crown_sun,
    )  # fmt: skip
    layers = Layers(*(layer.reshape(-1, *layer.shape[2:]) for layer in seen))
    scene = Scene(
        np.float32(surface.gsd_m), lean, to_sun, np.float32(light.direct), SKY_TINT, sky.veil, sky.dimming,
        *_class_values(),
    )  # fmt: skip
    sight = Sight(
        np.empty((*frame.shape, 4), np.float32),
        np.empty(frame.shape, np.uint8),
        np.empty(frame.shape, np.int32),
        np.empty(frame.shape, np.float32),
    )
    see_pixels(
        surface.height, crowns, highest, layers, plan.roofs, scene, np.array(frame.origin), sight.radiance,
        sight.labels, sight.roofs, sight.height,
    )  # fmt: skip
    return sight


@lru_cache(maxsize=1)
def _class_values() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Values of the legend "minicity" by material, and those of building, clutter, tree and water."""
    legend = Legend.load("minicity")
    names = ("building", "clutter", "tree", "water")
    return tuple(np.array([legend.value(name) for name in group], np.uint8) for group in (KIND, names))  # type: ignore[return-value]
