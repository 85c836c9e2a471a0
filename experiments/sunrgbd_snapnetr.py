"""SnapNet-R: RGB-D frames with and without resampled views, to learn from and to vote; SUN RGB-D, NYUv2, three frames of a table.

Usage: python experiments/sunrgbd_snapnetr.py --out FOLDER --tabletop FOLDER [--seeds 0]      (learn0 / test30, test55)
       python experiments/sunrgbd_snapnetr.py --out FOLDER --sun ROOT --labels FOLDER --train-list TXT --test-list TXT
       python experiments/sunrgbd_snapnetr.py --out FOLDER --nyu FOLDER [--classes 40]
       --inputs image composite both: which trainings; --smoke: two steps each

The publication has ten rows of prepared inputs, and of views in training and in test; they were not read at their source. Here
three inputs are crossed with both uses of views, twelve rows, from six trainings: a run is scored without and with votes. The
last epoch is kept, so that no choice is made by the frames that are tested on. Published figures: SnapNet-R from slides of its
authors, the others from abstracts.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from change_pairs import publish, table
from smoke import add_smoke, title_of

import deepnets4eo
from deepnets4eo.cards.dataset_card import VAL
from deepnets4eo.files import read_json, write_json
from deepnets4eo.points.rgbd import FrameLabeller, RgbdRecipe, find_frames, score_frames
from deepnets4eo.points.rgbd.layouts import split_frames
from deepnets4eo.training import load_recipe

RECIPE = "points/snapnet-r"
BOTH = "both"
INPUTS = {
    "image": ["model.layers=[image]", "model.network=segnet", "model.options={}"],
    "composite": ["model.layers=[composite]", "model.network=segnet", "model.options={}"],
    BOTH: [],
}
SMALL_NETWORK = ["model.network=unet", "model.encoder=mobilenet_v2", "model.options={}"]
SMALL = [
    *SMALL_NETWORK, "data.height_px=96", "data.width_px=128", "data.windows_per_epoch=160", "data.num_workers=0",
    "train.batch_size=4", "train.epochs=4", "train.lr=0.002", "train.precision=float32",
]  # fmt: skip
SMOKE = ["data.windows_per_epoch=4", "train.batch_size=2", "train.epochs=1", "data.num_workers=0"]
COLUMNS = {"OA": "overall_accuracy", "MA": "average_accuracy", "mean IoU": "mean_iou"}
NAN = float("nan")
PUBLISHED = {
    "sun-rgbd": {
        "SnapNet-R (published)": (0.7804, 0.5813, 0.3961),
        "FuseNet-SF5 (published)": (0.7627, 0.4830, 0.3729),
        "LSTM-CF (published)": (NAN, 0.481, NAN),
        "RedNet-50 (published)": (NAN, NAN, 0.478),
    },
    "nyuv2": {"LSTM-CF (published)": (NAN, 0.494, NAN)},
    "organised": {},
}  # dataset -> row -> OA, MA, mean IoU
TABLE_TOP = {
    "name": "tabletop",
    "classes": [
        {"value": 1, "name": "table", "color": [200, 170, 120]},
        {"value": 20, "name": "object", "color": [220, 40, 40]},
    ],
    "void_values": [0],
    "file_values": {**dict.fromkeys(range(2, 8), 1), **dict.fromkeys((*range(30, 151, 10), 31, 151), 20)},
}  # codes up to 7 are pieces of the table: they lie within a centimetre of one plane


class Dataset(NamedTuple):
    """Which frames, and what a training on them sets."""

    title: str
    layout: str
    folder: Path
    overrides: Sequence[str]


def training_overrides(dataset: Dataset, name: str, views: int, seed: int, *, smoke: bool) -> list[str]:
    """What a training sets. name : one of INPUTS; views : around each frame that is learnt from."""
    overrides = [
        *INPUTS[name],
        f"data.layout={dataset.layout}",
        f"views.train={views}",
        "views.test=0",
        "train.keep=last",
    ]
    return [*overrides, *dataset.overrides, f"train.seed={seed}", *(SMOKE if smoke else [])]


def train_once(dataset: Dataset, overrides: Sequence[str], out: Path) -> RgbdRecipe:
    """Train, unless the run is there; returns the recipe."""
    recipe, _ = load_recipe(RECIPE, data=dataset.folder, overrides=overrides)
    assert isinstance(recipe, RgbdRecipe)
    if not (out / "card.json").exists():
        deepnets4eo.train(recipe, out)
    return recipe


def score(run: Path, recipe: RgbdRecipe, views: int) -> dict[str, Any]:
    """Scores at the pixels of the withheld frames, with as many views that vote; scores that are there are used again."""
    kept = run / f"votes-{views}.json"
    if not kept.exists():
        labeller = FrameLabeller.from_run(run)
        labeller.views = labeller.views.model_copy(update={"test": views})
        split = split_frames(find_frames(recipe.data, labeller.legend), recipe.data)
        withheld = [one.source for one, part in zip(split.scenes, split.splits, strict=True) if VAL in part.parts]
        write_json(kept, score_frames(labeller, withheld))
    scores: dict[str, Any] = read_json(kept)
    return scores


def snapnet_r_table(
    dataset: Dataset, inputs: Sequence[str], views: int, out: Path, seeds: Sequence[int], *, smoke: bool
) -> str:
    """Inputs x views to learn from x views to vote, below the published rows."""
    rows: dict[str, list[list[float]]] = {
        name: [[value] for value in values] for name, values in PUBLISHED[dataset.layout].items()
    }
    for name in inputs:
        for learnt in (0, views):
            scores: dict[int, list[dict[str, Any]]] = {0: [], views: []}
            for seed in seeds:
                run = out / f"seed-{seed}" / f"{name}-{learnt}"
                overrides = training_overrides(dataset, name, learnt, seed, smoke=smoke)
                recipe = train_once(dataset, overrides, run)
                for voting, of_seeds in scores.items():
                    of_seeds.append(score(run, recipe, voting))
            for voting, of_seeds in scores.items():
                title = f"{name}, {learnt or 'no'} views to learn from, {voting or 'none'} to vote"
                rows[title] = [[float(one[key]) for one in of_seeds] for key in COLUMNS.values()]
    notes = [
        f"Seeds: {', '.join(map(str, seeds))}. Rows are crossed; which ten of them are published is not known here.",
        "Pixels are those of the frames, void left out; MA and mean IoU are means over the classes that occur.",
    ]
    return table(title_of(dataset.title, smoke=smoke), list(COLUMNS), rows, notes)


def tabletop(folder: Path) -> Dataset:
    """One frame to learn from, two to test on; table and objects."""
    overrides = [f"legend={TABLE_TOP}", "data.val_scenes=['test*']", *SMALL]
    return Dataset("Three frames of a table top", "organised", folder, overrides)


def sun_rgbd(root: Path, labels: Path, train_list: Path, test_list: Path) -> Dataset:
    """The official split in 37 classes."""
    lists = [f"data.labels={labels}", f"data.train_list={train_list}", f"data.test_list={test_list}"]
    return Dataset("SUN RGB-D, 37 classes", "sun-rgbd", root, ["legend=sunrgbd-37", "data.split=official", *lists])


def nyu(folder: Path, classes: int) -> Dataset:
    """The official split in 40 or 13 classes."""
    overrides = [f"legend=nyuv2-{classes}", "data.split=official", "data.windows_per_epoch=795"]
    return Dataset(f"NYUv2, {classes} classes", "nyuv2", folder, overrides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--tabletop", type=Path, help="folder of learn0.npz, test30.npz, test55.npz")
    which.add_argument("--sun", type=Path, help="the folder SUNRGBD")
    which.add_argument("--nyu", type=Path, help="folder of nyu_depth_v2_labeled.mat, splits.mat and the class mappings")
    parser.add_argument("--labels", type=Path, help="of SUN RGB-D: label images")
    parser.add_argument("--train-list", type=Path, help="of SUN RGB-D")
    parser.add_argument("--test-list", type=Path, help="of SUN RGB-D")
    parser.add_argument("--classes", type=int, choices=(13, 40), default=40, help="of NYUv2")
    parser.add_argument("--inputs", nargs="+", choices=list(INPUTS), default=list(INPUTS))
    parser.add_argument("--views", type=int, default=6, help="around each frame")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    if arguments.tabletop is not None:
        dataset = tabletop(arguments.tabletop)
    elif arguments.nyu is not None:
        dataset = nyu(arguments.nyu, arguments.classes)
    elif None in (arguments.labels, arguments.train_list, arguments.test_list):
        parser.error("--sun needs --labels, --train-list and --test-list")
    else:
        dataset = sun_rgbd(arguments.sun, arguments.labels, arguments.train_list, arguments.test_list)
    seeds = arguments.seeds[: 1 if arguments.smoke else None]
    out, inputs, views = arguments.out, arguments.inputs, arguments.views
    publish(out, snapnet_r_table(dataset, inputs, views, out, seeds, smoke=arguments.smoke))


if __name__ == "__main__":
    main()
