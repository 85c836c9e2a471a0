"""Extended morphological profiles: those of scikit-image on scikit-learn's components, the same in tiles, kept in a run."""

import dataclasses

import numpy as np
import pytest
from refusals import raises_naming
from safetensors.numpy import load_file, save_file
from scipy import ndimage
from skimage.morphology import disk, reconstruction
from sklearn.decomposition import PCA

from deepnets4eo.baselines import (
    BaselineRecipe,
    EstimatorOptions,
    PixelClassifier,
    SuperpixelClassifier,
    build_estimator,
)
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.profiles import FILE, ExtendedProfile, ProfileOptions
from deepnets4eo.baselines.superpixels import Superpixels
from deepnets4eo.baselines.training import _features
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, load_run
from deepnets4eo.segmenters.run import save_run

BANDS = 12
NAMES = tuple(f"image.band_{number}" for number in range(BANDS))
LEGEND = Legend("two", (LegendClass(1, "field", (1, 1, 1)), LegendClass(2, "roof", (2, 2, 2))))
SMALL = ExtendedProfile(ProfileOptions(components=2, radii_px=(1, 3)), largest_px=12)


def make_cube(seed: int = 0, side_px: int = 96) -> np.ndarray:
    """Patches of various sizes with smooth spectra, (12, side, side) float32."""
    rng = np.random.default_rng(seed)
    amounts = ndimage.gaussian_filter(rng.normal(size=(3, side_px, side_px)), (0, 2, 2)) * 8
    amounts = np.round(amounts)  # flat regions
    spectra = np.stack([np.sin((number + 1) * np.linspace(0, 2, BANDS)) for number in range(3)])
    return (5 + np.einsum("khw,kb->bhw", amounts, spectra) + rng.normal(0, 0.02, (BANDS, side_px, side_px))).astype(
        "f4"
    )


CUBE = Bands(make_cube(), NAMES)
FITTED = SMALL.fit(CUBE)


def test_columns_are_openings_and_closings_by_scikit_image_of_components_by_scikit_learn() -> None:
    feature = dataclasses.replace(FITTED, largest_px=10**6)  # the plain profile, without a limit on long regions
    columns = dict(zip(feature.columns(CUBE), feature.compute(CUBE), strict=True))
    assert len(columns) == 2 * 5
    pixels = CUBE.values.reshape(BANDS, -1).T.astype(np.float64)
    components = PCA(2, svd_solver="covariance_eigh").fit_transform(pixels)
    for number in range(2):
        low, high = np.percentile(components[:, number], (0.5, 99.5))
        own = columns[f"component{number + 1}"]
        step = (high - low) / 255
        expected = np.clip(components[:, number], low, high).reshape(own.shape)
        sign = np.sign((own * expected).sum())
        assert sign == 1  # both fix the sign of a component alike
        assert np.abs(own - expected).max() < 0.51 * step + 1e-4
        levels = np.rint((own - own.min()) / step).astype(int)
        for radius in (1, 3):
            for side, one in (("opening", levels), ("closing", levels.max() - levels)):
                marker = ndimage.grey_erosion(one, footprint=disk(radius), mode="constant", cval=999)
                opened = reconstruction(marker, one, footprint=ndimage.generate_binary_structure(2, 1))
                opened = opened if side == "opening" else levels.max() - opened
                assert (
                    np.abs(columns[f"component{number + 1}.{side}{radius}"] - own.min() - opened * step).max()
                    < step / 9
                )


def test_a_tile_with_its_halo_has_the_values_of_the_scene() -> None:
    assert SMALL.halo_px == 11
    window = Window(20, 25, 50, 55)
    halo = window.grow(11)
    whole, tile = FITTED.compute(CUBE), FITTED.compute(CUBE.cut(halo))
    rows, cols = window.slices
    np.testing.assert_array_equal(tile[:, 11:-11, 11:-11], whole[:, rows, cols])
    np.testing.assert_array_equal(FITTED.compute(CUBE, 4), whole[:, 2::4, 2::4])


def make_scene(seed: int) -> Scene:
    cube = make_cube(seed)
    labels = np.where(cube[0] > 5, 2, 1).astype(np.uint8)
    labels[:, 48:] = 255
    cube[:, :, 48:] += 1000  # no training pixel: neither labelled nor looked at
    return Scene.open(image=cube, labels=labels)


SCENE = make_scene(1)
INPUTS = InputSpec.measure([SCENE])


@pytest.mark.parametrize("kind", ["pixels", "superpixels"])
def test_components_are_learned_from_training_pixels_only_and_kept_in_the_run(kind, tmp_path) -> None:
    estimator = build_estimator(EstimatorOptions(name="linear_svm"))
    if kind == "pixels":
        classifier = PixelClassifier(estimator, INPUTS, LEGEND, features=["pixels", SMALL]).fit([SCENE], max_pixels=500)
    else:
        classifier = SuperpixelClassifier(
            estimator, INPUTS, LEGEND, features=[SMALL], superpixels=Superpixels("slic", area_px=16)
        ).fit([SCENE], max_regions=200)
    fitted = classifier.features[-1]
    np.testing.assert_allclose(fitted.learned.mean, make_cube(1)[:, :, :48].mean(axis=(1, 2)), atol=0.05)
    run = save_run(classifier, tmp_path / "run")
    loaded = load_run(run).segmenter
    image = INPUTS.prepare(SCENE.read())[None]
    np.testing.assert_array_equal(loaded.predict_raw(image), classifier.predict_raw(image))
    assert SMALL.learned is None


@pytest.mark.parametrize("change", [{"step": 0}, {"axes": 1}, {"low": None}])
def test_a_damaged_file_is_refused(change, tmp_path) -> None:
    FITTED.save(tmp_path)
    arrays = dict(load_file(tmp_path / FILE))
    for name, kept in change.items():
        array = arrays.pop(name)
        if kept is not None:
            arrays[name] = array * 0 if kept == 0 else array[:kept]
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, tmp_path / FILE)
    with pytest.raises(RunError, match="Copy the run again"):
        ExtendedProfile.restore(tmp_path, FITTED.describe())


def test_it_says_what_it_lacks() -> None:
    with pytest.raises(InputError, match="no components yet; fit the classifier"):
        SMALL.compute(CUBE)
    with raises_naming(InputError, "1 training", "2 principal"):
        SMALL.fit(CUBE.cut(Window(0, 0, 1, 1)))
    with raises_naming(InputError, "12 bands", "image has 3"):
        FITTED.columns(Bands(np.zeros((3, 1, 1), np.float32), NAMES[:3]))
    with raises_naming(InputError, "radii_px"):
        ProfileOptions(radii_px=(0,))


def test_fewer_bands_than_components_give_as_many_components_as_bands() -> None:
    two = Bands(make_cube()[:2], NAMES[:2])
    feature = ExtendedProfile(ProfileOptions(components=5, radii_px=(2,)), largest_px=9).fit(two)
    assert feature.columns(two) == [
        f"component{number}{part}" for number in (1, 2) for part in ("", ".opening2", ".closing2")
    ]
    assert feature.compute(two).shape == (6, 96, 96)


def test_a_recipe_sets_components_and_disks() -> None:
    recipe = BaselineRecipe(
        model={"features": ("pixels", "extended_profile")}, profile={"components": 4, "radii_px": (3,)}
    )
    assert _features(recipe)[0] == "pixels"
    assert _features(recipe)[1] == ExtendedProfile(ProfileOptions(components=4, radii_px=(3,)))
