"""What is known of networks of others, and of what a page of changes shows: each statement against values by hand."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.change import page
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import write_yaml
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, LayerInput, onnx_card
from deepnets4eo.segmenters.inputs import _mean_and_deviation, is_flat, scaling_of
from deepnets4eo.segmenters.onnx_card import ForeignNetwork, named_legend
from deepnets4eo.segmenters.onnx_options import card_path


def tensor(*shape: int | None, dtype: str = "float") -> Any:
    return SimpleNamespace(name="x", shape=shape, dtype=dtype)


def graph(inputs: Any = (), outputs: Any = (), **metadata: str) -> Any:
    return SimpleNamespace(
        source="net.onnx", inputs=list(inputs), outputs=list(outputs), metadata=metadata, digest="abc"
    )


IMAGE, SCORES = tensor(None, 3, None, None), tensor(None, 2, None, None)


@pytest.mark.parametrize(
    ("inputs", "outputs", "named"),
    [
        ([IMAGE], [SCORES], None), ([IMAGE, IMAGE], [SCORES], None), ([IMAGE], [tensor(1, dtype="int64")], None), ([IMAGE], [tensor(1, dtype="bool")], None),
        ([], [SCORES], "takes nothing and has 1 outputs"), ([IMAGE], [], "takes float and has 0 outputs"), ([IMAGE, tensor(1, dtype="double")], [SCORES], "takes float, double"),
        ([IMAGE], [tensor(1, dtype="string")], "returns string"),
    ],
)  # fmt: skip
def test_a_network_takes_images_of_floats_and_returns_numbers(inputs: Any, outputs: Any, named: str | None) -> None:
    if named is None:
        onnx_card._check_tensors(graph(inputs, outputs))
        return
    with raises_naming(InputError, "net.onnx", named):
        onnx_card._check_tensors(graph(inputs, outputs))


class Returning:
    """A segmenter that returns given numbers."""

    def __init__(self, raw: Any, activation: str) -> None:
        self.facts, self.graph = SimpleNamespace(activation=activation), SimpleNamespace(source="net.onnx")
        self.inputs, self.raw, self.seen = SimpleNamespace(in_channels=3), np.array(raw), list[Any]()

    def raw_output(self, image: np.ndarray) -> np.ndarray:
        self.seen.append((image.shape, str(image.dtype), bool(0 <= image.min() < image.max() <= 1)))
        return self.raw

    def predict_raw(self, image: np.ndarray) -> None:
        self.seen.append((image.shape, image.any()))


@pytest.mark.parametrize(
    ("raw", "activation", "named"),
    [
        ([0.0, 1.0], "probabilities", None), ([-0.001, 1.001], "probabilities", None), ([-0.002, 1.0], "probabilities", "-0.002 to 1"), ([0.0, 1.002], "probabilities", "0 to 1"),
        ([-7.0, 9.0], "logits", None), ([np.nan, 0.5], "probabilities", None), ([np.nan, np.inf], "logits", "no finite number"), ([1, 2], "classes", None),
        ([1, 2], "logits", "whole numbers, but activation=logits"), ([1, 2], "probabilities", "whole numbers"),
    ],
)  # fmt: skip
def test_what_a_network_returns_is_as_it_is_stated(raw: Any, activation: str, named: str | None) -> None:
    segmenter: Any = Returning(raw, activation)
    if named is None:
        onnx_card._check_scores(segmenter, 8)
        assert segmenter.seen == [((1, 3, 8, 8), "float32", True), ((1, 3, 8, 8), False)]
        return
    with raises_naming(InputError, "net.onnx", named):
        onnx_card._check_scores(segmenter, 8)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, None), ({"bands": "red, nir"}, None), ({"bands": ["red"], "halo_px": 0, "mean": [1, 2.5], "std": None}, None), ({"bands": []}, "bands = []"),
        ({"bands": ""}, "bands"), ({"bands": ["red", ""]}, "bands"), ({"bands": [1]}, "bands"), ({"bands": {"a": 1}}, "bands"), ({"halo_px": -1}, "halo_px = -1"),
        ({"halo_px": 4097}, "halo_px"), ({"halo_px": 4096}, None), ({"halo_px": True}, "halo_px"), ({"halo_px": 1.0}, "halo_px"), ({"mean": [np.inf]}, "mean"),
        ({"std": [True]}, "std"), ({"std": 3}, "std"),
    ],
)  # fmt: skip
def test_lists_of_a_card_are_names_and_finite_numbers(values: dict[str, Any], named: str | None) -> None:
    if named is None:
        onnx_card._check_lists(values, Path("card.yaml"))
        return
    with raises_naming(InputError, "card.yaml", named):
        onnx_card._check_lists(values, Path("card.yaml"))


def test_a_card_next_to_a_file_is_read_and_one_of_other_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    assert onnx_card._kept(path) == {}
    values = {"bands": ["red"], "activation": "logits", "halo_px": 8, "network_sha256": "abc"}
    write_yaml(card_path(path), values)
    assert onnx_card._kept(path) == values
    write_yaml(card_path(path), values | {"colour": 1})
    with raises_naming(InputError, "unknown keys: colour"):
        onnx_card._kept(path)


def test_a_legend_is_given_by_its_name_its_classes_or_as_plain_values() -> None:
    xbd = Legend.load("xbd")
    path = Path("roofs.onnx")
    assert onnx_card._legend(xbd, path) is xbd
    assert onnx_card._legend(xbd.to_dict(), path).names == xbd.names
    assert onnx_card._legend("xbd", path).names == xbd.names
    own = onnx_card._legend("background, building", path)
    assert (own.name, own.names, own.values) == ("roofs", ("background", "building"), (0, 1))
    many = named_legend([f"c{k}" for k in range(30)], "many")
    assert len({entry.color for entry in many.classes}) == 30
    assert all(0 <= part <= 255 for entry in many.classes for part in entry.color)


@pytest.mark.parametrize(
    ("inputs", "outputs", "bands", "scores"),
    [
        (IMAGE, SCORES, "3 bands (nchw)", "2 scores"), (tensor(None, None, None, 4), tensor(None, None, None, 5), "4 bands (nhwc)", "5 scores"),
        (tensor(None, None, None, None), tensor(None, 2), "some bands (nchw)", "some scores"),
    ],
)  # fmt: skip
def test_what_is_not_stated_is_asked_for_once(inputs: Any, outputs: Any, bands: str, scores: str) -> None:
    question = onnx_card._ask(Path("net.onnx"), graph([inputs], [outputs]), ["bands", "activation"])
    assert question == (
        f"net.onnx takes {bands} and returns {scores}; it does not state: bands, activation. State them once, for example: "
        "deepnets4eo models add net.onnx --set bands=red,green,blue --set activation=logits"
    )


def test_metadata_of_deepness_and_of_our_own_exports_are_understood() -> None:
    assert onnx_card._stated(graph([IMAGE], [SCORES])) == {}
    words = {"class_names": json.dumps({"1": "road", "0": "other"}), "resolution": "20", "standardization_mean": "[0.5, 0.5, 0.5]", "standardization_std": "[0.1, 0.2, 0.4]", "author": "{"}  # fmt: skip
    found = onnx_card._stated(graph([IMAGE], [SCORES], **words))
    assert [entry["name"] for entry in found.pop("legend")["classes"]] == ["other", "road"]
    assert found == {
        "layout": "nchw", "bands": ["red", "green", "blue"], "mean": [127.5] * 3, "std": pytest.approx([25.5, 51, 102]), "normalisation": "none",
        "activation": "probabilities", "gsd_m": 0.2,
    }  # fmt: skip
    plain = onnx_card._stated(graph([tensor(None, 4, None, None)], [SCORES], class_names='{"0": "a", "1": "b"}'))
    assert (plain["normalisation"], "bands" in plain, "gsd_m" in plain, "mean" in plain) == ("percentile", False, False, False)  # fmt: skip


def test_a_network_is_described_in_three_lines() -> None:
    def lines(side: int | None) -> list[str]:
        segmenter: Any = SimpleNamespace(
            facts=SimpleNamespace(side_px=side, layout="nchw", activation="logits"), tiling=SimpleNamespace(tile_px=576, halo_px=32),
            legend=SimpleNamespace(names=("a", "b")),
        )  # fmt: skip
        return ForeignNetwork(segmenter, {"bands": ["red", "nir"], "normalisation": "none"}).lines()

    first = ["bands: red, nir (nchw, none)", "classes: a, b (logits)"]
    assert lines(None) == [*first, "tiles: 576 px with a halo of 32 px, measured; the network takes any size"]
    assert lines(576)[2].endswith("the network takes 576 px")


def test_means_are_of_values_without_far_outliers_and_flat_bands_are_divided_by_one() -> None:
    values = np.append(np.linspace(0, 100, 1001), 10_000.0)
    assert _mean_and_deviation(values, np.inf) == pytest.approx((values.mean(), values.std()))
    assert _mean_and_deviation(values, 1.0) == pytest.approx((50, values[:-1].std()))
    assert _mean_and_deviation(np.append(np.zeros(999), 7.0), 1.0) == pytest.approx((0.007, 0.2213), abs=1e-4)
    assert is_flat(np.array([1e-12, 0.1]), np.array([100.0, 100.0])).tolist() == [True, False]
    assert scaling_of(np.array([1.23456789, 5.0]), np.array([2.0, 0.0])) == ((1.234568, 5.0), (2.0, 1.0))
    small = scaling_of(np.array([1.23456789e-5]), np.array([2.5e-5]))
    assert small[1] == (2.5e-5,)
    assert small[0][0] == pytest.approx(1.23456789e-5, rel=1e-4)


LAYER = LayerInput(("red", "nir"), (100.0, 50.0), (10.0, 5.0), 0, 255)


def test_a_sample_is_standardised_layer_by_layer() -> None:
    spec = InputSpec({"image": LAYER, "dsm": LayerInput(("height",), (20.0,), (4.0,), 0, 99, "float32", optional=True)})
    image, valid = np.array([[[110, 100]], [[50, 60]]], np.uint8), np.array([[True, True]])
    both = spec.prepare({"image": image, "dsm": np.array([[[24.0, 12.0]]]), "valid": valid})
    assert both.tolist() == [[[1, 0]], [[0, 2]], [[1, -2]]]
    assert spec.prepare({"image": image, "valid": np.array([[True, False]])}).tolist() == [[[1, 0]], [[0, 0]], [[0, 0]]]
    constant = InputSpec({"image": LayerInput(("a", "b"), (3.0, 50.0), (1.0, 5.0), 0, 255, band_low=(3.0, 0.0), band_high=(3.0, 99.0), constant=(0,))})  # fmt: skip
    assert constant.prepare({"image": image, "valid": valid}).tolist() == [[[0, 0]], [[0, 2]]]  # whatever the image has
    assert (spec.names, spec.in_channels) == (["image", "dsm"], 3)
    scene = Scene({"image": Layer.open(image)}, Layer.open(image).grid)
    assert (spec.present(scene), spec.with_optional(["image"]).layers["dsm"].optional) == (["image"], False)
    assert [layer.nodata for layer in spec.with_nodata({"dsm": -1}).layers.values()] == [None, -1]


@pytest.mark.parametrize("gsd_m", [None, 0.5, 3])
def test_a_spec_is_read_as_it_was_written(gsd_m: float | None) -> None:
    spec = InputSpec({"image": LAYER}, gsd_m)
    assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    "changed",
    [
        {"gsd_m": 0}, {"gsd_m": -1}, {"gsd_m": "3"}, {"gsd_m": float("inf")}, {"layers": {}}, {"std": [0.0, 1.0]}, {"std": [1.0]}, {"mean": [float("nan"), 1.0]}, {"bands": []},
        {"dtype": "float99"}, {"band_low": [1.0], "band_high": [2.0]}, {"band_low": [1.0, 1.0], "band_high": [2.0, 2.0], "constant": [2]},
    ],
)  # fmt: skip
def test_a_spec_that_describes_no_inputs_is_refused(changed: dict[str, Any]) -> None:
    values = json.loads(json.dumps(InputSpec({"image": LAYER}, 0.5).to_dict()))
    for key, value in changed.items():
        (values if key in values else values["layers"]["image"])[key] = value
    with pytest.raises(RunError, match="cannot read"):
        InputSpec.from_dict(values)


def test_layers_that_lack_are_named_unless_they_are_optional(caplog: pytest.LogCaptureFixture) -> None:
    image = Layer.open(np.full((2, 8, 8), 90, np.uint8)).with_names(["red", "nir"])
    spec = InputSpec({"image": LAYER, "dsm": LayerInput(("height",), (0.0,), (1.0,), 0, 9, optional=True), "clicks": LayerInput(("a",), (0.0,), (1.0,), 0, 9, optional=True)})  # fmt: skip
    with caplog.at_level(logging.WARNING):
        assert spec.problems(Scene({"image": image}, image.grid)) == []
    assert caplog.messages == ["The scene has no layer 'dsm'; the run was trained to do without it, and does."]
    (missing,) = spec.problems(Scene({"dsm": Layer.open(np.zeros((1, 8, 8), np.uint8))}, image.grid))
    assert missing == "layer 'image' is missing (the scene has ['dsm']); give image=FILE, or train with train.modality_dropout={image: 0.3} to do without"  # fmt: skip


def test_a_page_of_changes_lists_transitions_by_area_and_shows_what_is_in_doubt() -> None:
    areas = [10_000.0, 30_000.0, 5_000.0, 20_000.0]
    polygons = gpd.GeoDataFrame({"area_m2": areas}, geometry=[shapely.box(0, 0, 1, 1)] * 4)
    (only,), numbers = page._classes(polygons)
    assert (only["title"], only["count"], only["area_ha"], numbers.tolist()) == ("Change", 4, 6.5, [0] * 4)
    pairs = polygons.assign(**{"from": ["grass", "grass", None, "grass"], "to": ["road", "roof", "roof", "road"]})
    classes, numbers = page._classes(pairs)
    listed = [(entry["key"], entry["title"], entry["count"], entry["area_ha"]) for entry in classes]
    assert listed == [("class-0", "grass → road", 2, 3.0), ("class-1", "grass → roof", 1, 3.0), ("class-2", "– → roof", 1, 0.5)]  # fmt: skip
    assert numbers.tolist() == [0, 1, 2, 0]
    labels = Layer.open(np.ones((1, 4, 4), np.uint8))
    drawn: Any = SimpleNamespace(labels=labels)
    (plain,) = page._overlays(SimpleNamespace(doubt=None), drawn, {})  # type: ignore[arg-type]
    assert (plain.title, plain.unknown, plain.is_unknown_visible) == ("", "Not compared", True)
    doubt = Layer.open(np.ones((2, 4, 4), np.uint8))
    for area, visible in (({}, False), ({"changed_in_doubt_ha": 0.0}, False), ({"changed_in_doubt_ha": 0.1}, True)):
        found = page._overlays(SimpleNamespace(doubt=doubt), drawn, area)  # type: ignore[arg-type]
        assert [overlay.is_visible for overlay in found[1:]] == [visible] * 2
        assert [overlay.layer.bands for overlay in found[1:]] == [[1], [2]]
