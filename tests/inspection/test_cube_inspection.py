"""`check` on cubes: shape, wavelengths, range, and what is wrong with their bands."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from scipy.io import savemat

from deepnets4eo.hyperspectral import Cube, find_bad_bands, remove_bad_bands
from deepnets4eo.inspection import inspect
from deepnets4eo.inspection.cubes import number_ranges

RNG = np.random.default_rng(2)
SMOOTH = np.add.outer(np.arange(50.0), np.arange(40.0)) + 10


def write_cube(path: Path, **changes: np.ndarray) -> Path:
    """20 smooth bands at 400, 500, … 2300 nm, of which some are changed: b7=…"""
    bands = np.stack([SMOOTH + k for k in range(20)]).astype(np.float32)
    for name, plane in changes.items():
        bands[int(name[1:]) - 1] = plane
    write_geotiff(path, bands, nodata=-9999)
    with rasterio.open(path, "r+") as file:
        for band in range(1, 21):
            file.update_tags(band, wavelength=str(0.3 + band / 10), wavelength_units="Micrometers")
    return path


def test_a_sound_cube_has_no_problems_but_water_vapour(tmp_path: Path) -> None:
    result = inspect(str(write_cube(tmp_path / "a.tif")))
    assert result.kind == "cube"
    assert result.facts["size"] == "50 rows × 40 columns × 20 bands of float32"
    assert result.facts["wavelengths"] == "400–2300 nm"
    assert result.facts["values"] == "10 to 117"
    assert result.facts["not valid"] == "0.0% of the pixels (nodata -9999)"
    assert [problem.split(" Leave")[0] for problem in result.problems] == [
        "3 bands without use (water vapour: 11, 15–16)."
    ]


def test_each_fault_of_a_band_is_named(tmp_path: Path) -> None:
    negative, patchy, spiky = SMOOTH.copy(), SMOOTH.copy(), SMOOTH.copy()
    negative[:5] -= 100
    patchy[3, :20] = np.nan
    spiky[10, 10] = 1e7
    noise = RNG.normal(100, 5, SMOOTH.shape)
    path = write_cube(
        tmp_path / "a.tif", b2=SMOOTH * 0 + 3, b3=noise, b4=SMOOTH * np.nan, b5=negative, b6=patchy, b7=spiky
    )
    result = inspect(str(path))
    use, missing, below, far = result.problems
    assert "constant: 2; noise: 3, 7; empty: 4; water vapour: 11, 15–16" in use or "noise: 3" in use
    assert missing.startswith(
        "1 band (6): nodata, NaN or infinite where others have values, in up to 1.00% of the pixels"
    )
    assert below.startswith("0.50% of the values are negative, in 1 band (5): no reflectance")
    assert "values far from all others in 1 band (7), such as band 7" in far
    assert result.facts["not valid"].startswith("0.0%"), "one empty band does not hide the others"


def test_bands_that_an_envi_header_calls_bad_are_named_and_left_out(tmp_path: Path) -> None:
    bands = np.stack([SMOOTH + k for k in range(20)]).astype(np.float32)
    with rasterio.open(tmp_path / "a.img", "w", driver="ENVI", count=20, height=50, width=40, dtype="float32") as file:
        file.write(bands)
    header = tmp_path / "a.hdr"
    header.write_text(f"{header.read_text()}bbl = {{{', '.join(['1', '0', '1', '0', *['1'] * 16])}}}\n")
    problem = inspect(str(tmp_path / "a.img")).problems[-1]
    assert problem.startswith("2 bands without use (called bad by the header: 2, 4). Leave them out")
    for name in ("a.img", "a.hdr"):
        assert remove_bad_bands(Cube.open(tmp_path / name)).bands == [1, 3, *range(5, 21)]
    assert find_bad_bands(Cube.open(tmp_path / "a.img").subset([4, 5])) == {4: "called bad by the header"}


def test_a_wrong_value_of_an_envi_header_is_a_problem_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_text("ENVI\nsamples = 3\nlines = 1\nbands = 1\ndata type = 99\n")
    (tmp_path / "a.img").write_bytes(bytes(3))
    for name in ("a.img", "a.hdr"):
        (problem,) = inspect(str(tmp_path / name)).problems
        assert "a.hdr has data type = 99" in problem


def test_a_cube_without_any_value_says_so(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "a.tif", np.full((20, 8, 8), -9999, np.float32), nodata=-9999)
    (problem,) = inspect(str(tmp_path / "a.tif")).problems
    assert problem.startswith("no pixel is valid")


def test_the_arrays_of_a_file_are_listed_whether_or_not_one_is_meant(tmp_path: Path) -> None:
    cube = np.stack([SMOOTH + k for k in range(20)], axis=2)
    savemat(
        tmp_path / "one.mat", {"cube": cube, "gt": SMOOTH.astype(np.uint8), "wavelength": np.linspace(400, 900, 20)}
    )
    one = inspect(str(tmp_path / "one.mat"))
    assert one.kind == "cube"
    assert one.facts["arrays"].startswith(
        "cube (50 × 40 × 20 float64), gt (50 × 40 uint8), wavelength (1 × 20 float64)"
    )
    assert (one.facts["wavelengths"], one.problems) == ("400–900 nm", [])
    savemat(tmp_path / "two.mat", {"gt": SMOOTH, "a": cube, "b": cube})
    two = inspect(str(tmp_path / "two.mat"))
    assert (two.kind, two.problems) == ("arrays", [])
    assert two.facts["to open one"] == f"{tmp_path}/two.mat#a"
    assert inspect(f"{tmp_path}/two.mat#gt").kind == "raster"
    savemat(tmp_path / "none.mat", {"text": "abc"})
    assert inspect(str(tmp_path / "none.mat")).problems == ["it holds no array of numbers with two or three axes."]
    np.save(tmp_path / "guess.npy", cube)
    assert (
        inspect(str(tmp_path / "guess.npy")).facts["axes"].startswith("hwb (b bands, h rows, w columns): the shortest")
    )


def test_a_spectral_library_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_text("ENVI\nsamples = 3\nlines = 1\nfile type = ENVI Spectral Library\n")
    (tmp_path / "a").write_bytes(bytes(24))
    (problem,) = inspect(str(tmp_path / "a.hdr")).problems
    assert "belongs to a spectral library" in problem


def test_ranges_are_cut_after_six() -> None:
    assert number_ranges(range(1, 30, 2)) == "1, 3, 5, 7, 9, 11 …"


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("salinasA/SalinasA.mat", "noise: 107–113, 151–168"),
        ("enmap_potsdam/images/enmap_potsdam_tile_128_96.tif", "empty: 130–135; water vapour: 164–165"),
        ("muufl/a_hsi_img_for_VI_demo.mat", "constant: 1–2, 97–116, 154–171, 222–224; water vapour: 152–153"),
    ],
)
def test_real_cubes_are_checked(name: str, expected: str, real_data: Path) -> None:
    result = inspect(str(real_data / name))
    assert result.kind == "cube"
    assert expected in result.problems[0]
