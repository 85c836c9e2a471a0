"""The experiment on land cover of real tiles: what of a tile is compared, and with which classes."""

import sys
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))
pytest.importorskip("torch")

import landcover_real  # noqa: E402
import real_tiles  # noqa: E402

from deepnets4eo.cards.legend import VOID, Legend  # noqa: E402

LEGEND = Legend.load("loveda")
SIDE = 320


def made_up_tile() -> real_tiles.RealTile:
    """Forest on the left, a building on the right, fields nobody named between; heights of both."""
    labels = np.full((SIDE, SIDE), LEGEND.value("background"), np.uint8)
    labels[:, :100], labels[:, 220:] = LEGEND.value("forest"), LEGEND.value("building")
    image = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE), np.uint8)
    heights = np.where(labels == LEGEND.value("background"), 0, 8).astype(np.float32)[None]
    layers = {"image": (image, real_tiles.RGB), "ndsm": (heights, ("ndsm",))}
    return real_tiles.RealTile(LEGEND, real_tiles.pixel_grid(labels), labels, layers)


def test_tiles_are_compared_at_half_a_metre_in_the_classes_that_both_have() -> None:
    layers, labels = landcover_real.tile_layers(made_up_tile(), 0.25)
    assert layers["image"].shape == layers["ndsm"].shape == labels.shape == (SIDE // 2, SIDE // 2)
    assert [int(labels[80, col]) for col in (10, 80, 140)] == [
        landcover_real.LANDCOVER.value("tree"), VOID, landcover_real.LANDCOVER.value("building"),
    ]  # fmt: skip
    assert layers["ndsm"].read()[0][0, 80, 140] == pytest.approx(8)


def test_the_network_in_the_box_is_scored_with_and_without_heights() -> None:
    layers, labels = landcover_real.tile_layers(made_up_tile(), 0.25)
    run = EXPERIMENTS.parent / "models" / "landcover"
    without, with_heights = (
        landcover_real.score(run, {name: layers[name] for name in used}, labels) for used in (["image"], list(layers))
    )
    assert without != with_heights
    assert "tree" in without
    assert "impervious" not in without
