"""What a run expects of a scene: measured, prepared, and refused with every difference named."""

import logging

import numpy as np
import pytest
from affine import Affine
from refusals import raises_naming

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, LayerInput, inputs, scene_gsd_m

RAMP = np.arange(30 * 40, dtype=np.float32).reshape(30, 40)


def layer_input(**changed):
    return LayerInput(**{"bands": ("band_1",), "mean": (0.0,), "std": (1.0,), "low": 0.0, "high": 100.0,
                         "dtype": "float32", **changed})  # fmt: skip


def scene(values, gsd_m=None, name="image", bands=None):
    values = values if values.ndim == 3 else values[None]
    grid = None
    if gsd_m:
        grid = Grid(values.shape[1:], Affine(gsd_m, 0, 5e5, 0, -gsd_m, 5e6), "EPSG:32632")
    layer = Layer.open(values, grid=grid)
    if bands:
        layer = layer.with_names(bands)
    return Scene({name: layer})


def test_scaling_is_that_of_all_valid_pixels_of_all_scenes():
    first, second = RAMP.copy(), RAMP[::-1] + 5000
    first[0, 0] = np.nan
    found = InputSpec.measure([scene(first, 0.5), scene(second, 2.0)], units={"image": "metres"})
    pixels = np.concatenate([first[~np.isnan(first)], second.ravel()]).astype(float)
    layer = found.layers["image"]
    assert layer.mean == (round(pixels.mean(), 6),)
    assert layer.std == (round(pixels.std(), 9),)
    assert (layer.low, layer.high) == tuple(np.percentile(pixels, (1, 99)))
    assert (layer.units, layer.dtype, layer.bands) == ("metres", "float32", ("band_1",))
    assert found.gsd_m == 1.25
    assert InputSpec.measure([scene(first)]).gsd_m is None


def test_ranges_are_measured_by_band_and_constant_ones_named():
    bands = np.stack([RAMP, RAMP * 10 + 3, np.full_like(RAMP, 7)])
    layer = InputSpec.measure([scene(bands)]).layers["image"]
    pixels = bands.reshape(3, -1).astype(float)
    assert np.allclose(layer.band_low, np.percentile(pixels, 1, axis=1))
    assert np.allclose(layer.band_high, np.percentile(pixels, 99, axis=1))
    assert layer.constant == (2,)


def test_a_band_of_one_value_keeps_its_scale():
    assert InputSpec.measure([scene(np.full((8, 8), 7, np.uint8))]).layers["image"].std == (1.0,)


@pytest.mark.parametrize("probe_px", [4, 256])
def test_windows_of_a_large_scene_reach_from_edge_to_edge(probe_px):
    values = np.zeros((60, 70), np.float32)
    values[[0, 0, -1, -1], [0, -1, 0, -1]] = 1  # the corners
    pixels = inputs._probe(scene(values).layers["image"], probe_px=probe_px)
    assert pixels.sum() == 4
    assert pixels.shape == (1, 16 * 16 if probe_px == 4 else 60 * 70)


def test_many_bands_are_looked_at_in_smaller_windows():
    pixels = inputs._probe(scene(np.zeros((32, 60, 60), np.uint8)).layers["image"], probe_values=8 * 16)
    assert pixels.shape == (32, 16 * 2 * 2)


def test_pixels_are_standardised_band_by_band_and_nothing_where_not_valid():
    spec = InputSpec({
        "image": LayerInput(("a", "b"), (10.0, 20.0), (2.0, 4.0), 0, 1),
        "dsm": LayerInput(("z",), (5.0,), (10.0,), 0, 1),
    })  # fmt: skip
    valid = np.array([[True, False]])
    sample = {"image": np.array([[[14, 1]], [[16, 1]]], np.float32), "dsm": np.array([[[25, 1]]]), "valid": valid}
    assert spec.prepare(sample)[:, 0].tolist() == [[2, 0], [-1, 0], [2, 0]]
    assert spec.in_channels == 3
    assert spec.names == ["image", "dsm"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint32", "float64"])
def test_values_of_any_stored_type_are_standardised_to_the_same_bits(dtype):
    spec = InputSpec({"image": layer_input(mean=(0.1,), std=(0.7,))})
    values = np.random.default_rng(0).uniform(0, min(np.finfo(np.float32).max, 2**32 - 1), (1, 50, 60))
    values = (values % np.iinfo(dtype).max if dtype.startswith(("u", "i")) else values).astype(dtype)
    valid = np.ones((50, 60), bool)
    expected = spec.prepare({"image": values.astype(np.float32), "valid": valid})
    np.testing.assert_array_equal(spec.prepare({"image": values, "valid": valid}), expected)


@pytest.mark.parametrize(("gsd_m", "fits"), [(0.5, True), (0.26, True), (0.24, False), (0.99, True), (1.02, False)])
def test_pixels_of_more_than_twice_or_less_than_half_the_size_are_refused(gsd_m, fits):
    spec = InputSpec({"image": layer_input()}, gsd_m=0.5)
    ground = scene(np.full((4, 4), 50, np.float32), gsd_m)
    if fits:
        spec.check(ground)
        return
    with pytest.raises(RunError, match=rf"pixels measure {gsd_m:.3g} m, those of training 0.5 m .*a factor of 2\)"):
        spec.check(ground)


def test_without_a_crs_the_size_of_a_pixel_is_not_compared():
    InputSpec({"image": layer_input()}, gsd_m=0.5).check(scene(np.full((4, 4), 50, np.float32)))
    InputSpec({"image": layer_input()}).check(scene(np.full((4, 4), 50, np.float32), 30.0))
    assert scene_gsd_m(scene(RAMP)) is None


def spread(low, high, dtype=np.float32):
    return np.linspace(low, high, 10_000).reshape(100, 100).astype(dtype)


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        (spread(0, 100), True),
        (spread(0, 490), True),
        (spread(0, 520), False),
        (spread(-390, 100), True),
        (spread(-420, 100), False),
        (spread(0, 1), True),  # of the type that training saw: a dark scene
        (spread(0, 3, np.float64), True),
        (spread(0, 1.9, np.float64), False),  # another type, and hardly any range: 0–1 in place of 0–100
    ],
)
def test_values_of_another_kind_are_refused(values, fits):
    spec = InputSpec({"image": layer_input(units="counts")})
    if fits:
        spec.check(scene(values))
        return
    with raises_naming(RunError, "float32", "0", "100"):
        spec.check(scene(values))


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        (spread(0, 250, np.uint16), True),  # bytes in a wider type
        (spread(0, 250.0), True),
        (spread(0, 800, np.uint16), False),
        (spread(0, 300.0), False),
    ],
)
def test_values_that_the_type_of_training_does_not_hold_are_refused(values, fits):
    spec = InputSpec({"image": layer_input(dtype="uint8", high=250.0)})
    if fits:
        spec.check(scene(values))
        return
    with raises_naming(RunError, "uint8", "0", "255", "gdal_translate"):
        spec.check(scene(values))


def test_a_type_of_training_without_a_largest_value_refuses_no_type():
    InputSpec({"image": layer_input(high=250.0)}).check(scene(spread(0, 800, np.uint16)))
    wide = InputSpec({"image": layer_input(dtype="int16", high=30_000.0)})
    with pytest.raises(RunError, match="convert them to the same kind[.]"):
        wide.check(scene(spread(0, 60_000, np.uint16)))


def test_a_scene_without_a_valid_pixel_is_not_refused_for_its_values():
    InputSpec({"image": layer_input()}).check(scene(np.full((4, 4), np.nan, np.float32)))


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (("red", "green"), None),
        (("RED", "Green"), None),
        (("band_1", "band_2"), None),
        (("green", "red"), r"bands in the order \(green, red\), training had \(red, green\); reorder or choose"),
        (("red", "nir"), r"bands named \(red, nir\), training had \(red, green\)"),
    ],
)
def test_names_of_bands_are_compared_where_they_mean_something(bands, message):
    spec = InputSpec({"image": layer_input(bands=("red", "green"), mean=(0.0,) * 2, std=(1.0,) * 2)})
    given = scene(np.full((2, 4, 4), 50, np.float32), bands=bands)
    if message is None:
        spec.check(given)
        return
    with pytest.raises(RunError, match=message):
        spec.check(given)


def test_every_difference_is_named_at_once():
    spec = InputSpec({"image": layer_input(), "dsm": layer_input()}, gsd_m=0.5)
    with pytest.raises(RunError) as caught:
        spec.check(scene(np.full((2, 4, 4), 50, np.float32), 5.0))
    text = str(caught.value)
    assert text.startswith("the scene does not fit the run: its pixels measure 5 m")
    assert "layer 'image' (array) has 2 bands, training had 1 (band_1)" in text
    assert "layer 'dsm' is missing (the scene has ['image']); give dsm=FILE, or train with" in text
    nine = tuple(f"b{number}" for number in range(9))
    wide = InputSpec({"image": layer_input(bands=nine, mean=(0.0,) * 9, std=(1.0,) * 9)})
    with raises_naming(RunError, "9 (b0, b1, b2, b3, b4, b5, b6, b7"):
        wide.check(scene(RAMP))


def test_an_optional_layer_may_be_missing_unless_nothing_else_is_there(caplog):
    spec = InputSpec({"image": layer_input(), "dsm": layer_input()}).with_optional(["dsm"])
    given = scene(np.full((4, 4), 50, np.float32))
    with caplog.at_level(logging.WARNING):
        spec.check(given)
    assert "The scene has no layer 'dsm'; the run was trained to do without it" in caplog.text
    assert spec.present(given) == ["image"]
    caplog.clear()
    both = InputSpec({"image": layer_input(), "dsm": layer_input()}).with_optional(["image", "dsm"])
    with raises_naming(RunError, "'image'", "FILE", "'dsm'"):
        both.check(scene(RAMP, name="sar"))
    assert not caplog.records


def test_plain_values_lead_back_and_unknown_ones_are_refused():
    spec = InputSpec({"image": layer_input(units="m"), "dsm": layer_input(optional=True)}, 0.25)
    assert InputSpec.from_dict(spec.to_dict()) == spec
    for wrong in ({}, {"layers": []}, {"layers": {"image": {"bands": ["a"]}}, "gsd_m": None}):
        with pytest.raises(RunError, match="describes its inputs in a way that this version cannot read"):
            InputSpec.from_dict(wrong)


def test_scenes_that_cannot_be_measured_are_refused():
    with pytest.raises(InputError, match="no scene was given"):
        InputSpec.measure([])
    with raises_naming(InputError, "'dsm'", "FILE"):
        InputSpec.measure([scene(RAMP)], ["image", "dsm"])
    with raises_naming(InputError, "'image'"):
        InputSpec.measure([scene(RAMP), scene(np.stack([RAMP, RAMP]))])
    with raises_naming(InputError, "'image'"):
        InputSpec.measure([scene(np.full((4, 4), np.nan, np.float32))])


def test_small_values_keep_their_digits_and_constant_ones_are_flat():
    rng = np.random.default_rng(0)
    small = (5e-7 + 2e-7 * rng.standard_normal((40, 40))).astype(np.float32)
    layer = InputSpec.measure([scene(small)]).layers["image"]
    assert layer.mean[0] == pytest.approx(small.mean(), rel=1e-4)
    assert layer.std[0] == pytest.approx(small.std(), rel=1e-4)
    for value in (0.1, 1e-7, 4e4):
        assert InputSpec.measure([scene(np.full((8, 8), value, np.float32))]).layers["image"].std == (1.0,)


def test_the_nodata_value_of_a_recipe_is_kept_and_others_are_not_named():
    spec = InputSpec({"image": layer_input(), "dsm": layer_input()}).with_nodata({"dsm": -99.0})
    assert spec.to_dict()["layers"]["dsm"]["nodata"] == -99.0
    assert "nodata" not in spec.to_dict()["layers"]["image"]
    assert InputSpec.from_dict(spec.to_dict()) == spec
