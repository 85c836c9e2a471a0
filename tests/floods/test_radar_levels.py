"""Radar of two dates in different levels: factors that files state are applied, and a shift of all ground is a finding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.floods import RadarImage
from deepnets4eo.floods.radar_date import MIN_LEVEL_DB, RadarDate
from deepnets4eo.floods.units import level_shift_db, two_tracks
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


@pytest.mark.parametrize(
    ("name", "tags", "track"),
    [
        ("s1.tif", {"sat:relative_orbit": "21"}, 21),
        ("s1.tif", {"RELATIVE_ORBIT": "21.0"}, 21),
        ("s1.tif", {"relativeOrbitNumber_start": "21", "relativeOrbitNumber_stop": "21"}, 21),
        ("s1.tif", {"REL_ORBIT": " 21 "}, 21),
        ("s1.tif", {"relative_orbit": "unknown"}, None),
        ("S1A_IW_GRDH_1SDV_20220830T013536_20220830T013601_044783_0558EB_75D5.tif", {}, 86),
        ("/data/S1B_IW_GRDH_1SDV_20210716T055000_20210716T055025_027819_0351D7_1234_VV.tif", {}, 143),
        ("tile.tif", {"PRODUCT": "S1A_IW_GRDH_1SDV_20220830T013536_20220830T013601_044783_0558EB_75D5"}, 86),
        ("OPERA_L2_RTC-S1_T035-073251-IW2_20230206T033423Z_20230207T000000Z_S1A_30_v1.0_VV.tif", {}, 35),
        ("S1D_IW_GRDH_1SDV_20220830T013536_20220830T013601_044783_0558EB_75D5.tif", {}, None),
        ("s1.tif", {}, None),
    ],
)
def test_the_relative_orbit_is_read_from_tags_and_names_of_products(name: str, tags: dict, track: int | None) -> None:
    """Sentinel-1A and B: relative orbit = (absolute - 73 or 27) mod 175 + 1, by ESA."""
    assert RadarImage(name, {}, tags).track() == track


@pytest.mark.parametrize(
    ("pre", "post", "tracks"), [("21", "94", (21, 94)), ("21", "21", ()), ("21", None, ()), (None, "21", ())]
)
def test_two_relative_orbits_are_a_finding(pre: str | None, post: str | None, tracks: tuple[int, ...]) -> None:
    images = [RadarImage("s1", {}, {} if track is None else {"relative_orbit": track}) for track in (pre, post)]
    assert two_tracks(*images) == tracks
    date = RadarDate(("VV",), unit="power", tracks=tracks)
    assert [finding.code for finding in date.findings("pre")] == ["radar_tracks_differ"] * bool(tracks)
    assert RadarDate.from_dict(json.loads(json.dumps(date.to_dict()))) == date
    both = RadarDate(("VV",), unit="power", tracks=tracks, level_db=5.0).findings("pre")
    assert len(both) == 1 + bool(tracks)
    for finding in both[:-1]:
        assert "21" in finding.message
        assert "94" in finding.message
