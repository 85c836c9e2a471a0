"""The real tornado: single columns rank damage there without any fit, and the shipped model holds its figures."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from made_up_evidence import gather
from sklearn.metrics import roc_auc_score

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.decision.model import DamageModel
from deepnets4eo.footprints import read_footprints
from deepnets4eo.grid import Grid, gsd_m
from deepnets4eo.rasters import Layer


@dataclass(frozen=True)
class Known:
    """What `register` and `align_footprints` find on this pair, common shifts alone, in the shape that `gather` reads."""

    matrix: np.ndarray
    offsets: np.ndarray
    usable: bool = True

    def offsets_px(self, grid: Grid, points: np.ndarray, rows: slice) -> np.ndarray:
        return self.offsets[rows]


@pytest.fixture(scope="module")
def graded(real_data: Path) -> pd.DataFrame:
    folder = real_data / "joplin"
    pre, post = Layer.open(folder / "pre"), Layer.open(folder / "post")
    footprints = read_footprints(folder / "footprints_overlap.geojson")
    along_row, along_col = gsd_m(post.grid)
    matrix = np.array([[1.0, 0, -0.3 / along_col], [0, 1, -0.7 / along_row]])
    known = Known(matrix, np.tile([1.3 / along_col, 2.2 / along_row], (len(footprints), 1)))
    frame = gather(pre, post, footprints, known, alignment=known).frame  # type: ignore[arg-type]
    labels = gpd.read_file(folder / "damage_labels.geojson")
    frame["damage"] = frame["id"].map(pd.Series(labels["damage"].to_numpy(), labels["id"].astype(str)))
    return frame[frame["damage"].isin(GRADES)]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("column", "sign", "least"),
    [
        ("ev_roof_roughness", 1, 0.98),
        ("ev_outline_support", -1, 0.92),
        ("ev_right_angles", -1, 0.9),
        ("ev_roof_match", -1, 0.85),
    ],
)
def test_a_single_column_ranks_damage_without_any_fit(
    graded: pd.DataFrame, column: str, sign: int, least: float
) -> None:
    assert roc_auc_score(graded["damage"].isin(GRADES[2:]), sign * graded[column]) > least


@pytest.mark.real_data
@pytest.mark.parametrize("method", ["pre_post", "post_only"])
def test_the_shipped_model_separates_damaged_buildings(graded: pd.DataFrame, method: str) -> None:
    decided = DamageModel.load().decide(graded.assign(method=method))
    assert roc_auc_score(graded["damage"].isin(GRADES[2:]), decided["damage_prob"]) > 0.98
    assert ((decided["damage_prob"] >= 0.5) == graded["damage"].isin(GRADES[2:])).mean() > 0.9
