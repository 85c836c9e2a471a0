"""Files of plain numbers whose headers say something else than the files hold."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.formats import marked_bands
from deepnets4eo.formats.drivers import raster_driver
from deepnets4eo.formats.envi import read_header
from deepnets4eo.rasters import Layer

CUBE = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
HEADER = {"samples": "5", "lines": "4", "bands": "3", "header offset": "0", "data type": "2", "interleave": "bsq"}


def write_envi(folder: Path, suffix: str = ".hdr", **changed: str | None) -> Path:
    """A cube of three bands, whose header has some entries changed (`_` for a space), or left out (None)."""
    entries = HEADER | {key.replace("_", " "): value for key, value in changed.items()}
    lines = [f"{key} = {value}" for key, value in entries.items() if value is not None]
    (folder / f"a{suffix}").write_text("\n".join(["ENVI", *lines, "byte order = 0", ""]))
    (folder / "a.img").write_bytes(CUBE.tobytes())
    return folder / "a.img"


@pytest.mark.parametrize("suffix", [".hdr", ".img.hdr", ".HDR"])
def test_a_truncated_image_is_refused_instead_of_read_as_zeros(tmp_path: Path, suffix: str) -> None:
    path = write_envi(tmp_path, suffix)
    assert np.array_equal(Layer.open(path).read()[0], CUBE)
    path.write_bytes(path.read_bytes()[:-2])
    with raises_naming(InputError, "118", "120"):
        Layer.open(path)


def test_the_bytes_before_the_numbers_count_as_well(tmp_path: Path) -> None:
    path = write_envi(tmp_path, header_offset="8")
    with raises_naming(InputError, "120", "128"):
        Layer.open(path)
    path.write_bytes(bytes(8) + CUBE.tobytes())
    assert np.array_equal(Layer.open(path).read()[0], CUBE)


def test_a_truncated_bil_of_ehdr_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bil"
    with rasterio.open(path, "w", driver="EHdr", count=3, height=4, width=5, dtype="int16") as file:
        file.write(CUBE)
    assert np.array_equal(Layer.open(path).read()[0], CUBE)
    path.write_bytes(path.read_bytes()[:100])
    with raises_naming(InputError, "100", "120"):
        Layer.open(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data_type": "99"}, "a.hdr has data type = 99, expected one of 1, 2, 3"),
        ({"lines": "abc"}, "a.hdr has lines = abc, expected a whole number of 1 or more"),
        ({"samples": "-5"}, "a.hdr has samples = -5, expected a whole number of 1 or more"),
        ({"samples": "9" * 5000}, "expected a whole number of 1 or more"),
        ({"samples": "5".zfill(16)}, "a.hdr has samples = 0000000000000005, expected a whole number of 1 or more"),
        ({"samples": None}, "a.hdr has no samples, expected a whole number"),
        ({"header_offset": "-1"}, "a.hdr has header offset = -1, expected a whole number of 0 or more"),
        ({"interleave": "xyz"}, "a.hdr has interleave = xyz, expected bsq, bil, bip"),
        ({"wavelength": "{400, 500}"}, "a.hdr lists 2 values as wavelength, expected one for each of its 3 bands"),
        ({"bbl": "{1, 1, 0, 1}"}, "a.hdr lists 4 values as bbl, expected one for each of its 3 bands"),
        (
            {"data gain values": "{0.01}"},
            "a.hdr lists 1 value as data gain values, expected one for each of its 3 bands",
        ),
        ({"band names": "{red, green}"}, "a.hdr lists 2 values as band names, expected one for each of its 3 bands"),
    ],
)
def test_a_wrong_value_of_a_header_is_named(tmp_path: Path, changed: dict[str, str | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Layer.open(write_envi(tmp_path, **changed))


def test_entries_that_may_be_missing_and_other_spellings_are_read(tmp_path: Path) -> None:
    path = write_envi(
        tmp_path, samples="5".zfill(15), interleave="BSQ", header_offset=None, wavelength="{400,\n 500, 600, }"
    )
    np.testing.assert_array_equal(Layer.open(path).read()[0], CUBE)


def test_bands_that_the_header_calls_bad_are_numbered_from_one(tmp_path: Path) -> None:
    assert marked_bands(write_envi(tmp_path, bbl="{1, 0, 0.0}")) == [2, 3]
    assert marked_bands(write_envi(tmp_path, bbl="{1.000e+00, 0.000e+00, -0.0E-1}")) == [2, 3]
    assert marked_bands(write_envi(tmp_path)) == []
    assert marked_bands(tmp_path / "b.tif") == []


@pytest.mark.parametrize(
    ("unit", "numbers", "expected", "warning"),
    [
        ("Index", "1, 2, 3", None, ""),
        ("Index", "101, 102, 103", None, ""),
        ("Wavenumber", "1000, 1100, 1200", None, ""),
        (None, "0.45, 0.55, 2.2", [450, 550, 2200], ""),
        (None, "98, 101, 300", None, "a.img states wavelengths from 98 to 300 without unit; expected 100 nm to 1 mm"),
        ("mm", "0.45, 1.4, 2.2", None, "a.img states wavelengths from 0.45 to 2.2 mm; expected 100 nm to 1 mm"),
        ("Nanometers", "0, 450, 550", [np.nan, 450, 550], ""),
    ],
)
def test_wavelengths_of_one_unit_are_all_known_or_none_of_them(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    unit: str,
    numbers: str,
    expected: list[float] | None,
    warning: str,
) -> None:
    known = Layer.open(write_envi(tmp_path, wavelength=f"{{{numbers}}}", wavelength_units=unit)).wavelengths_nm
    assert (known is None) == (expected is None)
    assert known is None or known == pytest.approx(expected, nan_ok=True)
    assert (warning in caplog.text) if warning else not caplog.text


def test_a_comment_is_no_entry_and_one_with_an_open_brace_is_refused(tmp_path: Path) -> None:
    path = write_envi(tmp_path)
    header = (tmp_path / "a.hdr").read_text()
    waves = "wavelength = {400, 500, 600}\nwavelength units = Nanometers\n"
    for comment in ("; samples = 9", "; made by {x", "; made = {by x}"):
        (tmp_path / "a.hdr").write_text(f"{header}{comment}\n{waves}")
        layer = Layer.open(path)
        assert np.array_equal(layer.read()[0], CUBE)
        assert layer.wavelengths_nm.tolist() == [400, 500, 600]
    (tmp_path / "other").mkdir()
    path = write_envi(tmp_path / "other")
    path.with_suffix(".hdr").write_text(f"{header}; made = {{by x\n{waves}")
    with raises_naming(InputError, "; made = {by x"):
        Layer.open(path)
    path.with_suffix(".hdr").write_text(f"ENVI\n; made = {{by x\n{header.removeprefix('ENVI')}")
    assert read_header(path.with_suffix(".hdr"))["samples"] == "5"


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"reflectance_scale_factor": "{100, 100, 100}"}, "reflectance scale factor = {100, 100, 100}"),
        ({"data_ignore_value": "{0, 0, 0}"}, "data ignore value = {0, 0, 0}"),
        ({"reflectance_scale_factor": "100", "data_gain_values": "{0.1, 0.1, 0.1}"}, "two scales"),
    ],
)
def test_scales_that_are_no_number_or_contradict_each_other_are_refused(
    tmp_path: Path, entries: dict[str, str], named: str
) -> None:
    with raises_naming(InputError, named):
        Layer.open(write_envi(tmp_path, **entries))


def test_two_scales_that_agree_are_one(tmp_path: Path) -> None:
    layer = Layer.open(write_envi(tmp_path, reflectance_scale_factor="100", data_gain_values="{0.01, 0.01, 0.01}"))
    np.testing.assert_allclose(layer.read()[0], CUBE * 0.01)


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".pix", b"PCIDSK  SDK V1.0"), (".ntf", b"NITF02.10"), (".qqq", b"numbers"), (".txt", b"notes")],
)
def test_a_file_of_another_format_is_not_read_as_the_numbers_of_a_header_next_to_it(
    tmp_path: Path, suffix: str, start: bytes
) -> None:
    (tmp_path / "x.hdr").write_text("ENVI\nsamples = 8\nlines = 8\nbands = 1\ndata type = 1\ninterleave = bsq\n")
    (tmp_path / "x.img").write_bytes(bytes(64))
    (tmp_path / f"x{suffix}").write_bytes(start + bytes(100))
    with raises_naming(InputError, f"x{suffix}", "not a raster that can be read"):
        raster_driver(tmp_path / f"x{suffix}")
    assert raster_driver(tmp_path / "x.img") == "ENVI"
    (tmp_path / "x.hdr").rename(tmp_path / "x.qqq.hdr")
    (tmp_path / "x.qqq").write_bytes(bytes(64))
    assert raster_driver(tmp_path / "x.qqq") == "ENVI"  # the header names it


def test_gzip_is_the_numbers_of_a_header_and_a_single_file_of_any_suffix_too(tmp_path: Path) -> None:
    (tmp_path / "x.hdr").write_text("ENVI\nsamples = 8\nlines = 8\nbands = 1\ndata type = 1\nfile compression = 1\n")
    (tmp_path / "x.qqq").write_bytes(b"\x1f\x8b" + bytes(64))
    assert raster_driver(tmp_path / "x.qqq") == "ENVI"
