"""A raster of a quantity, and maybe its deviations, scored against a reference: window by window, whole, by class and level.

Refuses rasters that do not overlap, and references in another unit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import Quantity
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.label_reader import LabelReader
from deepnets4eo.evaluation.options import LEVELS, default_levels
from deepnets4eo.evaluation.scoring import SYNTHETIC_NOTE, grid_note
from deepnets4eo.evaluation.withheld import Withheld
from deepnets4eo.grid import Window
from deepnets4eo.metrics import DeviationScores, ValueScores
from deepnets4eo.rasters import Layer, LayerLike, gdal_cache
from deepnets4eo.read_as import LABELS, SCORES, Door, check_metres
from deepnets4eo.terrain import check_above_ground

THUMBNAIL_PX = 512  # of a reference, to see whether it holds heights above the sea


class GroupedScores:
    """Scores of all pixels, by class and between ascending `levels` of the reference; and of standard deviations.

    >>> scores = GroupedScores(["ground"]).update(np.array([0.0, 30.0]), np.array([1.0, 30.0]), np.array([0, 255]))
    >>> scores.by_class["ground"].mae, scores.by_level["above 20"].mae
    (1.0, 0.0)
    """

    def __init__(self, names: Sequence[str] = (), levels: Sequence[float] = LEVELS) -> None:
        self.levels = tuple(levels)
        self.whole = ValueScores()
        self.by_class = {name: ValueScores() for name in names}
        between = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(levels)]
        texts = [f"below {levels[0]:g}", *between, f"above {levels[-1]:g}"] if levels else []
        self.by_level = {text: ValueScores() for text in texts}
        self.deviations = DeviationScores()

    def update(
        self,
        reference: NDArray[np.floating],
        prediction: NDArray[np.floating],
        classes: NDArray[Any] | None = None,
        deviation: NDArray[np.floating] | None = None,
    ) -> GroupedScores:
        """Count pixels: reference, prediction and deviation of one shape, NaN without a value, and class indices."""
        known = np.isfinite(reference)
        if deviation is not None:
            self.deviations.update(reference[known], prediction[known], deviation[known])
        truth, guess = reference[known], prediction[known]
        self.whole.update(truth, guess)
        level = np.digitize(truth, self.levels)
        for number, scores in enumerate(self.by_level.values()):
            scores.update(truth[level == number], guess[level == number])
        if classes is not None:
            own = classes[known]
            for number, scores in enumerate(self.by_class.values()):
                scores.update(truth[own == number], guess[own == number])
        return self

    def to_dict(self, quantity: Quantity) -> dict[str, Any]:
        """Return `values` by name, `by_class`, `by_level`, the quantity, and `deviations` with their `sparsification`."""
        groups = {"by_class": self.by_class, "by_level": self.by_level}
        met = {
            group: {
                name: score.to_dict()
                for name, score in scores.items()
                if score.sums["pixels"] or score.sums["unpredicted"]
            }
            for group, scores in groups.items()
        }
        return (
            {"values": self.whole.to_dict()}
            | {"quantity": quantity.to_dict()}
            | {group: scores for group, scores in met.items() if scores}
            | ({"deviations": self.deviations.to_dict()} if self.deviations.pixels else {})
        )


def evaluate_values(
    pairs: Iterable[tuple[LayerLike, LayerLike]],
    quantity: Quantity,
    *,
    levels: Sequence[float] | None = None,
    class_map: LayerLike | None = None,
    withheld: Withheld | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Score rasters of a quantity against references, as one.

    Peak memory: some 40 bytes × 2048², and GDAL's cache of 128 MiB, for rasters of any size.

    Errors: GridError (a pair does not overlap, or only one has a CRS and the sizes differ).

    InputError (no pixel of the references has a value, or they are in another unit or above the sea).

    Parameters
    ----------
    pairs
        (prediction, reference), each a path, array or Layer in the unit of the quantity; the first band is scored, and a second one
        that is called "standard deviation". Each prediction is resampled to its reference's grid by nearest neighbour.
    quantity : its limits and its zero decide which pixels of the reference have a value
    levels : ascending edges of the reference's values between which there are scores, too; 2, 5, 10 and 20 of metres by default
    class_map : label raster with its legend in its tags, by whose classes there are scores, too
    withheld : the only pixels that are scored, which a training did not learn from
    progress : called with the share that is done, 0–1

    Returns
    -------
    `values`, the scores of `metrics.ValueScores`; the same in `by_class` and `by_level`; the quantity, notes and inputs;
    `deviations`, see `metrics.DeviationScores`.

    Examples
    --------
    >>> from deepnets4eo.cards import Quantity
    >>> heights = np.array([[0.0, 4.0]], np.float32)
    >>> evaluate_values([(heights + 1, heights)], Quantity.from_name("height"))["values"]["mae"]
    1.0
    """
    pairs, levels = list(pairs), default_levels(quantity.unit) if levels is None else levels
    scores = GroupedScores(levels=levels)
    report: dict[str, Any] = {"inputs": [], "notes": [], "synthetic": False}
    with gdal_cache():
        for number, (prediction, reference) in enumerate(pairs):
            door = Door("the values", on_ground=False)
            predicted, truth = (SCORES.open(source, door) for source in (prediction, reference))
            read_window = _open_pair(predicted, truth, quantity, report, withheld)
            read_classes = _open_classes(class_map, truth, scores)
            windows = truth.blocks()
            for done, window in enumerate(windows, start=1):
                classes = None if read_classes is None else read_classes(window)
                reference, *estimates = read_window(window)
                scores.update(reference, estimates[0], classes, *estimates[1:])
                if progress is not None:
                    progress((number + done / len(windows)) / len(pairs))
    if not scores.whole.sums["pixels"] + scores.whole.sums["unpredicted"]:
        raise InputError(
            f"The reference has no pixel with a {quantity.name} from {quantity.low:g} to {quantity.high:g} {quantity.unit}: all is void. "
            "Check its unit and nodata."
        )
    protocol = {
        "void_in_reference": "ignored", "void_in_prediction": "counted as unpredicted", "levels": list(levels),
        **({"withheld": withheld.to_dict()} if withheld is not None else {}),
    }  # fmt: skip
    return scores.to_dict(quantity) | {"protocol": protocol} | report


def _open_pair(
    predicted: Layer, truth: Layer, quantity: Quantity, report: dict[str, Any], withheld: Withheld | None
) -> Callable[[Window], tuple[NDArray[Any], ...]]:
    """Return a reader of a window's reference, prediction and maybe deviation (h, w), NaN without value; add report notes."""
    for layer in (predicted, truth) if quantity.unit == "m" else ():
        check_metres(layer)
    if quantity.name == "height":
        data, valid, _ = truth.thumbnail(THUMBNAIL_PX)
        check_above_ground(data[0][valid], truth.source, "Score against an nDSM: deepnets4eo layers heights.")
    report["inputs"].append({"prediction": predicted.source, "reference": truth.source})
    if note := grid_note(predicted.source, predicted.grid, truth.grid):
        report["notes"].append(note)
    if (predicted.synthetic or truth.synthetic) and not report["synthetic"]:
        report["synthetic"] = True
        report["notes"].append(SYNTHETIC_NOTE)
    here, mask = predicted.on(truth.grid, "nearest"), None if withheld is None else withheld.on(truth)
    names = replace(quantity, deviation=True).band_names
    bands = 2 if predicted.count > 1 and predicted.band_names[1] == names[1] else 1

    def read_window(window: Window) -> tuple[NDArray[Any], ...]:
        (reference, known), (values, valid) = truth.read(window), here.read(window)
        known = known & quantity.known_mask(reference[0]) & (True if mask is None else mask(window))
        nothing = np.float32(np.nan)
        return np.where(known, reference[0], nothing), *np.where(valid, values[:bands], nothing)

    return read_window


def _open_classes(
    class_map: LayerLike | None, truth: Layer, scores: GroupedScores
) -> Callable[[Window], NDArray[Any]] | None:
    """Return a reader of class indices of a window; scores get the classes of the map. Errors: InputError without a legend."""
    if class_map is None:
        return None
    layer = LABELS.open(class_map, Door("the map of classes", on_ground=False))
    if layer.legend is None:
        raise InputError(f"{layer.source} has no legend in its tags; expected labels as predict writes them.")
    layer.warn_of_legend(layer.legend)
    for name in layer.legend.names:
        scores.by_class.setdefault(name, ValueScores())
    return LabelReader(layer, layer.legend).on(truth.grid).read
