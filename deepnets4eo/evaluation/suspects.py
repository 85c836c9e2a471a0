"""Labels that are probably wrong: where a classifier that did not learn from them is sure of another class.

Confident learning (Northcutt, Jiang and Chuang, JAIR 70, 2021), of arrays or of rasters of any size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, Floats, Indices, Mask
from deepnets4eo.cards import VOID, Legend, LegendClass
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.label_reader import LabelReader
from deepnets4eo.grid import Window
from deepnets4eo.rasters import CogWriter, Layer, LayerLike
from deepnets4eo.read_as import LABELS, SCORES, Door
from deepnets4eo.tiling import Packed

if TYPE_CHECKING:
    import geopandas as gpd

BLOCK_PX = 1024
ROUNDING = 1e-9  # samples that all have one probability reach their mean
MIN_PX = 16  # of a region: single pixels along borders are nearly always in doubt


def class_thresholds(sums: NDArray[np.floating[Any]], counts: NDArray[np.integer[Any]]) -> Floats:
    """Return the mean probability (K,) of each class over samples with its label, by sums and counts; infinite without any."""
    mean = sums / np.maximum(counts, 1)
    return np.where(counts > 0, mean - ROUNDING, np.inf)


def confident_classes(probabilities: NDArray[np.floating[Any]], thresholds: Floats) -> ByteImage:
    """Return the class with the highest of the probabilities (K, ...) that reach their thresholds (K,), void if none does.

    >>> confident_classes(np.array([[0.9, 0.5, 0.3], [0.1, 0.5, 0.7]]), np.array([0.8, 0.6])).tolist()
    [0, 255, 1]
    """
    reached = probabilities >= thresholds.reshape(-1, *[1] * (probabilities.ndim - 1))
    best = np.where(reached, probabilities, -1).argmax(axis=0)
    return np.where(reached.any(axis=0), best, VOID).astype(np.uint8)


@dataclass(frozen=True)
class Suspects:
    """Samples that are probably labelled wrongly: `order` (M,), surest first, `suggested` classes, `margin` of probability.

    `counts` (K, K): samples by labelled class and the class that is sure.
    """

    order: Indices
    suggested: ByteImage
    margin: Floats
    counts: Indices


def rank_wrong_labels(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> Suspects:
    """Rank labels that are probably wrong.

    Errors: InputError for arrays of other shapes, or probabilities outside 0 to 1.

    Parameters
    ----------
    probabilities
        (N, K), of a classifier that learnt from other samples, as in cross-validation: one that learnt from the labels
        repeats their errors.
    labels : (N,) class indices 0 … K − 1; others, such as void 255, are left out

    Returns
    -------
    Suspects

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.05, 0.95]])
    >>> rank_wrong_labels(probabilities, np.array([0, 0, 1, 1, 0])).order.tolist()
    [4]
    """
    probabilities, labels = np.asarray(probabilities, float), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise InputError(
            f"probabilities have the shape {probabilities.shape} and labels {labels.shape}; expected (N, K) and (N,)."
        )
    if not (
        np.isfinite(probabilities).all() and probabilities.min(initial=0) >= 0 and probabilities.max(initial=0) <= 1
    ):
        raise InputError(
            "probabilities are not between 0 and 1. Give those, not scores; softmax makes them from scores."
        )
    known = np.flatnonzero((labels >= 0) & (labels < probabilities.shape[1]))
    counter = _Counter(probabilities.shape[1])
    counter.add_own(probabilities[known].T, labels[known])
    suggested, margin = counter.suspect(probabilities[known].T, labels[known])
    order = np.flatnonzero(margin > 0)
    order = order[np.argsort(-margin[order], kind="stable")]
    return Suspects(known[order], suggested[order], margin[order], counter.joint)


class _Counter:
    """Thresholds from a first look at all samples, and the classes that a second one is sure of."""

    def __init__(self, num_classes: int) -> None:
        self.sums, self.samples = np.zeros(num_classes), np.zeros(num_classes, np.int64)
        self.joint = np.zeros((num_classes, num_classes), np.int64)

    def add_own(self, probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> None:
        """Add the probability of the labelled class, of (K, ...) and labels (...) without void."""
        own = np.take_along_axis(probabilities, labels[None].astype(np.int64), axis=0)[0]
        num_classes = len(self.sums)
        self.sums += np.bincount(labels.ravel(), own.ravel().astype(float), minlength=num_classes)
        self.samples += np.bincount(labels.ravel(), minlength=num_classes)

    def suspect(
        self, probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
    ) -> tuple[ByteImage, Floats]:
        """Return suggestions (...) for labels (...) without void, void for confirmed labels, and their margins; update counts."""
        num_classes = len(self.sums)
        sure = confident_classes(probabilities, class_thresholds(self.sums, self.samples))
        seen = sure != VOID
        pairs = labels[seen].astype(np.int64) * num_classes + sure[seen]
        self.joint += np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
        other = seen & (sure != labels)
        suggested = np.where(other, sure, VOID).astype(np.uint8)
        own, best = (
            np.take_along_axis(probabilities, index[None].astype(np.int64), axis=0)[0]
            for index in (labels, np.where(other, sure, 0))
        )
        return suggested, np.where(other, np.maximum(best - own, 1e-9), 0)


def find_wrong_labels(
    probabilities: LayerLike,
    labels: LayerLike,
    legend: Legend | None = None,
    *,
    labels_legend: Legend | None = None,
    least_px: int = MIN_PX,
    progress: Callable[[float], None] | None = None,
) -> gpd.GeoDataFrame:
    """Find regions of a label raster that are probably labelled wrongly.

    Parameters
    ----------
    probabilities
        K bands packed as bytes, as `predict` with `probabilities` writes them, of a network that did not learn from these
        labels.
    labels : values or colours; brought onto the grid of the probabilities by nearest neighbour
    legend : classes of the bands, in their order; by default as the bands are called. Labels of other classes are left out.
    labels_legend : what the labels are stored in, by default `legend`
    least_px : smaller regions are left out, pixels
    progress : called with the share that is done, 0–1

    Returns
    -------
    GeoDataFrame in the raster's CRS: `rank` 1 for the region with the largest sum of margins, `labelled` and `suggested`
    text, `margin` (mean difference of their probabilities, 0 to 1), `area_m2`, `geometry`.
        `attrs["shares"]`: class → share that is sure to be another's among its labelled pixels that are sure; or NaN.

    Raises
    ------
    InputError
        No legend, other numbers of bands than classes, or bands that are no packed probabilities.
    LabelError
        Labels that their own legend lacks.

    Peak memory: some 30 bytes × K × the pixels of a block of 1024 × 1024 pixels; and all polygons.
    """
    scores, reader, legend = _open(probabilities, labels, legend, labels_legend)
    counter, windows = _Counter(scores.count), scores.blocks(BLOCK_PX)
    report = progress or (lambda _share: None)
    for number, (_, packed, indices, valid) in enumerate(_samples(scores, reader, windows), start=1):
        counter.add_own(packed[:, valid] / Packed.one, indices[valid])
        report(0.4 * number / len(windows))
    with tempfile.TemporaryDirectory() as folder:
        pairs, margins = Path(folder) / "pairs.tif", Path(folder) / "margins.tif"
        with (
            CogWriter(pairs, scores.grid, dtype="uint16", nodata=0, categorical=True) as of_pairs,
            CogWriter(margins, scores.grid) as of_margins,
        ):
            for number, (window, packed, indices, valid) in enumerate(_samples(scores, reader, windows), start=1):
                codes, bytes_ = np.zeros(valid.shape, np.uint16), np.zeros(valid.shape, np.uint8)
                suggested, margin = counter.suspect(packed[:, valid] / Packed.one, indices[valid])
                other = suggested != VOID
                codes[valid] = np.where(other, indices[valid] * np.uint16(scores.count) + suggested + 1, 0)
                bytes_[valid] = np.where(other, np.maximum(margin * Packed.one, 1), 0)
                of_pairs.write(window, codes[None])
                of_margins.write(window, bytes_[None])
                report(0.4 + 0.4 * number / len(windows))
        table = _regions(pairs, margins, legend, least_px)
    sure = counter.joint.sum(axis=1)
    wrong = (sure - counter.joint.diagonal()) / np.where(sure > 0, sure, np.nan)
    table.attrs["shares"] = dict(zip(legend.names, wrong.tolist(), strict=True))
    report(1.0)
    return table


def _open(
    probabilities: LayerLike, labels: LayerLike, legend: Legend | None, labels_legend: Legend | None
) -> tuple[Layer, LabelReader, Legend]:
    scores, stored = (
        SCORES.check(Layer.open(probabilities), Door("the probabilities")).report(),
        LABELS.open(labels, Door("the labels")),
    )
    own = labels_legend or stored.legend or legend
    if own is None:
        raise InputError(f"{stored.source} has no legend in its tags. Give one: --legend isprs.")
    classes = [LegendClass(number, name, (number + 1,) * 3) for number, name in enumerate(scores.band_names)]
    legend = legend or Legend(f"bands of {scores.source}", tuple(classes))
    if scores.count != legend.num_classes or scores.dtype != np.uint8:
        raise InputError(
            f"{scores.source} has {scores.count} bands of {scores.dtype}, expected the probabilities of the {legend.num_classes} classes of "
            f"{legend.name!r} as bytes. Make them with predict --probabilities."
        )
    stored.warn_of_legend(own)
    reader = LabelReader(stored, legend, own, unknown="void")  # classes that the network does not know are left out
    return scores, reader.on(scores.grid), legend


def _samples(
    scores: Layer, labels: LabelReader, windows: list[Window]
) -> Iterator[tuple[Window, ByteImage, ByteImage, Mask]]:
    """Each window, packed probabilities (K, h, w), class indices and where both are known, (h, w)."""
    for window in windows:
        packed, valid = scores.read(window)
        indices = labels.read(window)
        yield window, packed, indices, valid & (indices != VOID)


def _regions(pairs: Path, margins: Path, legend: Legend, least_px: int) -> gpd.GeoDataFrame:
    """Return connected pixels with one label and one suggestion, ranked by the sum of their margins."""
    from deepnets4eo.polygons import polygonize
    from deepnets4eo.zonal import band_sums

    regions = polygonize(pairs)
    sums = band_sums(Layer.open(margins), regions.geometry.to_numpy())
    code = regions["value"].to_numpy() - 1
    names = np.array(legend.names)
    table = regions[["area_m2", "geometry"]].assign(
        labelled=names[code // legend.num_classes],
        suggested=names[code % legend.num_classes],
        margin=(sums.mean[:, 0] / Packed.one).round(3),
    )
    order = np.argsort(-sums.total[:, 0], kind="stable")
    table = table.iloc[order[sums.pixels[order] >= least_px]].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table[["rank", "labelled", "suggested", "margin", "area_m2", "geometry"]]
