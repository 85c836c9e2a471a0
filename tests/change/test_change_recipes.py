"""Recipes of change: the published weights of classes, and the F1 of change as the score that decides."""

from pathlib import Path

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from torch import nn

from deepnets4eo.cards import Legend
from deepnets4eo.errors import LabelError
from deepnets4eo.training import DataSection, SegmentationCriterion, class_weights, load_recipe
from deepnets4eo.training.scenes import open_scenes

CHANGE = Legend.load("change")


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_classes_are_weighted_in_the_published_ratio(share: float) -> None:
    """w = 10 · 2 p for no change and 2 (1 − p) for change, p the share of change."""
    train = load_recipe("change/fc-ef")[0].train
    pixels = [round(1e6 * (1 - share)), round(1e6 * share)]
    weights = class_weights(train, CHANGE, pixels)
    assert weights is not None
    assert weights[0] / weights[1] == pytest.approx(10 * 2 * share / (2 * (1 - share)))


class Threshold(nn.Module):
    """Change where the last band is above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, dates: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(dates[:, :1]), dates[:, -1:] * self.scale], dim=1)


def test_the_monitored_score_is_the_f1_of_change() -> None:
    recipe, _ = load_recipe("change/fc-siam-diff")
    assert recipe.train.monitor == "f1.change"
    criterion = SegmentationCriterion(recipe.train, CHANGE, list(recipe.model.layers), [90, 10])
    rng = np.random.default_rng(0)
    dates = {name: rng.normal(size=(2, 1, 8, 8)).astype(np.float32) for name in recipe.model.layers}
    mask = rng.integers(0, 2, (2, 8, 8)).astype(np.uint8)
    scores = criterion.validate(Threshold(), [{**dates, "mask": mask, "valid": np.ones((2, 8, 8), bool)}])
    predicted = dates["image_post"][:, 0] > 0
    hits = (predicted & (mask == 1)).sum()
    assert scores["f1.change"] == pytest.approx(2 * hits / (predicted.sum() + (mask == 1).sum()))


def test_a_monitor_of_a_class_that_is_nowhere_names_the_classes() -> None:
    recipe, _ = load_recipe("change/fc-ef", overrides=["train.monitor=f1.chnage"])
    with pytest.raises(LabelError, match="which has no change, change"):
        SegmentationCriterion(recipe.train, CHANGE, ["image_pre", "image_post"], [9, 1])


def test_masks_of_0_and_255_are_noted_with_the_legend_that_reads_them(tmp_path: Path, caplog) -> None:
    mask = np.repeat(np.array([[0, 255]], np.uint8), 32, axis=1).repeat(64, axis=0)
    for name in ("pre", "labels"):
        write_geotiff(tmp_path / "a" / f"{name}.tif", mask)
    data = DataSection(folders=[str(tmp_path)], layers={"image_pre": "*/pre.tif", "labels": "*/labels.tif"})
    assert (open_scenes(data, ["image_pre"], CHANGE)[0].scene.read()["labels"] == mask).all()
    assert "give --set data.labels_legend=change-mask, or write 1 for 255, e.g. with gdal_translate" in caplog.text
    caplog.clear()
    named = data.model_copy(update={"labels_legend": "change-mask"})
    assert (open_scenes(named, ["image_pre"], CHANGE)[0].scene.read()["labels"] == mask // 255).all()
    assert not caplog.text
