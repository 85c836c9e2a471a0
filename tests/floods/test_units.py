"""Radar dates that do not belong together are refused, with the file, what it has and what to do."""

from datetime import date

import numpy as np
import pytest
from refusals import raises_naming

pytest.importorskip("numba")

from deepnets4eo.errors import InputError
from deepnets4eo.floods import RadarImage, check_radar_pair


def bands(level: float = 0.1, *names: str) -> dict[str, np.ndarray]:
    power = np.random.default_rng(0).gamma(4, level / 4, (20, 20)).astype(np.float32)
    return dict.fromkeys(names or ("VV", "VH"), power)


def decibel(level: float = 0.1) -> dict[str, np.ndarray]:
    return {name: 10 * np.log10(band) for name, band in bands(level).items()}


def test_decibel_and_power_are_known_by_their_values_and_become_the_same_power():
    in_power, in_decibel = RadarImage("p.tif", bands()), RadarImage("d.tif", decibel())
    assert (in_power.unit(), in_decibel.unit()) == ("power", "decibel")
    np.testing.assert_allclose(in_decibel.power()["VV"], in_power.power()["VV"], rtol=1e-5)


def test_few_values_below_zero_after_noise_removal_are_power_still():
    noisy = bands()
    noisy["VV"][0, 0] = -1e-4
    assert RadarImage("p.tif", noisy, {"units": "linear"}).unit() == "power"


def test_a_tag_that_contradicts_the_values_is_refused():
    with raises_naming(InputError, "p.tif", "dB"):
        RadarImage("p.tif", bands(), {"UNITS": "dB"}).unit()
    with raises_naming(InputError, "d.tif"):
        RadarImage("d.tif", decibel(), {"unit": "power"}).unit()


def test_power_below_zero_after_noise_removal_is_power_and_no_decibel():
    calm = {"VV": bands(0.004)["VV"], "VH": bands(0.0008)["VV"] - np.float32(0.0008)}
    assert (calm["VH"] < 0).mean() > 0.3
    assert RadarImage("p.tif", calm).unit() == "power"
    assert RadarImage("p.tif", calm, {"units": "linear"}).unit() == "power"
    assert RadarImage("dn.tif", {"VH": 1e6 * calm["VH"] + 1e5 * bands(1.0)["VV"]}).unit() == "power"


def test_a_stated_amplitude_is_squared():
    amplitude = {name: np.sqrt(band) for name, band in bands().items()}
    image = RadarImage("a.tif", amplitude, {"scale": "amplitude"})
    assert image.unit() == "amplitude"
    np.testing.assert_allclose(image.power()["VV"], bands()["VV"], rtol=1e-6)
    assert RadarImage("a.tif", amplitude, stated="amplitude").unit() == "amplitude"
    with pytest.raises(InputError, match="amplitudes"):
        RadarImage("a.tif", decibel(), stated="amplitude").unit()


def test_tags_say_direction_and_the_day_is_given():
    image = RadarImage("a.tif", bands(), {"ORBIT_PASS": "DESCENDING"}, date(2021, 7, 16))
    assert (image.orbit(), image.date()) == ("descending", date(2021, 7, 16))
    assert RadarImage("a.tif", bands(), {"pass": "asc"}).orbit() == "ascending"
    assert (RadarImage("a.tif", bands()).orbit(), RadarImage("a.tif", bands()).date()) == (None, None)


@pytest.mark.parametrize(
    ("pre", "post", "message"),
    [
        ((bands(), {}), (decibel(), {}), r"pre\.tif is linear power and post\.tif is in dB; one unit.*Convert"),
        ((bands(0.1, "VV"), {}), (bands(), {}), r"pre\.tif has no VH, which the other date has"),
        ((bands(), {}), (bands(0.1, "VV"), {}), r"post\.tif has no VH"),
        ((bands(), {"orbit": "ascending"}), (bands(), {"orbit": "DESCENDING"}), "pre.tif was taken ascending and post"),
        ((bands(), {}, date(2021, 8, 1)), (bands(), {}, date(2021, 7, 16)), "PRE pre.tif is of 2021-08-01, later.*Swap"),
        ((bands(), {}), (bands(10.0), {}), r"median of VV is -10\.\d dB in pre\.tif and 9\.\d dB in post\.tif"),
        ((bands(), {}), ({name: band[1:] for name, band in bands().items()}, {}), r"shapes \[\(19, 20\), \(20, 20\)\]"),
        ((bands(), {}), ({name: band * np.nan for name, band in bands().items()}, {}), "post.tif has no values"),
    ],
)  # fmt: skip
def test_dates_that_do_not_belong_together_are_refused(pre, post, message):
    with pytest.raises(InputError, match=message):
        check_radar_pair(RadarImage("pre.tif", *pre), RadarImage("post.tif", *post))


def test_dates_that_belong_together_pass():
    check_radar_pair(
        RadarImage("pre.tif", bands(), {"orbit": "ascending"}, date(2021, 7, 1)),
        RadarImage("post.tif", bands(0.05), {"orbit": "asc"}, date(2021, 7, 1)),
    )
