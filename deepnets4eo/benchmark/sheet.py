"""Maps of all rows of a benchmark on one sheet, beside the image and the reference.

Takes label rasters and the legend; reads them coarsely, so that any scene fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deepnets4eo.benchmark.rows import Outcome, Sources
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.files import atomic_write
from deepnets4eo.rasters.scene import LABELS, Layer

SIDE_PX = 420
COLUMNS = 6
WIDE_IN, TITLE_IN = 2.4, 0.25
TALLEST = 1.25  # height by width of a panel; narrower pictures leave room beside them
SHOWN = ("image", "intensity", "dsm")  # the first of them that a place has


def contact_sheet(
    outcomes: Sequence[Outcome], test: Mapping[str, Sources], legend: Legend, path: str | Path, *, title: str = ""
) -> Path:
    """Draw image, reference and all maps of each test place (PNG, PDF or SVG); returns the path."""
    from matplotlib.figure import Figure

    pictures = [picture for name, sources in test.items() for picture in _of_place(name, sources, outcomes, legend)]
    per_place = len(pictures) // len(test)
    columns = min(COLUMNS, per_place)
    rows_each = -(-per_place // columns)
    tallest = min(TALLEST, max(picture.shape[0] / picture.shape[1] for _, picture in pictures))
    high = (WIDE_IN * tallest + TITLE_IN) * rows_each * len(test)
    figure = Figure(figsize=(WIDE_IN * columns, high + 2 * TITLE_IN + 0.4), layout="constrained")
    axes = figure.subplots(rows_each * len(test), columns, squeeze=False)
    for panel in axes.ravel():
        panel.axis("off")
    for number, (name, picture) in enumerate(pictures):
        place, within = divmod(number, per_place)
        panel = axes[place * rows_each + within // columns, within % columns]
        panel.imshow(picture, interpolation="nearest")
        panel.set_title(name, fontsize=8)
    handles = [_swatch(color, name) for color, name in zip(legend.colors, legend.names, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), fontsize=8, frameon=False)
    if title:
        figure.suptitle(title, fontsize=10)
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=130)
    return Path(path)


def _of_place(name: str, sources: Sources, outcomes: Sequence[Outcome], legend: Legend) -> list[tuple[str, np.ndarray]]:
    shown = next(layer for layer in (*SHOWN, *sources) if layer in sources)
    pictures = [(f"{name}: {shown}", _image(Layer.open(sources[shown])))]
    pictures.append((f"{name}: reference", _labels(Layer.open(sources[LABELS]), legend)))
    for outcome in outcomes:
        if name in outcome.maps:
            pictures.append((outcome.name, _labels(Layer.open(outcome.maps[name]), legend)))
    return pictures


def _image(layer: Layer) -> np.ndarray:
    """(h, w, 3) uint8 of the first three bands, stretched between their 2nd and 98th percentile."""
    data, valid, _ = layer.thumbnail(SIDE_PX)
    bands = data[:3].astype(np.float32) if data.shape[0] >= 3 else np.repeat(data[:1], 3, axis=0).astype(np.float32)
    low, high = np.percentile(bands[:, valid], (2, 98)) if valid.any() else (0, 1)
    return (np.clip((bands - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def _labels(layer: Layer, legend: Legend) -> np.ndarray:
    factor = max(1.0, max(layer.shape) / SIDE_PX)
    coarse = layer.grid.zoom_to((max(1, round(layer.shape[0] / factor)), max(1, round(layer.shape[1] / factor))))
    data, valid = layer.on(coarse, "nearest").read()
    if data.shape[0] >= 3:  # colours already
        return data[:3].astype(np.uint8).transpose(1, 2, 0)
    return legend.decode(np.where(valid, data[0], VOID).astype(np.uint8)).transpose(1, 2, 0)


def _swatch(color: Sequence[int], name: str) -> object:
    from matplotlib.patches import Patch

    return Patch(facecolor=(color[0] / 255, color[1] / 255, color[2] / 255), edgecolor="0.5", label=name)
