"""Roofs by heights after the event alone: which cells have gone and which may have."""

from types import SimpleNamespace

import numpy as np
import pytest

from deepnets4eo.points import RubbleOptions
from deepnets4eo.points.rubble import plans


class Cells:
    """One building of cells in a row, whose values images hold as they are."""

    def __init__(self, number: int) -> None:
        self.owner = np.zeros(number, int)

    def of_image(self, image: np.ndarray) -> np.ndarray:
        return np.asarray(image)

    of_heights = of_image

    def total(self, values: np.ndarray) -> np.ndarray:
        return np.array([values.sum()])

    def mean(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        return np.array([values[known].mean()])

    def mean_of_parts(self, values: np.ndarray, known: np.ndarray, inner: np.ndarray) -> np.ndarray:
        return self.mean(values, known & inner)


def test_a_cell_may_have_fallen_where_it_is_rough_or_low_and_only_where_it_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    above = np.array([6.0, 6.0, 2.0, 2.0, 0.1, np.nan, 6.0, 6.0])  # 8 m before: heaps are lower than half of it
    rough = np.array([False, True, False, True, False, True, False, False])
    cells, number = Cells(len(above)), len(above)
    monkeypatch.setattr(plans, "inner_cells", lambda inputs, cells: np.ones(number, bool))
    monkeypatch.setattr(plans, "MIN_INNER_CELLS", 1)
    monkeypatch.setattr(plans, "heap_limit", lambda heights: np.array([4.0]))
    inputs = SimpleNamespace(
        heights_m=np.array([8.0]), post=SimpleNamespace(above_lying=lambda terrain: above), terrain=None
    )
    found = plans.plan_alone(inputs, cells, above, rough, np.array([20.0]), RubbleOptions())  # type: ignore[arg-type]
    assert found.known.tolist() == [True, True, True, True, True, False, True, True]
    assert found.doubtful.tolist() == [False, True, True, True, True, False, False, False]
    assert found.gone.tolist() == [False, False, False, True, True, False, False, False]
    assert found.before is None
    assert found.before_m3.tolist() == [160.0], "area by height"
    assert found.loss.tolist() == [pytest.approx(8 - np.nanmean(above))]
    assert np.isnan(found.lost_m3).all()
