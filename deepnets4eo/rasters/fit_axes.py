"""Layers without georeference brought to one size: arrays whose axes were read in another order than the labels have.

Takes what the layers of a scene read from. Refuses sizes that differ in every order: no pixel could be matched.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from deepnets4eo.errors import GridError
from deepnets4eo.formats.array_files import other_axes
from deepnets4eo.grid import Grid
from deepnets4eo.rasters.array_files import ArrayFileSource
from deepnets4eo.rasters.sources import Source

log = logging.getLogger(__name__)


def transposed_sources(sources: Mapping[str, Source], labels: str) -> dict[str, ArrayFileSource]:
    """Return the arrays of files whose axes have to be read in another order to fit `labels` (else the first layer).
    Raises GridError where sizes differ in every order and neither layer has a georeference."""
    arrays = {name: source for name, source in sources.items() if isinstance(source, ArrayFileSource)}
    if not any(_is_plain(source.grid) for source in arrays.values()):
        return {}
    leader = _leader(sources, labels)
    fitted = {}
    for name, source in sources.items():
        if _shape(source) == _shape(sources[leader]) or not _is_plain(source.grid):
            continue
        transposed = _transpose(arrays[name], sources[leader]) if name in arrays else None
        if transposed is not None:
            fitted[name] = transposed
        elif _is_plain(sources[leader].grid):
            raise GridError(_size_problem((name, leader), source, sources[leader]))
    return fitted


def _leader(sources: Mapping[str, Source], labels: str) -> str:
    """The layer whose size the others have to have: labels, unless they are plain pixels and another layer is not."""
    georeferenced = [name for name, source in sources.items() if not _is_plain(source.grid)]
    names = georeferenced or list(sources)
    return labels if labels in names else names[0]


def _transpose(source: ArrayFileSource, leader: Source) -> ArrayFileSource | None:
    axes = other_axes(source.image, _shape(leader))
    if axes is None:
        return None
    log.warning(
        "%s is transposed: %s has %d × %d pixels, which its axes fit as %s. It is read so.",
        source.name, leader.name, *_shape(leader), axes,
    )  # fmt: skip
    return source.with_axes(axes)


def _size_problem(names: tuple[str, str], source: Source, leader: Source) -> str:
    (own_rows, own_cols), (rows, cols) = _shape(source), _shape(leader)
    factor = rows / own_rows
    finer = ""
    if factor == cols / own_cols:
        finer = f" Both may show the same area, one {max(factor, 1 / factor):g} times finer: resample one first."
    return (
        f"{names[0]} ({source.name}) has {own_rows} × {own_cols} pixels, {names[1]} ({leader.name}) {rows} × {cols}, and "
        f"neither has a georeference: their pixels cannot be matched.{finer} Give layers of one size, or georeference both."
    )


def _shape(source: Source) -> tuple[int, int]:
    return source.grid.shape[0], source.grid.shape[1]


def _is_plain(grid: Grid) -> bool:
    return grid.crs is None and grid.affine.is_identity
