"""Radar of two dates in different levels: factors that files state are applied, and a shift of all ground is a finding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.floods import RadarImage
from deepnets4eo.floods.radar_date import MIN_LEVEL_DB, RadarDate
from deepnets4eo.floods.units import level_shift_db
from deepnets4eo.rasters import Layer, stated_unit

FACTOR = 2e-4


def power(seed: int = 0, share: float = 0.3) -> np.ndarray:
    """Land with speckle, and water over a share of the columns."""
    rng = np.random.default_rng(seed)
    mean = np.where(np.arange(64) < 64 * share, 0.004, 0.08)
    return (mean * rng.gamma(5, 0.2, (64, 64))).astype(np.float32)


@pytest.mark.parametrize(
    "tags",
    [
        {"TIFFTAG_IMAGEDESCRIPTION": json.dumps({"collect": {"image": {"scale_factor": FACTOR}}})},
        {"CALIBRATION_FACTOR": str(FACTOR**2)},
        {"ICEYE_PROPERTIES": json.dumps({"iceye:calibration_factor": FACTOR**2})},
    ],
    ids=["Capella", "ICEYE's tag", "ICEYE's JSON"],
)
def test_factors_that_a_file_states_make_calibrated_amplitudes(tmp_path: Path, tags: dict[str, str]) -> None:
    amplitude = np.sqrt(power())
    numbers = np.round(amplitude / FACTOR).astype(np.uint16)
    layer = Layer.open(write_geotiff(tmp_path / "a.tif", numbers, tags=tags))
    assert layer.read()[0][0] == pytest.approx(amplitude, abs=FACTOR)
    assert stated_unit((), [layer.declared.unit], {}) == "amplitude"


def test_a_factor_in_the_json_next_to_a_file_is_read_and_floats_and_broken_words_are_left(tmp_path: Path) -> None:
    numbers = np.full((8, 8), 500, np.uint16)
    beside = write_geotiff(tmp_path / "capella.tif", numbers)
    (tmp_path / "capella_extended.json").write_text(json.dumps({"collect": {"image": {"scale_factor": FACTOR}}}))
    assert Layer.open(beside).read()[0] == pytest.approx(500 * FACTOR)
    for values, text in ((numbers.astype(np.float32), str(FACTOR)), (numbers, "none"), (numbers, "-1"), (numbers, "{")):
        plain = write_geotiff(tmp_path / "plain.tif", values, tags={"CALIBRATION_FACTOR": text})
        assert (Layer.open(plain).read()[0] == 500).all()


@pytest.mark.parametrize(
    ("scale", "flooded", "shift"),
    [(10**-0.6, 0.3, -6), (10**0.6, 0.45, 6), (1.0, 0.45, 0), (1.0, 0.7, 0), (10**-0.6, 0.7, -6)],
)
def test_only_a_shift_of_all_ground_is_one_of_the_level(scale: float, flooded: float, shift: float) -> None:
    """The water before covers three tenths; a flood beyond that is no shift of the level."""
    pre, post = RadarImage("pre", {"VV": power()}), RadarImage("post", {"VV": scale * power(1, flooded)})
    assert level_shift_db(pre, post) == pytest.approx(shift, abs=1.8)


def test_shifts_are_findings_and_kept_with_the_date() -> None:
    date = RadarDate(("VV",), unit="power", level_db=-9.5)
    (finding,) = date.findings("pre")
    assert finding.code == "radar_levels_differ"
    assert "9.5 dB" in finding.message
    assert "darker" in finding.message
    assert RadarDate.from_dict(date.to_dict()).level_db == -9.5
    assert RadarDate(("VV",), unit="power", level_db=MIN_LEVEL_DB - 0.1).findings("pre") == []
