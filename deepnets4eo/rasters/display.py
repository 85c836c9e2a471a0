"""Representations of rasters: in words, and as figures of stretched bands or of labels in the colours of a legend.

Reads at reduced resolution: at most about a million pixels, whatever the size of a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.addresses import file_name_of
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.display import (
    FigureStyle,
    Summary,
    add_key,
    count_text,
    draw_image,
    drawn_text,
    grid_facts,
    list_names,
    make_axes,
    make_row,
    stretch,
)
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, coarse_grid
from deepnets4eo.rasters.band_roles import COLOURS, COLOURS_NM, nearest_indices, role_indices

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Readable(Protocol):
    """The parts of a `Layer` that this module uses."""

    @property
    def grid(self) -> Grid: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def source(self) -> str: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def nodata(self) -> float | None: ...
    @property
    def synthetic(self) -> bool: ...
    @property
    def legend(self) -> Legend | None: ...
    @property
    def bands(self) -> list[int]: ...
    @property
    def band_names(self) -> list[str]: ...
    @property
    def wavelengths_nm(self) -> NDArray[np.float64] | None: ...
    @property
    def colour_roles(self) -> list[str] | None: ...
    def subset(self, bands: Sequence[int]) -> Readable: ...
    def in_declared_colours(self) -> Readable: ...
    def thumbnail(self, max_px: int) -> tuple[NDArray[Any], NDArray[np.bool_], Grid]: ...
    def on(self, grid: Grid, resampling: str = "bilinear") -> Readable: ...
    def read(self) -> tuple[NDArray[Any], NDArray[np.bool_]]: ...


def layer_summary(layer: Readable) -> Summary:
    """Return size, bands, CRS and ground size of a pixel; reads no pixel."""
    grid = grid_facts(layer.grid)
    head = {"size": grid.pop("size"), "bands": band_text(layer), **grid}
    return Summary(f"Layer {layer.source}", head | ({"synthetic": "SYNTHETIC"} if layer.synthetic else {}))


def scene_summary(grid: Grid, layers: Mapping[str, Readable]) -> Summary:
    """Return the grid, and bands and source of each layer; reads no pixel."""
    marks = {name: FigureStyle.synthetic_mark if layer.synthetic else "" for name, layer in layers.items()}
    facts = {name: f"{band_text(layer)}, {layer.source}{marks[name]}" for name, layer in layers.items()}
    return Summary("Scene", grid_facts(grid), facts)


def band_text(layer: Readable) -> str:
    """Return number, type and names of the bands, and the nodata value, in words."""
    names = layer.band_names
    unnamed = all(name == f"band_{band}" for name, band in zip(names, layer.bands, strict=True))
    text = f"{count_text(len(names), 'band')} of {layer.dtype}{'' if unnamed else f' ({list_names(names)})'}"
    return text if layer.nodata is None else f"{text} with nodata {layer.nodata:g}"


def plot_layers(layers: Mapping[str, Readable], legends: Mapping[str, Legend | None], max_px: int) -> list[Axes]:
    """Draw layers next to each other in a new figure, each under its name; return the Axes of each."""
    row = make_row(len(layers), with_key=any(legends.get(name) or layer.legend for name, layer in layers.items()))
    for (name, layer), axes in zip(layers.items(), row, strict=True):
        plot_layer(layer, axes, None, legends.get(name), max_px)
        axes.set_title(f"{drawn_text(name)}{FigureStyle.synthetic_mark if layer.synthetic else ''}")
    return row


def plot_layer(
    layer: Readable, axes: Axes | None, bands: Sequence[int] | None, legend: Legend | None, max_px: int
) -> Axes:
    """See `Layer.plot`."""
    title = f"{file_name_of(layer.source)}{FigureStyle.synthetic_mark if layer.synthetic else ''}"
    legend = legend if legend is not None or bands is not None else layer.legend
    if legend is not None:
        return plot_labels(layer, title, legend, axes, max_px)
    return plot_bands(layer, title, bands, axes, max_px)


def plot_bands(layer: Readable, title: str, bands: Sequence[int] | None, axes: Axes | None, max_px: int) -> Axes:
    """Draw one band in grey or three in colour, each stretched; by default `shown_bands`."""
    chosen = list(bands) if bands is not None else shown_bands(layer)
    if len(chosen) not in (1, 3):
        raise InputError(
            f"{len(chosen)} bands were given to plot ({chosen}); expected one, or three as red, green, blue."
        )
    data, valid, coarse = layer.subset(chosen).thumbnail(max_px)
    return draw_image(make_axes(axes), stretch(data, valid), coarse, title)


def plot_labels(layer: Readable, title: str, legend: Legend, axes: Axes | None, max_px: int) -> Axes:
    """Draw label values, or colours, in the colours of a legend, with a key of its classes in the picture."""
    values, coarse = coarse_labels(layer, max_px, legend)
    axes = draw_image(make_axes(axes, FigureStyle.with_key_in), legend.decode(values).transpose(1, 2, 0), coarse, title)
    present = np.unique(values)
    return add_key(axes, [(entry.color, entry.name) for entry in legend.classes if entry.value in present])


def shown_bands(layer: Readable) -> list[int]:
    """Return the bands (1-based, of the source) that show a layer best."""
    declared = declared_colours(layer)
    if declared is not None:
        return declared
    return layer.bands[:3] if len(layer.bands) >= 3 else layer.bands[:1]


def declared_colours(layer: Readable) -> list[int] | None:
    """Return the 1-based bands that are red, green and blue by names, wavelengths or colour interpretation, else None."""
    roles = role_indices(layer.band_names)
    if all(role in roles for role in COLOURS):
        return [layer.bands[roles[role]] for role in COLOURS]
    if layer.wavelengths_nm is not None:
        nearest = nearest_indices(layer.wavelengths_nm, COLOURS_NM)
        if len(set(nearest)) == len(nearest):
            return [layer.bands[index] for index in nearest]
    interpretation = layer.colour_roles
    if interpretation is not None and all(role in interpretation for role in COLOURS):
        return [layer.bands[interpretation.index(role)] for role in COLOURS]
    return None


def coarse_labels(layer: Readable, max_px: int, legend: Legend) -> tuple[NDArray[np.uint8], Grid]:
    """Label values (h, w) of nearest pixels, void where not valid or not in the legend, and the coarse grid."""
    coarse = coarse_grid(layer.grid, max_px)
    data, valid = layer.in_declared_colours().on(coarse, "nearest").read()
    if len(data) == 3:
        values = legend.encode(data.astype(np.uint8), unknown="void")
    else:
        values = np.where(np.isin(data[0], legend.values), data[0], VOID).astype(np.uint8)
    return np.where(valid, values, np.uint8(VOID)), coarse
