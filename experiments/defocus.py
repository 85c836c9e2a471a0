"""Depth from one image, sharp or as a lens sees it: whether blur helps, and how far deviations can be trusted. Real frames, 3 seeds.

Usage: python experiments/defocus.py --data FOLDER --out FOLDER [--seeds 0 1 2] [--focus-m 0.7] [--steps 800] [--parts blur deviations causes] [--smoke]

FOLDER holds `rgbd_7scenes` and `rgbd_tabletop`. A BlurNet, whose small context and grey images say little of the room, learns from
eight frames of a kitchen, once from the sharp images and once from what `depth.ThinLens` makes of them (train.defocus), and is scored on
four frames of other poses and on a table in another room, seen likewise, and on the other poses through a lens of another focus
(three transfers; the published ones are NYUv2 with synthetic defocus, and a camera indoors and outdoors, whose frames are not at hand). Beside it a plain loop of PyTorch with the same network,
windows and steps. Then a small D3-Net with dropout learns from six sharp frames and estimates depth with its standard deviation: of the
network alone, and with 30 passes with dropout; their factors come from two frames and are held against the middles of the four.
Errors and deviations with and without defocus are a table and error_and_deviation.png. `--parts causes`: on sharp frames, what of the plain loop the recipe lacks, key by key.
Writes table.md and results.json, which keeps the other part of an earlier call with the same steps and seeds; runs that are finished are not trained again.
"""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from script import NOTE, add_smoke, plain_errors, require_files, store_results, title_of
from zero import Zero, median_of_rows

from deepnets4eo.depth import ThinLens
from deepnets4eo.depth.training import DepthRecipe
from deepnets4eo.files import atomic_write, read_json, write_text
from deepnets4eo.metrics import DeviationScores, ValueScores
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import RunFolder, Segmenter, create_model, load_run
from deepnets4eo.segmenters.dropout import DropoutSegmenter
from deepnets4eo.synthetic.write import write_raster
from deepnets4eo.training import TrainOptions, train
from deepnets4eo.training.recipe import resolve

log = logging.getLogger("defocus")

HELD_OUT = ("000000", "000090", "000250", "000400")  # poses
CALIBRATED_ON = ("000060", "000350")  # of the deviations; not learnt from there
TILE_PX, BATCH, FARTHEST_M, PASSES = 96, 8, 5.0, 30
OTHER_FOCUS = 1.4  # of the third transfer, times the distance that is in focus in training
RECIPE = (
    f"data.tile_px={TILE_PX}", "data.split=scenes", "data.num_workers=0", f"train.batch_size={BATCH}",
    "train.lr=0.002", "train.schedule=one_cycle", "train.keep=last", "train.flips=left-right", "train.rotations=false",
    "train.monitor=delta1", "train.precision=bfloat16", "train.photometric=0.0", "data.sampling=random",
)  # fmt: skip
BLURNET = ("model.network=blur-net", "train.lr=0.004")
BRIGHTER = 0.5  # the plain loop multiplies each scaled window by 1 to 1 + this
CAUSES = {
    "recipe": (),
    "recipe, warm-up of 0.3 of the steps": ("train.warmup_share=0.3",),
    "recipe, changes of light and contrast": (f"train.photometric={BRIGHTER}",),
    "recipe, both": ("train.warmup_share=0.3", f"train.photometric={BRIGHTER}"),
}
PLAIN_CAUSES = {"plain loop": BRIGHTER, "plain loop, without brighter windows": 0.0}
PARTS = ("blur", "deviations", "causes")
Key = tuple[str, str, str]  # what is scored on, way, how images are seen
D3NET = (
    "model.network=d3net", "model.options={dropout: 0.3, blocks: [2, 4, 6, 4], growth: 16}", "target.deviation=true",
    "train.losses={gaussian: 1, l1: 1}",
)  # fmt: skip
MIDDLE = slice(128, 352), slice(160, 480)  # rows and columns
Frames = dict[str, tuple[np.ndarray, np.ndarray]]


def read_frames(folder: Path) -> Frames:
    """Name → grey image (1, H, W) uint8 and depth (H, W) float32 in metres, 0 where nothing was measured."""
    frames = {}
    for path in require_files(folder / "rgbd_7scenes", "*.color.jpg"):
        name = path.name.split(".")[0].removeprefix("frame-")
        depth = (
            np.asarray(Image.open(path.with_name(path.name.replace("color.jpg", "depth.png")))).astype(np.float32)
            / 1000
        )
        frames[name] = np.asarray(Image.open(path).convert("L"))[None], depth
    for path in require_files(folder / "rgbd_tabletop", "*.npz"):
        cloud = np.load(path)
        grey = np.asarray(Image.fromarray(cloud["rgb"]).convert("L"))[None]
        frames[path.stem] = grey, np.nan_to_num(cloud["z"]).astype(np.float32)
    return {name: (image, np.where(depth <= FARTHEST_M, depth, 0)) for name, (image, depth) in frames.items()}


def see(lens: ThinLens | None, image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The image (1, H, W) float32 through a lens, or as it is."""
    sharp = torch.from_numpy(image.astype(np.float32))
    return (sharp if lens is None else lens.blur(sharp[None], torch.from_numpy(depth)[None])[0]).numpy()


def write_scenes(frames: Frames, names: Iterable[str], folder: Path) -> list[dict[str, str]]:
    """Layers of frames as files, which are not written again."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = []
    for name in names:
        paths = {layer: folder / f"{name}_{layer}.tif" for layer in ("image", "depth")}
        for path, values in zip(paths.values(), frames[name], strict=True):
            if not path.exists():
                write_raster(path, Layer.open(values).grid, values, {})
        scenes.append({layer: str(path) for layer, path in paths.items()})
    return scenes


def train_ours(scenes: list[dict[str, str]], out: Path, lens: ThinLens | None, more: Iterable[str]) -> Path:
    """A run of the task `depth`."""
    values: dict[str, Any] = {"task": "depth", "data": {"scenes": scenes, "val_share": 0.0}}
    if lens is not None:
        values["train"] = {"defocus": asdict(lens)}
    return (
        out
        if RunFolder(out).card.exists()
        else train(resolve(values, [*RECIPE, *more], kind=DepthRecipe), out, options=TrainOptions(overwrite=True))
    )


def estimate(segmenter: Segmenter, image: np.ndarray) -> np.ndarray:
    """Depth and its deviation, where there is one, of an image (1, H, W) float32."""
    return segmenter.predict_raw(segmenter.inputs.prepare(Scene.open(image=image).read())[None])[0]


def train_plain(
    frames: Frames, learnt: list[str], lens: ThinLens | None, seed: int, steps: int, brighter: float = BRIGHTER
) -> Callable[[np.ndarray], np.ndarray]:
    """The plain way: windows at random, absolute errors, one cycle; returns what estimates depth."""
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), create_model("blur-net", in_channels=1, num_classes=1)
    images, depths = (torch.from_numpy(np.stack([frames[name][part] for name in learnt])).float() for part in (0, 1))
    if lens is not None:
        images = torch.cat([lens.blur(image[None], depth[None]) for image, depth in zip(images, depths, strict=True)])
    mean, std = images.mean(dim=(0, 2, 3))[:, None, None], images.std(dim=(0, 2, 3))[:, None, None]
    offset, scale = depths[depths > 0].mean(), depths[depths > 0].std()
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    network.to(memory_format=torch.channels_last).train()
    for _ in range(steps):
        windows = []
        for _ in range(BATCH):
            at, (row, col) = rng.integers(len(learnt)), rng.integers([side - TILE_PX for side in images.shape[-2:]])
            part = torch.cat([(images[at] - mean) / std, depths[at][None]])[:, row : row + TILE_PX, col : col + TILE_PX]
            windows.append(part.flip(2) if rng.random() < 0.5 else part)
        batch = torch.stack(windows).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            estimated = (
                offset + scale * network(batch[:, :1] * (1 + brighter * torch.rand(BATCH, 1, 1, 1)))[:, 0].float()
            )
        known = batch[:, 1] > 0
        loss = (estimated - batch[:, 1])[known].abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()

    @torch.inference_mode()
    def apply(image: np.ndarray) -> np.ndarray:
        return (offset + scale * network(((torch.from_numpy(image) - mean) / std)[None])[0]).numpy()

    return apply


def errors(
    estimator: Callable[[np.ndarray], np.ndarray], frames: Frames, names: Iterable[str], lens: ThinLens | None
) -> dict[str, float]:
    """Scores of depths on frames seen through a lens."""
    scores = ValueScores()
    for name in names:
        image, depth = frames[name]
        scores.update(np.where(depth > 0, depth, np.nan), estimator(see(lens, image, depth))[0])
    return scores.to_dict()


def measure_blur(
    frames: Frames, out: Path, seeds: Iterable[int], lens: ThinLens, steps: int
) -> dict[Key, list[dict[str, float]]]:
    """Return scores on other poses and in another room, with and without blur, ours and the plain way, one per seed."""
    room = [name for name in frames if name.isdigit()]
    learnt, table = [name for name in room if name not in HELD_OUT], [name for name in frames if name not in room]
    scenes, measured = write_scenes(frames, learnt, out / "frames"), defaultdict(list)
    for seed in seeds:
        for seen, glass in (("sharp", None), ("defocused", lens)):
            more = (f"train.seed={seed}", f"data.windows_per_epoch={steps * BATCH}", "train.epochs=1", *BLURNET)
            ours = partial(estimate, load_run(train_ours(scenes, out / f"{seen}-{seed}", glass, more)).segmenter)
            other = ThinLens(focus_m=OTHER_FOCUS * lens.focus_m)
            transfers = (
                ("other poses", HELD_OUT, glass),
                ("another room", table, glass),
                ("another lens", HELD_OUT, other),
            )
            for way, estimator in (("ours", ours), ("plain loop", train_plain(frames, learnt, glass, seed, steps))):
                for site, names, through in transfers:
                    measured[site, way, seen].append(errors(estimator, frames, names, through))
                    rmse = measured[site, way, seen][-1]["rmse"]
                    log.info("seed %d, %s, %s, %s: RMSE %.3f m", seed, site, way, seen, rmse)
    return dict(measured)


def zeros_of(frames: Frames) -> dict[str, Zero]:
    """Return the zero of each site of the first table: the median depth of each image row of the frames that are learnt from."""
    room = [name for name in frames if name.isdigit()]
    known = {name: np.where(depth > 0, depth, np.nan) for name, (_, depth) in frames.items()}
    learnt = [known[name] for name in room if name not in HELD_OUT]
    tested = {
        "other poses": HELD_OUT,
        "another room": [name for name in frames if name not in room],
        "another lens": HELD_OUT,
    }
    return {site: median_of_rows(learnt, [known[name] for name in names]) for site, names in tested.items()}


def blur_row(key: Key, scores: list[dict[str, float]]) -> str:
    """Return a row of the first table."""
    cells = [spread([one[name] for one in scores]) for name in ("rmse", "rel", "delta1")]
    return f"| {' | '.join([*key, *cells])} |"


def measure_causes(frames: Frames, out: Path, seeds: Iterable[int], steps: int) -> dict[str, list[float]]:
    """Return the root mean square errors in metres of each way on sharp frames of other poses, one per seed."""
    causes: dict[str, list[float]] = {}
    learnt = [name for name in frames if name.isdigit() and name not in HELD_OUT]
    scenes = write_scenes(frames, learnt, out / "frames")
    for seed in seeds:
        more = (f"train.seed={seed}", f"data.windows_per_epoch={steps * BATCH}", "train.epochs=1", *BLURNET)
        estimators: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        for number, (way, keys) in enumerate(CAUSES.items()):
            run = train_ours(scenes, out / f"cause-{number}-{seed}", None, (*more, *keys))
            estimators[way] = partial(estimate, load_run(run).segmenter)
        for way, brighter in PLAIN_CAUSES.items():
            estimators[way] = train_plain(frames, learnt, None, seed, steps, brighter)
        for way, estimator in estimators.items():
            causes.setdefault(way, []).append(round(errors(estimator, frames, HELD_OUT, None)["rmse"], 4))
            log.info("seed %d, %s: RMSE %.3f m", seed, way, causes[way][-1])
    return causes


def deviation_rows(frames: Frames, out: Path, seeds: Iterable[int], steps: int, passes: int) -> Iterator[str]:
    """Rows of the second table: how far deviations on other poses hold, before and after their factor of two frames."""
    learnt = [name for name in frames if name.isdigit() and name not in (*HELD_OUT, *CALIBRATED_ON)]
    scenes, measured = write_scenes(frames, learnt, out / "frames"), defaultdict(list)
    for seed in seeds:
        more = (f"train.seed={seed}", f"data.windows_per_epoch={steps * BATCH}", "train.epochs=1", *D3NET)
        segmenter = load_run(train_ours(scenes, out / f"d3net-{seed}", None, more)).segmenter
        network, both = partial(estimate, segmenter), partial(estimate, DropoutSegmenter(segmenter, passes))
        for name, estimator in (("of the network", network), (f"{passes} passes and the network", both)):
            fitted, held = (estimate_middles(estimator, frames, names) for names in (CALIBRATED_ON, HELD_OUT))
            factor = score_deviations(fitted).factor
            for title, times in ((name, 1.0), (f"{name}, times the factor", factor)):
                measured[title].append(score_deviations(held, times).to_dict() | {"times": times})
            log.info("seed %d, %s: %s", seed, name, measured[title][-1] | {"sparsification": ...})
    for title, scores in measured.items():
        names = ("times", "coverage_50", "coverage_90", "ause", "ause_of_random")
        yield f"| {' | '.join([title, *(spread([one[name] for one in scores]) for name in names)])} |"


def draw_maps(frames: Frames, out: Path, lens: ThinLens, seed: int, steps: int, passes: int) -> Iterator[str]:
    """Rows of the third table, errors and deviations with and without defocus on other poses, and their maps of one frame as a picture."""
    from matplotlib.figure import Figure

    learnt = [name for name in frames if name.isdigit() and name not in (*HELD_OUT, *CALIBRATED_ON)]
    scenes = write_scenes(frames, learnt, out / "frames")
    axes = (figure := Figure(figsize=(11, 5), layout="constrained")).subplots(2, 3)
    for row, (seen, glass) in enumerate((("sharp", None), ("defocused", lens))):
        more = (f"train.seed={seed}", f"data.windows_per_epoch={steps * BATCH}", "train.epochs=1", *D3NET)
        run = out / (f"d3net-{seed}" if glass is None else f"d3net-{seen}-{seed}")
        estimator = partial(
            estimate, DropoutSegmenter(load_run(train_ours(scenes, run, glass, more)).segmenter, passes)
        )
        off, deviations = [], []
        for name in HELD_OUT:
            image, depth = (one[..., MIDDLE[0], MIDDLE[1]] for one in (see(glass, *frames[name]), frames[name][1]))
            value, deviation = estimator(image)
            off.append(np.where(depth > 0, abs(value - depth), np.nan))
            deviations.append(deviation)
        for axis, values, title, most in zip(
            axes[row], (image[0], off[-1], deviations[-1]), (seen, "error, m", "deviation, m"), (255, 1, 1), strict=True
        ):
            axis.imshow(values, vmin=0, vmax=most, cmap="gray" if most == 255 else "viridis")
            axis.set(title=title, xticks=[], yticks=[])
        cells = (np.sqrt(np.nanmean(np.square(off))), np.nanmean(off), np.mean(deviations))
        yield f"| {seen} | {' | '.join(f'{value:.3f}' for value in cells)} |"
    with atomic_write(out / "error_and_deviation.png") as partial_file:
        figure.savefig(partial_file, dpi=110, format="png")


def estimate_middles(
    estimator: Callable[[np.ndarray], np.ndarray], frames: Frames, names: Iterable[str]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Depth (h, w), NaN where unknown, and estimates with deviations (2, h, w) of the middles of sharp frames."""
    middles = [(frames[name][0][:, MIDDLE[0], MIDDLE[1]], frames[name][1][MIDDLE]) for name in names]
    return [(np.where(depth > 0, depth, np.nan), estimator(image.astype(np.float32))) for image, depth in middles]


def score_deviations(estimates: list[tuple[np.ndarray, np.ndarray]], factor: float = 1.0) -> DeviationScores:
    """Scores of deviations times a factor."""
    scores = DeviationScores()
    for depth, (values, deviation) in estimates:
        scores.update(depth, values, factor * deviation)
    return scores


def spread(values: list[float]) -> str:
    """Mean and standard deviation over the seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


def main() -> None:
    """Train, score, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--focus-m", type=float, default=0.7)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:2])
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    frames, lens, passes = read_frames(arguments.data), ThinLens(focus_m=arguments.focus_m), PASSES
    if arguments.smoke:
        print(NOTE)
        arguments.seeds, arguments.steps, passes = arguments.seeds[:1], 2, 2
        frames = {name: (image[:, ::2, ::2], depth[::2, ::2]) for name, (image, depth) in frames.items()}
    named = frames, arguments.out, arguments.seeds
    causes = measure_causes(*named, arguments.steps) if "causes" in arguments.parts else {}
    blurred = measure_blur(*named, lens, arguments.steps) if "blur" in arguments.parts else {}
    lines = [
        f"# {title_of(f'Depth, sharp and defocused (focus {lens.focus_m} m), {arguments.steps} steps', smoke=arguments.smoke)}", "",
    ]  # fmt: skip
    lines += [] if not causes else [
        "| sharp frames, other poses | RMSE, m |", "|---|---:|",
        *(f"| {way} | {spread(values)} |" for way, values in causes.items()), "",
    ]  # fmt: skip
    zeros = zeros_of(frames)
    lines += [] if not blurred else [
        "| scored on | way | images | RMSE, m | rel | δ1 |", "|---|---|---|---:|---:|---:|",
        *(f"| {site} | {one.name} | no image | {one.scores['rmse']:.3f} | – | – |" for site, one in zeros.items()),
        *(blur_row(key, scores) for key, scores in blurred.items()), "",
    ]  # fmt: skip
    lines += [] if "deviations" not in arguments.parts else [
        "| deviations on other poses | times | in 50 % | in 90 % | AUSE | at random |", "|---|---:|---:|---:|---:|---:|",
        *deviation_rows(frames, arguments.out, arguments.seeds, arguments.steps, passes), "",
        "| D3-Net with dropout, other poses, first seed | RMSE, m | mean error, m | mean deviation, m |", "|---|---:|---:|---:|",
        *draw_maps(frames, arguments.out, lens, arguments.seeds[0], arguments.steps, passes), "",
    ]  # fmt: skip
    rmse = {", ".join(key): [round(one["rmse"], 4) for one in scores] for key, scores in blurred.items()}
    protocol = {"smoke": arguments.smoke, "steps": arguments.steps, "seeds": arguments.seeds}
    stored = arguments.out / "results.json"
    before = read_json(stored) if stored.exists() else {}
    if {name: before.get(name) for name in protocol} == protocol:
        rmse, causes = rmse or before["rmse"], causes or before["rmse_of_causes"]
    zero = {site: one.to_dict() for site, one in zeros.items()}
    store_results(arguments.out, **protocol, zero=zero, rmse=rmse, rmse_of_causes=causes)
    print(write_text(arguments.out / "table.md", "\n".join(lines)).read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
