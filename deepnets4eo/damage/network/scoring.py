"""Scores of the grading of buildings: confusion over the four grades, F1, and area under the curve of damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from deepnets4eo.arrays import Floats
from deepnets4eo.cards import Legend
from deepnets4eo.damage.network.pairs import LEGEND, POST, LabelledPair, post_inputs
from deepnets4eo.damage.network.pooling import Pooled, pool_scene
from deepnets4eo.damage.table.vocabulary import MAJOR, is_damaged, is_graded
from deepnets4eo.evaluation import report
from deepnets4eo.metrics import ConfusionMatrix, calibration_error, temperature
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, Segmenter
from deepnets4eo.tiling import Tiling

TILE_PX, HALO_PX = 640, 64  # of pairs that are seen in one tile
MIN_OF_A_KIND = 3  # damaged and intact buildings of a group, for an area under the curve


@dataclass(frozen=True)
class LogitsAndGrades:
    """Buildings with their reference: mean logits (N, 4), grades (N,) uint8."""

    logits: Floats
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
        """Return the area under the ROC curve of major damage or worse; NaN if only one side occurs."""
        from sklearn.metrics import roc_auc_score

        damaged = is_damaged(self.grades)
        if damaged.all() or not damaged.any():
            return float("nan")
        return float(roc_auc_score(damaged, damage_probability(softmax(self.logits, axis=1))))

    @property
    def temperature(self) -> float:
        """The divisor that calibrates the logits on these buildings."""
        return temperature(self.logits, self.grades.astype(np.int64)) if len(self.grades) else 1.0


def damage_probability(probabilities: Floats) -> Floats:
    """Return (N,) probability of major damage or worse from (N, 4) probabilities of the grades."""
    return np.asarray(probabilities[:, MAJOR:].sum(axis=1))


@dataclass(frozen=True)
class Validation:
    """The buildings that a network is scored on: grades of each pair, 255 for ignored buildings; one_tile : small pairs are seen whole."""

    pairs: Sequence[LabelledPair]
    grades: Sequence[NDArray[np.uint8]]
    scaling: Callable[[int], InputSpec]
    described: dict[str, Any]
    post_alone: bool = False
    one_tile: bool = False

    def tiling(self, segmenter: Segmenter, pair: LabelledPair) -> Tiling:
        """Return the tiles of a pair."""
        if not self.one_tile:
            return segmenter.tiling
        side_px = -(-max(pair.shape) // 32) * 32 + 2 * HALO_PX
        return Tiling(min(side_px, TILE_PX), HALO_PX)


@dataclass(frozen=True)
class GradedHeads:
    """Validated buildings with the logits of each head; truth : (N,) their own grades; groups : (N, G) scored together."""

    pair: LogitsAndGrades
    post: LogitsAndGrades | None
    truth: NDArray[np.uint8] | None
    groups: NDArray[np.object_]


def grade_validation(segmenter: Segmenter, validation: Validation) -> GradedHeads:
    """Pool the logits of the validation buildings of all pairs, as the main job does."""
    counted = [number for number, grades in enumerate(validation.grades) if is_graded(grades).any()]
    graded = [_grade_pair(segmenter, validation, number) for number in counted]
    if not graded:
        nothing = LogitsAndGrades(np.zeros((0, segmenter.legend.num_classes)), np.zeros(0, np.uint8))
        return GradedHeads(nothing, nothing if validation.post_alone else None, None, np.zeros((0, 0), object))
    truths = [part.truth for part in graded if part.truth is not None]
    return GradedHeads(
        _joined([part.pair for part in graded]),
        _joined([part.post for part in graded if part.post is not None]) if validation.post_alone else None,
        np.concatenate(truths) if len(truths) == len(graded) else None,
        np.concatenate([part.groups for part in graded]),
    )


def _grade_pair(segmenter: Segmenter, validation: Validation, number: int) -> GradedHeads:
    """Grade the visible buildings of one pair."""
    pair, grades = validation.pairs[number], validation.grades[number]
    rows, inputs, tiling = (
        np.flatnonzero(is_graded(grades)),
        validation.scaling(number),
        validation.tiling(segmenter, pair),
    )

    def pool(scene: Scene, inputs: InputSpec) -> Pooled:
        return pool_scene(segmenter, scene, pair.outlines, inputs, tiling, only=rows)

    both = pool(pair.scene, inputs)
    seen, post = both.pixels > 0, None
    if validation.post_alone:
        post = pool(Scene({POST: pair.scene.layers[POST]}, pair.grid), post_inputs(inputs))
        seen &= post.pixels > 0
    rows = rows[seen[rows]]
    return GradedHeads(
        LogitsAndGrades(both.mean[rows], grades[rows]),
        None if post is None else LogitsAndGrades(post.mean[rows], grades[rows]),
        None if pair.truth is None else pair.truth[rows],
        np.tile(np.array(pair.groups, object), (len(rows), 1)),
    )


def _joined(parts: Sequence[LogitsAndGrades]) -> LogitsAndGrades:
    return LogitsAndGrades(
        np.concatenate([part.logits for part in parts]), np.concatenate([part.grades for part in parts])
    )


def epoch_scores(graded: GradedHeads, even: bool) -> dict[str, float]:
    """Return the scores that the log shows after an epoch; `even` as in `head_scores`."""
    matrix, weighed = graded.pair.matrix, evenly_graded(graded.pair) if even else graded.pair
    scores = {"val_loss": graded.pair.loss, "auc": graded.pair.auc}
    scores |= {name: float(getattr(matrix, name)) for name in ("overall_accuracy", "kappa", "mean_f1")}
    scores["ece"] = _damage_error(weighed, weighed.temperature)
    if graded.post is not None:
        scores |= {"post_auc": graded.post.auc, "post_kappa": float(graded.post.matrix.kappa)}
    return scores


def full_scores(graded: GradedHeads, even: bool, described: dict[str, Any]) -> dict[str, Any]:
    """Compute all scores, counted in buildings: of both heads, of groups of pairs, and the share worse than visible."""
    protocol = {
        "name": "validation buildings, one count each",
        "leaky": described.get("leaky", False),
        "split": described,
    }
    scores = head_scores(graded.pair, even) | {"legend": LEGEND, "protocol": protocol}
    if graded.post is not None:
        scores["post_alone"] = head_scores(graded.post, even)
    if graded.groups.size:
        scores["groups"] = group_scores(graded)
    if graded.truth is not None and (known := is_graded(graded.truth)).any():
        scores["worse_than_visible"] = float((graded.truth[known] > graded.pair.grades[known]).mean())
    return scores


def head_scores(graded: LogitsAndGrades, even: bool) -> dict[str, Any]:
    """Return the scores of one head; `even` : calibration is measured on grades drawn evenly, as in training."""
    from sklearn.metrics import cohen_kappa_score

    scores = report.scores(graded.matrix, Legend.load(LEGEND).names)
    scores["buildings"] = scores.pop("pixels")
    weighed = evenly_graded(graded) if even else graded
    divisor, called = weighed.temperature, graded.logits.argmax(axis=1)
    quadratic = cohen_kappa_score(graded.grades, called, weights="quadratic") if len(called) else float("nan")
    return scores | {
        "kappa_quadratic": float(quadratic), "auc_major_or_worse": graded.auc, "temperature": divisor,
        "calibration_error": _damage_error(weighed, divisor),
    }  # fmt: skip


def group_scores(graded: GradedHeads) -> dict[str, dict[str, Any]]:
    """Return scores by group: buildings, AUC of both heads, false alarms, recall."""
    out: dict[str, dict[str, Any]] = {}
    for name in sorted(set(graded.groups.ravel())):
        rows = (graded.groups == name).any(axis=1)
        heads = {"auc": graded.pair} | ({} if graded.post is None else {"post_auc": graded.post})
        chosen = {key: LogitsAndGrades(head.logits[rows], head.grades[rows]) for key, head in heads.items()}
        pair = chosen["auc"]
        intact, damaged = pair.grades < 1, is_damaged(pair.grades)
        enough = min((~damaged).sum(), damaged.sum()) >= MIN_OF_A_KIND
        called = damage_probability(softmax(pair.logits, axis=1)) >= 0.5
        out[name] = {"buildings": int(rows.sum()), "damaged": int(damaged.sum())}
        out[name] |= {key: head.auc if enough else None for key, head in chosen.items()}
        out[name] |= {
            "false_alarms": float(called[intact].mean()) if intact.any() else None,
            "recall": float(called[damaged].mean()) if damaged.any() else None,
        }
    return out


def evenly_graded(graded: LogitsAndGrades, seed: int = 0) -> LogitsAndGrades:
    """Return buildings drawn so that all grades are equally frequent, the prior that the logits are trained for."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(graded.grades, minlength=Legend.load(LEGEND).num_classes)
    most = int(counts.max(initial=0))
    rows = [rng.permutation(np.resize(np.flatnonzero(graded.grades == grade), most))
            for grade in np.flatnonzero(counts)]  # fmt: skip
    chosen = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return LogitsAndGrades(graded.logits[chosen], graded.grades[chosen])


def _damage_error(graded: LogitsAndGrades, divisor: float) -> float:
    """Return the expected calibration error of the probability of major damage or worse."""
    if not len(graded.grades):
        return float("nan")
    probability = damage_probability(softmax(graded.logits / divisor, axis=1))
    right = (probability >= 0.5) == is_damaged(graded.grades)
    return calibration_error(np.maximum(probability, 1 - probability), right)
