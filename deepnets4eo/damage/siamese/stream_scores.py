"""How well both heads grade the buildings of made-up pairs that were left out, in all and by style and hazard.

Takes a segmenter and graded pairs; grades whole images as the main job does, and returns scores counted in buildings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.calibration import calibration_error
from deepnets4eo.damage.siamese.pairs import LEGEND, POST, LabelledPair, make_scene
from deepnets4eo.damage.siamese.pooling import pool_scene
from deepnets4eo.damage.siamese.scoring import MAJOR, Graded, damage_probability
from deepnets4eo.damage.siamese.stream import GradedPair
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.tiling import Tiling

BANDS = range(1, 4)
TILE_PX, HALO_PX = 640, 64
LEAST_OF_A_KIND = 3  # damaged and intact buildings of a group, for an area under the curve


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
    """Pool the logits of both heads over all graded buildings. known : the pairs as of `to_labelled_pair`."""
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
