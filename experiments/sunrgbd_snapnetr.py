"""SnapNet-R: RGB-D frames with and without resampled views, to learn from and to vote; SUN RGB-D, NYUv2, three frames of a table.

Usage: python experiments/sunrgbd_snapnetr.py --out FOLDER --data TABLETOP [--seeds 0]        (learn0 / test30, test55)
       python experiments/sunrgbd_snapnetr.py --out FOLDER --data SUNRGBD --labels FOLDER --train-list TXT --test-list TXT
       python experiments/sunrgbd_snapnetr.py --out FOLDER --data NYUV2 [--classes 40]
       --inputs image composite both: which networks; both, the published one, by default. --smoke: two steps each

The ten rows of the published ablation: FuseNet as its authors trained it (1*, a figure alone), and nine rows of preprocessing (p)
and augmentation (a) in training and in test, from three trainings of three scores each. p: the frame itself is rendered from its
surface (`views.render_train`, `views.render_test`); a: views around it are learnt from, or vote (`views.train`, `views.test`).
What p and a stand for was inferred from the table, whose text was not read. The last epoch is kept, so that no choice is made by
the frames that are tested on. Published figures: Le Saux, "Machine Learning Models for Scene Understanding", 2020.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from change_pairs import publish, table
from script import add_smoke, percents, plain_errors, store_results, title_of

import deepnets4eo
from deepnets4eo.cards import SplitPart
from deepnets4eo.files import read_json, write_json
from deepnets4eo.points.rgbd import FrameLabeller, find_frames, score_frames
from deepnets4eo.points.rgbd.layouts import IMAGES, split_frames
from deepnets4eo.points.rgbd.recipe import RgbdRecipe
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
SMOKE = [
    "data.windows_per_epoch=4", "train.batch_size=2", "train.epochs=1", "data.num_workers=0", "data.height_px=64",
    "data.width_px=96",
]  # fmt: skip
COLUMNS = {"OA": "overall_accuracy", "MA": "average_accuracy", "mean IoU": "mean_iou"}
NAN = float("nan")
NONE, PREPARED, AROUND = "– –", "p –", "p a"  # preprocessing, augmentation
WAYS = {NONE: (False, False), PREPARED: (True, False), AROUND: (True, True)}  # rendered, views around
ABLATION: dict[
    tuple[str, str], tuple[str, float, float, float]
] = {  # training, test -> number of the row, OA, MA, mean IoU on SUN RGB-D
    (NONE, NONE): ("1", 0.7721, 0.5481, 0.3911),
    (NONE, PREPARED): ("2", 0.7487, 0.5247, 0.3668),
    (NONE, AROUND): ("3", 0.7252, 0.5327, 0.3389),
    (PREPARED, NONE): ("4", 0.7281, 0.5202, 0.3432),
    (PREPARED, PREPARED): ("5", 0.7720, 0.5503, 0.3933),
    (PREPARED, AROUND): ("6", 0.7025, 0.5687, 0.3032),
    (AROUND, NONE): ("7", 0.7551, 0.5371, 0.3665),
    (AROUND, PREPARED): ("8", 0.7757, 0.5670, 0.3883),
    (AROUND, AROUND): ("9, SnapNet-R", 0.7804, 0.5813, 0.3961),
}
PUBLISHED: dict[str, dict[str, tuple[float, ...]]] = {
    "sun-rgbd": {
        "FCN-8s (published)": (0.682, 0.384, 0.274),
        "Bayesian SegNet (published)": (0.712, 0.459, 0.307),
        "LSTM-CF (published)": (NAN, 0.481, NAN),
        "Context-CRF (published)": (0.784, 0.534, 0.423),
        "DFCN-DCRF (published)": (0.766, 0.506, 0.393),
        "FuseNet SF5, its paper (published)": (0.763, 0.483, 0.373),
        "1* FuseNet SF5 (published)": (0.7688, 0.5261, 0.3917),
        **{
            f"{row} ({learnt}, {tested}) (published)": tuple(values)
            for (learnt, tested), (row, *values) in ABLATION.items()
        },
        "10 FuseNet, HD (published)": (0.7144, 0.4597, 0.2974),
        "11 SnapNet-R, HD (published)": (0.7355, 0.5007, 0.3346),
    },
    "nyuv2-40": {
        "RCNN (published)": (0.603, 0.351, 0.286),
        "FCN-16s (published)": (0.654, 0.461, 0.340),
        "Eigen (published)": (0.656, 0.451, 0.341),
        "Context-CRF (published)": (0.676, 0.496, 0.371),
        "FuseNet SF3 (published)": (0.664, 0.442, 0.340),
        "FuseNet SF5 (published)": (0.6219, 0.4828, 0.3101),
        "MVCNet-MP (published)": (0.7066, 0.5178, 0.4007),
        "SnapNet-R (published)": (0.6920, 0.6055, 0.3833),
    },
    "nyuv2-13": {
        "Couprie (published)": (0.524, 0.362, NAN),
        "Hermans (published)": (0.542, 0.480, NAN),
        "SceneNet (published)": (0.672, 0.525, NAN),
        "Eigen (published)": (0.754, 0.669, 0.526),
        "FuseNet SF3 (published)": (0.758, 0.662, 0.542),
        "Eigen-SF-CRF (published)": (0.636, 0.669, NAN),
        "FuseNet SF5 (published)": (0.7841, 0.7207, 0.5633),
        "MVCNet-MP (published)": (0.7913, 0.7059, 0.5907),
        "SnapNet-R (published)": (0.8195, 0.7751, 0.6178),
    },
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
    """Which frames, what a training on them sets, and which published rows are shown above."""

    title: str
    published: str
    layout: str
    folder: Path
    overrides: Sequence[str]


def training_overrides(dataset: Dataset, name: str, way: str, views: int, seed: int, *, smoke: bool) -> list[str]:
    """What a training sets. name : one of INPUTS; way : one of WAYS; views : around each frame where it has them."""
    rendered, around = WAYS[way]
    overrides = [
        *INPUTS[name], f"data.layout={dataset.layout}", f"views.render_train={json.dumps(rendered)}",
        f"views.train={views if around else 0}", "views.test=0", "train.keep=last",
    ]  # fmt: skip
    return [*overrides, *dataset.overrides, f"train.seed={seed}", *(SMOKE if smoke else [])]


def train_once(dataset: Dataset, overrides: Sequence[str], out: Path) -> RgbdRecipe:
    """Train, unless the run is there; returns the recipe."""
    recipe, _ = load_recipe(RECIPE, data=dataset.folder, overrides=overrides)
    assert isinstance(recipe, RgbdRecipe)
    if not (out / "card.json").exists():
        deepnets4eo.train(recipe, out)
    return recipe


def score(run: Path, recipe: RgbdRecipe, way: str, views: int) -> dict[str, Any]:
    """Scores at the pixels of the withheld frames, labelled in one of WAYS; scores that are there are used again."""
    rendered, around = WAYS[way]
    voting = views if around else 0
    kept = run / f"votes-{voting}{'-rendered' if rendered else ''}.json"
    if not kept.exists():
        labeller = FrameLabeller.from_run(run)
        labeller.views = labeller.views.model_copy(update={"test": voting, "render_test": rendered})
        split = split_frames(find_frames(recipe.data, labeller.legend), recipe.data)
        withheld = [
            one.source for one, part in zip(split.scenes, split.splits, strict=True) if SplitPart.val in part.parts
        ]
        write_json(kept, score_frames(labeller, withheld))
    scores: dict[str, Any] = read_json(kept)
    return scores


def snapnet_r_table(
    dataset: Dataset, inputs: Sequence[str], views: int, out: Path, seeds: Sequence[int], *, smoke: bool
) -> str:
    """Inputs x nine rows, below the published rows."""
    rows: dict[str, list[list[float]]] = {
        name: [[value] for value in values] for name, values in PUBLISHED[dataset.published].items()
    }
    stored: dict[str, dict[str, list[float]]] = {}
    for name in inputs:
        for learnt in WAYS:
            scores: dict[str, list[dict[str, Any]]] = {tested: [] for tested in WAYS}
            for seed in seeds:
                run = out / f"seed-{seed}" / f"{name} {learnt}"
                overrides = training_overrides(dataset, name, learnt, views, seed, smoke=smoke)
                recipe = train_once(dataset, overrides, run)
                for tested, of_seeds in scores.items():
                    of_seeds.append(score(run, recipe, tested, views))
            for tested, of_seeds in scores.items():
                row = f"{ABLATION[learnt, tested][0]} ({learnt}, {tested}), {name}"
                rows[row] = [[float(one[key]) for one in of_seeds] for key in COLUMNS.values()]
                stored[row] = dict(zip(COLUMNS.values(), map(percents, rows[row]), strict=True))
                store_results(out, smoke=smoke, data=dataset.title, views=views, scores=stored)
                publish(out, table(title_of(dataset.title, smoke=smoke), list(COLUMNS), rows, []))
    notes = [
        f"Seeds: {', '.join(map(str, seeds))}. p: the frame is rendered from its surface, a: {views} views around it; in training, in test.",
        "Pixels are those of the frames, void left out; MA and mean IoU are means over the classes that occur.",
    ]
    return table(title_of(dataset.title, smoke=smoke), list(COLUMNS), rows, notes)


def tabletop(folder: Path) -> Dataset:
    """One frame to learn from, two to test on; table and objects."""
    overrides = [f"legend={TABLE_TOP}", "data.val_scenes=['test*']", *SMALL]
    return Dataset("Three frames of a table top", "organised", "organised", folder, overrides)


def sun_rgbd(root: Path, labels: Path, train_list: Path, test_list: Path) -> Dataset:
    """The official split in 37 classes."""
    lists = [f"data.labels={labels}", f"data.train_list={train_list}", f"data.test_list={test_list}"]
    return Dataset(
        "SUN RGB-D, 37 classes", "sun-rgbd", "sun-rgbd", root, ["legend=sunrgbd-37", "data.split=official", *lists]
    )


def nyu(folder: Path, classes: int) -> Dataset:
    """The official split in 40 or 13 classes."""
    overrides = [f"legend=nyuv2-{classes}", "data.split=official", "data.windows_per_epoch=795"]
    return Dataset(f"NYUv2, {classes} classes", f"nyuv2-{classes}", "nyuv2", folder, overrides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--data", type=Path, required=True,
        help=f"folder of learn0.npz, test30.npz and test55.npz; of {IMAGES}, splits.mat and the class mappings; or SUNRGBD",
    )  # fmt: skip
    parser.add_argument("--labels", type=Path, help="of SUN RGB-D: label images")
    parser.add_argument("--train-list", type=Path, help="of SUN RGB-D")
    parser.add_argument("--test-list", type=Path, help="of SUN RGB-D")
    parser.add_argument("--classes", type=int, choices=(13, 40), default=40, help="of NYUv2")
    parser.add_argument("--inputs", nargs="+", choices=list(INPUTS), default=[BOTH])
    parser.add_argument("--views", type=int, default=6, help="around each frame")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    if (arguments.data / "learn0.npz").is_file():
        dataset = tabletop(arguments.data)
    elif (arguments.data / IMAGES).is_file():
        dataset = nyu(arguments.data, arguments.classes)
    elif None in (arguments.labels, arguments.train_list, arguments.test_list):
        parser.error("SUN RGB-D needs --labels, --train-list and --test-list")
    else:
        dataset = sun_rgbd(arguments.data, arguments.labels, arguments.train_list, arguments.test_list)
    seeds = arguments.seeds[: 1 if arguments.smoke else None]
    out, inputs, views = arguments.out, arguments.inputs, arguments.views
    publish(out, snapnet_r_table(dataset, inputs, views, out, seeds, smoke=arguments.smoke))


if __name__ == "__main__":
    with plain_errors():
        main()
