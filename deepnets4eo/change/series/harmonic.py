"""Breaks of seasonal curves, pixel by pixel, in the manner of BFAST Monitor (Verbesselt et al. 2012).

A curve of season and trend is fitted to a stable history by robust least squares.

A break is where the moving sum of later recursive residuals (Brown, Durbin and Evans 1975) exceeds its critical value.

That value is a quantile of the largest sum in series without a break.

Single residuals are cut at `CLIP` standard deviations, so that one cloud makes no break. Autocorrelated values give
more false alarms than the stated level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.options import option_group

HUBER = 1.345  # standard deviations: 95 % efficiency on normal residuals
CLIP = 2.5
STEPS = 10  # of the robust fit
TRIALS = 20_000  # simulated series for a critical value
FREEDOM = (4, 6, 8, 12, 20, 40, 100)  # degrees of freedom at which critical values are simulated
RIDGE = 1e-8


@option_group
class HarmonicOptions:
    """The seasonal curve and how it is monitored.

    Parameters
    ----------
    harmonics : waves a year
    trend : whether the curve has a trend
    window : number of valid values over which residuals are summed
    level : share of pixels without a break that may be called one over the whole monitoring
    """

    harmonics: int = Field(default=2, ge=1, le=4)
    trend: bool = True
    window: int = Field(default=5, ge=2, le=50)
    level: float = Field(default=0.05, gt=0, lt=0.5)


@dataclass(frozen=True)
class Breaks:
    """Breaks of P pixels.

    time : decimal year of the first value after the break, NaN without a break
    magnitude : median of later values less the prediction
    statistic : largest moving sum divided by its critical value; breaks are above 1
    monitored : whether the history has enough valid values
    """

    time: Floats
    magnitude: Floats
    statistic: Floats
    monitored: Mask


def decimal_years(dates: Sequence[date]) -> Floats:
    """Convert dates to years: 2020-07-02 is 2020.5.

    >>> decimal_years([date(2020, 1, 1), date(2020, 7, 2)]).tolist()
    [2020.0, 2020.5]
    """
    years = [(date(day.year, 1, 1), date(day.year + 1, 1, 1), day) for day in dates]
    return np.array([day.year + (day - start).days / (end - start).days for start, end, day in years])


def detect_breaks(
    values: NDArray[np.floating], valid: Mask, times: Floats, start: float, options: HarmonicOptions | None = None
) -> Breaks:
    """Detect the first break of each pixel in values (T, P) at decimal years (T,), from `start` on; all before is the
    stable history.

    Raises InputError for too few dates before or after the start. Memory: 8 · P · p² bytes for p coefficients.
    """
    options = options or HarmonicOptions()
    check_start(times, start, options)
    history = np.asarray(times) < start
    design = _design(times, start, options)
    seen = np.where(valid, values, 0).astype(np.float64)
    curve = _fit(design[history], seen[history], valid[history].astype(np.float64))
    return _monitor(design, seen, valid, np.asarray(times), history, curve, options)


def check_start(times: Floats, start: float, options: HarmonicOptions) -> None:
    """Refuse a start that leaves no curve to be fitted before it, or less than a window after it. Errors: InputError."""
    history = int((np.asarray(times) < start).sum())
    needed = 2 * _design(times[:1], start, options).shape[1]
    if history < needed or len(times) - history < options.window:
        raise InputError(
            f"monitoring from {start:.2f} leaves {history} of {len(times)} dates for the history and {len(times) - history} to "
            f"monitor, expected at least {needed} and {options.window}. Choose another start, fewer harmonics or a shorter window."
        )


@dataclass
class _Curve:
    """coefficients : (P, p). inverse : (P, p, p) of the normal matrix. sigma, freedom : (P,). monitored : (P,) bool."""

    coefficients: Floats
    inverse: Floats
    sigma: Floats
    freedom: Floats
    monitored: Mask


def _design(times: Floats, start: float, options: HarmonicOptions) -> Floats:
    """Return (T, p): constant, trend, and the waves."""
    years = np.asarray(times) - start
    waves = [
        wave(2 * np.pi * number * years) for number in range(1, options.harmonics + 1) for wave in (np.cos, np.sin)
    ]
    return np.column_stack([np.ones_like(years), *([years] if options.trend else []), *waves])


def _fit(design: Floats, values: Floats, valid: Floats) -> _Curve:
    """Huber's robust least squares of all pixels at once, by re-weighting; scale by Huber's second proposal."""
    count, size = valid.sum(axis=0), design.shape[1]
    monitored = count >= 2 * size
    weights = valid
    scale = np.ones(values.shape[1])
    for _ in range(STEPS):
        inverse = _inverse(design, weights)
        coefficients = np.einsum("pij,pj->pi", inverse, (weights * values).T @ design)
        residual = (values - design @ coefficients.T) * valid
        scale = np.maximum(_scale(residual, valid, count, size), 1e-12)
        weights = valid * np.minimum(1, HUBER * scale / np.maximum(np.abs(residual), 1e-300))
    freedom = np.maximum(count - size, 1)
    cut = np.square(np.clip(residual / scale, -HUBER, HUBER)).sum(axis=0)
    sigma = scale * np.sqrt(cut / (freedom * _share_of_cut_variance()))
    return _Curve(coefficients, inverse, np.maximum(sigma, 1e-12), freedom, monitored)


def _inverse(design: Floats, weights: Floats) -> Floats:
    size = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), size * size)
    normal = (weights.T @ products).reshape(-1, size, size)
    return np.asarray(np.linalg.inv(normal + RIDGE * np.eye(size)), np.float64)


def _scale(residual: Floats, valid: Floats, count: Floats, size: int) -> Floats:
    """Median size of the residuals as a standard deviation, widened for the coefficients that were fitted."""
    ordered = np.sort(np.where(valid > 0, np.abs(residual), np.inf), axis=0)
    middle = np.clip((count - 1) // 2, 0, None).astype(int)
    median = np.take_along_axis(ordered, middle[None], axis=0)[0]
    median = np.where(np.isfinite(median), median, 0)
    return np.asarray(1.4826 * median * np.sqrt(np.maximum(count, 1) / np.maximum(count - size, 1)))


def _share_of_cut_variance() -> float:
    """Mean square of a standard normal value that is cut at ±HUBER."""
    density = math.exp(-(HUBER**2) / 2) / math.sqrt(2 * math.pi)
    beyond = math.erfc(HUBER / math.sqrt(2)) / 2
    return 1 - 2 * beyond - 2 * HUBER * density + 2 * HUBER**2 * beyond


def _monitor(
    design: Floats, values: Floats, valid: Mask, times: Floats, history: Mask, curve: _Curve, options: HarmonicOptions
) -> Breaks:
    pixels, window = values.shape[1], options.window
    first = curve.coefficients
    coefficients, inverse = first.copy(), curve.inverse.copy()
    ring, ring_index = np.zeros((window, pixels)), np.full((window, pixels), -1)
    filled = np.zeros(pixels, np.int64)
    largest, onset = np.zeros(pixels), np.full(pixels, -1)
    critical = _critical_values(int((~history).sum()), options, curve.freedom)
    everyone = np.arange(pixels)
    for index in np.flatnonzero(~history):
        now = valid[index] & curve.monitored
        gain = inverse @ design[index]
        spread = 1 + gain @ design[index]
        residual = values[index] - coefficients @ design[index]
        limit = CLIP * curve.sigma * np.sqrt(spread)
        residual = np.where(now, np.clip(residual, -limit, limit), 0)
        coefficients += gain * (residual / spread)[:, None]
        inverse -= np.where(now, 1 / spread, 0)[:, None, None] * gain[:, :, None] * gain[:, None, :]
        slot = filled % window
        ring[slot[now], everyone[now]] = (residual / (curve.sigma * np.sqrt(spread)))[now]
        ring_index[slot[now], everyone[now]] = index
        filled += now
        sums = np.abs(ring.sum(axis=0)) / math.sqrt(window) / critical
        sums = np.where(now & (filled >= window), sums, 0)
        crossed = (sums > 1) & (onset < 0)
        if crossed.any():
            onset[crossed] = _onset(ring[:, crossed], ring_index[:, crossed])
        largest = np.maximum(largest, sums)
    magnitude = _magnitude(values - design @ first.T, valid, onset)
    nan = np.where(curve.monitored, 0, np.nan)
    return Breaks(np.where(onset >= 0, times[onset], np.nan) + nan, magnitude, largest + nan, curve.monitored)


def _onset(ring: Floats, ring_index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the window's date from which the mean of residuals differs most: the date with the largest sum by √n."""
    order = np.argsort(ring_index, axis=0)
    ordered, dates = np.take_along_axis(ring, order, axis=0), np.take_along_axis(ring_index, order, axis=0)
    from_end = np.abs(np.cumsum(ordered[::-1], axis=0))[::-1]
    strength = from_end / np.sqrt(np.arange(len(ring), 0, -1))[:, None]
    return np.asarray(np.take_along_axis(dates, strength.argmax(axis=0)[None], axis=0)[0])


def _magnitude(residual: Floats, valid: Mask, onset: NDArray[np.int64]) -> Floats:
    magnitude = np.full(residual.shape[1], np.nan)
    for index in np.unique(onset[onset >= 0]):
        chosen = np.flatnonzero(onset == index)
        since = np.where(valid[index:, chosen], residual[index:, chosen], np.nan)
        magnitude[chosen] = np.nanmedian(since, axis=0)
    return magnitude


def _critical_values(monitored: int, options: HarmonicOptions, freedom: Floats) -> Floats:
    """Return the critical value of each pixel, interpolated between the simulated values by 1 / degrees of freedom."""
    known = [critical_value(monitored, options.window, options.level, degrees) for degrees in (*FREEDOM, math.inf)]
    inverse = np.array([1 / degrees for degrees in (*FREEDOM, math.inf)])
    return np.interp(1 / freedom, inverse[::-1], known[::-1])


@lru_cache(maxsize=1024)
def critical_value(monitored: int, window: int, level: float, freedom: float) -> float:
    """Return, by simulation, the size that moving sums of `window` values exceed in a share `level` of break-free series.

    `freedom` : degrees of freedom of the standard deviation estimated from the history, inf if the deviation is known.
    """
    rng = np.random.default_rng(monitored * 1000 + window)
    noise = rng.normal(size=(TRIALS, monitored))
    if math.isfinite(freedom):
        noise /= np.sqrt(rng.chisquare(freedom, (TRIALS, 1)) / freedom)
    total = np.cumsum(np.clip(noise, -CLIP, CLIP), axis=1)
    sums = total[:, window - 1 :].copy()
    sums[:, 1:] -= total[:, :-window]
    return float(np.quantile(np.abs(sums).max(axis=1), 1 - level) / math.sqrt(window))
