"""Facts of ONNX files of others: layout and size by the graph's shapes, scaling by published numbers, scores as logits."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.segmenters.onnx_card import _layer, _layout, _of_deepness, _of_export, _side
from deepnets4eo.segmenters.onnx_segmenter import OnnxSegmenter
from deepnets4eo.tiling import Tiling


def graph_of(*shape: int | None, count: int = 1) -> Any:
    tensors = [SimpleNamespace(name=f"x{number}", shape=shape) for number in range(count)]
    return SimpleNamespace(source="net.onnx", inputs=tensors, outputs=tensors)


@pytest.mark.parametrize(
    ("shape", "layout", "side"),
    [
        ((None, 3, None, None), "nchw", None), ((None, None, None, 3), "nhwc", None), ((1, 64, 64, 3), "nhwc", 64), ((1, 3, 64, 64), "nchw", 64),
        ((1, 4, 4, 4), "nchw", 4), ((None, None, None, None), "nchw", None),
    ],
)  # fmt: skip
def test_bands_are_the_fixed_or_the_smallest_side(shape: tuple[int | None, ...], layout: str, side: int | None) -> None:
    graph = graph_of(*shape)
    assert _layout(graph) == layout
    assert _side(graph, layout) == side


def test_what_is_no_image_of_squares_is_refused() -> None:
    with raises_naming(InputError, "net.onnx", "2 axes"):
        _layout(graph_of(1, 1000))
    with raises_naming(InputError, "64 × 32 px"):
        _side(graph_of(1, 3, 64, 32), "nchw")
    with raises_naming(InputError, "64 × 32 px"):
        _side(graph_of(1, 64, 32, 3), "nhwc")


def taken(layer: LayerInput, value: float) -> list[float]:
    """What a network gets for a value in each band."""
    return ((value - np.array(layer.mean)) / np.array(layer.std)).tolist()


def test_images_are_scaled_by_published_numbers() -> None:
    rgb = ["red", "green", "blue"]
    imagenet = _layer(rgb, {"normalisation": "imagenet"}, "net.onnx")
    assert taken(imagenet, 102.0) == pytest.approx(
        [(0.4 - mean) / std for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    )
    assert taken(_layer(rgb, {"normalisation": "percentile"}, "net.onnx"), 51.0) == pytest.approx([0.2] * 3)
    own = {"normalisation": "none", "mean": [100.0, 50.0], "std": [10.0, 20.0]}
    assert taken(_layer(["a", "b"], own, "net.onnx"), 90.0) == pytest.approx([-1.0, 2.0])
    plain = {"normalisation": "none", "scale": 0.0001, "offset": -0.1}
    assert taken(_layer(["a", "b"], plain, "net.onnx"), 3000.0) == pytest.approx([0.2, 0.2])
    assert taken(_layer(["a"], {"normalisation": "none"}, "net.onnx"), 7.0) == [7.0]
    reflectance = _layer(["B2", "B08"], {"normalisation": "dynamic_world"}, "net.onnx")
    assert (reflectance.bands, reflectance.dtype) == (("B02", "B08"), "uint16")


@pytest.mark.parametrize(
    ("bands", "stated", "words"),
    [
        (["red", "nir"], {"normalisation": "imagenet"}, ("2 bands", "red, green and blue")),
        (["B2", "B02"], {"normalisation": "dynamic_world"}, ("one of them twice",)),
        (["blue", "B8"], {"normalisation": "dynamic_world"}, ("not blue.", "B02 or B2")),
        (["a", "b"], {"normalisation": "none", "mean": [1.0], "std": [1.0]}, ("2 bands", "of 1 bands")),
        (["a", "b"], {"normalisation": "none", "mean": [1.0, 2.0], "std": [1.0]}, ("2 bands", "of 2 bands")),
    ],
)
def test_a_normalisation_that_does_not_fit_the_bands_is_refused(
    bands: list[str], stated: dict[str, Any], words: tuple[str, ...]
) -> None:
    with raises_naming(InputError, *words):
        _layer(bands, stated, "net.onnx")


def test_an_export_states_all_and_one_of_several_layers_is_refused() -> None:
    layer = LayerInput(("red", "green"), (10.0, 20.0), (3.0, 4.0), 0.0, 255.0)
    card = {
        "inputs": InputSpec({"image": layer}, 0.5).to_dict(),
        "legend": Legend.load("change").to_dict(),
        "tiling": {"halo_px": 24},
    }
    facts = _of_export(card, "net.onnx")
    assert facts == {
        "bands": ["red", "green"], "mean": [10.0, 20.0], "std": [3.0, 4.0], "normalisation": "none", "activation": "logits", "layout": "nchw",
        "legend": card["legend"], "halo_px": 24, "gsd_m": 0.5,
    }  # fmt: skip
    assert "gsd_m" not in _of_export(card | {"inputs": InputSpec({"image": layer}).to_dict()}, "net.onnx")
    with raises_naming(InputError, "pre, post"):
        _of_export(card | {"inputs": InputSpec({"pre": layer, "post": layer}).to_dict()}, "net.onnx")


def test_deepness_states_classes_by_number_means_of_0_to_1_and_centimetres() -> None:
    values = {
        "class_names": {"10": "road", "2": "roof", "0": "rest"}, "standardization_mean": [0.5, 0.4, 0.2], "standardization_std": [0.1, 0.2, 0.4],
        "resolution": 30,
    }  # fmt: skip
    facts = _of_deepness(values, graph_of(None, 3, 512, 512))
    assert [entry["name"] for entry in facts["legend"]["classes"]] == ["rest", "roof", "road"]
    assert (facts["mean"], facts["std"]) == (pytest.approx([127.5, 102, 51]), pytest.approx([25.5, 51, 102]))
    assert (facts["bands"], facts["gsd_m"], facts["normalisation"]) == (["red", "green", "blue"], 0.3, "none")
    plain = _of_deepness({"class_names": {"0": "a", "1": "b"}}, graph_of(None, 4, 512, 512))
    assert plain["normalisation"] == "percentile"
    assert not {"bands", "gsd_m", "mean"} & plain.keys()


def segmenter_of(
    graph: Any, activation: str, *, dates: int = 1, bands: int = 2, side_px: int | None = None
) -> OnnxSegmenter:
    facts: Any = SimpleNamespace(activation=activation, layout="nchw", dates=dates, side_px=side_px)
    layer = LayerInput(tuple("abcd"[:bands]), (0.0,) * bands, (1.0,) * bands, 0.0, 255.0)
    return OnnxSegmenter(graph, facts, InputSpec({"image": layer}), Legend.load("change"), tiling=Tiling(64, 8))


@pytest.mark.parametrize("form", ["numbers", "scores"])
def test_classes_of_a_graph_are_the_best_by_far(form: str) -> None:
    numbers = np.array([[[[0, 1], [1, 0]]]])
    raw = numbers if form == "numbers" else np.concatenate([1 - numbers, numbers], axis=1)
    logits = segmenter_of(graph_of(None, 2, None, None), "classes")._as_logits(raw)
    np.testing.assert_array_equal(logits.argmax(axis=1), numbers[:, 0])
    assert (logits.max(axis=1) - logits.min(axis=1) > 10).all()


def test_graphs_of_other_inputs_and_tiles_beyond_their_size_are_refused() -> None:
    with raises_naming(InputError, "2 inputs", "expected 1"):
        segmenter_of(graph_of(None, 2, None, None, count=2), "logits")
    with raises_naming(InputError, "takes 3 bands", "2 are named: a, b"):
        segmenter_of(graph_of(None, 3, None, None), "logits")
    fixed = segmenter_of(graph_of(None, 2, 32, 32), "logits", side_px=32)
    with raises_naming(InputError, "40 × 16 px", "32 × 32 px", "tile_px=32"):
        fixed.predict_raw(np.zeros((1, 2, 40, 16), np.float32))


@pytest.mark.parametrize(("side_px", "padded"), [(32, (32, 32)), (None, (32, 32))])
def test_smaller_tiles_are_continued_by_their_edges(
    side_px: int | None, padded: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    monkeypatch.setattr(OnnxSegmenter, "raw_output", lambda _, image: seen.append(image) or image)
    graph = graph_of(None, 2, side_px, side_px)
    image = np.random.default_rng(0).random((1, 2, 20, 30)).astype(np.float32)
    raw = segmenter_of(graph, "logits", side_px=side_px).predict_raw(image, margin_px=4)
    assert seen[0].shape[2:] == padded
    np.testing.assert_array_equal(seen[0][:, :, 20:, :30], np.repeat(image[:, :, 19:20], 12, axis=2))
    np.testing.assert_array_equal(raw, image[:, :, 4:16, 4:26])
