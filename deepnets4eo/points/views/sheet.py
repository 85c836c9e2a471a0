"""A sheet of snapshots as a PNG, to be looked at: one view a column, one layer a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.cards.legend import Legend
from deepnets4eo.files import atomic_write
from deepnets4eo.points.views.face_view import FaceView
from deepnets4eo.points.views.snapshots import Third, snapshot
from deepnets4eo.points.views.surface import Surface

SIDE_IN = 2.0
ROWS = ("image", "intensity", "composite", "labels")


def write_view_sheet(
    surface: Surface,
    views: Sequence[FaceView],
    path: str | Path,
    *,
    legend: Legend | None = None,
    third: Third = "depth",
    title: str = "",
) -> Path:
    """Draw the layers of views on one sheet.

    Parameters
    ----------
    surface
        The surface of the views.
    views
        Which faces the cameras see; some ten.
    path
        PNG, PDF or SVG.
    legend
        Colours of the classes, whose values are the surface's codes; without one matplotlib's colours are used.
    third
        Last channel of the composite, see `snapshot`.
    title
        Above the sheet.

    Returns
    -------
    The path.
    """
    from matplotlib.figure import Figure

    layers = [snapshot(surface, view, third=third) for view in views]
    rows = [name for name in ROWS if name in layers[0]]
    size_in = (SIDE_IN * len(views) + 0.6, (SIDE_IN + 0.1) * len(rows) + 0.4)
    figure = Figure(figsize=size_in, layout="constrained")
    axes = figure.subplots(len(rows), len(views), squeeze=False)
    for row, name in enumerate(rows):
        for column, view in enumerate(views):
            panel = axes[row, column]
            panel.imshow(_pixels(name, layers[column][name], view.seen, legend), interpolation="nearest")
            panel.set(xticks=[], yticks=[])
        axes[row, 0].set_ylabel(name, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=9)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=130)
    return Path(path)


def _pixels(name: str, layer: NDArray[Any], seen: Mask, legend: Legend | None) -> NDArray[Any]:
    """(H, W, 3) uint8; background is white."""
    if name == "labels":
        colors = _colors(legend)[layer]
    else:
        colors = np.broadcast_to(np.moveaxis(layer, 0, -1), (*seen.shape, 3))
    return np.where(seen[..., None], colors, 255).astype(np.uint8)


def _colors(legend: Legend | None) -> NDArray[np.uint8]:
    """(256, 3) uint8, the colour of each code."""
    from matplotlib import colormaps

    colors = np.array([colormaps["tab20"](code % 20)[:3] for code in range(256)]) * 255
    if legend is not None:
        colors[list(legend.values)] = legend.colors
    return colors.astype(np.uint8)
