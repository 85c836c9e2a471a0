"""Cubes: bands by number and wavelength, false colours, bad bands of made-up and real scenes."""

from pathlib import Path

import numpy as np
import pytest

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral import Cube, find_bad_bands, remove_bad_bands
from deepnets4eo.rasters import Layer

RNG = np.random.default_rng(3)
WAVELENGTHS = np.linspace(400, 2500, 22)
SMOOTH = np.add.outer(np.arange(40.0), np.arange(30.0))


def make_cube(**changes: np.ndarray) -> Cube:
    bands = np.stack([SMOOTH * (k + 1) for k in range(22)]).astype(np.float32)
    for name, plane in changes.items():
        bands[int(name[1:]) - 1] = plane
    return Cube.open(bands, WAVELENGTHS)


def test_bands_are_numbered_as_in_the_source_whatever_the_cube_holds() -> None:
    cube = make_cube().without_bands([1, 2, 5])
    assert cube.bands[:3] == [3, 4, 6]
    assert cube.without_bands([6]).bands[:3] == [3, 4, 7]
    assert cube.wavelengths_nm[2] == WAVELENGTHS[5]
    assert cube.nearest_bands([400, 800, 2600]) == [3, 4, 22]
    assert cube.read()[0][2, 1, 1] == SMOOTH[1, 1] * 6
    assert repr(cube).startswith("<Cube array: 40 rows × 30 columns, 19 of float32, 600–2500 nm")


def test_bands_are_taken_out_by_their_wavelengths() -> None:
    cube = make_cube().without_bands([6])  # of 900 nm
    assert cube.bands_between(750, 1000) == [5, 7]
    assert cube.bands_between(800, 800) == [5]
    assert cube.without_bands(cube.bands_between(750, 1000)).bands == [1, 2, 3, 4, *range(8, 23)]
    assert cube.bands_between(2510, 3000) == []
    assert cube.without_bands([]).bands == cube.bands


def test_false_colours_are_the_stretched_bands_nearest_to_red_green_and_blue() -> None:
    noise = {f"b{band}": RNG.random((40, 30)) for band in (1, 2, 3, 4)}
    cube = make_cube(**noise)
    image = cube.false_colour([610, 510, 690])
    for channel, band in zip(image, (3, 2, 4), strict=True):
        low, high = np.percentile(noise[f"b{band}"].astype(np.float32).astype(float), (2, 98))
        expected = np.clip((noise[f"b{band}"] - low) / (high - low), 0, 1) * 255
        assert np.abs(channel - expected).max() < 1.01
    assert image.dtype == np.uint8
    chosen = cube.false_colour(bands=[4, 2, 1], max_px=10)
    assert chosen.shape == (3, 10, 8)


def test_a_layer_with_wavelengths_is_drawn_in_them_too() -> None:
    from deepnets4eo.rasters.display import shown_bands

    class Known:
        band_names, bands, wavelengths_nm = [f"band_{k}" for k in range(1, 23)], list(range(1, 23)), WAVELENGTHS - 20

    assert shown_bands(Known()) == [4, 3, 2]  # of 680, 580 and 480 nm


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda cube: cube.without_bands([23]), "has 22 bands, 1–22, not \\[23\\]"),
        (lambda cube: cube.without_bands(range(1, 23)), "not none"),
        (lambda cube: Cube.open(np.zeros((3, 4, 4))).false_colour(), "lists no wavelengths"),
        (lambda cube: Cube.open(np.zeros((3, 4, 4))).bands_between(400, 500), "lists no wavelengths"),
        (lambda cube: cube.false_colour(bands=[1, 2]), "2 bands were given"),
        (lambda cube: Cube(cube.layer, [400, 500]), "22 bands, but 2 wavelengths"),
        (lambda cube: Cube(cube.layer, -WAVELENGTHS), "not all above 0"),
    ],
)
def test_wrong_bands_and_wavelengths_are_refused(use, message: str) -> None:
    with pytest.raises(InputError, match=message):
        use(make_cube())


def test_bad_bands_are_found_with_their_reasons() -> None:
    empty = np.full((40, 30), np.nan)
    cube = make_cube(b3=empty, b7=np.full((40, 30), 5.0), b9=RNG.normal(size=(40, 30)))
    # 1,400 nm is band 11, 1,800 and 1,900 nm are bands 15 and 16
    expected = {3: "empty", 7: "constant", 9: "noise", 11: "water vapour", 15: "water vapour", 16: "water vapour"}
    assert find_bad_bands(cube) == expected
    assert remove_bad_bands(cube).bands == [band for band in range(1, 23) if band not in expected]
    with pytest.raises(InputError, match="every band of array is empty, constant or noise"):
        remove_bad_bands(Cube.open(np.ones((3, 8, 8))))


def test_a_cube_without_bad_bands_stays_as_it_is() -> None:
    cube = make_cube().subset([1, 2, 3])
    assert remove_bad_bands(cube) is cube


@pytest.mark.real_data
def test_noise_of_a_real_scene_lies_where_water_vapour_absorbs(real_data: Path) -> None:
    """Salinas: bands 108–112 and 154–167 are those usually removed; 224 is smooth in this crop, so it is not noise."""
    bad = set(find_bad_bands(Cube.open(real_data / "salinasA/SalinasA.mat")))
    assert bad >= {*range(108, 113), *range(154, 168)}
    assert len(bad) < 30
    assert find_bad_bands(Cube.open(f"{real_data}/houston2018_crop/houston_dataset.mat#hyprImg")) == {}
    enmap = find_bad_bands(Cube.open(real_data / "enmap_potsdam/images/enmap_potsdam_tile_128_96.tif"))
    assert [band for band, reason in enmap.items() if reason == "empty"] == list(range(130, 136))


@pytest.mark.real_data
def test_real_cubes_show_vegetation_in_green(real_data: Path) -> None:
    cube = Cube.open(real_data / "enmap_potsdam/images/enmap_potsdam_tile_128_96.tif")
    image = cube.false_colour([2200, 850, 650])
    assert image.shape == (3, 32, 32)
    assert image[1].mean() > image[0].mean()
    assert Layer.open(real_data / "enmap_potsdam/images/enmap_potsdam_tile_128_96.tif").plot().get_title()
