"""Breaks of simulated seasonal curves are detected when and as large as they are, and false alarms as often as stated."""

import math
from datetime import date, timedelta

import numpy as np
import pytest
import rasterio
from refusals import raises_naming
from scipy import stats

from deepnets4eo.change.series.breaks import write_breaks
from deepnets4eo.change.series.dates import DatedImage
from deepnets4eo.change.series.harmonic import (
    CLIP,
    HarmonicOptions,
    critical_value,
    decimal_years,
    detect_breaks,
)
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import SeriesEvent
from deepnets4eo.rasters import Layer

PIXELS, NOISE, START = 1500, 0.05, 2013.0


def simulate(seed=0, *, years=5, a_year=23, gaps=0.3, spikes=0.01):
    """(values, valid, times): seasons and trends that differ by pixel, gaps, and low outliers as of missed clouds."""
    rng = np.random.default_rng(seed)
    times = 2010 + (np.arange(years * a_year) + 0.5) / a_year
    phase, trend = rng.uniform(0, 2 * np.pi, PIXELS), rng.normal(0, 0.02, PIXELS)
    values = 0.5 + 0.2 * np.sin(2 * np.pi * times[:, None] + phase) + 0.06 * np.cos(4 * np.pi * times[:, None])
    values += trend * (times[:, None] - 2012) + rng.normal(0, NOISE, (len(times), PIXELS))
    values[rng.random(values.shape) < spikes] -= 0.5
    return values, rng.random(values.shape) >= gaps, times


def test_false_alarms_are_about_as_frequent_as_stated():
    for level in (0.05, 0.2):
        breaks = detect_breaks(*simulate(), START, HarmonicOptions(level=level))
        assert breaks.monitored.all()
        assert 0.4 * level < np.isfinite(breaks.time).mean() < 1.5 * level


def test_breaks_are_detected_with_date_and_magnitude():
    values, valid, times = simulate(1)
    values[times >= 2013.8] -= 4 * NOISE
    breaks = detect_breaks(values, valid, times, START)
    detected = np.isfinite(breaks.time)
    assert detected.mean() > 0.95
    late = breaks.time[detected] - 2013.8
    assert abs(np.median(late)) < 0.1
    assert np.mean(np.abs(late) < 0.25) > 0.75
    assert np.nanmedian(breaks.magnitude) == pytest.approx(-4 * NOISE, abs=0.5 * NOISE)
    assert (breaks.statistic[detected] > 1).all()
    assert (breaks.statistic[~detected] <= 1).all()


def test_a_larger_break_is_detected_more_often():
    shares = []
    for size in (1, 2, 3):
        values, valid, times = simulate(2)
        values[times >= 2013.8] += size * NOISE
        shares.append(np.isfinite(detect_breaks(values, valid, times, START).time).mean())
    assert shares[0] < shares[1] < shares[2]


def test_a_single_cloud_is_no_break():
    values, valid, times = simulate(3, gaps=0, spikes=0)
    before = np.isfinite(detect_breaks(values, valid, times, START).time)
    values[np.searchsorted(times, 2013.5)] = -1
    after = np.isfinite(detect_breaks(values, valid, times, START).time)
    assert after.mean() < before.mean() + 0.05


def test_what_is_not_valid_is_never_looked_at():
    values, valid, times = simulate(4)
    first = detect_breaks(values, valid, times, START)
    values[~valid] = np.nan
    second = detect_breaks(values, valid, times, START)
    np.testing.assert_array_equal(first.time, second.time)
    valid[times < START, :3] = False
    assert detect_breaks(values, valid, times, START).monitored.tolist()[:4] == [False, False, False, True]
    assert np.isnan(detect_breaks(values, valid, times, START).statistic[:3]).all()


def test_the_statistic_equals_recursive_residuals_of_least_squares():
    """Without outliers and cuts: each residual of a fit to all dates before, by the standard error of its prediction."""
    rng = np.random.default_rng(5)
    times = np.linspace(2010, 2014, 60)
    years = times - 2013
    design = np.column_stack([np.ones(60), years, np.cos(2 * np.pi * years), np.sin(2 * np.pi * years)])
    values = design @ [0.4, 0.02, 0.1, 0.2] + 0.01 * np.sign(rng.normal(size=60))  # no value is an outlier
    options = HarmonicOptions(harmonics=1, window=4)
    start = int((times < 2013).sum())
    coefficients = np.linalg.lstsq(design[:start], values[:start], rcond=None)[0]
    residual = values[:start] - design[:start] @ coefficients
    sigma = math.sqrt((residual**2).sum() / (start - 4))
    recursive = []
    for index in range(start, 60):
        fit = np.linalg.lstsq(design[:index], values[:index], rcond=None)[0]
        spread = 1 + design[index] @ np.linalg.inv(design[:index].T @ design[:index]) @ design[index]
        recursive.append((values[index] - design[index] @ fit) / (sigma * math.sqrt(spread)))
    assert np.abs(recursive).max() < CLIP
    sums = np.abs(np.convolve(recursive, np.ones(4), "valid")) / 2
    statistic = detect_breaks(values[:, None], np.ones((60, 1), bool), times, 2013.0, options).statistic[0]
    critical = critical_value(60 - start, 4, 0.05, 40)
    normal = math.sqrt(
        0.7102
    )  # mean square of normal values cut at ±1.345, by which Huber's scale is made that of normal ones
    assert statistic == pytest.approx(normal * sums.max() / critical, rel=0.02)


def test_critical_values_of_one_value_are_known_in_closed_form():
    """A window of one value, one date: the quantile of a cut normal, or of Student's t."""
    assert critical_value(1, 1, 0.05, math.inf) == pytest.approx(stats.norm.ppf(0.975), rel=0.03)
    assert critical_value(1, 1, 0.1, 8.0) == pytest.approx(stats.t.ppf(0.95, 8), rel=0.03)
    assert critical_value(40, 5, 0.05, 6.0) > critical_value(40, 5, 0.05, 20.0) > critical_value(10, 5, 0.05, 20.0)


def test_times_and_starts():
    assert decimal_years([date(2019, 1, 1), date(2020, 12, 31)]) == pytest.approx([2019, 2020 + 365 / 366])
    values, valid, times = simulate()
    with raises_naming(InputError, "2010.20", "5", "115", "12"):
        detect_breaks(values, valid, times, 2010.2)
    with raises_naming(InputError, "0 to monitor"):
        detect_breaks(values, valid, times, 2020)


def test_a_map_of_breaks_equals_the_pixels_one_by_one(tmp_path):
    rng = np.random.default_rng(7)
    days = [date(2015, 1, 10) + timedelta(days=30 * number) for number in range(48)]
    season = np.sin(2 * np.pi * decimal_years(days))[:, None, None, None]
    stack = 3000 + 800 * season + rng.normal(0, 100, (48, 2, 20, 150))
    stack[36:, 1, 5:10, 130:] -= 1500
    series = ImageSeries(
        [DatedImage(day, (image.astype(np.int16),)) for day, image in zip(days, stack, strict=True)],
        bands=["red", "nir"],
    )
    path = write_breaks(series, tmp_path / "breaks.tif", date(2017, 6, 1), tags=SeriesEvent("Fire").tags)
    assert Layer.open(path).tags["EVENT"] == "Fire"
    with rasterio.open(path) as file:
        year, magnitude, _ = file.read()
        assert file.descriptions == ("break_year", "magnitude", "statistic")
        assert file.tags()["break_of"] == "ndvi"
    red, nir = (stack[:, band].astype(np.int16).astype(np.float32) for band in (0, 1))
    ndvi = ((nir - red) / (nir + red)).reshape(48, -1)
    (start,) = decimal_years([date(2017, 6, 1)])
    direct = detect_breaks(ndvi, np.ones(ndvi.shape, bool), decimal_years(days), start)
    np.testing.assert_allclose(year.ravel(), direct.time, rtol=1e-6)
    assert np.nanmedian(magnitude[5:10, 130:]) < -0.2
    assert np.isfinite(year[5:10, 130:]).mean() > 0.95
    assert np.isfinite(year[12:]).mean() < 0.15
    write_breaks(series, path, date(2017, 6, 1), quantity="red")
    with raises_naming(InputError, "'ndwi'", "'ndvi'"):
        write_breaks(series, path, date(2017, 6, 1), quantity="ndwi")
