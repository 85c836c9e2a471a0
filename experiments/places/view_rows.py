"""Small trainings of the aerial SnapNet as rows of the tables of points: what they set, and a labeller from clouds in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import deepnets4eo
from deepnets4eo.cards import Legend
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.points import PointCloud
from deepnets4eo.points.files.las import SYNTHETIC
from deepnets4eo.points.snapnet import SnapNetLabeller
from deepnets4eo.training import load_recipe

LAS_FORMAT = 7  # coordinates, returns and colours
SCALE_M = 0.001

AERIAL = "points/snapnet-aerial"
SMALL = ["views.gsd_m=0.25", "train.epochs=5", "data.windows_per_epoch=160", "data.num_workers=0", "train.keep=last"]
SMOKE = ["train.epochs=1", "data.windows_per_epoch=4", "train.batch_size=2", "views.overlap=0", "views.headings=1"]


def row_overrides(legend: Legend, seed: int, overrides: Sequence[str]) -> list[str]:
    """What a training on all points of clouds sets; codes that the legend lacks are void."""
    own = [f"legend={json.dumps(legend.to_dict())}", "data.val_share=0", "data.unknown_labels=void"]
    return [*SMALL, *own, f"train.seed={seed}", *overrides]


def train_views(
    clouds: Sequence[PointCloud], legend: Legend, seed: int, out: Path, overrides: Sequence[str]
) -> SnapNetLabeller:
    """A SnapNet that learned from all points of clouds; a run that is there is used again.

    out : the run folder. overrides : beside those of SMALL.
    """
    if not (out / "card.json").exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent) as folder:
            for number, cloud in enumerate(clouds):
                write_las(cloud, Path(folder) / f"cloud-{number}.las")
            recipe, _ = load_recipe(AERIAL, data=folder, overrides=row_overrides(legend, seed, overrides))
            deepnets4eo.train(recipe, out)
    return SnapNetLabeller.from_run(out)


def write_las(cloud: PointCloud, path: Path) -> Path:
    """Write coordinates, classes, what was measured of colours, intensity and returns, and whether it is made up."""
    with name_missing_extra():
        import laspy

    las = laspy.create(point_format=LAS_FORMAT, file_version="1.4")
    las.header.offsets, las.header.scales = np.floor(cloud.xyz.min(axis=0)), np.full(3, SCALE_M)
    if cloud.synthetic:
        las.header.system_identifier = SYNTHETIC
    las.x, las.y, las.z = cloud.xyz.T
    for name in ("classification", "intensity", "return_number", "number_of_returns"):
        if getattr(cloud, name) is not None:
            las[name] = getattr(cloud, name)
    if cloud.colour is not None:
        las.red, las.green, las.blue = cloud.colour.T.astype(np.uint16) * 257
    path.parent.mkdir(parents=True, exist_ok=True)
    las.write(path)
    return path
