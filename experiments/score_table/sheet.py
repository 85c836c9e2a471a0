"""Maps of all rows of a benchmark on one sheet, beside the image and the reference.

Takes label rasters and the legend; reads them coarsely, so that any scene fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.display import color_patches
from deepnets4eo.files import atomic_write
from deepnets4eo.grid import coarse_grid
from deepnets4eo.rasters import Layer, Scene
from score_table.rows import Outcome, Sources

SIDE_PX = 420
COLUMNS = 6
WIDE_IN, TITLE_IN = 2.4, 0.25
LETTER_IN, HANDLE_IN = 0.07, 0.55  # of the legend, at 8 points
TALLEST = 1.25  # height by width of a panel; narrower ones leave room beside them
PANEL_LAYERS = ("image", "intensity", "dsm")  # the first of them that a scene has


def contact_sheet(
    outcomes: Sequence[Outcome],
    test: Mapping[str, Sources],
    legend: Legend,
    path: str | Path,
    *,
    title: str = "",
    columns: int = COLUMNS,
    side_px: int = SIDE_PX,
) -> Path:
    """Draw the image, the reference and all maps of each test scene on one sheet.

    Parameters
    ----------
    outcomes : rows with their maps
    test : test scenes: name → layer → path, with `labels`
    legend : classes and colours of the maps
    path : PNG, PDF or SVG
    title : above the sheet
    columns : panels beside each other, at most
    side_px : longer side of a panel's raster, at most, in pixels

    Returns
    -------
    The path.

    Examples
    --------
    ```python
    contact_sheet(outcomes, scenes.test, legend, "maps.png", title="Two scenes")
    ```
    """
    from matplotlib.figure import Figure

    panels = [
        panel for name, sources in test.items() for panel in _panels_of_scene(name, sources, outcomes, legend, side_px)
    ]
    per_scene = len(panels) // len(test)
    columns = min(columns, per_scene)
    rows_each = -(-per_scene // columns)
    tallest = min(TALLEST, max(array.shape[0] / array.shape[1] for _, array in panels))
    high = (WIDE_IN * tallest + TITLE_IN) * rows_each * len(test)
    figure = Figure(figsize=(WIDE_IN * columns, high + 2 * TITLE_IN + 0.4), layout="constrained")
    axes = figure.subplots(rows_each * len(test), columns, squeeze=False)
    for panel_axes in axes.ravel():
        panel_axes.axis("off")
    for number, (name, array) in enumerate(panels):
        scene, within = divmod(number, per_scene)
        panel_axes = axes[scene * rows_each + within // columns, within % columns]
        panel_axes.imshow(array, interpolation="nearest")
        panel_axes.set_title(name, fontsize=8)
    handles = color_patches(zip(legend.colors, legend.names, strict=True))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=_legend_columns(legend.names, WIDE_IN * columns),
        fontsize=8,
        frameon=False,
    )
    if title:
        figure.suptitle(title, fontsize=10)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=130)
    return Path(path)


def _legend_columns(names: Sequence[str], width_in: float) -> int:
    """Names beside each other below a sheet, so that the longest fits."""
    each_in = LETTER_IN * max(map(len, names)) + HANDLE_IN
    return max(1, min(8, len(names), int(width_in / each_in)))


def _panels_of_scene(
    name: str, sources: Sources, outcomes: Sequence[Outcome], legend: Legend, side_px: int
) -> list[tuple[str, np.ndarray]]:
    """Titles and (h, w, 3) uint8 arrays."""
    layer_name = next(layer for layer in (*PANEL_LAYERS, *sources) if layer in sources)
    panels = [(f"{name}: {layer_name}", _image(Layer.open(sources[layer_name]), side_px))]
    panels.append((f"{name}: reference", _labels(Layer.open(sources[Scene.label_layer]), legend, side_px)))
    for outcome in outcomes:
        if name in outcome.maps:
            panels.append((outcome.name, _labels(Layer.open(outcome.maps[name]), legend, side_px)))
    return panels


def _image(layer: Layer, side_px: int) -> np.ndarray:
    """(h, w, 3) uint8 of the first three bands, stretched between their 2nd and 98th percentile."""
    data, valid, _ = layer.thumbnail(side_px)
    bands = data[:3].astype(np.float32) if data.shape[0] >= 3 else np.repeat(data[:1], 3, axis=0).astype(np.float32)
    low, high = np.percentile(bands[:, valid], (2, 98)) if valid.any() else (0, 1)
    return (np.clip((bands - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def _labels(layer: Layer, legend: Legend, side_px: int) -> np.ndarray:
    data, valid = layer.on(coarse_grid(layer.grid, side_px), "nearest").read()
    if data.shape[0] >= 3:  # colours already
        return data[:3].astype(np.uint8).transpose(1, 2, 0)
    return legend.decode(np.where(valid, data[0], VOID).astype(np.uint8)).transpose(1, 2, 0)
