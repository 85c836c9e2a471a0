"""The regression of what buildings look like, fitted to graded pairs of one's own: events left out, files, and the job that uses it."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from refusals import raises_naming
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

pytest.importorskip("torch")

from made_up_pairs import write_xbd

from deepnets4eo.damage import Settings
from deepnets4eo.damage.evidences.look import look_of_job
from deepnets4eo.damage.network import look_training
from deepnets4eo.damage.network.look_model import LookModel, by_site
from deepnets4eo.damage.network.look_training import STRENGTH, LookSite, fit_look, table_of
from deepnets4eo.errors import InputError
from deepnets4eo.training import train


def make_site(group: str, seed: int, count: int = 60) -> LookSite:
    rng = np.random.default_rng(seed)
    damaged = rng.random(count) < 0.4
    return LookSite(by_site(rng.normal(size=(count, 5)) + np.outer(damaged, [1.0, -1.0, 0, 0, 0.5])), damaged, group)


def test_each_event_is_scored_by_a_fit_of_the_others_alone() -> None:
    sites = [make_site("a", 0), make_site("b", 1), make_site("b", 2), make_site("c", 3)]
    model, table = fit_look(sites)
    for row, site in zip(table.itertuples(), sites, strict=True):
        others = [one for one in sites if one.group != site.group]
        features, damaged = (np.concatenate([getattr(one, name) for one in others]) for name in ("standard", "damaged"))
        again = LogisticRegression(C=STRENGTH, class_weight="balanced").fit(features, damaged)
        assert row.auc == pytest.approx(roc_auc_score(site.damaged, again.decision_function(site.standard)), abs=1e-9)
    assert model.card.buildings == 240
    assert table_of(table).splitlines()[-1].startswith("| mean | 240 |")


def test_an_event_of_one_side_is_learnt_from_and_has_no_auc() -> None:
    intact = LookSite(make_site("intact", 4).standard, np.zeros(60, bool), "intact")
    model, table = fit_look([make_site("a", 0), make_site("b", 1), intact])
    assert table["auc"].notna().tolist() == [True, True, False]
    assert "| intact | 60 | 0 | – |" in table_of(table)
    assert (model.weights != fit_look([make_site("a", 0), make_site("b", 1)])[0].weights).any()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_xbd(tmp_path_factory.mktemp("xbd"), tuple(range(3, 9)))  # some ten buildings each
    return train("damage/look", tmp_path_factory.mktemp("look") / "run", data=folder)


def test_a_folder_of_xbd_gives_a_model_with_its_scores_by_event(run: Path) -> None:
    scores = json.loads((run / "metrics.json").read_text())
    assert [one["event"] for one in scores["events"]] == ["made-up-event-0", "made-up-event-1"]
    assert scores["card"]["buildings"] == sum(one["buildings"] for one in scores["events"])
    known = [one["auc"] for one in scores["events"] if one["auc"] is not None]
    assert scores["mean_auc"] == (pytest.approx(np.mean(known)) if known else None)
    assert LookModel.load(run).weights.shape == (496,)


def test_one_pair_alone_is_refused_with_what_to_do_instead(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), raises_naming(InputError, "DIR", "--update"):
        train("damage/look", tmp_path / "run", data=write_xbd(tmp_path / "xbd", (3,)))
    assert not (tmp_path / "run").exists()
    with raises_naming(InputError, "2 events", "20 buildings"):
        train("damage/look", tmp_path / "run", data=write_xbd(tmp_path / "small", (3, 4)))


def test_the_job_takes_the_fit_that_is_named(run: Path) -> None:
    inputs: Any = SimpleNamespace(after=SimpleNamespace(is_optical=lambda sensor: True), evidences=())
    (look,) = look_of_job(inputs, Settings(look=0.5, look_from=str(run)), None)
    np.testing.assert_array_equal(look.model.weights, LookModel.load(run).weights)
    assert (look.source, look.to_dict()["source"]) == (str(run), str(run))
    with raises_naming(InputError, "--set", "0.5"):
        look_of_job(inputs, Settings(look_from=str(run)), None)


def test_the_regression_weighs_both_sides_alike_and_shrinks_by_its_strength() -> None:
    """Against a descent of its own on ½·w² + C·Σ cᵢ·log(1 + exp(−yᵢ(w·xᵢ + b))), with cᵢ = N / (2·number of the side)."""
    rng = np.random.default_rng(0)
    damaged = np.arange(200) < 20
    features = rng.normal(size=(200, 2)) + 1.5 * damaged[:, None] * np.array([1.0, -0.5])
    sites = [SimpleNamespace(standard=features[part], damaged=damaged[part]) for part in (slice(0, 50), slice(50, 200))]
    sign, share = np.where(damaged, 1.0, -1.0), np.where(damaged, 200 / 40, 200 / 360)

    def loss(values: np.ndarray) -> float:
        margin = sign * (features @ values[:2] + values[2])
        return float(0.5 * (values[:2] ** 2).sum() + look_training.STRENGTH * (share * np.log1p(np.exp(-margin))).sum())

    expected = minimize(loss, np.zeros(3), tol=1e-14).x[:2]
    np.testing.assert_allclose(look_training._regress(sites), expected, rtol=0.02)
