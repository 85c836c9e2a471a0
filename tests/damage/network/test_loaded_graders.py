"""Which runs grade buildings, and what their cards add to the scores."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepnets4eo.damage.network import grader
from deepnets4eo.damage.network.grader import NetworkGrader
from deepnets4eo.damage.table.vocabulary import GRADES
from deepnets4eo.errors import RunError


def run_of(**changed: Any) -> Any:
    facts: dict[str, Any] = {"names": ["pre", "post"], "classes": GRADES, "notes": {"temperature": 1.5}}
    facts |= changed
    return SimpleNamespace(
        inputs=SimpleNamespace(names=facts["names"]), legend=SimpleNamespace(names=facts["classes"]), card={"notes": facts["notes"]},
        segmenter=SimpleNamespace(to=lambda _: None, compute=SimpleNamespace(by_int8=False)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "loads"),
    [
        ({}, True),
        ({"notes": {"temperature": 1}}, True),
        ({"notes": {"temperature": 0}}, False),
        ({"notes": {"temperature": -1.0}}, False),
        ({"notes": {"temperature": math.inf}}, False),
        ({"notes": {"temperature": math.nan}}, False),
        ({"notes": {"temperature": "1.5"}}, False),
        ({"notes": {}}, False),
        ({"notes": None}, False),
        ({"names": ["post", "pre"]}, False),
        ({"names": ["post"]}, False),
        ({"classes": GRADES[:3]}, False),
    ],
)
def test_a_run_grades_buildings_with_both_images_four_grades_and_a_fitted_temperature(
    changed: dict[str, Any], loads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grader, "load_run", lambda _: run_of(**changed))
    monkeypatch.setattr(grader, "choose", lambda *_, **__: None)
    if loads:
        assert NetworkGrader.load("run").temperature == run_of(**changed).card["notes"]["temperature"]
    else:
        with pytest.raises(RunError, match="does not grade buildings from pre and post"):
            NetworkGrader.load("run")


@pytest.mark.parametrize(("notes", "expected"), [({}, None), ({grader.POST_ALONE: {"temperature": 2}}, 2.0), ({grader.POST_ALONE: True}, None)])  # fmt: skip
def test_only_a_run_with_a_head_for_the_post_image_has_its_temperature(notes: Any, expected: float | None) -> None:
    assert NetworkGrader(run_of(notes=notes)).post_temperature == expected


@pytest.mark.parametrize(("by_int8", "read"), [(True, []), (False, ["module"])])
def test_the_network_is_read_ahead_only_if_pytorch_computes_it(by_int8: bool, read: list[str]) -> None:
    asked: list[str] = []

    class Segmenter:
        compute = SimpleNamespace(by_int8=by_int8)

        @property
        def module(self) -> None:
            asked.append("module")

    run: Any = SimpleNamespace(segmenter=Segmenter())
    NetworkGrader(run).read_network()
    assert asked == read


def test_grades_that_counted_the_same_get_half_of_the_odds_that_their_validated_shares_have() -> None:
    counts = dict(zip(GRADES, (59, 19, 0, 9), strict=True))
    notes = {grader.EVEN_GRADES: True, "split": {"buildings": {"val": counts}}}
    expected = 0.5 * np.log([2 * 60 / 80, 2 * 20 / 80, 2 * 1 / 11, 2 * 10 / 11])
    np.testing.assert_allclose(NetworkGrader(run_of(notes=notes)).grade_odds, expected)
    np.testing.assert_array_equal(NetworkGrader(run_of(notes=notes | {grader.EVEN_GRADES: False})).grade_odds, 0)
