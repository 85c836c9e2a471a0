"""Fitting the model: what is left out stays out, heights are learnt only from buildings that have them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from deepnets4eo.damage.decision.fit_model import (
    HEIGHT,
    VARIANTS,
    GradedEvidence,
    fit_model,
    fit_variant,
    grade_numbers,
)
from deepnets4eo.damage.decision.model import FARTHEST
from deepnets4eo.damage.decision.reliability import Reliability
from deepnets4eo.damage.table.columns import COLUMNS
from deepnets4eo.damage.table.vocabulary import BORDERS


def made_up(seed: int, place: str, *, heights: bool) -> GradedEvidence:
    """Two hundred buildings whose evidence follows their grade, with noise."""
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 4, 200)
    columns = sorted({column for names in VARIANTS.values() for column in names})
    evidence = pd.DataFrame({name: COLUMNS[name].points * grade + rng.normal(0, 2, 200) for name in columns})
    if not heights:
        evidence[list(HEIGHT)] = np.nan
    group = np.array([f"{place}-{k % 9}" for k in range(200)], dtype=object)
    return GradedEvidence(evidence, grade, np.full(200, place, dtype=object), group)


def predict(content: dict[str, Any], evidence: pd.DataFrame) -> NDArray[np.float64]:
    """(N, 4) grade probabilities of a fitted variant, without going through a file."""
    columns = list(content["evidence"])
    centre, scale = (np.array([content["evidence"][column][key] for column in columns]) for key in ("centre", "scale"))
    standard = np.clip(np.nan_to_num((evidence[columns].to_numpy(float) - centre) / scale), -FARTHEST, FARTHEST)
    log_odds = [
        standard @ np.array([border["weights"][column] for column in columns]) + border["intercept"]
        for border in (content["borders"][grade] for grade in BORDERS)
    ]
    return Reliability.from_dict(content["reliability"]).probabilities(np.column_stack(log_odds))


@pytest.fixture(scope="module")
def data() -> GradedEvidence:
    return GradedEvidence.concatenate([made_up(0, "city", heights=True), made_up(1, "town", heights=False)])


def test_every_variant_separates_what_its_evidence_separates(data: GradedEvidence) -> None:
    variants = fit_model(data)
    assert set(variants) == set(VARIANTS)
    for content in variants.values():
        probabilities = predict(content, data.evidence)
        damaged = probabilities[:, 2:].sum(axis=1)
        assert damaged[data.grade == 3].mean() > damaged[data.grade == 0].mean() + 0.4


def test_styles_and_events_are_left_out_whole(data: GradedEvidence) -> None:
    style = np.array([f"style-{k % 5}" for k in range(400)], dtype=object)
    event = np.array([("flood", "wind", "fire")[k // 7 % 3] for k in range(400)], dtype=object)
    scored = np.zeros(400, int)
    for tested, taught in replace(data, style=style, event=event).folds():
        scored += tested
        assert taught.any()
        assert not set(style[tested]) & set(style[taught])
        assert not set(event[tested]) & set(event[taught])
    assert (scored == 1).all()


def test_the_range_is_that_of_the_buildings_that_bound_it(data: GradedEvidence) -> None:
    town = data.domain == "town"
    spread = data.evidence.where(pd.Series(town), 4 * data.evidence)
    wide, narrow = (
        fit_variant(replace(data, evidence=spread, bounds=bounds), VARIANTS["post_only"])["range"]["covariance"]
        for bounds in (None, town)
    )
    assert float(narrow[0].split()[0]) < 0.7 * float(wide[0].split()[0])


def test_heights_are_learnt_from_buildings_that_have_them(data: GradedEvidence) -> None:
    assert fit_variant(data, VARIANTS["pre_post_height"])["buildings"] == 200
    assert fit_variant(data, VARIANTS["pre_post"])["buildings"] == 400


def test_probabilities_are_calibrated_on_buildings_that_were_left_out(data: GradedEvidence) -> None:
    content = fit_variant(data, VARIANTS["post_only"])
    fresh = made_up(7, "village", heights=True)
    damaged = predict(content, fresh.evidence)[:, 2:].sum(axis=1)
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        rows = (damaged >= low) & (damaged < high)
        assert abs((fresh.grade[rows] >= 2).mean() - damaged[rows].mean()) < 0.15


def test_patches_indicate_minor_damage_and_nothing_worse(data: GradedEvidence) -> None:
    grade = data.grade
    patched = data.evidence.assign(ev_tarp=np.where(grade > 0, 1.0, 0.0) + np.random.default_rng(0).normal(0, 0.3, 400))
    borders = fit_variant(GradedEvidence(patched, grade, data.domain, data.group), VARIANTS["pre_post"])["borders"]
    assert borders["minor-damage"]["weights"]["ev_tarp"] > 0
    assert all(borders[border]["weights"]["ev_tarp"] == 0 for border in BORDERS[1:])


def test_grades_become_numbers_in_order_of_severity() -> None:
    assert grade_numbers(pd.Series(["destroyed", "no-damage", "minor-damage"])).tolist() == [3, 0, 1]
