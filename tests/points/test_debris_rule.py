"""Volumes by formula: published conversions, and errors of volumes against many drawn surfaces."""

import numpy as np
import pytest

from deepnets4eo.points.rubble.surfaces import nmad, rule_of_thumb, volume_sigma


def test_the_rule_of_thumb_is_that_of_fema_in_feet_and_yards():
    """FEMA 329: length · width · height in feet · 0.33 / 27 is in cubic yards."""
    length, width, height = 100.0, 50.0, 30.0
    yards = length * width * height * 0.33 / 27
    foot, yard = 0.3048, 0.9144
    volume = rule_of_thumb(length * width * foot**2, height * foot)
    assert volume.mid.item() == pytest.approx(yards * yard**3)
    assert volume.low < volume.mid < volume.high
    assert volume.high.item() / volume.mid.item() == pytest.approx(0.40 / 0.33)


def test_what_still_stands_leaves_no_debris():
    volume = rule_of_thumb([100, 100], [6, 6], [1.0, 0.25])
    assert volume.mid.tolist() == pytest.approx([198.0, 49.5])


def test_the_error_of_independent_cells_is_that_of_a_sum():
    rng = np.random.default_rng(0)
    sums = rng.normal(0, 0.2, (4000, 400)).sum(axis=1) * 0.25
    assert volume_sigma(400, 0.25, 0.2, 0.0).item() == pytest.approx(sums.std(), rel=0.05)


def test_errors_that_are_alike_over_the_whole_plan_do_not_average_out():
    """Of one error for all cells, the error of the volume is area · error."""
    assert volume_sigma(100, 0.25, 0.2, 1000.0).item() == pytest.approx(100 * 0.25 * 0.2)
    assert volume_sigma(100, 0.25, 0.2, 5.0) > 3 * volume_sigma(100, 0.25, 0.2, 0.0)


def test_nmad_is_the_standard_deviation_of_normal_errors_whatever_the_outliers():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(3, 0.5, 5000), np.full(200, 50.0), [np.nan]])
    assert nmad(values) == pytest.approx(0.5, rel=0.1)
    assert np.isnan(nmad([np.nan]))
