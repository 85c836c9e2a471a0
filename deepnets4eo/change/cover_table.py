"""Table of land-cover transitions between two maps: areas from → to with their intervals.

Reads both maps block by block on the grid of the later one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.change.options import TransitionOptions
from deepnets4eo.change.transitions import Transitions, hectares_on_the_ground, transitions_of_counts
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import LabelReader, Remedies, load_legend
from deepnets4eo.files import write_text
from deepnets4eo.jobs import new_output
from deepnets4eo.outputs import csv_text
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.read_as import LABELS, Door

log = logging.getLogger(__name__)

MIN_BLOCK_PX, BLOCK_PX = 16, 256  # side of the blocks that are drawn with replacement


def compare_covers(
    pre: LayerLike,
    post: LayerLike,
    *,
    legend: Legend | None = None,
    level: float = 0.95,
    draws: int = 1000,
    block_px: int | None = None,
    seed: int = 0,
) -> Transitions:
    """Measure the areas of all pairs from → to of two maps, with intervals.

    Intervals come from blocks of the site drawn with replacement (Efron and Tibshirani 1993). The intervals do not
    include errors of the maps.

    Parameters
    ----------
    pre, post : label rasters before and after; pre is read on the grid of post, by nearest neighbour
    legend : legend of maps without one in their tags; refused if the tags of the other map name other classes
    level : share of the draws inside the interval, between 0 and 1
    draws : number of resamples
    block_px : side of a block; by default a quarter of the shorter side, from 16 to 256
    seed : seed of the draws

    Returns
    -------
    Transitions
        Hectares; pixels that are void in either map do not count.

    Raises
    ------
    InputError
        Maps of different classes, without legend or CRS, with a legend other than the given one, without a pixel that is
        known in both, or of fewer than two blocks.
    GridError
        Maps that do not overlap.

    Examples
    --------
    ::

        compare_covers("cover_2012.tif", "cover_2020.tif").table()
    """
    before, after = LABELS.open(pre, Door("the map before")), LABELS.open(post, Door("the map after"))
    legends = [_legend_of(layer, legend) for layer in (before, after)]
    if legends[0].names != legends[1].names:
        raise InputError(
            f"{before.source} has the classes {', '.join(legends[0].names)}, {after.source} {', '.join(legends[1].names)}; "
            "expected the same. Give maps of one legend."
        )
    before.covered_share(after.grid, "cover before")
    readers = [
        _open_reader(layer, layer_legend).on(after.grid)
        for layer, layer_legend in zip((before, after), legends, strict=True)
    ]
    block_px = block_px or int(np.clip(min(after.shape) // 4, MIN_BLOCK_PX, BLOCK_PX))
    windows, classes = after.blocks(block_px), legends[0].num_classes
    pixel_ha = hectares_on_the_ground(after.grid, windows, after.source)
    counts = []
    for window in windows:
        first, second = (reader.read(window) for reader in readers)
        known = (first != VOID) & (second != VOID)
        pairs = first[known].astype(np.int64) * classes + second[known]
        counts.append(np.bincount(pairs, minlength=classes**2))
    table = np.stack(counts)
    if not table.any():
        raise InputError(f"no pixel has a class in both {before.source} and {after.source}. Check nodata and extent.")
    return transitions_of_counts(
        table, legends[0].names, pixel_ha, level=level, draws=draws, seed=seed, where=(after.source, block_px)
    )


def write_cover_table(
    pre: LayerLike, post: LayerLike, out: Path, options: TransitionOptions, *, seed: int, overwrite: bool
) -> Transitions:
    """Compare two maps of land cover and write their table. Errors: as `compare_covers`; OutputError where `out` exists."""
    with new_output(out, overwrite=overwrite):
        transitions = compare_covers(
            pre, post, legend=load_legend(options.legend), block_px=options.block_px, seed=seed
        )
        write_transitions(out, transitions)
    return transitions


def write_transitions(path: str | Path, transitions: Transitions, about: Mapping[str, str] | None = None) -> Path:
    """Write the table as CSV: from, to, hectares, low, high, one row per pair.

    Parameters
    ----------
    path : the file
    transitions : areas
    about : further columns with one value each, such as the event

    Returns
    -------
    Path
        The file.
    """
    table = transitions.table().round(6).assign(**(about or {}))
    return write_text(path, csv_text([list(table.columns), *table.itertuples(index=False, name=None)]))


def _legend_of(layer: Layer, legend: Legend | None) -> Legend:
    """Return the legend in the tags, which states how the file stores its classes, else `legend`."""
    own = layer.legend or legend
    if own is None:
        raise InputError(f"{layer.source} has no legend in its tags. Give one, e.g. --legend hrscd.")
    if legend is not None and own.names != legend.names:
        raise InputError(
            f"{layer.source} names the classes {', '.join(own.names)} in its tags, the legend given, {legend.name!r}, "
            f"{', '.join(legend.names)}; expected the same. Leave --legend out, or give the legend of the rasters."
        )
    return own


def _open_reader(layer: Layer, legend: Legend) -> LabelReader:
    """Return a reader that warns about pixels that it takes as void although they may have a class."""
    reader = LabelReader(layer, legend, remedies=Remedies())
    if (hidden := reader.hidden_note) is not None:
        log.warning(hidden)
    if (note := reader.mask_note) is not None:
        log.warning(note)
    return reader
