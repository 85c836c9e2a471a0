"""Limits of what networks take and of the files that hold them, each from both sides, and published values by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from torch import nn

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import Grid
from deepnets4eo.prediction.preparation import _check_size
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmentation.light_unet import ScaledConv
from deepnets4eo.segmenters import int8_network, olmoearth
from deepnets4eo.segmenters.dated_encoders import GALILEO, PRESTO, DatedTensors
from deepnets4eo.segmenters.dated_maps import DatedMaps, _unit
from deepnets4eo.segmenters.encoder_files import TransformerSizes
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput
from deepnets4eo.segmenters.int8_network import Int8Network
from deepnets4eo.segmenters.olmoearth import waves
from deepnets4eo.segmenters.onnx_card import _check_lists, _layer
from deepnets4eo.segmenters.onnx_graph import _looked_at
from deepnets4eo.segmenters.onnx_segmenter import OnnxSegmenter
from deepnets4eo.segmenters.stretch import needed_stretch
from deepnets4eo.segmenters.tensor_names import file_names
from deepnets4eo.segmenters.units import InUnits
from deepnets4eo.segmenters.value_ranges import ValueRange


def range_of(*bands: tuple[float, float]) -> ValueRange:
    lows, highs = np.array(bands, float).T
    return ValueRange(lows, highs, lows.min(), highs.max(), lows == highs)


@pytest.mark.parametrize(("bands", "highest", "is_other"), [(3, 2.0, True), (3, 2.01, False), (2, 0.1, False)])
def test_three_bands_that_are_fifty_times_smaller_are_of_another_unit(
    bands: int, highest: float, is_other: bool
) -> None:
    found = range_of(*[(0, highest)] * (bands - 1), (0, 0.1))
    assert found.is_other_unit(range_of(*[(0, 100)] * bands)) is is_other


USUAL = (10.0, 1000.0)


@pytest.mark.parametrize(
    ("seen", "expected", "named"),
    [
        ([(0, 10_000), USUAL], [USUAL, USUAL], ["a"]),  # ten times larger
        ([(0, 9_990), USUAL], [USUAL, USUAL], []),
        ([(0, 9.99), USUAL], [USUAL, USUAL], ["a"]),  # a hundred times smaller, and darker than any in training
        ([(0, 9.99), USUAL], [(9.995, 998), USUAL], []),
        ([(0, 1.0), USUAL], [(0, 1000), USUAL], ["a"]),  # a thousand times smaller, where as dark ones were learnt from
        ([(0, 1.1), USUAL], [(0, 1000), USUAL], []),
        ([(0, 20.0)], [(0, 1000)], ["a"]),  # a single band by fifty times
        ([(0, 20.1)], [(0, 1000)], []),
        ([(0, 100.0)] * 3, [(0, 1000)] * 3, ["a", "b", "c"]),  # all of three bands by ten times
        ([(0, 100.1)] * 3, [(0, 1000)] * 3, []),
        ([(0, 100.0)] * 2, [(0, 1000)] * 2, []),
    ],
)  # fmt: skip
def test_bands_of_another_order_of_magnitude_are_named(
    seen: list[tuple[float, float]], expected: list[tuple[float, float]], named: list[str]
) -> None:
    words = range_of(*seen).strange_bands(range_of(*expected), "abc"[: len(seen)])
    assert [word[0] for word in words] == named


@pytest.mark.parametrize(
    ("sides_m", "trained_m", "words"),
    [
        ((1.0, 3.0), 1.73, ""), ((1.0, 3.1), 1.76, "1 × 3.1 m, those of training 1.76 m (and square)"),
        ((1.0, 1.09), 5.0, "measure 1.04 m, those of training 5 m (more than a factor of 2)"), ((1.0, 1.11), 5.0, "1 × 1.11 m"),
    ],
)  # fmt: skip
def test_pixels_up_to_three_times_as_long_as_wide_are_labelled_and_two_sides_named_from_a_tenth_on(
    sides_m: tuple[float, float], trained_m: float, words: str
) -> None:
    grid = Grid((20, 20), Affine(sides_m[0], 0, 500_000, 0, -sides_m[1], 100_000), "EPSG:32631")
    layer = LayerInput(("red",), (0.0,), (1.0,), 0.0, 255.0)
    scene = Scene({"image": Layer.open(np.ones((1, 20, 20), np.uint8), grid=grid)}, grid)
    found = InputSpec({"image": layer}, trained_m)._check_gsd(scene, 2)
    assert len(found) == bool(words)
    assert words in "".join(found)


@pytest.mark.parametrize(("high", "stretched"), [(25.0, True), (24.0, False)])
def test_images_are_stretched_for_runs_of_bytes_that_span_25(high: float, stretched: bool) -> None:
    names = ("red", "green", "blue")
    expected = LayerInput(names, (12.0,) * 3, (3.0,) * 3, 0.0, high, "uint8")
    values = np.random.default_rng(0).integers(300, 3000, (3, 40, 40)).astype(np.uint16)
    assert (needed_stretch(expected, Layer.open(values)) is not None) is stretched


@pytest.mark.parametrize(("weights", "is_refused"), [(9, True), (8, False)])
def test_two_encoders_with_nine_tenths_of_the_weights_are_refused(weights: int, is_refused: bool) -> None:
    expected = {f"w{number}": torch.zeros(2) for number in range(10)}
    tensors = {f"{name}.w{number}": torch.full((2,), value) for number in range(weights) for name, value in (("a", 0.0), ("b", 1.0))}  # fmt: skip
    if is_refused:
        with pytest.raises(InputError, match=r"hold several encoders of this kind \(a\.w0, b\.w0\)"):
            file_names(expected, tensors, "a.pt")
    else:
        assert len(file_names(expected, tensors, "a.pt")) == 8


@pytest.mark.parametrize(
    ("output", "deviation"), [(0.0, 2.0), (10.0, 2 * np.e**5), (11.0, 2 * np.e**5), (-11.0, 2 * np.e**-5)]
)
def test_deviations_are_148_scales_at_most(output: float, deviation: float) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1))
    nn.init.zeros_(network[0].weight)
    network[0].bias.data = torch.tensor([3.0, output])
    with torch.inference_mode():
        found = InUnits(network, offset=1.0, scale=2.0, deviation=True)(torch.zeros(1, 1, 1, 1))
    np.testing.assert_allclose(found.numpy().ravel(), [7, deviation], rtol=1e-5)


@pytest.mark.parametrize(
    ("highest", "factor"), [(1.0, 10_000), (2.0, 10_000), (2.1, 1), (20_000, 1), (20_001, None), (0, None)]
)
def test_reflectance_is_a_share_or_its_ten_thousandfold_up_to_twice_that_of_white(
    highest: float, factor: float | None
) -> None:
    assert _unit(highest) == factor


@pytest.mark.parametrize(("valid_px", "seen"), [(8, True), (7, False)])
def test_patches_of_which_half_is_valid_are_described_with_the_mean_of_their_pixels(valid_px: int, seen: bool) -> None:
    maps = DatedMaps.__new__(DatedMaps)
    vars(maps).update(patch_px=4, _factor=np.float32(2), _shift=np.float32(1))
    valid = (np.arange(16) < valid_px).reshape(4, 4)
    values, enough = maps._patches(np.where(valid, 5, 900).astype(np.float32)[None], valid)
    assert values.tolist() == np.full((1, 1, 1, 4, 4), 11.0).tolist()
    assert enough.tolist() == [[seen]]


@pytest.mark.parametrize(
    ("kind", "band", "scale"),
    [
        (PRESTO, "VV", (4.8871 / 25, (25 - 11.7287) / 25)), (PRESTO, "VH", (5.7303 / 25, (25 - 18.8556) / 25)),
        (PRESTO, "B02", (0.0917704, 0.1395341)), (PRESTO, "B03", (0.0913299, 0.1338403)), (PRESTO, "B04", (0.1092679, 0.1343099)),
        (PRESTO, "B05", (0.1047221, 0.1543861)), (PRESTO, "B06", (0.1048010, 0.2186202)), (PRESTO, "B07", (0.1143690, 0.2525093)),
        (PRESTO, "B08", (0.1098979, 0.2410338)), (PRESTO, "B8A", (0.1204473, 0.2750285)), (PRESTO, "B11", (0.1145977, 0.2234911)),
        (PRESTO, "B12", (0.0980243, 0.1474531)), (PRESTO, "NDVI", (1, 0)), (GALILEO, "B02", (0.25, 0.5)),
    ],
)  # fmt: skip
def test_encoders_with_months_read_decibel_from_minus_25_and_shares_of_white(
    kind: Any, band: str, scale: tuple[float, float]
) -> None:
    file = DatedTensors.__new__(DatedTensors)
    object.__setattr__(file, "kind", kind)
    assert file._scale(band) == pytest.approx(scale)


@pytest.mark.parametrize(("width", "heads"), [(32, 1), (128, 8), (192, 3), (384, 6), (1024, 16), (4096, 32)])
def test_heads_are_64_wide_but_of_the_smallest_and_the_largest_encoder(width: int, heads: int) -> None:
    file: Any = SimpleNamespace(width=width, groups=("a",), pair=None, kind="galileo", depth=2, hidden=4 * width, patch_px=8)  # fmt: skip
    assert TransformerSizes._of_dated(file, "a.pt").heads == heads


@pytest.mark.parametrize(("patch_px", "fits"), [(0, False), (1, True), (64, True), (65, False)])
def test_patches_of_published_encoders_have_up_to_64_pixels(patch_px: int, fits: bool) -> None:
    file: Any = SimpleNamespace(width=64, groups=("a",), pair=None, kind="galileo", depth=2, hidden=256, patch_px=patch_px)  # fmt: skip
    if fits:
        assert TransformerSizes._of_dated(file, "a.pt").patch_px == patch_px
    else:
        with pytest.raises(InputError, match="with sizes that no encoder has"):
            TransformerSizes._of_dated(file, "a.pt")


def test_positions_of_olmoearth_have_periods_up_to_a_hundredth_of_the_usual_ones() -> None:
    speeds = [1, 10_000 ** (-1 / 16), 10_000 ** (-2 / 16), 10_000 ** (-3 / 16)]
    angles = 3 * np.array(speeds)
    np.testing.assert_allclose(waves(torch.tensor([3.0]), 8)[0], [*np.sin(angles), *np.cos(angles)], rtol=1e-5)


@pytest.mark.parametrize(
    ("seconds", "difference", "scene_px", "runtime"),
    [
        (0.80, 0.10, 192**2, "onnx-int8"), (0.81, 0.10, 192**2, "pytorch"), (0.80, 0.101, 192**2, "pytorch"),
        (0.5, 0.05, 2 * 192**2, "onnx-int8"), (0.5, 0.05, 4 * 192**2, "openvino"),
    ],
)  # fmt: skip
def test_a_runtime_is_used_if_it_is_a_quarter_faster_and_its_logits_differ_by_a_tenth(
    seconds: float, difference: float, scene_px: int, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO takes 0.4 s per image of 192² pixels and 0.9 s to start, ONNX Runtime `seconds` and 0.6 s; PyTorch 1 s."""
    measured = {
        "pytorch": 1.0, "onnx-int8": seconds, "onnx-int8 start": 0.6, "onnx-int8 difference": difference,
        "openvino": 0.4 if seconds < 0.6 else 2.0, "openvino start": 0.9, "openvino difference": 0.01,
    }  # fmt: skip
    kinds = [int8_network.INT8, "openvino"]
    monkeypatch.setattr(int8_network, "measured_runtimes", lambda: dict.fromkeys(kinds, "numpy"))
    monkeypatch.setattr(
        int8_network, "kept_measurement", lambda *_: {WORDS.get(key, key): value for key, value in measured.items()}
    )
    network: Any = SimpleNamespace(graph=SimpleNamespace(digest="a" * 64), measure=None)
    assert Int8Network.fastest_runtime(network, scene_px) == WORDS.get(runtime, runtime)


WORDS = {"pytorch": int8_network.TORCH, "onnx-int8": int8_network.INT8}


@pytest.mark.parametrize(("halo_px", "fits"), [(0, True), (4096, True), (4097, False), (-1, False), (True, False)])
def test_a_card_of_a_network_states_a_halo_of_up_to_4096_pixels(halo_px: int, fits: bool) -> None:
    if fits:
        _check_lists({"halo_px": halo_px}, Path("card.yaml"))
    else:
        with pytest.raises(InputError, match="a halo of 0 to 4096 px"):
            _check_lists({"halo_px": halo_px}, Path("card.yaml"))


def test_a_wrong_value_of_a_card_is_shown_up_to_sixty_characters() -> None:
    with pytest.raises(InputError) as refused:
        _check_lists({"bands": {"a" * 100: 1}}, Path("card.yaml"))
    assert "= {'" + "a" * 58 + ";" in str(refused.value)


def test_images_of_imagenet_are_bytes_with_its_mean_and_deviation() -> None:
    layer = _layer(["red", "green", "blue"], {"normalisation": "imagenet"}, "a.onnx")
    assert layer.mean == pytest.approx((123.675, 116.28, 103.53))
    assert layer.std == pytest.approx((58.395, 57.12, 57.375))
    assert (layer.low, layer.high) == (0, 255)


@pytest.mark.parametrize(("size_m", "nearest_m"), [(0.201, None), (0.199, 0.2), (1.49, None), (1.51, 1.5)])
def test_runs_of_any_size_take_pixels_of_0_2_to_1_5_metres(size_m: float, nearest_m: float | None) -> None:
    grid = Grid((20, 20), Affine(size_m, 0, 500_000, 0, -size_m, 100_000), "EPSG:32631")
    if nearest_m is None:
        _check_size(grid)
    else:
        with pytest.raises(RunError, match=f"gdalwarp -tr {nearest_m:g} {nearest_m:g}"):
            _check_size(grid)


def test_windows_are_scaled_by_their_own_spread_and_a_twentieth() -> None:
    """Pixels of 0 and 1 lie half a unit from their mean, with a spread of one half; the last band stays."""
    layer = ScaledConv(2, 2, 1, bias=False)
    layer.unscaled_bands = 1
    layer.weight.data = torch.eye(2)[:, :, None, None]
    image = torch.tensor([[[[0.0, 1.0]], [[7.0, 9.0]]]])
    with torch.inference_mode():
        found = layer(image).numpy()
    np.testing.assert_allclose(found, [[[[-0.5 / 0.55, 0.5 / 0.55]], [[7, 9]]]], rtol=1e-5)


@pytest.mark.parametrize(("margin", "side"), [({}, 12), ({"margin_px": 3}, 6)])
def test_networks_of_others_label_whole_tiles_unless_a_margin_is_named(margin: dict[str, int], side: int) -> None:
    segmenter = OnnxSegmenter.__new__(OnnxSegmenter)

    def scores(image: np.ndarray, margin_px: int) -> np.ndarray:
        inner = slice(margin_px, image.shape[2] - margin_px)
        return image[:, :2, inner, inner]

    vars(segmenter)["_scores"] = scores
    batch = np.random.default_rng(0).random((2, 3, 12, 12)).astype(np.float32)
    raw = segmenter.predict_raw(batch, **margin)
    assert raw.shape == (2, 2, side, side)
    np.testing.assert_allclose(
        segmenter.predict_proba(batch, **margin).sum(axis=1), np.ones((2, side, side)), rtol=1e-5
    )
    np.testing.assert_array_equal(segmenter.predict_classes(batch, **margin), raw.argmax(axis=1))
    network: Any = SimpleNamespace(
        facts=SimpleNamespace(prepare=lambda images, **_: images), scaled_beforehand=False, _compute=lambda image, *_, **__: image[:2],
    )  # fmt: skip
    assert Int8Network.logits(network, batch, **margin).shape == (2, 2, side, side)


def field_of(number: int, content: bytes | int) -> bytes:
    """A field of a message of protobuf: a whole number, or a text of up to 127 bytes."""
    key, value = (
        (number << 3, bytes([content]))
        if isinstance(content, int)
        else (number << 3 | 2, bytes([len(content)]) + content)
    )
    head = bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])
    return head + value


@pytest.mark.parametrize(
    "path",
    [
        (7, 5), (7, 15, 1), (7, 15, 2), (7, 1, 5, 5), (7, 1, 5, 10), (7, 1, 5, 6, 5), (7, 1, 5, 11, 5), (7, 1, 5, 22, 1), (7, 1, 5, 23, 2),
        (20, 1, 5), (20, 2, 5), (25, 7, 5, 5),
    ],
)  # fmt: skip
def test_external_data_are_seen_wherever_a_graph_may_hold_tensors(path: tuple[int, ...]) -> None:
    """By the numbers of onnx.proto: graph 7, training 20, functions 25; nodes 1, initializers 5, sparse ones 15, attributes 5."""
    for tensor, seen in ((field_of(13, b"file"), ("EXTERNAL_DATA", "file")), (field_of(14, 1), ("DATA_LOCATION", 1))):
        message = tensor
        for number in reversed(path):
            message = field_of(number, message)
        assert list(_looked_at(memoryview(message), "model")) == [seen]


@pytest.mark.parametrize("path", [(7, 1), (25, 7)])
def test_operators_are_seen_in_graphs_and_functions(path: tuple[int, ...]) -> None:
    message = field_of(4, b"Loop")
    for number in reversed(path):
        message = field_of(number, message)
    assert list(_looked_at(memoryview(message), "model")) == [("OPERATOR", "Loop")]


@pytest.mark.parametrize(("step", "apart"), [(None, 8), (4.0, 4.0)])
def test_patches_of_olmoearth_are_eight_pixels_apart_unless_they_are_resampled(
    step: float | None, apart: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []

    def positions(side: int, step: float) -> torch.Tensor:
        asked.append((side, step))
        return torch.ones(1, 2 * side**2, 8)

    grouped = SimpleNamespace(
        month=torch.zeros(2), before="e.", groups={0: (), 1: ()}, patches=lambda: (torch.zeros(1), torch.zeros(1)), positions=positions,
    )  # fmt: skip
    monkeypatch.setattr(olmoearth, "GroupedPatches", lambda *_: grouped)
    found = olmoearth.grouped_patches({}, ("B02",), 19, (16, 1, 8, 8), step)
    assert asked == [(3, apart)]
    assert found["e.pos_embed"].sum(dim=2).tolist() == [[0.0, *[8.0] * 18]]
