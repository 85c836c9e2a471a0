"""Rules of objects one at a time: areas, limits, edges, ids."""

import numpy as np
import pytest
from affine import Affine

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.objects import ObjectRules, extract_objects
from deepnets4eo.rasters import Layer

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
    assert car.heading_deg % 180 == pytest.approx(0, abs=1e-3)


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
