"""Rare changes of a series, ranked: changes that hold become one event a cell, events are clustered, rare clusters come first.

Takes the features of a series. Returns a `NoveltyRanking` of polygons with date, cluster and score, which a folder
keeps without pickle.

A ranking also finds the changes most like a given one. Memory: the whitened deltas of the candidates.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.change.series.deltas import DateDeltas, DeltaRules, iter_deltas
from deepnets4eo.change.series.features import CellSeries
from deepnets4eo.change.series.options import NoveltyOptions
from deepnets4eo.errors import InputError
from deepnets4eo.files import ARCHIVE_ERRORS, atomic_write
from deepnets4eo.outputs import SeriesEvent, categories_qml, write_event, write_styles
from deepnets4eo.polygons import write_vector

if TYPE_CHECKING:
    import geopandas as gpd

MAX_BY_DENSITY = 20_000  # events: clusters by density compare all with all
MIN_IN_CLUSTER = 5
FOREST = 200  # trees


LAYER = "changes"
SUBJECT = "Changes"  # of titles
HUES = 16  # colours of clusters, then they repeat


@dataclass(frozen=True)
class NoveltyRanking:
    """Changes of a series, sorted from the most novel one.

    Parameters
    ----------
    table
        One row per change: `id` (1 is the first), `rank`, `date`, `before` (the date it is compared with on pages),
        `cluster`, `score`, `magnitude`, `rarity`, `cells`, outline.
    vectors : (n, F) float32, whitened delta of each change, in the order of the table
    names : names of the features; empty in results of earlier versions

    Examples
    --------
    .. code-block:: python

        ranking = rank_novelty(measure_cells(series, cells, features))
        ranking.similar(3)
    """

    table: gpd.GeoDataFrame
    vectors: NDArray[np.float32]
    names: tuple[str, ...] = ()
    files: ClassVar[tuple[str, str]] = ("changes.gpkg", "changes.npz")  # of the table and the vectors

    def __len__(self) -> int:
        return len(self.table)

    def headline(self) -> str:
        """Return the number of changes and the first of them, in one line."""
        if not len(self):
            return "0 changes"
        first = self.table.iloc[0]
        return f"{len(self):,} {'change' if len(self) == 1 else 'changes'}, the rarest of {first['date']}"

    def similar(self, id: int, number: int = 10, *, example: NoveltyRanking | None = None) -> gpd.GeoDataFrame:
        """Find the changes most like one of them, or one of another series.

        Parameters
        ----------
        id : of the change, as in the table
        number : how many are returned at most
        example : the ranking that has the change, of another series with the same features; by default this one

        Returns
        -------
        geopandas.GeoDataFrame
            Rows of the table without the change itself, with `similarity`: the cosine of the whitened deltas, −1 to 1.

        Raises
        ------
        InputError
            For an id that the table does not have, and rankings of other features.
        """
        other = self if example is None else example
        ids = other.table["id"].to_numpy()
        if id not in ids:
            raise InputError(f"there is no change {id}; the ranking has {len(ids)}. Choose one from 1 to {len(ids)}.")
        if other.vectors.shape[1] != self.vectors.shape[1] or (
            self.names and other.names and self.names != other.names
        ):
            raise InputError(
                f"the other series was described by {other.vectors.shape[1]} features, this one by {self.vectors.shape[1]}, or by others. "
                "Rank both with the same bands, cells and encoder."
            )
        row = int(np.flatnonzero(ids == id)[0])
        unit, wanted = (
            vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
            for vectors in (self.vectors, other.vectors[row : row + 1])
        )
        similarity = unit @ wanted[0]
        order = np.argsort(-similarity, kind="stable")
        order = (order if other is not self else order[order != row])[:number]
        return self.table.iloc[order].assign(similarity=np.round(similarity[order].astype(float), 4))

    def write(self, folder: str | Path, event: SeriesEvent = SeriesEvent()) -> list[Path]:
        """Write the table as GeoPackage, with the event, and the vectors into a folder; returns both files."""
        folder = Path(folder)
        table = write_vector(self.table, folder / self.files[0], LAYER)
        write_event(table, event, SUBJECT, LAYER)
        colors = {str(cluster): cluster_color(cluster) for cluster in sorted(set(self.table["cluster"].astype(int)))}
        write_styles(table, [(LAYER, "clusters", categories_qml("cluster", colors), SUBJECT)])
        with atomic_write(folder / self.files[1]) as partial:
            np.savez_compressed(partial, vectors=self.vectors, names=np.array(self.names, str))
        return [table, folder / self.files[1]]

    @classmethod
    def read(cls, folder: str | Path) -> NoveltyRanking:
        """Read what `write` wrote. Raises InputError for a folder without a ranking, or files that do not fit each other."""
        import geopandas as gpd

        from deepnets4eo.formats import vector_file

        table, vectors = (Path(folder) / name for name in cls.files)
        if not (table.is_file() and vectors.is_file()):
            raise InputError(
                f"{folder} holds no ranking ({', '.join(cls.files)}). Give the --out of an earlier ranking."
            )
        try:
            with np.load(vectors, allow_pickle=False) as archive:
                values = np.asarray(archive["vectors"], np.float32)
                names = tuple(archive["names"].tolist()) if "names" in archive else ()
        except ARCHIVE_ERRORS as error:
            raise InputError(f"{vectors} cannot be read: {error}. Rank the series again.") from error
        with vector_file(table):
            frame = gpd.read_file(table, layer=LAYER)
        dates = {name: frame[name].astype(str).str[:10] for name in ("date", "before") if name in frame}
        if values.ndim != 2 or len(values) != len(frame) or "id" not in frame:
            raise InputError(f"{table} has {len(frame)} changes, {vectors} {len(values)}. Rank the series again.")
        return cls(frame.assign(**dates), values, names)


def cluster_color(cluster: int) -> tuple[int, int, int]:
    """Return red, green and blue (0–255) of a cluster on the page and in QGIS; grey outside all clusters."""
    if cluster < 0:
        return 119, 119, 119
    red, green, blue = colorsys.hls_to_rgb(cluster * 7 % HUES / HUES, 0.45, 0.7)
    return round(255 * red), round(255 * green), round(255 * blue)


def rank_novelty(series: CellSeries, options: NoveltyOptions | None = None) -> NoveltyRanking:
    """Rank the changes of a series by how rare and how large they are.

    Changes of a cell against its own past that persist at later dates are clustered; neighbouring cells of one date and
    cluster are one change.

    Parameters
    ----------
    series : features of cells by date
    options : how they are compared and ranked

    Returns
    -------
    NoveltyRanking
        The first change is the most novel; the ranking is empty if no change persists.

    Raises
    ------
    InputError
        For fewer dates than a baseline, a comparison and later dates need.
    """
    options = options or NoveltyOptions()
    events = score_events(collect_events(iter_deltas(series, options), options.history), options)
    return _ranking(series, events)


def _ranking(series: CellSeries, events: CellEvents) -> NoveltyRanking:
    import geopandas as gpd

    group = _groups(series, events)
    order = np.lexsort((events.cell, -events.score, group))
    first = order[np.concatenate([[True], np.diff(group[order]) != 0])] if len(events) else order
    first = first[np.lexsort((events.cell[first], events.date[first], -events.score[first]))]
    outlines = series.cells.outlines(events.cell)
    rows: dict[str, Any] = {
        "id": np.arange(1, len(first) + 1),
        "rank": np.arange(1, len(first) + 1),
        "date": [series.dates[index].isoformat() for index in events.date[first]],
        "before": [_last_valid(series, events.cell[row], events.date[row]).isoformat() for row in first],
        "cluster": events.cluster[first],
        "score": np.round(events.score[first].astype(float), 4),
        "magnitude": np.round(events.magnitude[first].astype(float), 4),
        "rarity": np.round(events.rarity[first].astype(float), 4),
        "cells": np.bincount(group, minlength=len(first))[group[first]] if len(first) else np.zeros(0, np.int64),
    }
    shapes = [_union(outlines[group == group[row]]) for row in first]
    crs = series.cells.grid.crs
    frame = gpd.GeoDataFrame(rows, geometry=np.array(shapes, dtype=object), crs=None if crs is None else crs.to_wkt())
    return NoveltyRanking(frame, events.vector[first], tuple(series.names))


def _groups(series: CellSeries, events: CellEvents) -> NDArray[np.int64]:
    """Return the number of the change that each event belongs to: touching cells of one date and cluster."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(events):
        return np.zeros(0, np.int64)
    reach = series.cells.cell_px // series.cells.stride_px
    rows, cols = np.divmod(events.cell, series.cells.shape[1])
    kind = np.unique(np.column_stack([events.date, events.cluster]), axis=0, return_inverse=True)[1].reshape(-1)
    positions = np.column_stack([rows, cols, kind * (reach + 1)])
    pairs = cKDTree(positions).query_pairs(reach, p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(events),) * 2)
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _last_valid(series: CellSeries, cell: int, index: int) -> date:
    return series.dates[int(np.flatnonzero(series.valid[:index, cell])[-1])]


def _union(shapes: NDArray[np.object_]) -> Any:
    return shapely.multipolygons(shapely.get_parts(shapely.union_all(shapes)))


@dataclass(frozen=True)
class CellEvents:
    """Changes of single cells (n,): date index, cell, whitened delta (n, F), magnitude, cluster (-1 for none), rarity
    and score."""

    date: Indices
    cell: Indices
    vector: NDArray[np.float32]
    magnitude: Floats
    cluster: Indices
    rarity: Floats
    score: Floats

    def __len__(self) -> int:
        return len(self.cell)


def collect_events(deltas: Iterable[DateDeltas], history: int) -> CellEvents:
    """Return the candidates whose change holds.

    Candidates of a cell within `history` dates are one event, since a change stays a candidate until the baseline has
    followed.

    An event has the delta of the largest, and the date of the first with half of that.
    """
    # The baseline is a median of earlier dates, so that a lasting change stays a candidate until most of them lie after it: its candidates are
    # one event. A change that grows over several dates is described by its largest delta, and dated by the first with half of that.
    dates, cells, vectors, magnitudes = [], [], [], []
    for delta in deltas:
        chosen = np.flatnonzero(delta.candidates & (delta.held >= DeltaRules.min_lasting_share))
        dates.append(np.full(len(chosen), delta.index))
        cells.append(chosen)
        vectors.append(delta.whitened[chosen])
        magnitudes.append(delta.magnitude[chosen] * delta.held[chosen])
    if not dates:
        return _events(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0), np.float32), np.zeros(0))
    date, cell, magnitude = (np.concatenate(pieces) for pieces in (dates, cells, magnitudes))
    order = np.lexsort((date, cell))
    date, cell, magnitude = date[order], cell[order], magnitude[order]
    starts = np.ones(len(order), bool)
    starts[1:] = (np.diff(cell) != 0) | (np.diff(date) > history)
    event = np.cumsum(starts) - 1
    by_size = np.lexsort((-magnitude, event))
    largest = by_size[np.concatenate([[True], np.diff(event[by_size]) != 0])] if len(order) else by_size
    vector = np.concatenate(vectors)[order][largest]
    large = np.flatnonzero(magnitude >= magnitude[largest][event] / 2)
    first = large[np.concatenate([[True], np.diff(event[large]) != 0])] if len(order) else large
    return _events(date[first], cell[first], vector, magnitude[largest])


def score_events(events: CellEvents, options: NoveltyOptions) -> CellEvents:
    """Score the events: clusters, rarity and score; see `NoveltyOptions.rank_by`."""
    if not len(events):
        return events
    cluster = _cluster(events.vector, options)
    rarity = np.ones(len(events))
    if options.rank_by == "rarity":
        rarity = _rarity(cluster)
    elif options.rank_by == "isolation":
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(n_estimators=FOREST, random_state=options.seed).fit(events.vector)
        rarity = -forest.score_samples(events.vector)
    return replace(events, cluster=cluster, rarity=rarity, score=events.magnitude * rarity)


def _events(date: Indices, cell: Indices, vector: NDArray[np.float32], magnitude: Floats) -> CellEvents:
    nothing = np.zeros(len(cell))
    return CellEvents(date, cell, vector, magnitude, np.full(len(cell), -1), nothing, nothing)


def _cluster(vectors: NDArray[np.float32], options: NoveltyOptions) -> Indices:
    if options.clustering == "hdbscan":
        from sklearn.cluster import HDBSCAN

        if len(vectors) < 2 * MIN_IN_CLUSTER:
            return np.full(len(vectors), -1)
        sample = np.random.default_rng(options.seed).permutation(len(vectors))[:MAX_BY_DENSITY]
        labels = np.full(len(vectors), -1)
        labels[sample] = HDBSCAN(MIN_IN_CLUSTER, copy=True).fit_predict(vectors[sample])
        if len(sample) < len(vectors):  # the others belong where the nearest of these does
            others = np.setdiff1d(np.arange(len(vectors)), sample)
            labels[others] = labels[sample][cKDTree(vectors[sample]).query(vectors[others])[1]]
        return labels
    from sklearn.cluster import MiniBatchKMeans

    count = min(options.clusters, len(vectors))
    batch = max(1024, 2 * count)
    means = MiniBatchKMeans(count, batch_size=batch, n_init=3, random_state=options.seed).fit(vectors)
    return np.asarray(means.labels_, np.int64)


def _rarity(cluster: Indices) -> Floats:
    """−log of the share of each event's cluster among events and one more; events of no cluster count as separate clusters."""
    counts = np.bincount(cluster + 1)
    counts[0] = 1
    return np.asarray(-np.log(counts[cluster + 1] / (len(cluster) + 1)))
