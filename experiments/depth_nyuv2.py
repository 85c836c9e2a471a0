"""Depth from one image of a room: losses of Carvalho et al. (ICIP 2018) and D3-Net, beside a plain loop; NYUv2, or a folder of frames.

Usage: python experiments/depth_nyuv2.py --out FOLDER --data NYUV2 [--weights densenet121.safetensors]    (795 / 654 frames)
       python experiments/depth_nyuv2.py --out FOLDER --data FRAMES [--seeds 0 1 2] [--d3net]           (files *.depth.png)

NYUv2: nyu_depth_v2_labeled.mat and splits.mat (MATLAB 7.3, read through h5py). Depths are scored inside Eigen's crop, rows 45 to 470 and
columns 41 to 600 of 480 × 640, up to 10 m. A folder's first frames are learnt and its last ones tested, with one left out between; they
show one room from other poses, so that the figures say how a method learns, not how it meets a new room. Small trainings of a small
network on a quarter of the pixels, but for NYUv2; --d3net trains D3-Net itself there as well, once and from random weights. Scores that are
in FOLDER are kept.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from change_pairs import publish, train_run
from height_semantics import EPOCH_STEPS, SMALL, STEPS, plain_loop
from numpy.typing import NDArray
from script import add_smoke, kept_results, plain_errors, require_all, store_results, title_of
from zero import median_of_rows

from deepnets4eo.cards import Quantity
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import evaluate_values, spread
from deepnets4eo.grid import Window
from deepnets4eo.points.rgbd.frame import FrameSource, find_posed_frames
from deepnets4eo.points.rgbd.layouts import IMAGES, SPLITS, NyuFrame, official_split
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import CogWriter, Layer

log = logging.getLogger(__name__)

FULL, SMALL_SHAPE = (480, 640), (240, 320)
CROP = Window(45, 41, 426, 560)  # of 480 × 640, Eigen et al. 2014
DEPTH = Quantity("depth", low=0.0, high=10.0, zero="void")
RECIPE, PLAIN, ITSELF = "depth/d3net", "plain loop, L1", "D3-Net, L1"
D3NET_STEPS = 300
OF_D3NET = (
    *(one for one in SMALL if not one.startswith(("model.", "train.epochs="))),
    f"train.epochs={D3NET_STEPS // EPOCH_STEPS}",
)
LOSSES = {
    "L1": "{l1: 1}", "L2": "{l2: 1}", "berHu": "{berhu: 1}", "Huber": "{huber: 1}", "Eigen": "{eigen: 1, l1: 0.1}",
    "L1 + gradient": "{l1: 1, gradient: 1}", "L1 + LS-GAN": "{l1: 100}",
}  # fmt: skip
ADVERSARIAL = {"L1 + LS-GAN": 1.0}  # weight beside, as published
TARGET = ("target.layer=depth", "target.quantity={name: depth, low: 0, high: 10, zero: void}", "target.zero=void")
COLUMNS = {
    "rel": "rel",
    "rms m": "rmse",
    "rms_log": "rms_log",
    "log10": "log10",
    "δ1": "delta1",
    "δ2": "delta2",
    "δ3": "delta3",
}
NAN = float("nan")
PUBLISHED = {  # rel, RMSE, RMSE of logarithms, log10, δ1, δ2, δ3
    "Eigen and Fergus (published)": (0.158, 0.641, 0.214, NAN, 0.769, 0.950, 0.988),
    "Laina (published)": (0.127, 0.573, 0.195, 0.055, 0.811, 0.953, 0.988),
    "Xu (published)": (0.121, 0.586, NAN, 0.052, 0.811, 0.954, 0.987),
    "Cao (published)": (0.141, 0.540, NAN, 0.060, 0.819, 0.965, 0.992),
    "Jung (published)": (0.134, 0.527, NAN, NAN, 0.822, 0.971, 0.993),
    "Kendall and Gal (published)": (0.110, 0.506, NAN, 0.045, 0.817, 0.959, 0.989),
    "D3-Net (published)": (0.136, 0.504, 0.199, NAN, 0.821, 0.955, 0.987),
}
Sources = Mapping[str, Mapping[str, str]]


def write_frames(frames: Sequence[FrameSource], out: Path, shape: tuple[int, int]) -> dict[str, dict[str, str]]:
    """Colours and depth of frames as files; depth is void where it is not known and, in `crop.tif`, outside Eigen's crop."""
    scenes = {}
    for source in frames:
        folder = out / "frames" / source.name
        scenes[source.name] = {name: str(folder / f"{name}.tif") for name in ("image", "depth", "crop")}
        if all(Path(path).exists() for path in scenes[source.name].values()):
            continue
        frame = source.read()
        if frame.shape != FULL:
            raise InputError(
                f"frame {source.name} has {frame.shape} pixels, expected {FULL}, of which the crop is known."
            )
        depth = np.where(frame.known, frame.depth_m, 0).astype(np.float32)
        inside = np.zeros(FULL, np.float32)
        inside[CROP.slices] = 1
        grid = Layer.open(frame.colour).grid.zoom_to(shape)
        rows, cols = (np.arange(side) * FULL[axis] // side for axis, side in enumerate(shape))
        nearest = np.ix_(rows, cols)
        layers: dict[str, NDArray[Any]] = {
            "image": np.stack([band[nearest] for band in frame.colour]),
            "depth": depth[nearest][None],
            "crop": (depth * inside)[nearest][None],
        }
        for name, values in layers.items():
            with CogWriter(scenes[source.name][name], grid, count=len(values), dtype=str(values.dtype)) as writer:
                writer.write(Window(0, 0, *shape), values)
    return scenes


def score(maps: Mapping[str, Path], scenes: Sources) -> list[float]:
    """The columns of estimates, the pixels of all frames pooled."""
    report = evaluate_values([(maps[name], scenes[name]["crop"]) for name in maps], DEPTH)
    return [report["values"][name] for name in COLUMNS.values()]


def score_run(run: Path, scenes: Sources, out: Path) -> list[float]:
    """The columns of a run."""
    maps = {name: out / f"{name}.tif" for name in scenes}
    for name, path in maps.items():
        predict(run, scenes[name]["image"], path, PredictOptions(overwrite=True, device="auto"))
    return score(maps, scenes)


def frames_of(args: argparse.Namespace) -> tuple[Sequence[FrameSource], Sequence[FrameSource]]:
    """The frames to learn from and to test on."""
    if (args.data / IMAGES).is_file():
        require_all(args.data, (IMAGES, SPLITS))
        parts = official_split(args.data)
        by_part = {
            part: [NyuFrame(name, args.data / IMAGES, int(name) - 1, None) for name in names]
            for part, names in parts.items()
        }
        return by_part["train"], by_part["test"]
    frames = find_posed_frames(args.data)
    if len(frames) < 4:
        raise InputError(
            f"{args.data} has {len(frames)} files *.depth.png; expected four at least. Name another folder."
        )
    tested = max(1, len(frames) // 3)
    return frames[: -tested - 1], frames[-tested:]


def depth_of(path: str) -> NDArray[np.float64]:
    """Return (H, W) depth of a file in metres, NaN where unknown."""
    values, valid = Layer.open(path).read()
    return np.where(valid & (values[0] > 0), values[0].astype(float), np.nan)


def parse_words() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of frames, runs, maps and table.md")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help=f"folder of {IMAGES} and {SPLITS}, or of frames with depth in millimetres, *.depth.png",
    )
    parser.add_argument("--weights", help="dense blocks of a DenseNet-121, safetensors; of NYUv2")
    parser.add_argument("--losses", nargs="+", choices=list(LOSSES), default=list(LOSSES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--d3net", action="store_true", help=f"also D3-Net itself on a folder of frames, {D3NET_STEPS} steps, once"
    )
    add_smoke(parser)
    return parser.parse_args()


def train_and_score(
    args: argparse.Namespace, train: Sources, test: Sources, *, of_nyu: bool
) -> dict[str, list[list[float]]]:
    """Return the scores of each row, one list a seed. of_nyu : else on frames of one room, with the plain loop as a row"""
    learnt = {name: {layer: one[layer] for layer in ("image", "depth")} for name, one in train.items()}
    own = [f"model.options.weights={args.weights}"] if args.weights else []
    scores: dict[str, list[list[float]]] = {}
    for seed in args.seeds:
        rows: dict[str, tuple[str, tuple[str, ...]]] = {name: (name, () if of_nyu else SMALL) for name in args.losses}
        if args.d3net and not of_nyu and seed == args.seeds[0]:
            rows[ITSELF] = ("L1", OF_D3NET)
        for name, (loss, training) in rows.items():
            run = args.out / f"{name.replace(' ', '')}-{seed}"
            overrides = [
                *training,
                *TARGET,
                *own,
                f"train.losses={LOSSES[loss]}",
                f"train.adversarial={ADVERSARIAL.get(loss, 0.0)}",
                f"train.seed={seed}",
                "data.val_share=0",
            ]
            run = train_run(RECIPE, overrides, learnt, run, smoke=args.smoke)
            scores.setdefault(name, []).append(score_run(run, test, run / "maps"))
            log.info("%s, seed %d: %s", name, seed, np.round(scores[name][-1], 3))
        if not of_nyu:
            maps = plain_loop(
                learnt, test, args.out / f"plain-{seed}", seed, 2 if args.smoke else STEPS, target="depth"
            )
            scores.setdefault(PLAIN, []).append(score(maps, test))
            log.info("%s, seed %d: %s", PLAIN, seed, np.round(scores[PLAIN][-1], 3))
    return scores


def main() -> None:
    """Train all rows with all seeds, and print one table beside the published figures."""
    args = parse_words()
    of_nyu = (args.data / IMAGES).is_file()
    train, test = (
        write_frames(frames, args.out, FULL if of_nyu else SMALL_SHAPE)
        for frames in (part[: 2 if args.smoke else None] for part in frames_of(args))
    )
    scores = train_and_score(args, train, test, of_nyu=of_nyu)
    depths = [[depth_of(one["depth"]) for one in part.values()] for part in (train, test)]
    zero = median_of_rows(*depths)
    log.info("%s", zero.line())
    title = "NYUv2, 795 / 654 frames" if of_nyu else "frames of one room, other poses"
    head = [f"| {' | '.join(['loss', *COLUMNS])} |", f"|---|{'---:|' * len(COLUMNS)}"]
    published = {name: [values] for name, values in PUBLISHED.items()} if of_nyu else {}
    lines = [
        f"| {name} | {' | '.join(spread(column, 3) for column in np.array(values).T)} |"
        for name, values in (scores | published).items()
    ]
    stored = {
        name: {
            key: [round(float(one), 4) for one in column]
            for key, column in zip(COLUMNS, zip(*values, strict=True), strict=True)
        }
        for name, values in scores.items()
    }
    before = kept_results(args.out, smoke=args.smoke).get("scores", {})
    store_results(args.out, smoke=args.smoke, data=title, zero=zero.to_dict(), scores=before | stored)
    publish(
        args.out, "\n".join([f"## {title_of(title, smoke=args.smoke)}", "", *head, *lines, "", f"- {zero.line()}", ""])
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with plain_errors():
        main()
