"""How well buildings are graded: confusion over the four grades, F1, area under the curve of major-or-worse.

Takes pooled logits and grades; buildings without a grade or without a visible pixel do not count. The scores of a
network with two heads on made-up pairs follow below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.accuracy import calibration_error
from deepnets4eo.damage.network.pairs import LEGEND, POST, LabelledPair, make_scene
from deepnets4eo.damage.network.pooling import pool_scene
from deepnets4eo.damage.network.samples import BuildingSplit, GradedPair, PairSamples
from deepnets4eo.damage.reliability import temperature
from deepnets4eo.damage.vocabulary import MAJOR
from deepnets4eo.evaluation import report
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.tiling import Tiling

BANDS = range(1, 4)
TILE_PX, HALO_PX = 640, 64  # of pairs in memory
LEAST_OF_A_KIND = 3  # damaged and intact buildings of a group, for an area under the curve


@dataclass(frozen=True)
class Graded:
    """Buildings with their reference: mean logits (N, 4), grades (N,) uint8."""

    logits: NDArray[np.float64]
    grades: NDArray[np.uint8]

    @property
    def matrix(self) -> ConfusionMatrix:
        """Reference grade against the likeliest one, a count a building."""
        matrix = ConfusionMatrix(Legend.load(LEGEND).num_classes)
        if len(self.grades):
            matrix.update(self.grades, self.logits.argmax(axis=1).astype(np.uint8))
        return matrix

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of the grades; NaN without buildings."""
        if not len(self.grades):
            return float("nan")
        return float(-log_softmax(self.logits, axis=1)[np.arange(len(self.grades)), self.grades].mean())

    @property
    def auc(self) -> float:
        """Area under the ROC curve of major damage or worse; NaN where all buildings are damaged, or none."""
        from sklearn.metrics import roc_auc_score

        damaged = self.grades >= MAJOR
        if damaged.all() or not damaged.any():
            return float("nan")
        return float(roc_auc_score(damaged, damage_probability(softmax(self.logits, axis=1))))

    @property
    def temperature(self) -> float:
        """What the logits must be divided by to be calibrated on these buildings; 1 where there are none."""
        return temperature(self.logits, self.grades.astype(np.int64)) if len(self.grades) else 1.0


def damage_probability(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) probability of major damage or worse from (N, 4) probabilities of the grades."""
    return np.asarray(probabilities[:, MAJOR:].sum(axis=1))


def grade_validation(segmenter: Segmenter, samples: PairSamples) -> Graded:
    """Pool the validation buildings of all pairs, whole, as the main job does."""
    split = samples.split
    logits, grades = [], []
    for number, (pair, of_pair) in enumerate(zip(split.scenes, split.val, strict=True)):
        chosen = np.flatnonzero(of_pair != VOID)
        if not len(chosen):
            continue
        inputs = samples.scaling(number)
        pooled = pool_scene(segmenter, pair.scene, pair.outlines, inputs, segmenter.tiling, only=chosen)
        seen = pooled.pixels[chosen] > 0
        logits.append(pooled.mean[chosen][seen])
        grades.append(of_pair[chosen][seen])
    if not logits:
        return Graded(np.zeros((0, segmenter.legend.num_classes)), np.zeros(0, np.uint8))
    return Graded(np.concatenate(logits), np.concatenate(grades))


def validation_scores(graded: Graded) -> dict[str, float]:
    """What the log shows after an epoch."""
    matrix = graded.matrix
    names = ("overall_accuracy", "kappa", "mean_f1")
    return {"val_loss": graded.loss, "auc": graded.auc} | {name: float(getattr(matrix, name)) for name in names}


def full_scores(graded: Graded, split: BuildingSplit) -> dict[str, Any]:
    """All scores, counted in buildings, with the split they were reached under."""
    probabilities = softmax(graded.logits / graded.temperature, axis=1)
    scores = report.scores(graded.matrix, Legend.load(LEGEND).names)
    scores["buildings"] = scores.pop("pixels")
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == graded.grades
    error = calibration_error(confidence, right) if len(right) else float("nan")
    protocol = {"name": "validation buildings, one count each", "leaky": False, "split": split.describe()}
    return scores | {
        "auc_major_or_worse": graded.auc, "temperature": graded.temperature, "calibration_error": error,
        "legend": LEGEND, "protocol": protocol,
    }  # fmt: skip


@dataclass(frozen=True)
class StreamGraded:
    """Buildings with their reference, logits of both heads, and where they stand.

    pair, post : logits and visible grades by head. truth : (N,) grades of the buildings themselves.
    style, hazard : (N,) text.
    """

    pair: Graded
    post: Graded
    truth: NDArray[np.uint8]
    style: NDArray[np.object_]
    hazard: NDArray[np.object_]


def to_labelled_pair(pair: GradedPair, number: int, gsd_m: float) -> LabelledPair:
    """A pair in memory as what the main job grades, at the ground size of the training."""
    pair = pair.at(gsd_m)
    layers = [Layer.open(image).subset(BANDS) for image in (pair.pre, pair.post)]
    scene = make_scene(*layers)
    return LabelledPair.of(str(number), lambda: scene, pair.outlines, pair.grades, gsd_m=pair.gsd_m)


def grade_stream(
    segmenter: Segmenter, inputs: InputSpec, pairs: Sequence[GradedPair], known: Sequence[LabelledPair]
) -> StreamGraded:
    """Pool the logits of both heads over all graded buildings. known : the same pairs, each made by `to_labelled_pair`."""
    parts: list[tuple[Any, ...]] = []
    for pair, one in zip(pairs, known, strict=True):
        rows = np.flatnonzero(pair.grades != VOID)
        side_px = -(-max(one.shape) // 32) * 32 + 2 * HALO_PX  # that of one tile for all of it
        tiling = Tiling(min(side_px, TILE_PX), HALO_PX)
        both = pool_scene(segmenter, one.scene, one.outlines, inputs, tiling, only=rows)
        alone = Scene({POST: one.scene.layers[POST]}, one.grid)
        post = pool_scene(segmenter, alone, one.outlines, post_inputs(inputs), tiling, only=rows)
        rows = rows[(both.pixels[rows] > 0) & (post.pixels[rows] > 0)]
        names = [np.full(len(rows), name, object) for name in (pair.style, pair.hazard)]
        parts.append((both.mean[rows], post.mean[rows], pair.grades[rows], pair.truth[rows], *names))
    pair_logits, post_logits, grades, truth, style, hazard = (np.concatenate(part) for part in zip(*parts, strict=True))
    return StreamGraded(Graded(pair_logits, grades), Graded(post_logits, grades), truth, style, hazard)


def post_inputs(inputs: InputSpec) -> InputSpec:
    """The inputs of the head of post alone."""
    return InputSpec({POST: inputs.layers[POST]}, inputs.gsd_m)


def epoch_scores(graded: StreamGraded) -> dict[str, float]:
    """What the log shows after an epoch."""
    scores = {"val_loss": graded.pair.loss, "auc": graded.pair.auc, "kappa": float(graded.pair.matrix.kappa)}
    balanced = evenly_graded(graded.pair)
    error = _damage_error(balanced, balanced.temperature)
    return scores | {"ece": error, "post_auc": graded.post.auc, "post_kappa": float(graded.post.matrix.kappa)}


def head_scores(graded: Graded) -> dict[str, Any]:
    """Scores of one head for the card: of all buildings, but calibration of grades drawn evenly, as the training's."""
    from sklearn.metrics import cohen_kappa_score

    balanced = evenly_graded(graded)
    divisor = balanced.temperature
    quadratic = cohen_kappa_score(graded.grades, graded.logits.argmax(axis=1), weights="quadratic")
    return {
        "overall_accuracy": float(graded.matrix.overall_accuracy), "kappa": float(graded.matrix.kappa),
        "kappa_quadratic": float(quadratic), "mean_f1": float(graded.matrix.mean_f1),
        "auc_major_or_worse": graded.auc, "calibration_error": _damage_error(balanced, divisor),
        "temperature": divisor,
    }  # fmt: skip


def group_scores(graded: StreamGraded) -> dict[str, dict[str, Any]]:
    """Scores by style and by hazard: buildings, AUC of both heads, share of intact ones called damaged."""
    out: dict[str, dict[str, Any]] = {}
    for kind, names in (("style", graded.style), ("hazard", graded.hazard)):
        for name in sorted(set(names)):
            rows = names == name
            pair, post = (Graded(head.logits[rows], head.grades[rows]) for head in (graded.pair, graded.post))
            intact, damaged = pair.grades < 1, pair.grades >= MAJOR
            enough = min((~damaged).sum(), damaged.sum()) >= LEAST_OF_A_KIND
            called = damage_probability(softmax(pair.logits, axis=1)) >= 0.5
            out[f"{kind} {name}"] = {
                "buildings": int(rows.sum()), "damaged": int(damaged.sum()),
                "auc": pair.auc if enough else None, "post_auc": post.auc if enough else None,
                "false_alarms": float(called[intact].mean()) if intact.any() else None,
                "recall": float(called[damaged].mean()) if damaged.any() else None,
            }  # fmt: skip
    return out


def evenly_graded(graded: Graded, seed: int = 0) -> Graded:
    """As many buildings of every grade that there is: the prior that the logits are trained for."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(graded.grades, minlength=Legend.load(LEGEND).num_classes)
    most = int(counts.max(initial=0))
    rows = [rng.permutation(np.resize(np.flatnonzero(graded.grades == grade), most))
            for grade in np.flatnonzero(counts)]  # fmt: skip
    chosen = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return Graded(graded.logits[chosen], graded.grades[chosen])


def _damage_error(graded: Graded, divisor: float) -> float:
    """Expected calibration error of the probability of major damage or worse."""
    if not len(graded.grades):
        return float("nan")
    probability = damage_probability(softmax(graded.logits / divisor, axis=1))
    right = (probability >= 0.5) == (graded.grades >= MAJOR)
    return calibration_error(np.maximum(probability, 1 - probability), right)
