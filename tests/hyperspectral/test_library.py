"""Spectral libraries and angles: what is written is read, other bands are interpolated, angles are those of geometry."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral import Cube, SpectralLibrary, angle_windows, spectral_angle_map, spectral_angles

RNG = np.random.default_rng(5)
NM = np.linspace(400, 1000, 61)
LIBRARY = SpectralLibrary(("soil, dry", "grass"), np.stack([NM / 1000, np.sin(NM / 100) + 2]), NM)


@pytest.mark.parametrize("suffix", [".sli", ".csv"])
def test_a_library_is_read_as_it_was_written(suffix: str, tmp_path: Path) -> None:
    LIBRARY.write(tmp_path / f"a{suffix}")
    for name in {f"a{suffix}", "a.hdr" if suffix == ".sli" else "a.csv"}:
        again = SpectralLibrary.open(tmp_path / name)
        assert np.array_equal(again.spectra, LIBRARY.spectra)
        assert np.allclose(again.wavelengths_nm, NM)
        assert again.names == (("soil_ dry", "grass") if suffix == ".sli" else LIBRARY.names)


def test_other_bands_are_interpolated_or_weighted() -> None:
    assert LIBRARY.resample([455.0]).spectra[0, 0] == pytest.approx(0.455)
    wide = LIBRARY.resample([500.0, 700.0], fwhm_nm=[40.0, 40.0]).spectra
    sigma = 40 / np.sqrt(8 * np.log(2))
    for k, centre in enumerate((500, 700)):
        fine = np.linspace(centre - 90, centre + 90, 20_001)
        weights = np.exp(-((fine - centre) ** 2) / (2 * sigma**2))
        assert wide[1, k] == pytest.approx(np.average(np.sin(fine / 100) + 2, weights=weights), rel=2e-3)
    with pytest.raises(InputError, match=r"1 of 2 wavelengths, such as 1100 nm, lie outside .*400–1000 nm"):
        LIBRARY.resample([500, 1100])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "nm,a,b\n400,1\n", "do not all have 3 columns|inhomogeneous"),
        ("a.csv", "", "is no spectral library"),
        ("a.hdr", "ENVI\nsamples = 5\n", "lacks, or does not state plainly, 'lines'"),
        ("a.hdr", "ENVI\nsamples = 5\nlines = 2\ndata type = 5\nwavelength = {1, 2\n", "a brace is not closed"),
        ("a.hdr", "other", "does not begin with ENVI"),
    ],
)
def test_damaged_libraries_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        SpectralLibrary.open(tmp_path / name)


def test_angles_do_not_change_with_brightness_and_are_those_of_geometry() -> None:
    pixels, spectra = RNG.random((7, 4, 5)), RNG.random((3, 7))
    angles = spectral_angles(pixels * RNG.uniform(0.1, 10, (4, 5)), spectra)
    for index in np.ndindex(3, 4, 5):
        a, b = spectra[index[0]], pixels[:, index[1], index[2]]
        chord = np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b))
        assert angles[index] == pytest.approx(2 * np.arcsin(chord / 2), abs=1e-9)


def test_zeros_have_no_direction_and_missing_pixels_no_angle() -> None:
    assert spectral_angles(np.zeros((3, 2)), np.eye(3)) == pytest.approx(np.pi / 2)
    cube = np.ones((3, 2, 2))
    cube[:, 0, 0], cube[1, 1, 1] = 0, np.nan
    found = spectral_angle_map(Cube.open(cube), SpectralLibrary(("a", "b"), np.array([[1.0, 1, 1], [1, 0, 0]])))
    assert found.nearest.tolist() == [[0, 0], [0, 65535]]
    assert found.angle[0, 0] == pytest.approx(np.pi / 2)
    assert np.isnan(found.angle[1, 1])
    assert (
        spectral_angle_map(
            Cube.open(cube), SpectralLibrary(("a",), np.array([[1.0, 0, 0]])), most_angle=0.5
        ).nearest.min()
        == 65535
    )


def test_a_map_is_made_window_by_window(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepnets4eo.hyperspectral import library

    cube = Cube.open(RNG.random((61, 90, 70)), NM)
    whole = spectral_angle_map(cube, LIBRARY)
    monkeypatch.setattr(library, "BLOCK_VALUES", 63 * 20**2)
    tracemalloc.start()
    parts = spectral_angle_map(cube, LIBRARY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(list(angle_windows(cube, LIBRARY))) == 5 * 4
    assert np.array_equal(whole.nearest, parts.nearest)
    assert np.allclose(whole.angle, parts.angle)
    assert peak < 3 * 8 * 61 * 20**2 + 20 * 90 * 70


def test_a_library_of_other_bands_needs_wavelengths_on_both_sides() -> None:
    with pytest.raises(InputError, match=r"the library has 61 bands and array 3, and not both have wavelengths"):
        spectral_angle_map(Cube.open(np.ones((3, 2, 2))), LIBRARY)
    pixel = LIBRARY.resample(NM[5:50:5]).spectra[1][:, None, None] * 3
    assert spectral_angle_map(Cube.open(pixel, NM[5:50:5]), LIBRARY).nearest.tolist() == [[1]]


@pytest.mark.real_data
def test_a_real_library_is_read_and_matched(real_data: Path, tmp_path: Path) -> None:
    library = SpectralLibrary.open(real_data / "envi_gamsberg/gamsberg_field_library")
    assert (len(library.names), library.spectra.shape) == (27, (27, 2151))
    assert library.names[2] == "16_03_12_2_C9_weathered schist"
    assert (library.wavelengths_nm[0], library.wavelengths_nm[-1]) == (350, 2500)
    library.write(tmp_path / "a.csv")
    assert np.allclose(SpectralLibrary.open(tmp_path / "a.csv").spectra, library.spectra)
    angles = spectral_angle_map(Cube.open(real_data / "envi_gamsberg/cubus_gamsberg_subset.hdr"), library)
    assert angles.nearest.max() < 27
    assert angles.angle.max() < 0.5


@pytest.mark.parametrize("declared", [-1.23e34, -999.0, None])
@pytest.mark.parametrize("suffix", [".sli", ".csv"])
def test_deleted_channels_enter_no_resampling_and_no_angle(suffix: str, declared: float | None, tmp_path: Path) -> None:
    deleted = -1.23e34 if declared is None else declared
    spectra = LIBRARY.spectra.astype(np.float32)
    spectra[1, 20:25] = deleted
    if suffix == ".sli":
        LIBRARY.write(tmp_path / "a.sli")
        header = (tmp_path / "a.hdr").read_text().replace("data type = 5", "data type = 4")
        (tmp_path / "a.hdr").write_text(header + (f"data ignore value = {declared}\n" if declared else ""))
        (tmp_path / "a.sli").write_bytes(spectra.tobytes())
    else:  # an empty cell
        rows = [[nm, a, "" if b == np.float32(deleted) else b] for nm, a, b in zip(NM, *spectra, strict=True)]
        (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in [["nm", "soil", "grass"], *rows]))
    library = SpectralLibrary.open(tmp_path / f"a{suffix}")
    known = np.ones(61, bool)
    known[20:25] = False
    assert np.isnan(library.spectra[1]).tolist() == (~known).tolist()
    np.testing.assert_allclose(library.spectra[:, known], LIBRARY.spectra[:, known], rtol=1e-6)
    library.write(tmp_path / "again.csv")
    np.testing.assert_array_equal(SpectralLibrary.open(tmp_path / "again.csv").spectra, library.spectra)
    targets = np.array([455.0, 595, 620, 645, 700])  # 600 to 640 nm were deleted
    assert np.isnan(library.resample(targets).spectra[1]).tolist() == [False, True, True, True, False]
    means = library.resample(targets, fwhm_nm=np.full(5, 20.0)).spectra
    assert np.isnan(means[1]).tolist() == [False, False, True, False, False]
    assert np.nanmax(np.abs(means - LIBRARY.resample(targets, fwhm_nm=np.full(5, 20.0)).spectra)) < 0.1
    pixel = LIBRARY.spectra[1] * 3
    angles = spectral_angles(pixel, library.spectra)
    soil = LIBRARY.spectra[0]
    assert angles[1] == pytest.approx(0, abs=1e-3)
    assert angles[0] == pytest.approx(np.arccos(soil @ pixel / np.linalg.norm(soil) / np.linalg.norm(pixel)), abs=1e-6)
    nothing = spectral_angles(pixel, np.full((1, 61), np.nan))
    assert np.isnan(nothing).all()
