"""Deltas of cells against their own past: standardised by date, without what all cells have in common, whitened.

Every date is standardised by its median and spread.

The baseline of a cell is the median of its valid dates before.

Where several earlier years have dates of the same season, their median is a second baseline, and the smaller delta
counts.

A linear fit predicts each date from the baseline. It uses the half of the cells that changed least. What it predicts is
season and light, and is subtracted.

The residuals are whitened by their covariance on that half. If that half is too small for a fit or a covariance, the residuals
are less their median and stay as they are. A cell that differs from everything around it at a single date does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.change.series.features import CellSeries
from deepnets4eo.change.series.options import NoveltyOptions
from deepnets4eo.errors import InputError

Rows = NDArray[np.float32]  # (N, F)


@dataclass(frozen=True)
class DeltaRules:
    """Rules that distinguish changes in a series from noise, seasons and clouds."""

    refits: int = 2  # on the half of the cells that changed least
    max_fit_spreads: float = 4.0  # of the baseline in the fit: beyond it cells are too few to fit a line
    # Cells of the half that is fitted; with fewer, only the median is subtracted, and residuals are not whitened. Counted on all cells,
    # 73 fitted ones had 19 coefficients on a real flood, which predicted the flood away: AUC .574, counted on the fit .811.
    min_cells_per_coefficient: int = 4
    min_lasting_share: float = 0.5  # of a change that a later date must still show
    seasons: int = 2  # earlier years with dates of the season that make a baseline
    look_ahead: int = 4  # times the later dates at which a change must hold are searched for valid ones
    # median distances from the dates before and after: farther is a cloud that masks missed
    min_spike_medians: float = 4.0
    # of the distance to the other side: a date nearer to one side begins or ends there, and is no spike
    max_one_side_share: float = 1 / 3
    max_difference: float = 10.0  # standardised difference of one feature

    @classmethod
    def can_fit(cls, cells: int, coefficients: int) -> bool:
        """Return whether the half of the cells that changed least is enough for so many coefficients per feature."""
        return fitted_cells(cells) >= cls.min_cells_per_coefficient * coefficients


SPREAD_FLOOR = 1e-6  # of a feature that is the same everywhere, in its own units

NEIGHBOURS = 3  # dates before and after, of which the median is taken
NEIGHBOURHOOD = 7  # the same, where a change is told from clouds at several dates in a row


@dataclass(frozen=True)
class DateDeltas:
    """The deltas of one date: `known` (N,), whitened deltas (N, F) with median length 1, their lengths, and candidates.

    The candidates changed most. `held` (N,) is the minimum share of a change that later dates still show (0 with too few
    dates, 1 without persistence).
    """

    index: int
    known: Mask
    whitened: Rows
    magnitude: NDArray[np.float32]
    candidates: Mask
    held: NDArray[np.float32]


def iter_deltas(series: CellSeries, options: NoveltyOptions) -> Iterator[DateDeltas]:
    """Yield the deltas of each date that has a baseline. Raises InputError for too few dates."""
    needed = options.history + 1 + options.persistence
    if len(series.dates) < needed:
        raise InputError(
            f"the series has {len(series.dates)} dates with valid cells, expected at least {needed}: {options.history} of history, "
            f"the one that is compared, and {options.persistence} at which a change must hold. Add dates, or set --set persistence=0."
        )
    standard, valid = standardise(series, series.valid), series.valid
    spikes = np.zeros_like(valid)
    if options.persistence:
        spikes = find_spikes(standard, valid)
        valid = valid & ~spikes
        standard = standardise(series, valid, also=spikes)
    order = range(len(standard) - options.persistence)
    for index, previous, has_median in running_medians(standard, valid, options.history, order, options.history):
        season = season_of(series.dates, index, options.season_days)
        baselines = [(previous, has_median), *([_seasonal(standard[season], valid[season])] if season else [])]
        deltas = [
            _compare(standard, (valid, spikes), index, baseline, usable & valid[index], options)
            for baseline, usable in baselines
            if (usable & valid[index]).sum() >= 2
        ]  # fmt: skip
        if deltas:
            yield deltas[0] if len(deltas) == 1 else _smaller(*deltas)


def _compare(
    standard: Rows, seen: tuple[Mask, Mask], index: int, baseline: Rows, known: Mask, options: NoveltyOptions
) -> DateDeltas:
    """Compare a date with one baseline and return its deltas. seen : (T, N) valid dates of cells, and their spikes."""
    whitening, whitened = whiten(linear_residuals(standard[index], baseline, known), known)
    magnitude = np.linalg.norm(whitened, axis=1)
    least = np.quantile(magnitude[known], 1 - options.candidates)
    candidates = known & (magnitude >= max(least, 1e-6))
    left = np.where(candidates, options.persistence, 0)
    held = _held(standard, seen, baseline, index, whitening, whitened, left)
    return DateDeltas(index, known, whitened, magnitude, candidates, held)


def _smaller(previous: DateDeltas, seasonal: DateDeltas) -> DateDeltas:
    """Return the smaller of two deltas of a date, cell by cell: a novelty differs from the dates before and from the season."""
    use = seasonal.known & (~previous.known | (seasonal.magnitude < previous.magnitude))
    candidates = np.where(previous.known & seasonal.known, previous.candidates & seasonal.candidates,
                          previous.candidates | seasonal.candidates)  # fmt: skip
    return DateDeltas(
        previous.index,
        previous.known | seasonal.known,
        np.where(use[:, None], seasonal.whitened, previous.whitened),
        np.where(use, seasonal.magnitude, previous.magnitude),
        candidates,
        np.where(use, seasonal.held, previous.held),
    )


def season_of(dates: list[date], index: int, days: int) -> list[int]:
    """Return dates of earlier years within `days` days of the season; none if fewer than two years have such dates.

    >>> days = [date(2018, 1, 5), date(2018, 7, 1), date(2018, 12, 30), date(2019, 1, 1), date(2020, 1, 2)]
    >>> season_of(days, 4, 30), season_of(days, 3, 30)
    ([0, 2, 3], [])
    """
    today = dates[index]
    earlier = [
        (number, (today - day).days / 365.25)
        for number, day in enumerate(dates[:index])
        if (today - day).days > 365.25 - days - 1
    ]
    near = [(number, years) for number, years in earlier if abs(years - round(years)) * 365.25 <= days]
    return [number for number, _ in near] if len({round(years) for _, years in near}) >= DeltaRules.seasons else []


def _seasonal(standard: Rows, valid: Mask) -> tuple[Rows, Mask]:
    """Medians of the dates of a season, and which cells have enough of them."""
    known = valid.sum(axis=0) >= DeltaRules.seasons
    medians = np.zeros(standard.shape[1:], np.float32)
    medians[known] = np.nanmedian(np.where(valid[:, known, None], standard[:, known], np.nan), axis=0)
    return medians, known


def _held(
    standard: Rows,
    seen: tuple[Mask, Mask],
    baseline: Rows,
    index: int,
    whitening: NDArray[np.float64],
    whitened: Rows,
    left: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the minimum share (N,) of each change that the next `left` valid dates still show.

    The share is measured along the change's own direction, against the same baseline. With fewer later dates, the median
    share of all later dates counts.
    """
    valid, spikes = seen
    least = np.ones(len(whitened), np.float32)
    changed = whitened.any(axis=1)
    squares = np.maximum(np.square(whitened).sum(axis=1), 1e-12)
    shares: list[NDArray[np.float32]] = []
    for later in range(index + 1, min(len(standard), index + 1 + DeltaRules.look_ahead * int(left.max()))):
        known = (valid[later] | spikes[later]) & changed
        residual = linear_residuals(standard[later], baseline, known)
        share = ((residual @ whitening) * whitened).sum(axis=1) / squares
        shares.append(np.where(known, share, np.nan).astype(np.float32))
        now = valid[later] & changed & (left > 0)
        least[now] = np.minimum(least[now], share[now])
        left = left - now
    return np.clip(np.where(left > 0, _typical(shares, left > 0), least), 0, 1).astype(np.float32)


def _typical(shares: list[NDArray[np.float32]], wanted: Mask) -> NDArray[np.float32]:
    """Median share of a change at all dates after it, spikes included, of the cells that are wanted; (N,), 0 for fewer than two dates."""
    typical = np.zeros(len(wanted), np.float32)
    if shares:
        table = np.stack(shares)[:, wanted]
        enough = np.isfinite(table).sum(axis=0) >= 2
        typical[np.flatnonzero(wanted)[enough]] = np.nanmedian(table[:, enough], axis=0)
    return typical


def find_spikes(standard: Rows, valid: Mask) -> Mask:
    """Return (T, N) spikes: cells that differ at one or two dates from the dates before and after.

    Spikes, such as missed clouds, would spoil the baselines. The first dates are compared only with the dates after them.
    The last date is never a spike, nor is a date that is much nearer to one side.
    """
    near = _both_sides(standard, valid, NEIGHBOURS, _whitened_distance)
    far = _both_sides(standard, valid, NEIGHBOURHOOD, _plain_distance)
    one_side = np.isfinite(far).all(axis=0) & (far.min(axis=0) < DeltaRules.max_one_side_share * far.max(axis=0))
    return np.asarray(np.isfinite(near[1]) & (near.min(axis=0) > DeltaRules.min_spike_medians) & ~one_side)


def _both_sides(
    standard: Rows, valid: Mask, history: int, distance: Callable[[Rows, Rows, Mask], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return how far each date of a cell is from the median of `history` dates before and after it, (2, T, N); infinite without one."""
    count, cells, _ = standard.shape
    distances = np.full((2, count, cells), np.inf, np.float32)
    for side, order in enumerate((range(count), range(count - 1, -1, -1))):
        for index, medians, has_median in running_medians(standard, valid, history, order, 1):
            both = has_median & valid[index]
            if both.sum() >= 2:
                distances[side, index, both] = distance(standard[index], medians, both)
    return distances


def _whitened_distance(values: Rows, medians: Rows, known: Mask) -> NDArray[np.float32]:
    """In units of the median cell of this date and side; it is not comparable between both sides."""
    whitened = whiten(linear_residuals(values, medians, known), known)[1]
    return np.asarray(np.linalg.norm(whitened[known], axis=1), np.float32)


def _plain_distance(values: Rows, medians: Rows, known: Mask) -> NDArray[np.float32]:
    """Mean difference of standardised features, each at most `DeltaRules.max_difference`."""
    return np.minimum(np.abs(values[known] - medians[known]), DeltaRules.max_difference).mean(axis=1)


def standardise(series: CellSeries, valid: Mask, *, also: Mask | None = None) -> Rows:
    """Return the features (T, N, F) of each date less their median, divided by half the width of their middle 68 %,
    over valid cells (T, N).

    They are 0 elsewhere, except for cells in `also`.
    """
    standard = np.zeros_like(series.values)
    for index, valid_cells in enumerate(valid):
        if not valid_cells.any():
            continue
        low, middle, high = np.percentile(series.values[index, valid_cells], [16, 50, 84], axis=0).astype(np.float32)
        spread = np.maximum((high - low) / 2, SPREAD_FLOOR)
        chosen = valid_cells if also is None else valid_cells | also[index]
        standard[index, chosen] = np.clip((series.values[index, chosen] - middle) / spread, -1e3, 1e3)
    return standard


def running_medians(
    standard: Rows, valid: Mask, history: int, order: Iterable[int], least: int
) -> Iterator[tuple[int, Rows, Mask]]:
    """Yield each date in an order with the medians (N, F) of its `history` previous valid dates, and a mask of cells.

    The mask (N,) is True for cells that have at least `least` of these dates. A first date replaces missing dates.
    """
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
    """Return the part of a date that the baseline does not predict, (N, F), 0 if unknown.

    The prediction is linear in the baseline, cut at ±`DeltaRules.max_fit_spreads`, and drawn towards the prediction of the median cell by a ridge.

    Residuals of cells far from all others are smaller by √(1 + leverage).
    """
    delta = (values[known] - baseline[known]).astype(np.float64)
    middle = np.median(delta, axis=0)
    residual = delta - middle
    columns = np.column_stack(
        [np.ones(len(delta)), np.clip(baseline[known], -DeltaRules.max_fit_spreads, DeltaRules.max_fit_spreads)]
    ).astype(np.float64)
    ridge = np.eye(columns.shape[1]) * columns.shape[1]
    ridge[0, 0] = 1e-6
    leverage = np.zeros(len(delta))
    if DeltaRules.can_fit(*columns.shape):
        for _ in range(DeltaRules.refits):
            half = columns[least := least_changed(np.linalg.norm(residual, axis=1))]
            inverse = np.linalg.inv(half.T @ half + ridge)
            residual = delta - middle - columns @ (inverse @ (half.T @ (delta[least] - middle)))
        leverage = ((columns @ inverse) * columns).sum(axis=1)
    result = np.zeros_like(values)
    result[known] = residual / np.sqrt(1 + leverage)[:, None]
    return result


def fitted_cells(count: int) -> int:
    """Return how many of `count` cells are fitted: the half that changed least, at least 2."""
    return max(2, count // 2)


def least_changed(magnitude: NDArray[np.floating]) -> NDArray[np.intp]:
    return np.argsort(magnitude, kind="stable")[: fitted_cells(len(magnitude))]


def whiten(residual: Rows, known: Mask) -> tuple[NDArray[np.float64], Rows]:
    """Return the symmetric whitening matrix (F, F) of the half that changed least, and the whitened residuals.

    If that half is too small for a covariance of F features, the matrix is only a scale: the median length becomes 1.
    """
    rows = residual[known].astype(np.float64)
    features = rows.shape[1]
    magnitude = np.linalg.norm(rows, axis=1)
    whitening = np.eye(features)
    for _ in range(DeltaRules.refits if DeltaRules.can_fit(*rows.shape) else 0):
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
