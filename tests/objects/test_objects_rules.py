"""Rules of objects one at a time: areas, limits, edges, ids; views and chunks of the types' classifier."""

import json
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import Grid
from deepnets4eo.objects import ObjectClassifier, ObjectRules, ObjectView, extract_objects
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.checksums import seal

CAR = 4


def layer(labels: np.ndarray, col_m: float = 0.5, row_m: float = 0.5) -> Layer:
    return Layer.open(labels, grid=Grid(labels.shape[-2:], Affine(col_m, 0, 5e5, 0, -row_m, 5e6), "EPSG:32631"))


def parking(cars: int) -> np.ndarray:
    """Cars of 8 × 4 pixels side by side without a gap, a plain rectangle."""
    labels = np.zeros((20, 60), np.uint8)
    labels[5:13, 5 : 5 + 4 * cars] = CAR
    return labels


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (ObjectRules(split="area", object_area_m2=8.0), 5),
        (ObjectRules(split="area", object_area_m2=20.0), 2),
        (ObjectRules(split="area", object_area_m2=40.0), 1),
        (ObjectRules(split="distance", object_area_m2=8.0), 1),
        (ObjectRules(split="none", object_area_m2=8.0), 1),
        (ObjectRules(split="area", object_area_m2=8.0, min_area_m2=21.0), 1),
        (ObjectRules(split="area", object_area_m2=8.0, min_area_m2=40.0), 1),
        (ObjectRules(split="area", object_area_m2=8.0, min_area_m2=40.1), 0),
    ],
)
def test_a_rectangle_of_parked_cars_is_cut_by_area_alone(rules: ObjectRules, found: int) -> None:
    cars = extract_objects(layer(parking(5)), "car", "isprs", rules)
    assert len(cars) == found
    assert cars["area_m2"].sum() == (40.0 if found else 0)
    assert cars["id"].tolist() == [str(number) for number in range(1, found + 1)]


def test_a_region_of_a_larger_box_than_the_limit_is_not_cut() -> None:
    rules = ObjectRules(split="area", object_area_m2=8.0)
    for limit, found in ((8 * 20, 5), (8 * 20 - 1, 1)):
        assert len(extract_objects(layer(parking(5)), "car", "isprs", rules, max_split_px=limit)) == found


def test_pixels_that_are_not_square_are_measured_in_metres() -> None:
    labels = np.zeros((30, 30), np.uint8)
    labels[10:14, 10:20] = CAR  # 4 rows of 1.5 m, 10 columns of 0.5 m
    (car,) = extract_objects(layer(labels, 0.5, 1.5), "car", "isprs").itertuples()
    assert (car.area_m2, car.length_m, car.width_m) == pytest.approx((30, 6, 5))
    assert car.heading_deg % 180 == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("row", "col"), [(0, 8), (8, 0), (14, 8), (8, 14)])
def test_an_object_on_any_edge_is_cut_and_one_beside_it_is_not(row: int, col: int) -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[row : row + 6, col : col + 6] = CAR
    assert extract_objects(layer(labels), "car", "isprs")["cut"].tolist() == [True]
    inner = np.clip([row, col], 1, 13)
    labels[:] = 0
    labels[inner[0] : inner[0] + 6, inner[1] : inner[1] + 6] = CAR
    assert extract_objects(layer(labels), "car", "isprs")["cut"].tolist() == [False]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": "circle"}, "shape is 'circle'. Input should be 'oriented_box' or 'polygon'"),
        ({"connectivity": 6}, "connectivity is 6. Input should be 4 or 8"),
        ({"min_area_m2": float("nan")}, "min_area_m2 is nan"),
        ({"min_area_m2": float("inf")}, "min_area_m2 is inf"),
        ({"depth": 1.0}, "depth is 1.0. Input should be less than 1"),
        ({"split": "area", "object_area_m2": 0.0}, "Set object_area_m2"),
        ({"split": "area", "object_area_m2": -8.0}, "Set object_area_m2"),
    ],
)
def test_each_rule_without_sense_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ObjectRules(**wrong)


def test_progress_goes_up_to_one() -> None:
    shares: list[float] = []
    extract_objects(layer(parking(3)), "car", "isprs", block_px=16, workers=1, progress=shares.append)
    assert shares == sorted(shares)
    assert max(shares[:-1]) == pytest.approx(0.8)
    assert shares[-1] == 1.0


@pytest.mark.parametrize("wrong", [{"extent_m": 0}, {"extent_m": float("inf")}, {"extent_m": -1}, {"side_px": 15}])
def test_views_without_sense_are_refused(wrong: dict) -> None:
    assert ObjectView(0.1, 16).side_px == 16
    with pytest.raises(InputError, match=rf"ObjectView: {next(iter(wrong))} is .*\. Input should be"):
        replace(ObjectView(), **wrong)


@pytest.fixture(scope="module")
def learned():
    """A classifier of bright and dark cars, hardly trained, with what it learned from."""
    rng = np.random.default_rng(0)
    labels, image = np.zeros((60, 60), np.uint8), rng.integers(90, 110, (1, 60, 60)).astype(np.uint8)
    for number, row in enumerate(range(4, 54, 10)):
        labels[row : row + 4, 10:18] = labels[row : row + 4, 30:38] = CAR
        image[0, row : row + 4, 10:18], image[0, row : row + 4, 30:38] = 250, 10 + number
    found = extract_objects(layer(labels), "car", "isprs")
    east = found.geometry.centroid.x > 500_012
    found = found.assign(kind=np.where(east, "dark", "bright"))
    classifier = ObjectClassifier(["bright", "dark"], ObjectView(5.0, 16), seed=3)
    return classifier.fit([layer(image)], [found], column="kind", epochs=3), layer(image), found


def test_objects_in_chunks_have_the_types_of_objects_together(learned) -> None:
    classifier, image, found = learned
    whole = classifier.predict_probabilities(image, found)
    assert whole.shape == (10, 2)
    np.testing.assert_allclose(classifier.predict_probabilities(image, found, chunk_objects=3), whole, atol=1e-6)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)
    typed = classifier.predict(image, found)
    assert typed["type"].tolist() == [["bright", "dark"][place] for place in whole.argmax(axis=1)]
    assert typed["type_prob"].tolist() == whole.max(axis=1).tolist()


def test_the_card_of_a_classifier_says_what_it_was_learned_from(learned, tmp_path) -> None:
    classifier, image, found = learned
    card = json.loads((classifier.save(tmp_path / "types") / "card.json").read_text())
    assert card["kind"] == "object-classifier"
    assert (card["types"], card["view"], card["seed"]) == (["bright", "dark"], {"extent_m": 5.0, "side_px": 16}, 3)
    assert card["scaling"]["size_mean"] == pytest.approx(
        [np.log(found["length_m"]).mean(), np.log(found["width_m"]).mean()]
    )
    assert len(card["history"]) == 3
    again = ObjectClassifier.load(tmp_path / "types")
    assert (again.types, again.view, again.seed, again.history) == (
        classifier.types, classifier.view, 3, classifier.history,
    )  # fmt: skip


def test_what_cannot_be_learned_or_loaded_is_refused(learned, tmp_path) -> None:
    classifier, image, found = learned
    new = ObjectClassifier(["bright", "dark"], ObjectView(5.0, 16))
    with pytest.raises(InputError, match="1 tables of objects were given for 2 layers"):
        new.fit([image, image], [found], column="kind")
    with pytest.raises(InputError, match=r"objects have the columns .*'kind'.*, not 'type'"):
        new.fit([image], [found])
    with pytest.raises(InputError, match='"bright" is no type of a, b. Give the classifier its types'):
        ObjectClassifier(["a", "b"]).fit([image], [found], column="kind")
    with pytest.raises(InputError, match="at least two different names"):
        ObjectClassifier(["a", "a"])
    with pytest.raises(RunError, match="not trained and cannot be saved"):
        new.save(tmp_path / "new")
    (tmp_path / "other").mkdir()
    seal(tmp_path / "other", {"kind": "network"}, [])
    with pytest.raises(RunError, match="is a run of kind 'network', expected 'object-classifier'"):
        ObjectClassifier.load(tmp_path / "other")
    seal(tmp_path / "other", {"kind": "object-classifier"}, [])
    with pytest.raises(RunError, match="cannot be rebuilt: 'types'"):
        ObjectClassifier.load(tmp_path / "other")
