"""Steps as recipes list them: read, written back, and refused with the number, the key and the nearest key."""

import numpy as np
import pytest

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.postprocessing import build_steps
from deepnets4eo.baselines.postprocessing.segmenter import DenseCrfStep, MinimumArea, plain_steps
from deepnets4eo.errors import InputError

LISTED = [
    {"majority": {"radius_px": 3}},
    {"minimum_area": {"area_m2": 2.0, "connectivity": 8}},
    {"superpixel_vote": {"method": "slic", "area_px": 50}},
    {"crf": {"radius_px": 2, "guide": ["red"]}},
]


def test_a_list_of_steps_is_read_and_written_back():
    steps = build_steps(LISTED)
    assert build_steps(plain_steps(steps)) == steps
    assert build_steps(["crf", {"majority": None}])[0] == DenseCrfStep()
    assert plain_steps(steps)[1] == {"minimum_area": {"area_m2": 2.0, "connectivity": 8}}


def test_halos_are_what_each_step_looks_at():
    assert [step.halo_px(0.5) for step in build_steps(LISTED)] == [3, 17, 16, 12]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([], "expected a list"),
        ({"majority": {}}, "expected a list"),
        (["majority", "crff"], "step 2: 'crff' is unknown. Did you mean 'crf'"),
        ([{"majority": {"radius": 3}}], "step 1 .majority.: unknown key 'radius'. Did you mean 'radius_px'"),
        ([{"majority": {"radius_px": 0}}], "step 1 .majority.: radius_px is 0. Input should be greater"),
        ([{"majority": 3}], "step 1 .majority. is 3"),
        ([{"majority": {}, "crf": {}}], "step 1 is .*expected one name"),
        ([{"minimum_area": {}}], "step 1 .minimum_area.: needs one of area_px and area_m2"),
        ([{"minimum_area": {"area_px": 3, "area_m2": 1}}], "needs one of"),
    ],
)
def test_bad_steps_are_named(listed, message):
    with pytest.raises(InputError, match=message):
        build_steps(listed)


def test_a_region_that_goes_takes_the_new_label_even_at_equal_probabilities():
    proba = np.zeros((3, 5, 5), np.float32)
    proba[2] = 1
    proba[:, 2, 2] = [0.4, 0.2, 0.4]
    bands = Bands(np.zeros((1, 5, 5), np.float32), ("image.red",))
    found = MinimumArea(area_px=2).apply(proba, bands)
    assert found.argmax(axis=0).tolist() == np.full((5, 5), 2).tolist()
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(found[:, 2, 2], [0.4, 0.2, 0.4], atol=1e-5)
    assert (proba[:, 2, 2] == np.float32([0.4, 0.2, 0.4])).all()


@pytest.mark.parametrize("step", [*LISTED, {"superpixel_vote": {"votes": "labels", "area_px": 30}}, {"majority": {"votes": "probabilities"}}])  # fmt: skip
def test_every_step_keeps_probabilities_and_a_single_class_alone(step):
    rng = np.random.default_rng(0)
    bands = Bands(rng.integers(0, 256, (3, 40, 40)).astype(np.float32), ("image.red", "image.green", "image.blue"), 0.5)
    (built,) = build_steps([step])
    sure = np.zeros((3, 40, 40), np.float32)
    sure[1] = 1
    assert (built.apply(sure, bands).argmax(axis=0) == 1).all()
    proba = rng.dirichlet(np.ones(3), (40, 40)).transpose(2, 0, 1).astype(np.float32)
    found = built.apply(proba, bands)
    assert found.dtype == np.float32
    assert found.shape == proba.shape
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
