"""Views that are kept to train on: which are, how an epoch draws them, what is hidden from it, and when a network is validated."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud_data import PointPart
from deepnets4eo.points.rgbd import training as frames
from deepnets4eo.points.views import training
from deepnets4eo.points.views.snapshots import ViewLayer, snapshot_inputs
from deepnets4eo.points.views.training import RenderedViews, ValidationViews, ViewSamples, ViewStore, read_view
from deepnets4eo.training import SegmentationCriterion

LEGEND = Legend.from_dict(
    {
        "name": "two",
        "classes": [
            {"value": 0, "name": "ground", "color": [90, 60, 0]},
            {"value": 1, "name": "tree", "color": [0, 255, 0]},
        ],
    }
)
LEARNT, WITHHELD, NEITHER = PointPart.learnt, PointPart.withheld, PointPart.neither
SPLIT: Any = SimpleNamespace(validated=True, leaky=False, describe=lambda: "by clouds")


@pytest.fixture
def rendered(tmp_path: Path) -> RenderedViews:
    return RenderedViews(LEGEND, SPLIT, snapshot_inputs(["composite"], "depth"), ViewStore(tmp_path))


def view(labels: np.ndarray, third: int = 100) -> dict[str, np.ndarray]:
    composite = np.zeros((3, *labels.shape), np.uint8)
    composite[2] = third
    return {ViewLayer.composite: composite, ViewLayer.labels: labels.astype(np.uint8)}


@pytest.mark.parametrize(
    ("side", "learnt", "withheld", "kept"),
    [
        (4, 1, 0, ([0], [])),  # one pixel at least
        (4, 0, 1, ([], [0])),
        (4, 0, 0, ([], [])),
        (20, 4, 3, ([0], [])),  # one percent
        (20, 3, 4, ([], [0])),
        (20, 3, 3, ([], [])),
    ],
)
def test_a_view_is_kept_for_the_part_of_which_it_shows_a_percent(
    rendered: RenderedViews, side: int, learnt: int, withheld: int, kept: Any
) -> None:
    labels, part = np.full(side * side, VOID), np.full(side * side, NEITHER, np.uint8)
    labels[: learnt + withheld + 1] = 1  # the last of neither part
    part[:learnt], part[learnt : learnt + withheld] = LEARNT, WITHHELD
    rendered.add(view(labels.reshape(side, side)), part.reshape(side, side))
    assert (rendered.learnt, rendered.withheld, len(rendered.store)) == (*kept, bool(kept[0] or kept[1]))
    assert rendered.training_pixels == [0, learnt if kept[0] else 0]


def test_what_is_learnt_hides_withheld_faces_and_their_border(rendered: RenderedViews) -> None:
    labels = np.array([[0, 1, 0, 1, 1]])
    part = np.array([[LEARNT, WITHHELD, NEITHER, RenderedViews.border, RenderedViews.nothing]], np.uint8)
    rendered.add(view(labels), part)
    learnt, tested = (read_view(rendered, 0, which) for which in (LEARNT, WITHHELD))
    assert learnt["valid"].tolist() == [[True, False, True, False, False]]
    assert tested["valid"].tolist() == [[True, True, True, True, False]]
    assert learnt["mask"].tolist() == [[0, *[VOID] * 4]]
    assert tested["mask"].tolist() == [[VOID, 1, *[VOID] * 3]]


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 101), (0.5, 50), (1.5, 152), (3.0, 255)])
def test_the_third_band_is_multiplied_up_to_the_largest_value(
    rendered: RenderedViews, factor: float, expected: int
) -> None:
    rendered.add(view(np.zeros((2, 2)), third=101), np.full((2, 2), LEARNT, np.uint8))
    scaled = read_view(rendered, 0, LEARNT, factor)["composite"][2]
    rendered.add(view(np.zeros((2, 2)), third=expected), np.full((2, 2), LEARNT, np.uint8))
    np.testing.assert_array_equal(scaled, read_view(rendered, 1, LEARNT)["composite"][2])


@pytest.mark.parametrize(("count", "rounds"), [(3, 1), (4, 2), (7, 3)])
def test_an_epoch_goes_through_all_views_before_one_comes_again(count: int, rounds: int) -> None:
    stored: Any = SimpleNamespace(learnt=[2, 5, 6])
    recipe: Any = SimpleNamespace(data=SimpleNamespace(windows_per_epoch=count), train=SimpleNamespace(seed=4))
    windows = ViewSamples(stored, recipe, 2.0).windows(1)
    numbers = [window.number for window in windows]
    assert len(numbers) == count
    for number in range(rounds):
        some = numbers[3 * number : 3 * number + 3]
        assert len(set(some)) == len(some)
        assert set(some) <= {2, 5, 6}
    factors = np.array([window.third_factor for window in windows])
    assert ((factors > 0.5) & (factors < 2) & (factors != 1)).all()
    assert {window.third_factor for window in ViewSamples(stored, recipe).windows(1)} == {1.0}
    assert ViewSamples(stored, recipe, 2.0).windows(1) == windows != ViewSamples(stored, recipe, 2.0).windows(2)


def test_factors_are_as_often_below_one_as_above() -> None:
    stored: Any = SimpleNamespace(learnt=[0])
    recipe: Any = SimpleNamespace(data=SimpleNamespace(windows_per_epoch=4000), train=SimpleNamespace(seed=0))
    logs = np.log([window.third_factor for window in ViewSamples(stored, recipe, 2.0).windows(0)])
    assert logs.mean() == pytest.approx(0, abs=0.03)
    assert (logs.min(), logs.max()) == (pytest.approx(-np.log(2), abs=0.01), pytest.approx(np.log(2), abs=0.01))


def test_validation_views_come_in_batches_with_the_rest_in_the_last(rendered: RenderedViews) -> None:
    for third in range(5):
        rendered.add(view(np.zeros((2, 2)), third), np.full((2, 2), WITHHELD, np.uint8))
    batches = list(ValidationViews(rendered, 2))
    assert [len(batch["mask"]) for batch in batches] == [2, 2, 1]
    assert [len(batch["mask"]) for batch in ValidationViews(rendered, 5)] == [5]


@pytest.mark.parametrize("validated", [True, False])
def test_a_network_is_validated_if_a_view_is_withheld_and_else_keeps_the_last_epoch(
    rendered: RenderedViews, validated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered.add(view(np.ones((2, 2))), np.full((2, 2), LEARNT, np.uint8))
    if validated:
        rendered.add(view(np.ones((2, 2))), np.full((2, 2), WITHHELD, np.uint8))
    recipe: Any = SimpleNamespace(
        model=SimpleNamespace(network="snapnet-unet", encoder=None, options={"width": 2}), data=SimpleNamespace(num_workers=0, windows_per_epoch=1),
        train=SimpleNamespace(monitor="mean_iou", usual_batch_size=1, seed=0),
    )  # fmt: skip
    built: list[Any] = []
    monkeypatch.setattr(training, "build_segmenter", lambda *words: built.append(words) or SimpleNamespace(module="net"))  # fmt: skip
    scored: list[Any] = []

    def fit(segmenter: Any, samples: Any, _step: Any, score: Any, *_: Any) -> dict[str, Any]:
        return {"scores": score(segmenter), "factor": samples.largest}

    criterion = SimpleNamespace(step=None, validate=lambda module, views: scored.append((module, views)) or {"mean_iou": 0.5})  # fmt: skip
    counts: list[Any] = []
    monkeypatch.setattr(training, "fit_segmenter", fit)
    monkeypatch.setattr(f"deepnets4eo.training.{SegmentationCriterion.__name__}", lambda *words: counts.append(words[-1]) or criterion)  # fmt: skip
    options: Any = None
    _, notes = rendered.train(recipe, tmp_path, options, third_factor=3.0)
    assert built[0][1] == {"name": "snapnet-unet", "width": 2}, "an encoder that is not named is left to the network"
    assert counts == [[0, 4]]
    assert notes["factor"] == pytest.approx(np.log(3))
    assert notes["scores"]["mean_iou"] == pytest.approx(0.5 if validated else np.nan, nan_ok=True)
    assert [module for module, _ in scored] == ["net"] * validated


def test_notes_count_views_and_pixels_and_name_the_scores_of_the_whole(rendered: RenderedViews) -> None:
    for part, labels in ((LEARNT, 1), (LEARNT, 0), (WITHHELD, 1)):
        rendered.add(view(np.full((2, 2), labels)), np.full((2, 2), part, np.uint8))
    notes = rendered.notes({"mean_iou": 0.5, "seen_share": 0.25, "classes": []})
    assert (notes["training_views"], notes["validation_views"]) == (2, 1)
    assert notes["training_pixels"] == {"ground": 4, "tree": 4}
    assert notes["validation"] == {"mean_iou": 0.5, "seen_share": 0.25}


@dataclasses.dataclass
class Frame:
    labels: Any = None

    def resize(self, height: int, width: int) -> Frame:
        return dataclasses.replace(self, labels=(self.labels, height, width))

    def views(self) -> str:
        return "views"


@pytest.mark.parametrize(
    ("part", "render_train", "render_test", "own", "around"),
    [(LEARNT, True, False, "rendered", 3), (LEARNT, False, True, "as they are", 3), (WITHHELD, False, True, "rendered", 0), (WITHHELD, True, False, "as they are", 0)],
)  # fmt: skip
@pytest.mark.parametrize("unknown", ["void", "refuse"])
def test_views_around_a_frame_are_of_training_frames_only(
    part: Any, render_train: bool, render_test: bool, own: str, around: int, unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    layers = {"composite": 1, ViewLayer.labels: 2, frames.VALID: 3, "more": 4}
    monkeypatch.setattr(frames, "frame_classes", lambda _, __, unknown_is_void: unknown_is_void)
    monkeypatch.setattr(frames, "own_layers", lambda *_: layers | {"composite": "as they are"})
    monkeypatch.setattr(frames, "rendered_own_layers", lambda *_: layers | {"composite": "rendered"})
    asked: list[Any] = []

    def resampled(frame: Frame, _: Any, __: Any, count: int, *, seed: int) -> Any:
        asked.append((frame.labels, seed))
        return (("camera", layers) for _ in range(count))

    monkeypatch.setattr(frames, "resampled_views", resampled)
    named: Any = SimpleNamespace(source=SimpleNamespace(read=Frame), height_px=32, width_px=64)
    recipe: Any = SimpleNamespace(
        data=SimpleNamespace(unknown_labels=unknown), model=SimpleNamespace(layers=("composite",)),
        views=SimpleNamespace(render_train=render_train, render_test=render_test, train=3),
    )  # fmt: skip
    found = frames._layers_of(named, 7, part, recipe, LEGEND)
    assert [one["composite"] for one in found] == [own, *[1] * around]
    assert all(set(one) == {"composite", ViewLayer.labels, frames.VALID} for one in found)
    assert asked == [((unknown == "void", 32, 64), 7)]


@pytest.mark.parametrize("labelled", [True, False])
def test_frames_are_learnt_from_or_withheld_where_they_show_something(
    labelled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def layers_of(named: str, *_: Any) -> list[dict[str, np.ndarray]]:
        shown = np.array([[True, True, False, False]])
        return [view(np.where(shown, 1, 0 if labelled else VOID) if labelled else np.full((1, 4), VOID)) | {frames.VALID: shown}]  # fmt: skip

    monkeypatch.setattr(frames, "_layers_of", layers_of)
    split: Any = SimpleNamespace(scenes=["a", "b"], splits=[SimpleNamespace(parts={"train"}), SimpleNamespace(parts={"val"})])  # fmt: skip
    recipe: Any = SimpleNamespace(model=SimpleNamespace(layers=("composite",)))
    if not labelled:
        with pytest.raises(InputError, match="of 2 frames has a label"):
            frames.render_frames(recipe, LEGEND, split, tmp_path)
        return
    rendered = frames.render_frames(recipe, LEGEND, split, tmp_path)
    assert (rendered.learnt, rendered.withheld) == ([0], [1])
    assert rendered.training_pixels == [0, 2], "pixels that show nothing have no part"
