"""Matches of key points as first models: the windows decide, and weights come by file."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from moved_place import as_layer, moved, noisy, place

from deepnets4eo.errors import InputError
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.registration import align, disk_lightglue, register
from deepnets4eo.registration.matchers import matched_model
from deepnets4eo.registration.tiepoints import make_pair

SHAPE = (360, 400)
MOTION = Affine.translation(9, -5)
FAR = Affine.translation(40.0, 40.0)  # metres, where nothing agrees


@pytest.fixture(scope="module")
def layers() -> tuple[Layer, Layer]:
    image = place(0, SHAPE)
    return as_layer(moved(image, MOTION)), as_layer(noisy(image))


def matches(post: np.ndarray, pre: np.ndarray, *, count: int, agreeing: int, motion: Affine = MOTION):
    """Of so many matches some follow the motion, to a few pixels along one line, as roofs do; the others are random."""
    rng = np.random.default_rng(3)
    points = rng.uniform(20, 340, (count, 2))
    targets = np.column_stack(motion * points.T) + np.column_stack((rng.uniform(-4, 4, count), np.zeros(count)))
    targets[agreeing:] = rng.uniform(20, 340, (count - agreeing, 2))
    return points, targets


@pytest.mark.parametrize(("count", "agreeing", "known"), [(200, 150, True), (200, 60, False), (28, 28, False)])
def test_most_matches_must_agree_on_one_place(layers, count: int, agreeing: int, known: bool) -> None:
    model = matched_model(make_pair(*layers), partial(matches, count=count, agreeing=agreeing), 0)
    assert (model is not None) is known
    if model is not None:
        np.testing.assert_allclose(model * (100, 100), (104.5, 97.5), atol=0.8)


@pytest.mark.parametrize(("motion", "status"), [(MOTION, "ok"), (Affine.translation(80, 80), "failed")])
def test_a_place_of_matches_counts_only_where_the_windows_agree(layers, motion, status, monkeypatch) -> None:
    monkeypatch.setattr(align, "coarse_model", lambda *_: FAR)
    monkeypatch.setattr(align, "coarse_shift", lambda *_: FAR)
    monkeypatch.setattr(align, "similarity_hypotheses", lambda *_: [FAR])
    registration = register(*layers, matcher=partial(matches, count=200, agreeing=180, motion=motion))
    assert registration.status == status
    if status == "ok":
        np.testing.assert_allclose(registration.matrix, [[1, 0, 9], [0, 1, -5]], atol=0.15)


def test_pairs_that_register_never_ask_a_matcher(layers) -> None:
    assert register(*layers, matcher=lambda *_: pytest.fail("asked")).status == "ok"


def test_random_weights_of_a_file_run_and_those_of_another_network_are_refused(tmp_path: Path) -> None:
    feature = pytest.importorskip("kornia.feature", reason="needs pip install deepnets4eo[match]")
    from safetensors.torch import save_file

    files = tmp_path / "disk.safetensors", tmp_path / "lightglue.safetensors"
    for path, network in zip(files, (feature.DISK(128), feature.LightGlue(None, input_dim=128)), strict=True):
        save_file({name: value.clone() for name, value in network.state_dict().items()}, path)
    image = place(0, (96, 128))
    points, targets = disk_lightglue(*files, most_points=64)(image, moved(image, MOTION))
    assert points.shape == targets.shape
    with pytest.raises(InputError, match="does not have the weights of DISK"):
        disk_lightglue(files[1], files[0])
