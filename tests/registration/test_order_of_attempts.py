"""Which attempts follow one that is not ok, what each starts from, and which result is kept; the windows are not read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine

from deepnets4eo.outputs import Phrase
from deepnets4eo.registration import RegistrationQuality, align, attempts
from deepnets4eo.registration.attempts import Attempt, AttemptTask, _cells
from deepnets4eo.registration.result import QualityThresholds

GOOD = RegistrationQuality(
    gsd_m=0.5, tested=40, reliable=36, inliers=33, chance=0.05, residual_m=0.6, train_inliers=80, cells=16,
    shift_m=4.0, max_shift_m=30.0, scale_min=0.999, scale_max=1.001, rotation_deg=0.1, ncc_before=0.1, ncc_after=0.3,
    improved=0.9,
)  # fmt: skip
START = Affine.translation(5, 7)
FITTED = Affine.translation(1, 2)
WHY = Phrase("match_not_measured")
LIMITS = QualityThresholds(max_rotation_deg=3.0)


def attempt(status: Any = "ok", affine: Affine = FITTED, **measured: Any) -> Attempt:
    fitted: Any = SimpleNamespace(affine=affine, model="translation")
    return Attempt(fitted, replace(GOOD, **measured), status, WHY)


@dataclass(frozen=True)
class Pair:
    """As much of a sampled pair as attempts on it ask for; sides and box in metres."""

    gsd_m: float = 0.5
    box: tuple[float, float, float, float] = (0, 0, 512, 512)

    @property
    def sides(self) -> tuple[float, float]:
        return self.box[2] - self.box[0], self.box[3] - self.box[1]

    @property
    def middle(self) -> np.ndarray:
        return np.array([[self.box[0] + self.box[2], self.box[1] + self.box[3]]]) / 2


@dataclass(frozen=True)
class Task:
    """Answers attempts from a function, and keeps what was asked."""

    answer: Callable[[Task], Attempt] = lambda _: attempt("failed")
    pair: Pair = Pair()
    search: Any = None
    max_shift_m: float = 20.0
    seed: int = 0
    small: bool = False
    asked: list[Any] = field(default_factory=list)

    @property
    def with_small_windows(self) -> Task:
        return replace(self, small=True)

    def attempt(self, start: Affine, limits: QualityThresholds, *, turned: bool = False) -> Attempt:
        self.asked.append(SimpleNamespace(gsd_m=self.pair.gsd_m, small=self.small, start=start, limits=limits, turned=turned))  # fmt: skip
        return self.answer(self)


@pytest.mark.parametrize(
    ("status", "measured", "expected"),
    [
        ("ok", {"inliers": 16, "reliable": 40}, True),
        ("degraded", {"inliers": 16, "reliable": 40}, True),
        ("failed", {"inliers": 16, "reliable": 40}, False),
        ("ok", {"inliers": 16, "reliable": 41}, False),  # 39 %
        ("ok", {"inliers": 5, "reliable": 5, "tested": 5}, True),  # by chance .05⁵ = 3e-7
        ("ok", {"inliers": 4, "reliable": 4, "tested": 4}, False),  # 6e-6
        ("ok", {"inliers": 0, "reliable": 0, "tested": 0}, False),
    ],
)
def test_no_other_turn_needs_to_be_tried_if_forty_percent_agree_beyond_chance(
    status: str, measured: dict[str, int], expected: bool
) -> None:
    assert attempt(status, **measured).unambiguous is expected


def test_a_better_status_counts_first_and_then_fewer_chance_matches() -> None:
    assert attempt("ok", inliers=20).better_than(attempt("degraded"))
    assert not attempt("degraded").better_than(attempt("ok", inliers=20))
    assert attempt("degraded", inliers=34).better_than(attempt("degraded"))
    assert not attempt("degraded").better_than(attempt("degraded"))
    assert not attempt("failed", inliers=34).better_than(attempt("failed")), "a failed attempt replaces none"


@pytest.mark.parametrize(("turn_deg", "turned"), [(2.99, False), (3.01, True), (-3.01, True), (-2.99, False)])
def test_small_windows_start_from_the_start_of_a_failed_attempt(turn_deg: float, turned: bool) -> None:
    task, start = Task(), Affine.rotation(turn_deg)
    first = attempt("failed")
    assert align._try_small_windows(task, first, start, LIMITS) is first, "as bad"  # type: ignore[arg-type]
    (asked,) = task.asked
    assert (asked.small, asked.start, asked.turned) == (True, start, turned)
    assert (asked.limits.significance, asked.limits.good_share, asked.limits.max_rotation_deg) == (1e-6, 0.4, 3.0)


def test_small_windows_go_on_from_a_doubtful_model_and_never_follow_a_good_one() -> None:
    better = attempt("ok")
    task: Any = Task(lambda _: better)
    assert align._try_small_windows(task, attempt("degraded"), START, LIMITS) is better
    assert [asked.start for asked in task.asked] == [FITTED]
    first = attempt("ok", inliers=20)
    assert align._try_small_windows(task, first, START, LIMITS) is first
    assert len(task.asked) == 1


@pytest.mark.parametrize(
    ("side_m", "gsd_m", "tried_m"),
    [(256, 0.5, [1, 2]), (255, 0.5, [1]), (128, 0.5, [1]), (127, 0.5, []), (1024, 2.0, [4, 8])],
)
def test_larger_pixels_are_tried_as_long_as_128_of_them_fit(
    side_m: float, gsd_m: float, tried_m: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(align, "fine_search", lambda _: None)
    monkeypatch.setattr(align, "coarse_model", lambda *_: START)
    task: Any = Task(pair=Pair(gsd_m, (0, 0, side_m, 2 * side_m)))
    failed = attempt("failed")
    assert align._try_larger_pixels(task, failed, LIMITS) is failed
    assert [(asked.gsd_m, asked.small) for asked in task.asked] == [(m, small) for m in tried_m for small in (False, True)]  # fmt: skip
    for asked in task.asked:  # as many metres as three pixels of the images, at least 3
        assert (asked.limits.max_residual_m, asked.limits.max_residual_px) == (max(3.0, 3 * gsd_m), 0.0)
        assert (asked.limits.significance, asked.start) == (1e-6, START)


def test_a_match_in_larger_pixels_is_at_best_degraded_and_says_how_much_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(align, "fine_search", lambda _: None)
    monkeypatch.setattr(align, "coarse_model", lambda *_: START)
    task: Any = Task(lambda task: attempt("ok" if task.pair.gsd_m == 2.0 else "failed"))
    found = align._try_larger_pixels(task, attempt("failed"), LIMITS)
    assert (found.status, len(task.asked)) == ("degraded", 3)
    assert found.why is not None
    assert {name: found.why.values[name] for name in ("times", "inliers", "tested")} == {"times": 4, "inliers": 33, "tested": 40}  # fmt: skip


@pytest.mark.parametrize(
    ("box", "boxes"),
    [
        ((0, 0, 2560, 2000), []),
        ((0, 0, 2561, 2000), [(768.5, 488, 1792.5, 1512)]),
        ((0, 0, 6402, 600), [(2689, 0, 3713, 600), (1921, 0, 4481, 600)]),
        ((100, 0, 700, 2700), [(100, 838, 700, 1862)]),
    ],
)
def test_parts_grow_from_1024_pixels_around_the_middle_by_2_5_times_to_the_whole(box: Any, boxes: list[Any]) -> None:
    pair: Any = Pair(1.0, box)
    assert [part.box for part in align._growing_parts(pair)] == [*boxes, box]


def test_of_all_turns_the_model_most_windows_agree_on_is_refined_in_wider_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = [Affine.rotation(turn) for turn in (9, -12, 21)]
    asked: list[Any] = []
    monkeypatch.setattr(align, "similarity_hypotheses", lambda *words: asked.append(words[1:]) or starts)

    class Turning(Task):
        rounds: list[Any] = []

        def round(self, part: Pair, start: Affine, *, turned: bool) -> Any:
            self.rounds.append((part.sides[0], turned))
            return SimpleNamespace(affine=start * Affine.translation(1, 0), start=start)

        def fit_all(self, fitted: Any, about: Affine) -> Any:
            assert about == fitted.affine
            agreeing = {starts[0]: 4, starts[1]: 6, starts[2]: 5}[fitted.start]
            return SimpleNamespace(inlier=np.arange(10) < agreeing)

    good = attempt("ok")
    task: Any = Turning(lambda _: good, Pair(1.0, (0, 0, 2600, 2600)))
    assert align._try_every_turn(task, attempt("degraded"), 30.0) is good
    assert asked == [(20.0, 30.0)]
    assert task.rounds == [(1024, True)] * 3 + [(2600, True)]
    (final,) = task.asked
    assert final.start == starts[1] * Affine.translation(1, 0) * Affine.translation(1, 0)
    assert (final.turned, final.limits.max_rotation_deg, final.limits.significance) == (True, 30.0, 1e-6)
    first = attempt("degraded")
    assert align._try_every_turn(Turning(pair=task.pair), first, 30.0) is first, "a failed search"  # type: ignore[arg-type]


@pytest.mark.parametrize(("turn_deg", "turned"), [(2.99, False), (-3.01, True)])
def test_matches_count_if_the_windows_rate_their_place_better(
    turn_deg: float, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place: list[Affine | None] = [None]
    monkeypatch.setattr(align, "matched_model", lambda *_: place[0])
    good, first = attempt("ok"), attempt("degraded")
    task: Any = Task(lambda _: good)
    matcher: Any = None
    assert align._try_matches(task, first, matcher, 20.0) is first
    assert not task.asked
    place[0] = Affine.rotation(turn_deg)
    assert align._try_matches(task, first, matcher, 20.0) is good
    assert [(asked.start, asked.turned, asked.limits.max_rotation_deg) for asked in task.asked] == [(place[0], turned, 20.0)]  # fmt: skip
    worse: Any = Task()
    assert align._try_matches(worse, first, matcher, 20.0) is first


def test_halves_that_agree_make_a_degraded_shift_and_others_only_add_their_distance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed, task = attempt("failed"), Task()
    shifted: Any = SimpleNamespace()
    for split_score, status in ((4.0, "degraded"), (0.5, "failed")):
        halves = replace(GOOD, split_m=0.5, split_score=split_score)
        monkeypatch.setattr(align, "_fit_by_halves", lambda *_, halves=halves: (shifted, halves))
        found = align._try_halves(task, failed)  # type: ignore[arg-type]
        assert (found.status, found.measured.split_m, found.measured.split_score) == (status, 0.5, split_score)
        assert (found.fitted is shifted) is (status == "degraded")


OK, DEGRADED, FAILED = attempt("ok"), attempt("degraded", inliers=5), attempt("failed")
CLEAR = attempt("degraded", inliers=30)


@pytest.mark.parametrize(
    ("first", "model", "with_matcher", "answers", "tried"),
    [
        (OK, "auto", True, {}, ["small"]),
        (CLEAR, "auto", False, {}, ["small"]),
        (CLEAR, "auto", True, {}, ["small", "matches"]),
        (DEGRADED, "auto", False, {}, ["small", "turn"]),
        (DEGRADED, "auto", True, {"turn": OK}, ["small", "turn"]),
        (DEGRADED, "translation", True, {}, ["small"]),
        (FAILED, "auto", False, {}, ["small", "turn", "halves", "larger"]),
        (FAILED, "affine", True, {}, ["small", "turn", "matches", "halves", "larger"]),
        (FAILED, "affine", True, {"matches": DEGRADED}, ["small", "turn", "matches"]),
        (FAILED, "translation", True, {}, ["small", "halves", "larger"]),
        (FAILED, "translation", True, {"halves": DEGRADED}, ["small", "halves"]),
    ],
)
def test_attempts_follow_one_another_until_one_is_good_enough(
    first: Attempt, model: Any, with_matcher: bool, answers: dict[str, Attempt], tried: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[str] = []
    names = {"small": "_try_small_windows", "turn": "_try_every_turn", "matches": "_try_matches", "halves": "_try_halves", "larger": "_try_larger_pixels"}  # fmt: skip
    for name, function in names.items():
        monkeypatch.setattr(align, function, lambda _, before, *__, name=name: asked.append(name) or answers.get(name, before))  # fmt: skip
    monkeypatch.setattr(align, "make_pair", lambda *_: Pair())
    monkeypatch.setattr(align, "fine_search", lambda _: None)
    monkeypatch.setattr(align, "coarse_model", lambda *_: START)
    task = Task(lambda _: first)
    monkeypatch.setattr(align, "AttemptTask", lambda *_: task)
    monkeypatch.setattr(align, "_result", lambda _, attempt: attempt)
    image: Any = SimpleNamespace(source="image.tif")
    found = align.register(image, image, model=model, matcher=(lambda *_: None) if with_matcher else None)  # type: ignore
    assert asked == tried
    assert found is answers.get(tried[-1], first)
    assert task.asked[0].limits.max_rotation_deg == 3.0, "georeferenced images are seldom turned by more"
    align.register(image, image, max_rotation_deg=1.0)
    assert task.asked[1].limits.max_rotation_deg == 1.0


def test_tie_points_are_counted_in_sixteen_cells_with_those_on_the_border() -> None:
    points = np.array([[0, 0], [1.9, 0.9], [2, 0], [8, 4], [7.9, 3.9], [9, 5]], float) + (10, 20)
    assert _cells(points, (10, 20, 18, 24)) == 3
    assert _cells(points[:0], (10, 20, 18, 24)) == 0


@pytest.mark.parametrize(
    ("statuses", "compared", "status"),
    [
        (["ok", "ok"], [0, 64], "degraded"),
        (["degraded", "degraded"], [0, 64], "degraded"),
        (["failed"], [0], "failed"),
        (["ok", "failed"], [0, 64], "failed"),
    ],
)
def test_windows_are_read_again_only_if_the_model_of_all_of_them_is_well(
    statuses: list[str], compared: list[int], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    rated: list[Any] = []
    answers = iter(statuses)

    def rate(measured: RegistrationQuality, limits: QualityThresholds) -> Any:
        rated.append((measured.train_inliers, limits.significance))
        return next(answers), None

    monkeypatch.setattr(attempts, "measure_fit", lambda *words: asked.append(words[-1]) or replace(GOOD, inliers=31))
    monkeypatch.setattr(attempts, "quality_status", rate)
    monkeypatch.setattr(AttemptTask, "fit_all", lambda *_: SimpleNamespace())
    pair: Any = Pair()
    search: Any = None
    failed = attempt("failed")
    found = AttemptTask(pair, search, "auto", 20.0, 0)._of_all_windows(failed, START, LIMITS)
    assert asked == compared
    assert set(rated) == {(31, 1e-6)}, "inliers of all windows are those of the fit"
    assert found.status == status
    assert (found is failed) is (status == "failed")
