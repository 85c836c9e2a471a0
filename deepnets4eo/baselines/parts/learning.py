"""From boxes and windows to calibrated templates: sub-categories, rounds of mining until validation converges."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Boxes, Indices
from deepnets4eo.baselines.parts.detection import Detections, find_objects
from deepnets4eo.baselines.parts.mining import TemplateTrainer
from deepnets4eo.baselines.parts.references import TrainingWindow
from deepnets4eo.baselines.parts.templates import PartSettings, Shapes, TemplateBank, first_parts
from deepnets4eo.metrics import Match, match, scores_of
from deepnets4eo.polygons import outlines

log = logging.getLogger(__name__)

MIN_BOXES = 6  # boxes of a sub-category
HELD_OUT = 0.25  # of the windows with boxes, for the validation score and the calibration
MIN_WINDOWS = 4  # with boxes, for any to be held out
GAIN = 0.002  # of the validation score below which rounds end
MIN_MARGIN = -1.2  # margin from which candidates are used for validation and calibration
PART_ROUNDS = 2
SLOPE, MIDDLE = 4.0, -0.25  # calibration without held-out windows


@dataclass(frozen=True)
class TrainedTemplates:
    """Templates, and the average precision on held-out windows after each round (NaN without held-out windows)."""

    bank: TemplateBank
    history: tuple[float, ...]


def sub_categories(boxes: Boxes, components: int, seed: int) -> Indices:
    """Return the sub-category of each box, (N,) from 0: a Gaussian mixture on the logarithm of length ÷ width.

    There are at most as many as there are boxes for; empty ones are left out. Source: Randrianarivo et al., 2015.
    """
    from sklearn.mixture import GaussianMixture

    count = max(1, min(components, len(boxes) // MIN_BOXES))
    aspect = np.log(boxes[:, 2] / np.maximum(boxes[:, 3], 1e-6))[:, None]
    if count == 1 or np.ptp(aspect) < 1e-6:
        return np.zeros(len(boxes), np.int64)
    mixture = GaussianMixture(count, random_state=seed, n_init=3).fit(aspect)
    _, numbered = np.unique(mixture.predict(aspect), return_inverse=True)
    return np.asarray(numbered, np.int64)


def train_templates(
    windows: Sequence[TrainingWindow], settings: PartSettings, cell_px: int, seed: int
) -> TrainedTemplates:
    """Train templates on windows with at least one usable box."""
    rng = np.random.default_rng(seed)
    training, held_out = _split_windows(windows, rng)
    boxes = np.concatenate([window.boxes[window.usable] for window in training])
    component = sub_categories(boxes, settings.components, seed)
    medians = np.array(
        [np.median(boxes[component == category, 2:4], axis=0) for category in range(component.max() + 1)]
    )
    shapes = Shapes.from_medians(medians, settings.headings, cell_px)
    log.info(
        "%d boxes in %d sub-categories, %d templates of cells of %d px.", len(boxes), len(medians), len(shapes), cell_px
    )
    trainer = TemplateTrainer(training, component, shapes, settings, seed)
    bank = trainer.fit()
    history = [_held_out_precision(bank, held_out, settings)]
    best = bank
    for number in range(1, settings.rounds + 1):
        added = trainer.mine(bank)
        bank = trainer.fit(bank)
        history.append(_held_out_precision(bank, held_out, settings))
        log.info("Round %d: %d new negatives, average precision held out %.3f.", number, added, history[-1])
        if held_out and history[-1] < max(history[:-1]) + GAIN:
            break
        best = bank
        if not added:
            break
    if settings.parts:
        best = _add_parts(best, trainer, settings)
        history.append(_held_out_precision(best, held_out, settings))
        log.info("With %d parts: average precision held out %.3f.", settings.parts, history[-1])
    # margins are comparable, correlations are not: without held-out windows these are calibrated on the training set
    calibration_windows = held_out if held_out or settings.score == "svm" else training
    return TrainedTemplates(calibrate(best, calibration_windows, settings), tuple(history))


def _add_parts(bank: TemplateBank, trainer: TemplateTrainer, settings: PartSettings) -> TemplateBank:
    """Add parts to templates, and train both together: fitted, mined, fitted again."""
    bank = replace(bank, parts=first_parts(bank, settings.parts))
    for _ in range(PART_ROUNDS):
        bank = trainer.fit(bank)
        trainer.mine(bank)
    return trainer.fit(bank)


def calibrate(bank: TemplateBank, held_out: Sequence[TrainingWindow], settings: PartSettings) -> TemplateBank:
    """Set logits of margins by logistic regression on held-out candidates: one slope for all, one offset a
    sub-category.

    Templates of one sub-category at different headings are rotated copies and have the same offset.
    """
    from sklearn.linear_model import LogisticRegression

    count = len(bank.shapes)
    candidates = [_match_candidates(bank, window, settings) for window in held_out]
    target = np.concatenate([np.zeros(0, bool), *[candidate.hit for candidate in candidates]])
    slope, offset = SLOPE, np.full(count, -SLOPE * MIDDLE, np.float32)
    if target.any() and not target.all():
        margin = np.concatenate([candidate.score for candidate in candidates])
        own = bank.shapes.component[np.concatenate([candidate.template for candidate in candidates])]
        kinds = np.eye(int(bank.shapes.component.max()) + 1)
        model = LogisticRegression(C=1.0).fit(np.column_stack([margin * SLOPE, kinds[own]]), target)
        if model.coef_[0, 0] > 0:
            slope = float(model.coef_[0, 0]) * SLOPE
            offset = (model.coef_[0, 1:][bank.shapes.component] + model.intercept_[0]).astype(np.float32)
    return bank.with_calibration(np.full(count, slope, np.float32), offset)


@dataclass(frozen=True)
class _Candidates:
    score: NDArray[np.float32]
    template: Indices
    hit: NDArray[np.bool_]


def _match_candidates(bank: TemplateBank, window: TrainingWindow, settings: PartSettings) -> _Candidates:
    """Return candidates of a window and whether each is an object; those on unusable boxes are left out."""
    detections = _candidates(bank, window, settings)
    result = _match(detections, window)
    counted = ~result.ignored
    return _Candidates(detections.score[counted], detections.template[counted], result.hit[counted])


def _candidates(bank: TemplateBank, window: TrainingWindow, settings: PartSettings) -> Detections:
    detections = find_objects(window.grey, bank.without_calibration(), settings, least=MIN_MARGIN)
    return detections.take(window.in_core(detections.boxes))


def _match(detections: Detections, window: TrainingWindow) -> Match:
    return match(
        outlines(detections.boxes), detections.score.astype(np.float64), outlines(window.boxes), ~window.usable
    )


def _held_out_precision(bank: TemplateBank, held_out: Sequence[TrainingWindow], settings: PartSettings) -> float:
    """Return the average precision on held-out windows."""
    if not held_out:
        return float("nan")
    hits, scores, total = [], [], 0
    for window in held_out:
        candidates = _match_candidates(bank, window, settings)
        hits.append(candidates.hit)
        scores.append(candidates.score)
        total += int(window.usable.sum())
    return scores_of(np.concatenate(hits), np.concatenate(scores).astype(np.float64), total).average_precision


def _split_windows(
    windows: Sequence[TrainingWindow], rng: np.random.Generator
) -> tuple[list[TrainingWindow], list[TrainingWindow]]:
    """Return training windows and held-out windows; no window is held out if too few windows have boxes."""
    full = [index for index, window in enumerate(windows) if window.usable.any()]
    if len(full) < MIN_WINDOWS:
        log.warning("boxes are in %d windows only: none is held out, probabilities are not calibrated.", len(full))
        return list(windows), []
    chosen = set(rng.permutation(full)[: max(1, round(HELD_OUT * len(full)))].tolist())
    return (
        [window for index, window in enumerate(windows) if index not in chosen],
        [window for index, window in enumerate(windows) if index in chosen],
    )
