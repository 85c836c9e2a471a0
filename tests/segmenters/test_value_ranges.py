"""A scene whose values are of another order of magnitude than a run learnt is refused or named, band by band and both ways."""

from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.errors import RunError
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, LayerInput, ValueRange
from deepnets4eo.segmenters.inputs import range_problems
from deepnets4eo.training import DataSection, make_split, measure_inputs, open_layers

IMAGE = (
    np.random.default_rng(0).random((4, 64, 64)).astype(np.float32)
    * np.array([800, 2000, 2550, 3200], np.float32)[:, None, None]
)


def learn(folder: Path, values: np.ndarray) -> InputSpec:
    """What a training learns of the values of one scene."""
    data = DataSection(scenes=({"name": "s", "image": str(write_geotiff(folder / "s.tif", values))},), val_share=0)
    return measure_inputs(make_split(open_layers(data, ["image"]), data), ["image"])


def scaled(**factors: float) -> np.ndarray:
    """The image with some bands b0 … b3 times a factor."""
    return IMAGE * np.array([factors.get(f"b{band}", 1) for band in range(4)], np.float32)[:, None, None]


@pytest.mark.parametrize("factor", [1e-4, 1 / 255, 1e4, 255])
def test_a_scene_of_another_unit_is_refused(tmp_path: Path, factor: float) -> None:
    inputs = learn(tmp_path, IMAGE)
    with raises_naming(RunError, "float32"):
        inputs.check(Scene.open(image=IMAGE * np.float32(factor)))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (scaled(b0=15), ["band_1 has"]),
        (scaled(b3=1e-4), ["band_4 has"]),
        (scaled(b1=1 / 255, b2=0), ["band_2 has", "band_3 is 0 everywhere that was looked at"]),
        (IMAGE / np.float32(20), ["band_1 has", "band_2 has", "band_3 has", "band_4 has"]),
    ],
    ids=["large", "small", "small and flat", "all smaller"],
)
def test_bands_of_another_magnitude_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: np.ndarray, said: list[str]
) -> None:
    inputs = learn(tmp_path, IMAGE)
    inputs.check(Scene.open(image=values))
    (message,) = caplog.messages
    assert "has values that the run did not learn from" in message
    for band in range(4):
        assert (f"band_{band + 1} " in message) == any(f"band_{band + 1} " in words for words in said)
    assert all(words in message for words in said)


@pytest.mark.parametrize("values", [IMAGE, scaled(b3=1 / 40), IMAGE / np.float32(4), scaled(b0=4)])
def test_other_places_are_labelled_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: np.ndarray
) -> None:
    learn(tmp_path, IMAGE).check(Scene.open(image=values))
    assert not caplog.messages


@pytest.mark.parametrize(("factor", "said"), [(1 / 150, False), (1 / 150 / 9, True)], ids=["sea", "other unit"])
def test_a_band_as_dark_as_some_of_training_is_named_where_no_water_is_so_dark(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, factor: float, said: bool
) -> None:
    with_sea = IMAGE + 1
    with_sea[3, :6] = 1 + IMAGE[3, :6] / 200
    learn(tmp_path, with_sea).check(Scene.open(image=with_sea * np.array([1, 1, 1, factor], np.float32)[:, None, None]))
    assert ("band_4 has" in caplog.text) == said
    assert "band_1" not in caplog.text


def test_a_band_of_one_value_in_training_stays_at_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat = IMAGE.copy()
    flat[2] = 7
    inputs = learn(tmp_path, flat)
    assert "has one value in all training pixels of band_3 (7)" in caplog.text
    valid = np.ones((64, 64), bool)
    seen, learnt = (inputs.prepare({"image": values, "valid": valid}) for values in (IMAGE, flat))
    assert (seen[2] == 0).all()
    np.testing.assert_array_equal(seen, learnt)
    caplog.clear()
    inputs.check(Scene.open(image=IMAGE))
    assert "bands that had one value in training are taken as that value" in caplog.text
    assert "band_3 (7)" in caplog.text
    caplog.clear()
    inputs.check(Scene.open(image=flat))
    assert not caplog.messages


def test_what_a_run_learnt_of_its_bands_is_kept_in_its_card(tmp_path: Path) -> None:
    flat = IMAGE.copy()
    flat[0] = 7
    layer = learn(tmp_path, flat).layers["image"]
    assert InputSpec.from_dict(InputSpec({"image": layer}).to_dict()).layers["image"].range is not None
    again = InputSpec.from_dict(InputSpec({"image": layer}).to_dict()).layers["image"]
    assert (again.band_low, again.band_high, again.constant) == (layer.band_low, layer.band_high, (0,))
    np.testing.assert_allclose(layer.band_high, np.percentile(flat.astype(float), 99, axis=(1, 2)), rtol=0.02)


@pytest.mark.parametrize(("dtype", "said"), [("uint8", False), ("uint16", True), ("float32", True)])
def test_much_smaller_values_are_of_another_unit_unless_bytes_are_expected_to_be_dark(dtype: str, said: bool) -> None:
    usual = LayerInput(
        ("a", "b", "c", "d"), (150.0,) * 4, (30.0,) * 4, 100.0, 250.0, dtype=dtype, band_low=(100.0,) * 4, band_high=(250.0,) * 4
    )  # fmt: skip
    dark = ValueRange(np.full(4, 0.01), np.full(4, 0.02), 0.01, 0.02, np.zeros(4, bool))
    assert bool(range_problems("a.tif", usual, dark, np.dtype(dtype))) == said
    assert not range_problems("a.tif", usual, None, np.dtype(dtype))


REFLECTANCE = (
    np.random.default_rng(1).integers(0, 2500, (4, 128, 128)).astype(np.uint16)
    + np.array([180, 250, 130, 600], np.uint16)[:, None, None]
)


def texts_of(learnt: np.ndarray, seen: np.ndarray, caplog: pytest.LogCaptureFixture) -> str:
    """The warnings of a scene that is labelled by a run that learnt from another."""
    inputs = InputSpec.measure([Scene.open(image=learnt)])
    caplog.clear()
    inputs.check(Scene.open(image=seen))
    return caplog.text


@pytest.mark.parametrize(("learnt", "added", "words"), [
    (0, 1000, "no band has values below 11"), (1000, 0, "bands have values down to 1"), (0, 0, ""), (1000, 1000, ""), (0, 400, ""), (0, 3000, ""),
])  # fmt: skip
def test_an_undeclared_offset_of_sentinel_2_is_named_both_ways(
    learnt: int, added: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = texts_of(REFLECTANCE + np.uint16(learnt), REFLECTANCE + np.uint16(added), caplog)
    assert ("processing baseline 04.00" in text) == bool(words)
    assert words in text


def test_fields_without_a_dark_pixel_and_bands_of_masks_are_no_offset(caplog: pytest.LogCaptureFixture) -> None:
    assert "baseline" not in texts_of(REFLECTANCE, REFLECTANCE[:, :64] + np.uint16(1000), caplog)
    mask = np.zeros((1, 128, 128), np.uint16)
    mask[:, :64] = 1
    masked = [np.concatenate([REFLECTANCE + np.uint16(added), mask]) for added in (0, 1000)]
    assert "processing baseline 04.00" in texts_of(masked[0], masked[1], caplog)


def test_a_run_of_more_than_8_bits_refuses_bytes_and_names_a_picture_in_wider_numbers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    picture = (REFLECTANCE / 12.3).clip(0, 255).astype(np.uint8)
    with raises_naming(RunError, "has bytes", "uint16"):
        texts_of(REFLECTANCE, picture, caplog)
    assert "pictures of 8 bits" in texts_of(REFLECTANCE, picture.astype(np.uint16), caplog)
    assert not texts_of(REFLECTANCE, picture.astype(np.uint16) * np.uint16(2), caplog)  # a dark scene
    sea = (picture.astype(np.uint16) * np.array([4, 3, 2, 1], np.uint16)[:, None, None]) // 5
    assert "pictures" not in texts_of(REFLECTANCE, sea, caplog)
    inputs = InputSpec.measure([Scene.open(image=picture)])
    inputs.check(Scene.open(image=picture))


def test_scenes_of_one_training_that_differ_by_the_offset_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for added, named in ((0, False), (1000, True)):
        files = [
            str(write_geotiff(tmp_path / f"{name}{added}.tif", REFLECTANCE + np.uint16(more)))
            for name, more in (("a", 0), ("b", added))
        ]
        data = DataSection(
            scenes=tuple({"name": file[-9:-4], "image": file} for file in files), val_share=0, split="scenes"
        )
        caplog.clear()
        measure_inputs(make_split(open_layers(data, ["image"]), data), ["image"])
        assert ("Some scenes may have an offset" in caplog.text) == named
