"""A scene of a run as a figure: false colours, reference, map, and which pixels were learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.cards import VOID, DatasetCard, SplitPart
from deepnets4eo.display import color_patches, draw_image, drawn_text
from deepnets4eo.evaluation import SplitMap
from deepnets4eo.grid import whole
from deepnets4eo.hyperspectral.cube import Cube
from deepnets4eo.rasters import Layer, coarse_labels
from deepnets4eo.training import DataSplit, LabelledScene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE_PX = 700  # longer side of a map in a figure
PANEL_IN = 3.6


def map_figure(split: DataSplit[LabelledScene], number: int, labels: Path, recipe: dict[str, Any], mark: str) -> Figure:
    """Draw the cube in false colours, the reference, the map and the parts of one scene, with the key of the classes."""
    from matplotlib.figure import Figure

    named = split.scenes[number]
    legend, (height, width) = named.labels.legend, named.scene.shape
    high_in = min(max(PANEL_IN * height / width, 2.0), 2 * PANEL_IN)
    figure = Figure(figsize=(4 * PANEL_IN, high_in + 1.0), layout="constrained")
    image, reference, predicted, parts = figure.subplots(1, 4)
    cube = Cube(named.scene.layers[cube_layer(named, recipe["model"]["layers"])])
    cube.plot(image, bands=_colour_bands(cube, recipe), max_px=SIDE_PX).set_title("false colours", fontsize=9)
    for axes, layer, layer_legend, title in (
        (reference, Layer(named.labels), legend, "reference"),
        (predicted, Layer.open(labels), legend, "map"),
        (parts, _parts_layer(split, number), SplitMap.legend, "learnt and withheld"),
    ):
        values, coarse = coarse_labels(layer, SIDE_PX, layer_legend)
        draw_image(axes, layer_legend.decode(values).transpose(1, 2, 0), coarse).set_title(
            drawn_text(title), fontsize=9
        )
    key = [*((member.color, member.name) for member in legend.classes), (legend.void_color, "no label")]
    key += [
        *((member.color, member.name) for member in SplitMap.legend.classes),
        (SplitMap.legend.void_color, "neither"),
    ]
    figure.legend(handles=color_patches(key), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.suptitle(drawn_text(f"{named.name}{mark}"), fontsize=10)
    return figure


def _parts_layer(split: DataSplit[LabelledScene], number: int) -> Layer:
    """Return the parts of a scene as labels, with one byte per pixel in memory."""
    grid = split.scenes[number].grid
    learnt, withheld = (split.mask(number, part, whole(grid)) for part in (SplitPart.train, SplitPart.val))
    return Layer.open(
        np.select([withheld, learnt], [SplitMap.withheld, SplitMap.learnt], VOID).astype(np.uint8), grid=grid
    )


def cube_layer(named: LabelledScene, layers: Sequence[str]) -> str:
    """Return the layer with the largest number of bands among the layers that the run takes."""
    return max(layers, key=lambda name: named.scene.layers[name].count)


def _colour_bands(cube: Cube, recipe: dict[str, Any]) -> list[int] | None:
    """Return bands to draw: None with known wavelengths, else the bands of the dataset's card, else three evenly spread bands."""
    if cube.wavelengths_nm is not None:
        return None
    dataset = recipe["data"].get("dataset")
    facts = DatasetCard.load(dataset).cube if dataset else None
    if facts is not None and set(facts.colour_bands) <= set(cube.bands):
        return list(facts.colour_bands)
    count = len(cube.bands)
    return [cube.bands[count * quarter // 4] for quarter in (3, 2, 1)] if count >= 4 else [cube.bands[0]] * 3
