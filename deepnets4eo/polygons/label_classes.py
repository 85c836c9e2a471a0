"""Which label values of a raster are meant by names of classes: those of its legend, or of the one that is given."""

from __future__ import annotations

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import LabelError
from deepnets4eo.rasters.scene import Layer


def selected_classes(layer: Layer, classes: str | None, known: Legend | None) -> dict[int, str] | None:
    """Returns label value → class name of the selected classes; None for all, named by their numbers."""
    if classes is None:
        return None if known is None else dict(zip(known.values, known.names, strict=True))
    chosen = {}
    for word in (word.strip() for word in classes.split(",")):
        if word.isdigit():
            value = int(word)
            in_legend = known is not None and value in known.values
            chosen[value] = known.names[known.values.index(value)] if known is not None and in_legend else word
        elif known is None:
            raise LabelError(
                f'{layer.source} has no legend, so "{word}" has no label value. Give the legend with '
                "--legend, or give --classes as label values."
            )
        else:
            chosen[known.value(word)] = known.names[known.index(word)]
    return chosen


def find_legend(layer: Layer, legend: str | None) -> Legend:
    """Returns the given legend, else the one in the raster's tags; LabelError where there is neither."""
    known = legend_or_none(layer, legend)
    if known is None:
        raise LabelError(f"{layer.source} has no legend in its tags. Give it with --legend.")
    return known


def legend_or_none(layer: Layer, legend: str | None) -> Legend | None:
    """Returns the given legend, else the one in the raster's tags, else None."""
    return Legend.load(legend) if legend else layer.legend
