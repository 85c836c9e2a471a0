"""One row of statistics for each superpixel of a scene; the scene is read once, block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import RegionIds
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature, as_features, halo_px
from deepnets4eo.baselines.superpixels.scene import REGIONS, SceneBands
from deepnets4eo.baselines.superpixels.statistics import RegionSums, pool, pooled_columns, region_sums
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.grid import READ_PX, Window, blocks
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters.scene import Layer, Scene

if TYPE_CHECKING:
    from pandas import DataFrame


class _BlockSums(NamedTuple):
    """Sums over one block of the regions `present` (n,) in it."""

    present: NDArray[np.intp]
    sums: RegionSums


def region_table(
    scene: Scene | Layer,
    ids_path: str | Path,
    features: Sequence[str | Feature] = ("pixels",),
    *,
    bands: Mapping[str, Sequence[str]] | None = None,
    out: str | Path | None = None,
    block_px: int = READ_PX,
    workers: int | None = None,
) -> DataFrame:
    """Return pixels, centre, mean and deviation of features for each region; row i is region i.

    Peak memory: 16 bytes a region and column, and for each worker the features of a block.

    Parameters
    ----------
    scene : the scene or layer from which the superpixels were made
    ids_path : raster of ids that `segment_scene` wrote
    features : names as in `baselines.features.HOMES`, or features
    bands : layer → names of its bands, for files without names
    out : a Parquet file to write, too
    block_px : side of the blocks in which the scene is read
    workers : threads, by default one per core

    Returns
    -------
    DataFrame
        Columns pixels, row, col (centre, in pixels), and for each column of each feature its mean under its own name
        and, unless the feature has its own pooling, its deviation under "….std". A feature with its own pooling is
        pooled block by block and averaged by pixels, which is exact for means and histograms.

    Raises
    ------
    InputError
        Where the raster holds no ids.
    GridError
        Where it has another size than the scene.

    Examples
    --------
    ::

        table = region_table(Layer.open("image.tif"), "ids.tif", ["pixels", "lbp"])
    """
    import pandas

    reader, built = SceneBands.open(scene, bands), as_features(features)
    layer = Layer.open(ids_path)
    count = _region_count(layer, reader)
    blank = Bands(np.zeros((len(reader.names), 1, 1), np.float32), reader.names, reader.inputs.gsd_m)
    width = 2 + len(pooled_columns(built, blank))
    total = RegionSums(np.zeros(count, np.int64), np.zeros((count, width)), np.zeros((count, width)))
    windows = blocks(reader.scene.shape, block_px)
    for present, sums in in_order(lambda window: _block_sums(reader, layer, built, window), windows, workers):
        total.count[present] += sums.count
        total.total[present] += sums.total
        total.squares[present] += sums.squares
    table = pandas.DataFrame(_table_columns(total, built, blank))
    if out is not None:
        with atomic_write(out) as partial:
            table.to_parquet(partial)
    return table


def _region_count(layer: Layer, reader: SceneBands) -> int:
    if REGIONS not in layer.tags:
        raise InputError(
            f"{layer.source} has no tag {REGIONS}, so it holds no superpixels. Make them with segment_scene."
        )
    if layer.shape != reader.scene.shape:
        raise GridError(
            f"{layer.source} has {layer.shape} pixels, the scene {reader.scene.shape}. Give the scene that it was made of."
        )
    return int(layer.tags[REGIONS])


def _block_sums(reader: SceneBands, layer: Layer, features: Sequence[Feature], window: Window) -> _BlockSums:
    """Return sums of the regions in a block; features also use their halo around it."""
    ids = layer.read(window)[0][0]
    present, local = np.unique(ids, return_inverse=True)
    local = local.reshape(ids.shape).astype(np.int32)
    if present[0] < 0:
        present, local = present[1:], local - 1
    with_halo = window.grow(halo_px(features)).clip(reader.scene.shape)
    bands, _ = reader.read(with_halo)
    inner = window.within(with_halo)
    rows, cols = (
        np.arange(start, start + size, dtype=np.float64) for start, size in zip(window[:2], window[2:], strict=True)
    )
    centres = np.stack(np.meshgrid(rows + 0.5, cols + 0.5, indexing="ij"))
    parts = [region_sums(centres, local, present.size)]
    parts += [_feature_sums(feature, bands, inner, local, parts[0].count) for feature in features]
    return _BlockSums(present, _join_columns(parts))


def _feature_sums(
    feature: Feature, bands: Bands, inner: Window, ids: RegionIds, pixels: NDArray[np.int64]
) -> RegionSums:
    if getattr(feature, "pool", None) is None:
        rows, cols = inner.slices
        return region_sums(feature.compute(bands)[:, rows, cols], ids, pixels.size)
    around = np.full(bands.shape, -1, np.int32)
    around[inner.slices] = ids
    pooled = pool(feature, bands, around, pixels.size).astype(np.float64)
    total = pooled * pixels[:, None]
    return RegionSums(pixels, total, np.full(total.shape, np.nan))


def _join_columns(parts: Sequence[RegionSums]) -> RegionSums:
    """Return sums of the same regions with the columns side by side."""
    total, squares = (np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("total", "squares"))
    return RegionSums(parts[0].count, total, squares)


def _table_columns(sums: RegionSums, features: Sequence[Feature], blank: Bands) -> dict[str, NDArray[np.generic]]:
    mean, deviation = sums.mean, sums.std
    table: dict[str, NDArray[np.generic]] = {"pixels": sums.count, "row": mean[:, 0], "col": mean[:, 1]}
    column = 2
    for feature in features:
        for name in pooled_columns([feature], blank):
            table[name] = mean[:, column].astype(np.float32)
            if getattr(feature, "pool", None) is None:
                table[f"{name}.std"] = deviation[:, column].astype(np.float32)
            column += 1
    return table
