"""What an ONNX graph's output means: sizes, classes, probabilities, one score of two; halo and values of Dynamic World."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from scipy.special import expit

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.segmenters.onnx_card import _are_numbers, _layer, _side
from deepnets4eo.segmenters.onnx_segmenter import (
    DYNAMIC_WORLD,
    OnnxSegmenter,
    _probe_range,
    dynamic_world_values,
    measure_halo,
)


def segmenter_of(classes: int, *, activation: str = "logits", layout: str = "nchw") -> Any:
    made: Any = object.__new__(OnnxSegmenter)
    made.facts = SimpleNamespace(activation=activation, layout=layout)
    made.legend = SimpleNamespace(num_classes=classes, name="l", names=[f"c{number}" for number in range(classes)])
    made.graph = SimpleNamespace(source="a.onnx")
    return made


def test_numbers_of_classes_are_certain_and_numbers_of_no_class_are_void() -> None:
    numbers = np.array([[[[0, 1, 2, 7]]]])
    found = segmenter_of(3, activation="classes")._as_logits(numbers)
    assert found.shape == (1, 3, 1, 4)
    assert found[0, :, 0, :3].argmax(axis=0).tolist() == [0, 1, 2]
    assert np.exp(found[0, :, 0, 0]).sum() == pytest.approx(1, abs=1e-5)
    assert np.isnan(found[0, :, 0, 3]).all()
    scores = np.array([0.2, 0.5, 0.3]).reshape(1, 3, 1, 1)
    assert segmenter_of(3, activation="classes")._as_logits(scores)[0, :, 0, 0].argmax() == 1


def test_probabilities_become_logarithms_and_one_score_of_two_classes_is_that_of_the_second() -> None:
    p = np.array([0.25, 0.0]).reshape(1, 1, 1, 2)
    both = np.exp(segmenter_of(2, activation="probabilities")._as_logits(p))[0, :, 0]
    np.testing.assert_allclose(both, [[0.75, 1.0], [0.25, 0.0]], atol=1e-6)
    three = np.array([0.2, 0.5, 0.3], np.float32).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(np.exp(segmenter_of(3, activation="probabilities")._as_logits(three)), three, rtol=1e-6)
    logits = segmenter_of(2)._as_logits(np.array([-1.5, 4.0]).reshape(1, 1, 1, 2))
    np.testing.assert_allclose(logits[0, :, 0], [[0, 0], [-1.5, 4.0]])
    np.testing.assert_array_equal(segmenter_of(3)._as_logits(three), three)
    for classes in (1, 3, 4):
        with pytest.raises(InputError, match=rf"returns 2 scores .* has {classes} classes"):
            segmenter_of(classes)._as_logits(np.zeros((1, 2, 1, 1)))
    with pytest.raises(InputError, match="returns 1 scores"):
        segmenter_of(3)._as_logits(np.zeros((1, 1, 1, 1)))


@pytest.mark.parametrize(
    ("layout", "shape", "rows"),
    [
        ("nchw", (1, 2, 4, 6), 1),
        ("nhwc", (1, 4, 6, 2), 1),
        ("nchw", (1, 2, 2, 3), 2),
        ("nchw", (1, 4, 6), 1),
        ("nhwc", (1, 2, 3), 2),
    ],
)
def test_outputs_are_channels_first_and_as_large_as_the_image(layout: str, shape: tuple[int, ...], rows: int) -> None:
    raw = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found = segmenter_of(2, layout=layout)._in_size(raw, (4, 6))
    assert found.shape[2:] == (4, 6)
    expected = raw[:, None] if raw.ndim == 3 else raw.transpose(0, 3, 1, 2) if layout == "nhwc" else raw
    np.testing.assert_array_equal(found[:, :, ::rows, ::rows], expected)
    np.testing.assert_array_equal(found[:, :, rows - 1 :: rows, rows - 1 :: rows], expected)


@pytest.mark.parametrize("shape", [(1, 2, 3, 6), (1, 2, 8, 12), (1, 7), (1, 2, 0, 6)])
def test_outputs_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RunError, match="expected scores of each pixel"):
        segmenter_of(2)._in_size(np.zeros(shape), (4, 6))


def test_reflectance_is_taken_as_dynamic_world_publishes_it() -> None:
    """Brown et al. 2022: logarithm, shift and scale of each band, then a sigmoid; below 0 counts as 0."""
    image = np.array([[0.0, 300.0, 10_000.0, -5.0], [50.0, 800.0, 3000.0, 20_000.0]]).reshape(1, 2, 1, 4)
    shift, scale = np.array(DYNAMIC_WORLD)[[3, 0]].T[:, :, None, None]
    expected = expit(5 * (np.log(1 + 0.005 * np.maximum(image, 0)) - shift) / scale - 1)
    np.testing.assert_allclose(dynamic_world_values(image.astype(np.float32), [3, 0]), expected, rtol=1e-4)


def layer_of(mean: float, low: float, high: float, dtype: str = "uint16") -> Any:
    return SimpleNamespace(bands=["a", "b"], mean=(mean, mean), low=low, high=high, dtype=dtype)


@pytest.mark.parametrize(
    ("layer", "values"),
    [
        (layer_of(0, 0, 10_000), (0, 2500)), (layer_of(0, 0, 1000), (0, 1000)), (layer_of(0, 0, 1), (0, 1)),
        (layer_of(0.5, 0, 10_000), (-1, 1)), (layer_of(0, 1, 1), (-1, 1)), (layer_of(0, 0, 255, "uint8"), (-1, 1)),
    ],
)  # fmt: skip
def test_a_network_is_probed_by_values_that_it_gets(layer: Any, values: tuple[float, float]) -> None:
    assert _probe_range(layer) == values


@pytest.mark.parametrize(("reach", "halo"), [(0, 0), (1, 8), (8, 8), (9, 16), (40, 32)])
def test_the_halo_is_how_far_a_pixel_reaches_in_steps_of_8_and_a_quarter_of_a_tile_at_most(
    reach: int, halo: int
) -> None:
    def compute(image: np.ndarray) -> np.ndarray:
        return uniform_filter(image[0].mean(axis=0), 2 * reach + 1, mode="constant")[None, None]

    probed: Any = SimpleNamespace(inputs=SimpleNamespace(layers={"image": layer_of(0, 0, 1)}), raw_output=compute)
    assert measure_halo(probed, 128) == halo
    still: Any = SimpleNamespace(inputs=probed.inputs, raw_output=lambda image: np.zeros((1, 1, 128, 128)))
    assert measure_halo(still, 128) == 0


@pytest.mark.parametrize(
    ("stated", "bands", "mean", "std", "high"),
    [
        ({"normalisation": "imagenet"}, 3, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375], 255),  # 0.485 of 255 …
        ({"normalisation": "percentile"}, 2, [0, 0], [255, 255], 255),
        ({"normalisation": "none", "mean": [5, 6], "std": [2, 4]}, 2, [5, 6], [2, 4], 1),
        ({"normalisation": "none", "scale": 0.001, "offset": -0.5}, 2, [500, 500], [1000, 1000], 1),
        ({"normalisation": "none"}, 2, [0, 0], [1, 1], 1),
    ],
)
def test_values_are_scaled_as_a_file_states(stated: Any, bands: int, mean: Any, std: Any, high: float) -> None:
    layer = _layer(list("abcd"[:bands]), stated, "a.onnx")
    assert (layer.mean, layer.std) == (pytest.approx(mean), pytest.approx(std))
    assert (layer.low, layer.high) == (0, high)


@pytest.mark.parametrize(
    ("stated", "bands", "words"),
    [
        ({"normalisation": "imagenet"}, 4, "has 4 bands, but normalisation=imagenet"),
        ({"normalisation": "none", "std": [1, 0]}, 2, "a deviation of 0"),
        ({"normalisation": "none", "mean": [1], "std": [1, 2]}, 2, "means or deviations of 1 bands"),
        ({"normalisation": "none", "mean": [1, 2], "std": [1]}, 2, "means or deviations of 2 bands"),
    ],
)
def test_scaling_that_does_not_fit_the_bands_is_refused(stated: Any, bands: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        _layer(list("abcd"[:bands]), stated, "a.onnx")
    with pytest.raises(InputError, match="one of them twice"):
        _layer(["a", "a"], {"normalisation": "none"}, "a.onnx")


@pytest.mark.parametrize(
    ("values", "are"),
    [
        ([1, 2.5], True),
        ([], True),
        ([True], False),
        ([float("nan")], False),
        ([float("inf")], False),
        (["1"], False),
        (3, False),
    ],
)
def test_numbers_of_a_card_are_finite_and_no_truths(values: Any, are: bool) -> None:
    assert _are_numbers(values) is are


def test_a_graph_takes_squares_or_any_size() -> None:
    def graph(*shape: Any) -> Any:
        return SimpleNamespace(inputs=[SimpleNamespace(shape=shape)], source="a.onnx")

    assert _side(graph(1, 3, 256, 256), "nchw") == 256
    assert _side(graph(1, 256, 256, 3), "nhwc") == 256
    assert _side(graph(1, 3, None, None), "nchw") is None
    for oblong, layout in ((graph(1, 3, 256, 512), "nchw"), (graph(1, 3, 256, 256), "nhwc")):
        with pytest.raises(InputError, match="expected squares, or any size"):
            _side(oblong, layout)
