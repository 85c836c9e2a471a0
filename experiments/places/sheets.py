"""Pictures to look at: image, reference and results side by side, one sheet a site.

Takes what was scored; writes PNG files. Damage is drawn as coloured outlines on the post image, buildings as red areas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepnets4eo.cards.legend import VOID
from deepnets4eo.display.figures import color_patches, stretch
from deepnets4eo.files import atomic_write
from deepnets4eo.grid import Window, coarse_grid, crop, transform_shapes
from deepnets4eo.rasters.scene import Layer
from places.damage_sites import DamageCase
from places.working_grid import BuildingScene

PANEL_IN, PANEL_PX, MARGIN_PX = 5.0, 1100, 20
RED = (255, 40, 40)
GRADE_COLOURS = {
    -1: (170, 170, 170), 0: (40, 200, 60), 1: (255, 230, 0), 2: (255, 140, 0), 3: (230, 0, 40),
}  # fmt: skip
GRADE_NAMES = ("not assessed", "no damage", "minor", "major", "destroyed")


def save_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    """Keep a result (H, W) as a PNG, from which later sheets are drawn."""
    with atomic_write(path) as partial:
        Image.fromarray(mask.astype(np.uint8) * 255).save(partial, format="PNG")


def building_sheet(path: Path, scenes: Sequence[BuildingScene], maps: Path) -> None:
    """Draw one row a scene: image, reference (void grey), and the kept results `maps`/METHOD/SITE-NUMBER.png.

    path : of the sheet; its stem is the site.
    """
    methods = sorted(folder.name for folder in maps.iterdir() if (folder / f"{path.stem}-0.png").exists())
    titles = ["image", "reference", *methods]
    panels = []
    for number, scene in enumerate(scenes):
        image = stretch(scene.image, np.ones(scene.image.shape[1:], bool))[..., :3]
        row = [image, _over(image, scene.reference == 1, scene.reference == VOID)]
        for method in methods:
            kept = np.asarray(Image.open(maps / method / f"{path.stem}-{number}.png")) > 0
            row.append(_over(image, kept))
        panels.append(row)
    _draw(path, titles, panels)


def damage_sheet(path: Path, case: DamageCase, methods: Mapping[str, gpd.GeoDataFrame]) -> None:
    """Draw one case: pre where there is one, post, the truth and the grades of each method as outlines on post."""
    rows = next(iter(methods.values()))
    window = _window_around(case.post, rows)
    grid = coarse_grid(crop(case.post.grid, window), PANEL_PX)
    images = [("post", _picture(case.post.on(grid)))]
    if case.pre is not None:
        images.insert(0, ("pre, not registered", _picture(case.pre.on(grid))))
    post = images[-1][1]
    lines = [("truth", rows["truth"])] + [(name, table["grade"]) for name, table in methods.items()]
    outlines = transform_shapes(~grid.affine, np.asarray(rows.geometry.to_numpy(), object))
    titles = [name for name, _ in images] + [name for name, _ in lines]
    overlays: list[Any] = [None] * len(images) + [(outlines, list(grades)) for _, grades in lines]
    _draw(path, titles, [[image for _, image in images] + [post] * len(lines)], [overlays])


def _window_around(layer: Layer, rows: gpd.GeoDataFrame) -> Window:
    """The part of an image with the outlines, and a margin."""
    pixels = gpd.GeoSeries(transform_shapes(~layer.grid.affine, np.asarray(rows.geometry.to_numpy(), object)))
    left, top, right, bottom = pixels.total_bounds
    window = Window(int(top), int(left), int(bottom - top) + 1, int(right - left) + 1)
    return window.grow(MARGIN_PX).clip(layer.shape)


def _picture(layer: Layer) -> NDArray[np.uint8]:
    bands, valid = layer.read()
    return np.asarray(stretch(bands[:3] if len(bands) >= 3 else bands[:1], valid)[..., :3])


def _over(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], void: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """The image with a mask in red, half clear, and void pixels in grey."""
    out = image.astype(np.float32)
    out[mask] = 0.5 * out[mask] + 0.5 * np.array(RED, np.float32)
    if void is not None:
        out[void] = 128
    return out.astype(np.uint8)


def _draw(
    path: Path,
    titles: Sequence[str],
    panels: Sequence[Sequence[NDArray[np.uint8]]],
    overlays: Sequence[Sequence[Any]] | None = None,
) -> None:
    from matplotlib.figure import Figure

    tall = max(row[0].shape[0] / row[0].shape[1] for row in panels)
    size = (PANEL_IN * len(titles), PANEL_IN * tall * len(panels) + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(panels), len(titles), squeeze=False)
    for number, row in enumerate(panels):
        for column, image in enumerate(row):
            panel = axes[number, column]
            panel.imshow(image, interpolation="nearest")
            panel.set(xticks=[], yticks=[], title=titles[column] if number == 0 else "")
            if overlays is not None and overlays[number][column] is not None:
                _draw_outlines(panel, *overlays[number][column])
    if overlays is not None:
        handles = color_patches(zip(GRADE_COLOURS.values(), GRADE_NAMES, strict=True))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110)


def _draw_outlines(panel: Any, outlines: NDArray[np.object_], grades: Sequence[int]) -> None:
    for outline, grade in zip(outlines, grades, strict=True):
        colour = [channel / 255 for channel in GRADE_COLOURS[int(grade)]]
        for polygon in getattr(outline, "geoms", [outline]):
            panel.plot(*polygon.exterior.xy, color=colour, linewidth=1.2)
