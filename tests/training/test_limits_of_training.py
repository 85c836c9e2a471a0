"""Limits at which training data are refused, looked at, or divided otherwise, each from both sides."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.training import batches, ground
from deepnets4eo.training.alike import _check_wavelengths
from deepnets4eo.training.image_masks import ImageMaskFolders
from deepnets4eo.training.mask_legend import MaskContent, legend_of_masks, read_masks
from deepnets4eo.training.recipe import Recipe
from deepnets4eo.training.splits import DataSplit, _block_px, windows_by_area
from deepnets4eo.training.target import TargetSection, measure_target
from deepnets4eo.training.value_losses import _logs


def replaceable(**values: Any) -> Any:
    """Values with `model_copy`, as of a recipe."""
    return SimpleNamespace(**values, model_copy=lambda update: replaceable(**values | update))


@pytest.mark.parametrize(
    ("area_px", "windows"), [(1, 16), (4096, 16), (10 * 4096, 160), (62 * 4096, 992), (63 * 4096, 1000)]
)
def test_an_epoch_shows_each_pixel_sixteen_times_by_two_batches_to_a_thousand_windows(
    area_px: int, windows: int
) -> None:
    split: Any = SimpleNamespace(areas=lambda part: np.array([area_px]))
    recipe = replaceable(data=replaceable(windows_per_epoch=0, tile_px=64), train=SimpleNamespace(usual_batch_size=8))
    assert windows_by_area(split, recipe).data.windows_per_epoch == windows
    assert windows_by_area(split, replaceable(data=replaceable(windows_per_epoch=7))).data.windows_per_epoch == 7


@pytest.mark.parametrize(("shape", "side"), [((20, 100), 16), ((20, 20), 10), ((40, 30), 16), ((1000, 900), 90)])
def test_a_scene_has_two_blocks_of_folds_at_least(shape: tuple[int, int], side: int) -> None:
    assert _block_px(shape, 5) == side


@pytest.mark.parametrize(("learnt", "leaky"), [(0.0100, False), (0.0101, True)])
def test_a_split_leaks_if_more_than_a_hundredth_of_the_validated_ground_is_learnt_from(
    learnt: float, leaky: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataSplit, "learnt_ground", learnt)
    split = DataSplit.__new__(DataSplit)
    object.__setattr__(split, "kind", "blocks")
    assert split.describe_leaks() == {"leaky": leaky} | ({"learnt_ground": 0.0101} if leaky else {})


@pytest.mark.parametrize(("windows", "most"), [(8, 2), (24, 3), (1016, 127), (1024, 128), (1032, 128)])
def test_a_batch_is_an_eighth_of_an_epoch_up_to_128_windows(
    windows: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_Trial", lambda *_: SimpleNamespace(bytes_of=None))
    monkeypatch.setattr(batches, "memory_bytes", lambda _: 1000)
    monkeypatch.setattr(batches, "largest_batch", lambda bytes_of, limit, most: (most, limit))
    recipe = replaceable(
        train=replaceable(batch_size=0, usual_batch_size=8), data=SimpleNamespace(windows_per_epoch=windows)
    )
    samples, compute = SimpleNamespace(read=lambda _: None, windows=lambda _: [0]), SimpleNamespace(device="cuda:0")
    found: Any = batches.with_batch_size(recipe, None, None, samples, compute)  # type: ignore[arg-type]
    assert found.train.batch_size == (most, 500), "of half of the memory"


@pytest.mark.parametrize(("most", "number"), [(3, 2), (4, 4), (128, 64)])
def test_a_batch_is_a_power_of_two_from_two_windows_on(most: int, number: int) -> None:
    assert batches.largest_batch(lambda count: 10 * count, 640, most) == number


def test_scenes_of_one_place_are_compared_with_sixteen_others() -> None:
    pairs = list(ground._pairs_within(range(40)))
    assert [b for a, b in pairs if a == 0] == list(range(1, 17))
    assert len(pairs) == 40 * 16 - sum(range(1, 17))


@pytest.mark.parametrize(("scenes", "looked_at"), [(200, 200), (201, 200)])
def test_ground_that_is_learnt_from_is_counted_in_two_hundred_scenes(
    scenes: int, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def learnt_of(number: int, *_: Any) -> float:
        counted.append(number)
        return 0.5

    monkeypatch.setattr(ground, "_learnt_of", learnt_of)
    monkeypatch.setattr(ground, "overlapping_pairs", lambda given: [(0, other) for other in range(1, len(given))])
    monkeypatch.setattr(ground, "twins_of", lambda given: list(range(len(given))))
    splits: Any = [SimpleNamespace(parts=("train", "val"), area=lambda _: 3.0)] * scenes
    assert ground.learnt_share([None] * scenes, splits, "train", "val") == pytest.approx(0.5)
    assert len(counted) == looked_at


@pytest.mark.parametrize(
    ("first", "shift_nm", "fits"),
    [((500, 502, 504), 5.0, True), ((500, 502, 504), 5.1, False), ((500, 600), 50, True), ((500, 600), 50.1, False), ((500,), 5.1, False)],
)  # fmt: skip
def test_wavelengths_of_scenes_differ_by_five_nanometres_or_half_a_band(
    first: tuple[float, ...], shift_nm: float, fits: bool
) -> None:
    layers: Any = [SimpleNamespace(wavelengths_nm=np.array(first) + shift) for shift in (0, shift_nm)]
    if fits:
        _check_wavelengths(layers, ["a", "b"], "images")
    else:
        with pytest.raises(InputError):
            _check_wavelengths(layers, ["a", "b"], "images")


def test_logarithms_below_three_hundredths_of_the_mean_go_on_as_a_line() -> None:
    truth, known = torch.ones(1, 1, 3), torch.ones(1, 1, 3, dtype=torch.bool)
    apart, _ = _logs(torch.tensor([[[[0.03, 0.015, -0.03]]]]), truth, known)
    base = np.log(0.03)
    np.testing.assert_allclose(apart.numpy().ravel(), [base, base - 0.5, base - 2], rtol=1e-6)


@pytest.mark.parametrize(("values", "asked"), [(20, 20), (21, 0)])
def test_up_to_twenty_classes_are_asked_for_their_names(values: int, asked: int) -> None:
    keys = [(number,) for number in range(2, values + 2)]
    content = MaskContent(dict.fromkeys(keys, 100), dict.fromkeys(keys, "a.png"))
    questions: list[str] = []

    def answer(question: str) -> str:
        questions.append(question)
        return ""

    assert legend_of_masks(content, "a", answer).num_classes == values
    assert len(questions) == asked


def test_colours_of_values_are_saturated_and_apart_by_the_golden_section() -> None:
    """Hues of 0, 0.618 and 0.236 at a saturation of 0.75 and a value of 0.9."""
    keys = [(2,), (3,), (4,)]
    legend = legend_of_masks(MaskContent(dict.fromkeys(keys, 100), dict.fromkeys(keys, "a.png")), "a", None)
    assert [entry.color for entry in legend.classes] == [(230, 57, 57), (57, 108, 230), (158, 230, 57)]
    assert legend.void_color == (0, 0, 0)


@pytest.mark.parametrize(
    ("taken", "void"),
    [([], (0, 0, 0)), ([(0, 0, 0)], (255, 0, 255)), ([(0, 0, 0), (255, 0, 255)], (1, 1, 1)), ([(0, 0, 0), (255, 0, 255), (1, 1, 1)], (254, 0, 254))],
)  # fmt: skip
def test_void_has_a_colour_that_no_class_has(taken: list[tuple[int, int, int]], void: tuple[int, int, int]) -> None:
    keys = [(10, 20, 30), *taken]
    legend = legend_of_masks(MaskContent(dict.fromkeys(keys, 100), dict.fromkeys(keys, "a.png")), "a", None)
    assert legend.void_color == void


@pytest.mark.parametrize(("values", "is_refused"), [(32, False), (33, True)])
def test_a_jpeg_of_more_than_32_values_is_no_mask(values: int, is_refused: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    levels = np.repeat(7 * np.arange(values, dtype=np.uint8), 8)  # JPEG keeps blocks of one value
    Image.fromarray(np.tile(levels, (8, 1))).save(path, quality=100)
    if is_refused:
        with pytest.raises(InputError, match="is a JPEG with 33 colours or values"):
            read_masks([str(path)])
    else:
        assert len(read_masks([str(path)]).pixels) == 32


@pytest.mark.parametrize(("pairs", "whole"), [(9, False), (10, True)])
def test_whole_images_are_withheld_from_ten_on(pairs: int, whole: bool) -> None:
    files = {f"{number}": (Path(f"{number}.png"), Path(f"m{number}.png")) for number in range(pairs)}
    folders: Any = SimpleNamespace(pairs=lambda: files, _legend=lambda *_: "two")
    recipe = Recipe()
    values = ImageMaskFolders.overrides(folders, recipe, set(), Path("run"))
    assert ("data.split=scenes" in values) is whole


@pytest.mark.parametrize(("windows", "read"), [(200, 200), (201, 200)])
def test_the_scale_of_a_target_is_measured_on_two_hundred_windows(windows: int, read: int) -> None:
    places: list[Window] = []

    def take(window: Window, _: Any) -> dict[str, Any]:
        places.append(window)
        return {"height": np.full((1, 1, 1), len(places), np.float32), "valid": np.ones((1, 1), bool)}

    scene = SimpleNamespace(read=take, layers={"height": SimpleNamespace(source="a.tif")})
    split: Any = SimpleNamespace(
        scenes=[SimpleNamespace(scene=scene)], mask=lambda *_: np.ones((1, 1), bool),
        windows=lambda *_: [SimpleNamespace(scene=0, window=Window(row, 0, 1, 1)) for row in range(windows)],
    )  # fmt: skip
    target = TargetSection(factor=2)
    assert measure_target(split, target, target.resolve_quantity()).pixels == read
    assert len(places) == read
