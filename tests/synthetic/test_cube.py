"""The city's hyperspectral cube: physical spectra, mixed at edges, in the light of the image, the same from the same seed."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from refusals import raises_naming

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City, Event, MadeUpCube
from deepnets4eo.synthetic.cube import CUBE_MATERIALS, cube_spectra, light_left, material_legend

CITY = City(12, 192, 0.5, event=Event(kind="quake", cloud_shadows=0))
NM = np.linspace(400, 2500, 85)


@pytest.fixture(scope="module")
def cube() -> MadeUpCube:
    return CITY.cube(bands=85)


def spectrum(name: str, *wavelengths_nm: float) -> np.ndarray:
    return cube_spectra(np.array(wavelengths_nm, float))[CUBE_MATERIALS.index(name)]


def test_every_material_reflects_between_nothing_and_all() -> None:
    table = cube_spectra(np.arange(350.0, 2501.0, 5))
    assert table.min() > 0
    assert table.max() < 1
    assert len(np.unique(table.round(5), axis=0)) == len(CUBE_MATERIALS) == material_legend().num_classes


def test_materials_have_the_features_they_are_known_by() -> None:
    red, infrared = spectrum("grass", 670, 830)
    assert infrared > 4 * red  # the red edge
    assert spectrum("water", 1650)[0] < 0.02
    for name, dip_nm in (("concrete", 2340), ("membrane", 1730), ("soil", 2205), ("tile", 870), ("rubble", 2340)):
        left, dip, right = spectrum(name, dip_nm - 80, dip_nm, dip_nm + 80)
        assert dip < 0.97 * (left + right) / 2, name
    light = light_left(np.array([550.0, 1380.0, 1650.0, 2200.0]))
    assert light[0] == pytest.approx(1, abs=1e-3)
    assert light[1] < 0.01 < light[3] < light[2] < 1


def test_shares_are_those_of_the_fine_materials_and_labels_the_largest(cube: MadeUpCube) -> None:
    assert cube.data.shape == (85, 48, 48)
    assert cube.grid.shape == (48, 48)
    np.testing.assert_allclose(np.array(cube.grid.affine)[:6], np.array(CITY.post.grid.affine)[:6] * [4, 1, 1, 1, 4, 1])
    np.testing.assert_allclose(cube.shares.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(cube.labels, cube.shares.argmax(axis=0))
    fine = CITY.post.spectra(np.array([550.0, 650.0])).material
    asphalt = CUBE_MATERIALS.index("asphalt")
    assert cube.shares[asphalt].mean() == pytest.approx((fine == asphalt).mean(), abs=0.005)
    roofs = [CUBE_MATERIALS.index(name) for name in ("shingle", "tile", "metal", "membrane", "bitumen")]
    assert (fine == CUBE_MATERIALS.index("roof")).mean() == pytest.approx(
        cube.shares[roofs].sum(axis=0).mean(), abs=0.005
    )
    mixed = cube.shares.max(axis=0) < 0.9
    assert 0.2 < mixed.mean() < 0.9


def test_pure_pixels_have_the_spectrum_of_their_material_but_for_light_and_noise(cube: MadeUpCube) -> None:
    table = cube_spectra(NM)
    clear = light_left(NM) > 0.15
    values = cube.data.reshape(85, -1)[clear].astype(float)
    angles = np.arccos(
        np.clip(
            table[:, clear]
            @ values
            / np.linalg.norm(table[:, clear], axis=1)[:, None]
            / np.linalg.norm(values, axis=0),
            -1,
            1,
        )
    )
    pure = cube.shares.reshape(len(CUBE_MATERIALS), -1).max(axis=0) > 0.98
    assert pure.sum() > 100
    nearest = angles.argmin(axis=0)[pure]
    assert (nearest == cube.labels.ravel()[pure]).mean() > 0.85
    own = angles[cube.labels.ravel(), np.arange(values.shape[1])]
    assert np.median(own[pure]) < 0.06 < np.quantile(own[~pure], 0.9)


def test_water_vapour_leaves_noise_and_shadow_darkens(cube: MadeUpCube) -> None:
    rough = np.abs(np.diff(cube.data.astype(float), axis=2)).mean(axis=(1, 2)) / cube.data.mean(axis=(1, 2))
    assert rough[np.abs(NM - 1380).argmin()] > 3 * rough[np.abs(NM - 1650).argmin()]
    light = CITY.post.spectra(NM[:2]).brightness.reshape(48, 4, 48, 4).mean(axis=(1, 3))
    ground = np.isin(
        cube.labels, [CUBE_MATERIALS.index(name) for name in ("asphalt", "old_asphalt", "concrete", "soil")]
    )
    band = cube.data[np.abs(NM - 1000).argmin()]
    dark, bright = np.quantile(light[ground], (0.1, 0.7))
    assert band[ground & (light <= dark)].mean() < 0.75 * band[ground & (light >= bright)].mean()


def test_the_same_seed_is_the_same_cube_and_rubble_is_only_there_afterwards(cube: MadeUpCube) -> None:
    again = City(12, 192, 0.5, event=Event(kind="quake", cloud_shadows=0)).cube(bands=85)
    np.testing.assert_array_equal(again.data, cube.data)
    rubble = CUBE_MATERIALS.index("rubble")
    assert CITY.cube("pre", bands=4).shares[rubble].sum() == 0 < cube.shares[rubble].sum()


def test_files_are_marked_as_synthetic_and_open_as_layers(tmp_path: Path) -> None:
    cube = CITY.cube(bands=8)
    folder = cube.write(tmp_path / "city")
    with rasterio.open(folder / "cube_post.tif") as source:
        assert source.tags()["SYNTHETIC"] == CITY.tags["SYNTHETIC"]
        assert source.tags(2) == {"wavelength": "700", "wavelength_units": "nanometers"}
        assert source.descriptions[-1] == "2500.0 nm"
        np.testing.assert_array_equal(source.read(), cube.data)
    labels = Layer.open(folder / "materials_post.tif")
    np.testing.assert_array_equal(labels.read()[0][0], cube.labels)
    with pytest.raises(OutputError, match="exists already"):
        cube.write(folder)
    cube.write(folder, overwrite=True)
    cube.write(folder, "pre")


@pytest.mark.parametrize(("bands", "factor"), [(3, 4), (10, 0), (10, 500)])
def test_cubes_that_cannot_be_are_refused(bands: int, factor: int) -> None:
    with raises_naming(InputError, "bands", bands, factor):
        CITY.cube(bands=bands, factor=factor)


def test_a_cube_may_be_as_fine_as_the_images() -> None:
    city = City(1, 32, 0.5)
    assert city.cube(bands=4, factor=1).data.shape == (4, 32, 32)
