"""Pictures of a place from cameras on a circle around it, as a drone that flies around a heap sees it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.look.page import LookRules
from deepnets4eo.points.views import Camera, SurfaceOptions, Views

SKY = np.array([228, 234, 241], np.float32)
HEIGHTS = ([0, 0.5, 1], [[70, 90, 120], [190, 170, 120], [250, 245, 235]])  # colours without a camera's or a class's
WIDEST = 5.0  # diagonal of a point's square, by the voxel
SIDEWAYS = 3.0  # what is drawn around the place, by the radius
EDGE_PX, EDGES, DARKEST = 2, 12.0, 0.3  # pixels behind their neighbours are darker, so that shapes show without light


def fly_around(
    cloud: PointCloud,
    centre: tuple[float, float],
    folder: str | Path,
    *,
    radius_m: float = 30.0,
    elevation_deg: float = 35.0,
    pictures: int = 8,
    size_px: tuple[int, int] = (960, 640),
    voxel_m: float = 0.2,
    legend: Legend | None = None,
) -> list[Path]:
    """Write pictures of a place from all sides, by our own renderer, without a display.

    Parameters
    ----------
    cloud : points, in metres; withheld ones and noise are not shown
    centre : x and y of the place, in the CRS of the points
    folder : where flight-00.png, flight-01.png, … are written, from the east on and counterclockwise
    radius_m : of the circle, along the line of sight
    elevation_deg : of the cameras above the place, 0 to below 90
    pictures : how many
    size_px : width and height
    voxel_m : a point of each voxel is drawn
    legend : colours of classes; by default the points' own colours are shown, or their heights

    Returns
    -------
    The pictures, in their order. Memory: 500 bytes a point within three radii.

    Raises
    ------
    InputError
        No point near the place; numbers outside the ranges above.
    OutputError
        The folder cannot be written.
    """
    if not (radius_m > 0 and 0 <= elevation_deg < 90 and pictures >= 1):
        raise InputError(
            f"fly_around: radius_m {radius_m}, elevation_deg {elevation_deg}, pictures {pictures}; expected more than 0, 0 to below "
            "90, and at least 1."
        )
    away = np.hypot(*(cloud.xyz[:, :2] - centre).T)
    near = cloud.counted & (away <= SIDEWAYS * radius_m)
    if not (near & (away <= radius_m)).any():
        raise InputError(f"{cloud.source} has no point within {radius_m} m of {centre}. Check its bounds and the CRS.")
    views = Views.of_cloud(cloud.subset(near), SurfaceOptions(voxel_m=voxel_m, max_edge_m=WIDEST * voxel_m))
    colours = _vertex_colours(views, legend)
    written = []
    for number in range(pictures):
        view = views.see(_camera(views, centre, radius_m, elevation_deg, number / pictures, size_px))
        image = np.broadcast_to(SKY, (*view.face.shape, 3)).copy()
        image[view.seen] = colours[views.surface.faces[view.face[view.seen], 0]]
        image *= _light(view.depth_m)[..., None]
        written.append(_write_png(image, Path(folder) / f"flight-{number:02d}.png"))
    return written


def _camera(
    views: Views, centre: tuple[float, float], radius_m: float, elevation_deg: float, share: float, size_px: tuple[int, int]
) -> Camera:  # fmt: skip
    """Return the camera at a share of the circle."""
    surface = views.surface
    middle = np.asarray(centre) - surface.origin[:2]
    away = np.hypot(*(surface.vertices[:, :2] - middle).T)
    target = np.append(middle, np.median(surface.vertices[away <= radius_m, 2]))
    turn, rise = 2 * math.pi * share, math.radians(elevation_deg)
    back = np.array([math.cos(turn) * math.cos(rise), math.sin(turn) * math.cos(rise), math.sin(rise)])
    return Camera(
        target + radius_m * back, target, np.array([0, 0, 1.0]), width_px=size_px[0], height_px=size_px[1],
        near_m=radius_m / 20, far_m=(SIDEWAYS + 2) * radius_m,
    )  # fmt: skip


def _vertex_colours(views: Views, legend: Legend | None) -> NDArray[np.float32]:
    """Return (V, 3) of classes, of the points, or of heights."""
    surface = views.surface
    if legend is not None and surface.classes is not None:
        table = np.full((VOID + 1, 3), LookRules.unknown["colour"], np.float32)
        table[: legend.num_classes] = legend.colors
        return np.asarray(table[legend.to_index()[surface.classes]])
    if surface.colour is not None:
        return surface.colour.astype(np.float32)
    low, high = np.percentile(surface.vertices[:, 2], LookRules.ramp)
    share = (surface.vertices[:, 2] - low) / max(high - low, 1e-6)
    return np.stack([np.interp(share, HEIGHTS[0], band) for band in zip(*HEIGHTS[1], strict=True)], axis=1).astype(
        np.float32
    )


def _light(depth_m: FloatImage) -> Floats:
    """Return (H, W) brightness from 0.3 to 1: the further a pixel lies behind its neighbours, the darker it is."""
    padded = np.pad(np.minimum(depth_m, np.finfo(np.float32).max).astype(np.float64), EDGE_PX, mode="edge")
    height, width = depth_m.shape
    behind = np.zeros(depth_m.shape)
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        rows, columns = EDGE_PX * (1 + down), EDGE_PX * (1 + right)
        behind += np.maximum(depth_m / padded[rows : rows + height, columns : columns + width] - 1, 0)
    return np.where(np.isfinite(depth_m), np.maximum(1 - EDGES * behind, DARKEST), 1.0)


def _write_png(image: FloatImage, path: Path) -> Path:
    from PIL import Image

    with atomic_write(path) as hidden:
        Image.fromarray(np.rint(image).astype(np.uint8)).save(hidden, format="png")
    return path
