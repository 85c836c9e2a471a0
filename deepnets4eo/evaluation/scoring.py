"""A label raster scored against a reference, streamed window by window, on the grid of the reference.

Refuses rasters that do not overlap, and labels that the legend does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import GridError, InputError, LabelError, check_choice
from deepnets4eo.evaluation import report
from deepnets4eo.evaluation.label_reader import LabelReader
from deepnets4eo.evaluation.options import Intervals, ProtocolChanges, load_legend
from deepnets4eo.evaluation.withheld import PredictedMap, Withheld
from deepnets4eo.grid import LABELS_READ_PX, Grid, Window, overlap_share
from deepnets4eo.metrics import BoundaryScores, ConfusionMatrix, Interval, bootstrap, erode_boundaries
from deepnets4eo.options import Unknown
from deepnets4eo.rasters import LayerLike, gdal_cache, same_grid
from deepnets4eo.read_as import LABELS, Door

LIKELIEST, GAINED = (
    0.5,
    0.25,
)  # share that agrees by another order of the classes, and how much more, for it to explain the confusion
COVERED = 0.9999  # of the reference: all of it
SYNTHETIC_NOTE = "Synthetic: the rasters show a made-up place, the scores say nothing about the real world."


@dataclass(frozen=True)
class Protocol:
    """The rules of a score; results are only compared under the same protocol.

    Errors: InputError for a radius below 0, or another `unknown`.

    Parameters
    ----------
    name : DATASET/PROTOCOL if the rules come from a dataset card, else empty
    erode_px : radius of the disc for the eroded scores; 0 for none
    boundary_px : largest distance of matching class borders for the boundary scores; 0 for none
    ignored : classes whose reference pixels are left out
    prediction_legend, reference_legend
        Legends that the files are stored in, if they differ from the scored legend and the files have no legend tag; the
        default for the reference is the legend of the `withheld` run.
    reference_nodata : value of the reference that is void; None: the file's nodata value, or the value of the `withheld` run
    unknown : "error" or "void", for labels that are in no legend; None: as in the `withheld` run, else "error"
    card : the protocol's entry in the dataset card
    withheld : the only pixels to score, which a training withheld; None: all

    Examples
    --------
    >>> Protocol(erode_px=3, ignored=("clutter",)).to_dict()["erode_px"]
    3
    """

    name: str = ""
    erode_px: int = 0
    boundary_px: int = 0
    ignored: tuple[str, ...] = ()
    prediction_legend: Legend | None = None
    reference_legend: Legend | None = None
    reference_nodata: float | None = None
    unknown: Unknown | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    withheld: Withheld | None = None

    def __post_init__(self) -> None:
        check_choice("unknown", self.unknown_labels, get_args(Unknown))
        for name in ("erode_px", "boundary_px"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number of pixels, 0 for none.")

    @property
    def unknown_labels(self) -> Unknown:
        """Return how colours and values that are in no legend are treated."""
        return self.unknown or (self.withheld.unknown if self.withheld is not None else "error")

    def apply_changes(self, changes: ProtocolChanges) -> Protocol:
        """Return the protocol with the given changes. Raises InputError for an unknown legend or run."""
        return replace(
            self,
            erode_px=self.erode_px if changes.erode is None else changes.erode,
            boundary_px=self.boundary_px if changes.boundary_px is None else changes.boundary_px,
            ignored=tuple(changes.ignore) if changes.ignore else self.ignored,
            prediction_legend=load_legend(changes.prediction_legend),
            reference_legend=load_legend(changes.reference_legend),
            reference_nodata=changes.reference_nodata,
            unknown=changes.unknown or self.unknown,
            withheld=self.withheld if changes.withheld is None else Withheld.of_run(changes.withheld),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the report."""
        stored = {"prediction": self.prediction_legend, "reference": self.reference_legend}
        return {
            "name": self.name,
            "erode_px": self.erode_px,
            **({"boundary_px": self.boundary_px} if self.boundary_px else {}),
            "ignored_classes": list(self.ignored),
            "stored_in": {role: legend.name for role, legend in stored.items() if legend is not None},
            "unknown_labels": self.unknown_labels,
            "void_in_reference": "ignored",
            **({} if self.reference_nodata is None else {"reference_nodata": self.reference_nodata}),
            "void_in_prediction": "counted as an error; left out in maps of runs, whose images have no data there",
            "absent_classes": "NaN, left out of means",
            **({"card": dict(self.card)} if self.card else {}),
            **({"withheld": self.withheld.to_dict()} if self.withheld is not None else {}),
        }


@dataclass
class Evaluation:
    """Result of `evaluate`; `to_dict` has the keys of the JSON report.

    Parameters
    ----------
    legend, protocol : legend and rules of the scores
    matrix : confusion matrix of the full reference, without the ignored classes
    eroded, boundaries : the same of the eroded reference, and counts of class borders, where the protocol has them
    intervals : score → interval; empty without a bootstrap
    inputs : paths of each prediction and its reference
    notes : sentences about what was done to the inputs
    no_data_pixels : labelled ones that maps of runs leave out, as their images have no data there
    synthetic : whether an input shows a synthetic scene
    """

    legend: Legend
    protocol: Protocol
    matrix: ConfusionMatrix
    eroded: ConfusionMatrix | None
    boundaries: BoundaryScores | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    inputs: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    no_data_pixels: int = 0
    synthetic: bool = False

    def __str__(self) -> str:
        """Return the scores as the table that `deepnets4eo evaluate` prints."""
        return report.text_table(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return scores, confusion matrix, legend and protocol; with erosion also `eroded` with the same scores."""
        names = [name for name in self.legend.names if name not in self.protocol.ignored]
        result = report.scores(self.matrix, names)
        result |= {"legend": self.legend.name, "protocol": self.protocol.to_dict()}
        if self.eroded is not None:
            result["eroded"] = report.scores(self.eroded, names)
        if self.boundaries is not None:
            result["boundaries"] = self.boundaries.to_dict(self.legend.names)
        if self.intervals:
            result["intervals"] = {score: [interval.low, interval.high] for score, interval in self.intervals.items()}
        if self.no_data_pixels:
            result["no_data_pixels"] = self.no_data_pixels
        return result | {"inputs": self.inputs, "notes": self.notes, "synthetic": self.synthetic}


def evaluate(
    prediction: LayerLike,
    reference: LayerLike,
    legend: Legend | str,
    protocol: Protocol | None = None,
    *,
    intervals: Intervals | None = None,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Score one label raster against a reference.

    Where the grids differ, the prediction is resampled to the reference's grid by nearest neighbour. Reference pixels
    that it does not cover count as errors.

    Peak memory: some 20 bytes × (2048 + 2 · erode_px)² and GDAL's cache of 128 MiB, for rasters of any size.

    Errors: GridError (the rasters do not overlap, or only one has a CRS and the sizes differ); LabelError (labels that
    the legend lacks); InputError (no labelled pixel).

    Parameters
    ----------
    prediction, reference : path, array or Layer: label values in one band, or colours in three
    legend : legend to score in: an object, a name or a YAML card
    protocol : rules; by default all classes count and nothing is eroded
    intervals : bootstrap; by default none
    progress : called with the share that is done, 0–1

    Returns
    -------
    Confusion matrix, scores and notes.

    Examples
    --------
    >>> truth = np.array([[0, 0, 1, 255]], np.uint8)
    >>> evaluate(np.array([[0, 1, 1, 1]], np.uint8), truth, "isprs").matrix.total
    3
    """
    return evaluate_pairs([(prediction, reference)], legend, protocol, intervals=intervals, progress=progress)


def evaluate_pairs(
    pairs: Iterable[tuple[LayerLike, LayerLike]],
    legend: Legend | str,
    protocol: Protocol | None = None,
    *,
    intervals: Intervals | None = None,
    progress: Callable[[float], None] | None = None,
    block_px: int = LABELS_READ_PX,
) -> Evaluation:
    """Score several pairs of rasters as one.

    Errors: as for `evaluate`; InputError for a block_px below 1.

    Parameters
    ----------
    pairs : (prediction, reference), each as `evaluate` takes it
    legend, protocol, intervals, progress : as in `evaluate`; intervals are over the tiles of all pairs
    block_px : side of the blocks that are read; the result does not depend on it

    Returns
    -------
    Confusion matrices summed over the pairs, scores and notes.
    """
    if block_px < 1:
        raise InputError(f"block_px is {block_px}, expected 1 or more, for example {LABELS_READ_PX}.")
    pairs = list(pairs)
    legend = legend if isinstance(legend, Legend) else Legend.load(legend)
    protocol, intervals = protocol or Protocol(), intervals or Intervals()
    ignored = [legend.index(name) for name in protocol.ignored]
    protocol = replace(protocol, ignored=tuple(legend.names[index] for index in ignored))
    result = Evaluation(legend, protocol, ConfusionMatrix(legend.num_classes), None)
    if protocol.erode_px:
        result.eroded = ConfusionMatrix(legend.num_classes)
    if protocol.boundary_px:
        result.boundaries = BoundaryScores(legend.num_classes, protocol.boundary_px)
    tiles: list[ConfusionMatrix] = []
    with gdal_cache():
        for number, (prediction, reference) in enumerate(pairs):
            readers = _open_readers(prediction, reference, result)
            windows = readers.reference.layer.blocks(intervals.tile_px if intervals.draws else block_px)
            for done, window in enumerate(windows, start=1):
                full, eroded, no_data = _count(readers, window, legend.num_classes, protocol.erode_px)
                result.matrix += full
                result.no_data_pixels += no_data
                if result.eroded is not None and eroded is not None:
                    result.eroded += eroded
                if result.boundaries is not None and full.total:
                    _count_boundaries(readers, window, ignored, result.boundaries)
                if intervals.draws and (scored := full.ignoring(ignored)).total:
                    tiles.append(scored)
                if progress is not None:
                    progress((number + done / len(windows)) / len(pairs))
    result.matrix = result.matrix.ignoring(ignored)
    result.eroded = result.eroded.ignoring(ignored) if result.eroded is not None else None
    if result.boundaries is not None:
        result.boundaries.leave_out(ignored)
    if not result.matrix.total:
        where = " that the training withheld" if protocol.withheld is not None else ""
        raise InputError(
            f"The reference has no labelled pixel of legend {legend.name}{where}: all is void. Check the files."
        )
    if result.no_data_pixels:
        result.notes.append(
            f"{result.no_data_pixels:,} labelled pixels are left out, as in training: the images of the runs have no data there."
        )
    if note := order_note(result.matrix, legend):
        result.notes.append(note)
    if intervals.draws:
        result.intervals = bootstrap(tiles, draws=intervals.draws, level=intervals.level, seed=intervals.seed)
    return result


def order_note(matrix: ConfusionMatrix, legend: Legend) -> str:
    """Return a sentence that another order of the classes would explain the confusion; "" if no other order would.

    >>> order_note(ConfusionMatrix.from_matrix(np.diag([5, 5, 5, 5, 5, 5])), Legend.load("isprs"))
    ''
    """
    from scipy.optimize import linear_sum_assignment  # takes a third of a second

    true, named = linear_sum_assignment(matrix.matrix, maximize=True)
    agreed = float(matrix.matrix[true, named].sum()) / matrix.total
    if agreed < LIKELIEST or agreed - matrix.overall_accuracy < GAINED:
        return ""
    pairs = [(index, other) for index, other in zip(true, named, strict=True) if index != other]
    moved = [
        f"{legend.names[index]} is called {legend.names[other]}"
        for index, other in pairs
        if matrix.matrix[index, other]
    ]
    exchanged = sum(2 * matrix.matrix[index, other] > matrix.matrix[index].sum() for index, other in pairs)
    if exchanged < 2:  # a map of one class, as after a short training, is in no order
        return ""
    return (
        f"The classes seem to be in another order: {', '.join(moved)}; by that order {agreed:.1%} would agree, not "
        f"{matrix.overall_accuracy:.1%}. Check the legends of both: --set prediction_legend, --set reference_legend."
    )


@dataclass(frozen=True)
class _Readers:
    """Prediction and reference on one grid; `withheld` has the pixels to score, None: all.

    `by_run`: the prediction is a run's map of the whole reference, and is void only in pixels without image data.
    """

    prediction: LabelReader
    reference: LabelReader
    withheld: Callable[[Window], NDArray[np.bool_]] | None
    by_run: bool

    def limit(self, labels: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        """Return reference labels (h, w) of a window, void in pixels that are not to be scored."""
        return labels if self.withheld is None else np.where(self.withheld(window), labels, np.uint8(VOID))

    def limit_to_seen(self, labels: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return reference labels (h, w), void in pixels without data in a run's image: training and validation skip them too."""
        return np.where(prediction == VOID, np.uint8(VOID), labels) if self.by_run else labels


def _open_readers(prediction: LayerLike, reference: LayerLike, result: Evaluation) -> _Readers:
    """Open readers of both rasters on the reference's grid, and add inputs and notes to the result."""
    protocol, legend = result.protocol, result.legend
    withheld = protocol.withheld
    learnt, labels_nodata = (withheld.labels_legend, withheld.labels_nodata) if withheld is not None else (None, None)
    labels_nodata = labels_nodata if protocol.reference_nodata is None else protocol.reference_nodata
    readers = []
    for source, own_legend, usual, nodata in (
        (prediction, protocol.prediction_legend, None, None),
        (reference, protocol.reference_legend, load_legend(learnt), labels_nodata),
    ):
        layer = LABELS.open(source, Door("the labels", on_ground=False), nodata=nodata)
        try:
            readers.append(LabelReader(layer, legend, own_legend or layer.legend or usual, protocol.unknown_labels))
        except LabelError as error:
            if own_legend is not None or layer.legend is None or readers:
                raise
            raise LabelError(
                f"{layer.source} has classes of its own, of the legend {layer.legend.name!r} in its tags: leave out --legend {legend.name} to "
                f"score by them. {error}"
            ) from error
        if own_legend is not None and (other := layer.other_legend_note(own_legend)) is not None:
            result.notes.append(other)
        if (hidden := readers[-1].hidden_note) is not None:
            result.notes.append(hidden)
    predicted, truth = readers
    if (note := truth.mask_note) is not None:
        result.notes.append(note)
    if (predicted.layer.synthetic or truth.layer.synthetic) and not result.synthetic:
        result.synthetic = True
        result.notes.append(SYNTHETIC_NOTE)
    if PredictedMap.run_tag in truth.layer.tags and PredictedMap.run_tag not in predicted.layer.tags:
        result.notes.append(
            f"{truth.layer.source} was made by a run and {predicted.layer.source} was not, which looks like another order of the two: the "
            f"prediction comes first, deepnets4eo evaluate {truth.layer.source} {predicted.layer.source}."
        )
    result.inputs.append({"prediction": predicted.layer.source, "reference": truth.layer.source})
    if note := grid_note(predicted.layer.source, predicted.layer.grid, truth.layer.grid):
        result.notes.append(note)
    if withheld is not None:
        leaky = ", a leaky split" if withheld.split.get("leaky") else ""
        result.notes.append(f"Only pixels are scored that the training of {withheld.run} withheld{leaky}.")
        precision = predicted.layer.tags.get(PredictedMap.precision_tag, PredictedMap.scored_in)
        if precision != PredictedMap.scored_in:
            result.notes.append(
                f"{predicted.layer.source} was computed in {precision}, metrics.json of the run in {PredictedMap.scored_in}: their scores may "
                f"differ a little. Predict with --precision {PredictedMap.scored_in} for the same."
            )
    by_run = PredictedMap.run_tag in predicted.layer.tags and _covers(predicted.layer.grid, truth.layer.grid)
    scored = withheld.on(truth.layer) if withheld is not None else None
    return _Readers(predicted.on(truth.layer.grid), truth, scored, by_run)


def grid_note(name: str, predicted: Grid, truth: Grid) -> str:
    """Return a note on how the prediction is brought onto the reference's grid; raise GridError if that is impossible."""
    if same_grid(predicted, truth):
        return ""
    if (predicted.crs is None) != (truth.crs is None):
        if tuple(predicted.shape) == tuple(truth.shape):
            return f"{name}: only one of prediction and reference has a CRS; same size, compared pixel for pixel."
        raise GridError(
            f"{name} is {tuple(predicted.shape)} pixels and its reference {tuple(truth.shape)}, and only one has a CRS. "
            "Assign the missing CRS, or give rasters of the same size."
        )
    if predicted.crs is None and tuple(predicted.shape) != tuple(truth.shape):
        raise GridError(
            f"{name} is {tuple(predicted.shape)} pixels and its reference {tuple(truth.shape)}, and neither has a CRS. "
            "Give rasters of the same size, or georeference both."
        )
    share = overlap_share(truth, predicted)
    if not share:
        raise GridError(f"{name} does not overlap its reference. Check that both show the same area.")
    covers = "" if share > COVERED else f"; it covers {share:.1%} of the reference, the rest counts as missed"
    return f"{name} was brought onto the reference's grid by nearest neighbour{covers}."


def _covers(predicted: Grid, truth: Grid) -> bool:
    """Return whether a prediction covers all of its reference; True if only one has a CRS, as their sizes are then equal."""
    if same_grid(predicted, truth) or (predicted.crs is None) != (truth.crs is None):
        return True
    return overlap_share(truth, predicted) > COVERED


def _count(
    readers: _Readers, window: Window, num_classes: int, erode_px: int
) -> tuple[ConfusionMatrix, ConfusionMatrix | None, int]:
    """Return the confusion of a window, the confusion of its eroded reference, and the number of labelled pixels without data."""
    # the halo holds the disc at the window's edge: the result is that of the whole image
    outer = window.grow(erode_px)
    around = readers.reference.read(outer)
    inner = window.within(outer).slices
    reference = readers.limit(around[inner], window)
    full, eroded = ConfusionMatrix(num_classes), ConfusionMatrix(num_classes) if erode_px else None
    if (reference == VOID).all():
        return full, eroded, 0
    prediction = readers.prediction.read(window)
    seen = readers.limit_to_seen(reference, prediction)
    full.update(seen, prediction)
    if eroded is not None:
        kept = readers.limit(erode_boundaries(around, erode_px)[inner], window)
        eroded.update(readers.limit_to_seen(kept, prediction), prediction)
    return full, eroded, int(np.count_nonzero(reference != seen))


def _count_boundaries(readers: _Readers, window: Window, ignored: list[int], scores: BoundaryScores) -> None:
    """Add a window's borders; ignored classes, pixels that are not scored and pixels beyond the reference's edge are void."""
    outer = window.grow(scores.margin_px)
    prediction, reference = readers.prediction.read(outer), readers.limit(readers.reference.read(outer), outer)
    reference = readers.limit_to_seen(reference, prediction)
    reference[np.isin(reference, ignored)] = VOID
    scores.update(reference, prediction, margin_px=scores.margin_px)
