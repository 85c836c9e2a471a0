"""What earlier values predict of a date, and what is left: residuals of a linear fit, whitened; medians of the dates before.

Takes standardised features (N, F) of a date and a baseline of the same shape; fits to the half of the cells that changed
least, so that rare changes do not bend the fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.change.series.measure import CellSeries

Rows = NDArray[np.float32]  # (N, F)

REFITS = 2  # of the half that changed least
SPREAD_FLOOR = 1e-6  # of a feature that is the same everywhere, in its own units
CUT = 4.0  # of the baseline in the fit, in spreads: beyond it cells are too few to fit a line
ROWS_A_COLUMN = 4  # cells for each coefficient of the fit; with fewer, only the median is subtracted


def standardise(series: CellSeries, valid: Mask, *, also: Mask | None = None) -> Rows:
    """Return the features (T, N, F) of each date less their median, by half the width of their middle 68 %, over valid
    cells (T, N); 0 elsewhere, except for cells in `also`."""
    standard = np.zeros_like(series.values)
    for index, known in enumerate(valid):
        if not known.any():
            continue
        low, middle, high = np.percentile(series.values[index, known], [16, 50, 84], axis=0).astype(np.float32)
        spread = np.maximum((high - low) / 2, SPREAD_FLOOR)
        chosen = known if also is None else known | also[index]
        standard[index, chosen] = np.clip((series.values[index, chosen] - middle) / spread, -1e3, 1e3)
    return standard


def running_medians(
    standard: Rows, valid: Mask, history: int, order: Iterable[int], least: int
) -> Iterator[tuple[int, Rows, Mask]]:
    """Yield each date in an order with the medians (N, F) of its `history` valid dates before, and which cells (N,)
    have at least `least` of them; a first date stands for those that are missing."""
    cells, features = standard.shape[1:]
    recent = np.zeros((history, cells, features), np.float32)
    filled = np.zeros(cells, np.int64)
    for index in order:
        known = filled >= least
        medians = np.zeros((cells, features), np.float32)
        medians[known] = np.median(recent[:, known], axis=0)
        yield index, medians, known
        first = valid[index] & (filled == 0)
        recent[:, first] = standard[index, first]
        cell = np.flatnonzero(valid[index])
        recent[filled[cell] % history, cell] = standard[index, cell]
        filled[cell] += 1


def linear_residuals(values: Rows, baseline: Rows, known: Mask) -> Rows:
    """Return what the baseline does not predict of a date (N, F), 0 where not known. The prediction is linear in the
    baseline, cut at ±`CUT` and drawn towards that of the median cell by a ridge; residuals of cells far from all
    others are smaller by √(1 + leverage)."""
    delta = (values[known] - baseline[known]).astype(np.float64)
    middle = np.median(delta, axis=0)
    residual = delta - middle
    columns = np.column_stack([np.ones(len(delta)), np.clip(baseline[known], -CUT, CUT)]).astype(np.float64)
    ridge = np.eye(columns.shape[1]) * columns.shape[1]
    ridge[0, 0] = 1e-6
    leverage = np.zeros(len(delta))
    if len(delta) >= ROWS_A_COLUMN * columns.shape[1]:
        for _ in range(REFITS):
            half = columns[least := least_changed(np.linalg.norm(residual, axis=1))]
            inverse = np.linalg.inv(half.T @ half + ridge)
            residual = delta - middle - columns @ (inverse @ (half.T @ (delta[least] - middle)))
        leverage = ((columns @ inverse) * columns).sum(axis=1)
    result = np.zeros_like(values)
    result[known] = residual / np.sqrt(1 + leverage)[:, None]
    return result


def least_changed(magnitude: NDArray[np.floating]) -> NDArray[np.intp]:
    return np.argsort(magnitude, kind="stable")[: max(2, len(magnitude) // 2)]


def whiten(residual: Rows, known: Mask) -> tuple[NDArray[np.float64], Rows]:
    """The symmetric whitening matrix (F, F) of the half that changed least, and the whitened residuals."""
    rows = residual[known].astype(np.float64)
    features = rows.shape[1]
    magnitude = np.linalg.norm(rows, axis=1)
    whitening = np.eye(features)
    for _ in range(REFITS):
        half = rows[least_changed(magnitude)]
        covariance = half.T @ half / len(half)
        shrinkage = features / (features + len(half))
        scale = max(np.trace(covariance) / features, 1e-12)
        covariance = (1 - shrinkage) * covariance + (shrinkage + 1e-6) * scale * np.eye(features)
        variances, axes = np.linalg.eigh(covariance)
        whitening = axes / np.sqrt(variances) @ axes.T
        magnitude = np.linalg.norm(rows @ whitening, axis=1)
    whitening /= max(float(np.median(magnitude)), 1e-12)
    return whitening, (residual @ whitening).astype(np.float32)
