"""How visible the borders of tiles are: jumps of class probabilities across them, for halos, overlaps and blendings.

Run: python experiments/benchmarks/seams.py [--data ROOT] [--seeds 3 --steps 50] [--networks unet-mobilenet segnet]
     python experiments/benchmarks/seams.py --run models/buildings --images RASTER RASTER … [--size 1024]

Each seed makes a miniature city (SYNTHETIC), trains the network on it for a few steps and labels another one; with
--data the ISPRS crops, too, trained and labelled on the same crop. Columns of the table:
jump: mean |p − q| of neighbouring pixels on both sides of a border, over that of all other neighbours (1: invisible);
jump, same pixels: the same over that of the same pixels in a prediction in one piece, which has no borders;
changed: labels that differ from that prediction; time: pixels computed for a pixel kept, over those of the first row, in
tiles of 576 px.
With --run, a trained run labels a crop of each image in several tilings; one whose network scales windows by their own values
does so tile by tile, and then with the scene scaled beforehand, as prediction does. Pixels computed are for large scenes, over
those of the first row; processor seconds are those of the crop.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from deepnets4eo.arrays import FloatImage
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.device import Compute
from deepnets4eo.grid import Window
from deepnets4eo.prediction.stitching import Blender
from deepnets4eo.prediction.tile_reader import SceneScaling, TileReader
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.any_size import scaled_beforehand, window_scalers
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.segmenters.segmenter import NetworkSegmenter, Segmenter
from deepnets4eo.synthetic import City
from deepnets4eo.tiling import BLENDING, Blending, Lattice, Tiling

LEGEND = Legend.load("isprs")
NETWORKS: dict[str, dict[str, object]] = {
    "unet-mobilenet": {"name": "unet", "encoder": "mobilenet_v2"},
    "segnet": {"name": "segnet", "width": 16},  # a quarter of the published width; the receptive field is the same
    "unet-resnet34": {"name": "unet", "encoder": "resnet34"},
}
TILE_PX = 320  # small, for many borders: the halo decides how they look, not the side of the tile
TIMED_PX = 576  # the side of tiles that times are stated for
WINDOW_PX, BATCH = 160, 4
CROPS = {"vaihingen": "isprs_vaihingen_crop", "potsdam": "isprs_potsdam_crop"}
Row = tuple[int, int, Blending]  # halo, overlap, blending
ROWS: list[Row] = [
    (32, 0, "hann"),  # what times are compared with
    *((halo_px, 0, "hann") for halo_px in (0, 16, 48, 64, 96)),
    *((32, overlap_px, blending) for overlap_px in (16, 32, 64) for blending in BLENDING),
    (16, 32, "hann"),
    (24, 16, "hann"),
]
OTHERS = [Tiling(576, 32, 16), Tiling(832, 64, 16), Tiling(960, 64, 32), Tiling(1024, 64, 32)]  # for --run


@dataclass(frozen=True)
class Case:
    """A scene to train on and one to label."""

    train: Scene
    test: Scene


def cases(seed: int, side: int, samples: Path | None) -> Iterator[tuple[str, Case]]:
    """Cities of two seeds, and the real crops."""
    cities = [City(2 * seed + k, side, 0.3).pre for k in range(2)]
    scenes = [Scene.open(image=city.image[:3], labels=city.labels("isprs")) for city in cities]
    yield "city", Case(*scenes)
    if samples is None:
        return
    for name, folder in CROPS.items():
        image, labels = (
            np.asarray(Image.open(next((samples / folder / kind).iterdir()))) for kind in ("img_dir", "ann_dir")
        )
        values = np.array([VOID, *LEGEND.values[:5]], np.uint8)  # 1 … 5 are the first five classes in this copy
        scene = Scene.open(image=np.moveaxis(image, -1, 0).copy(), labels=values[np.minimum(labels, 5)])
        yield name, Case(scene, scene)


def train(segmenter: NetworkSegmenter, scene: Scene, steps: int, seed: int) -> None:
    """A few steps of AdamW on random windows, some mirrored."""
    sample = scene.read()
    image, classes = segmenter.inputs.prepare(sample), LEGEND.to_index()[sample["labels"].astype(np.uint8)]
    rng = np.random.default_rng(seed)
    network = segmenter.module.train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    for _ in range(steps):
        corners = [[int(rng.integers(0, extent - WINDOW_PX + 1)) for extent in classes.shape] for _ in range(BATCH)]
        windows = [(slice(row, row + WINDOW_PX), slice(col, col + WINDOW_PX)) for row, col in corners]
        xs, ys = np.stack([image[:, r, c] for r, c in windows]), np.stack([classes[r, c] for r, c in windows])
        if rng.random() < 0.5:
            xs, ys = xs[..., ::-1].copy(), ys[..., ::-1].copy()
        logits = network(torch.from_numpy(xs))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(ys.astype(np.int64)), ignore_index=VOID)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()


def whole_probabilities(segmenter: Segmenter, scene: Scene, scaling: SceneScaling | None = None) -> FloatImage:
    """(K, H, W) of the scene in one piece, mirrored at its edges as tiles are."""
    side = -(-(max(scene.shape) + 2 * 96) // 32) * 32
    return probabilities(segmenter, scene, Tiling(side, 96), scaling)


def probabilities(
    segmenter: Segmenter, scene: Scene, tiling: Tiling, scaling: SceneScaling | None = None
) -> FloatImage:
    """(K, H, W) of the scene in tiles, blended as prediction does."""
    with scaled_beforehand(window_scalers(segmenter) if scaling else []):
        return _blended(segmenter, scene, tiling, scaling)


def _blended(segmenter: Segmenter, scene: Scene, tiling: Tiling, scaling: SceneScaling | None) -> FloatImage:
    lattice = Lattice(scene.shape, tiling)
    num_classes = segmenter.legend.num_classes
    result = np.zeros((num_classes, *scene.shape), np.float32)

    def emit(row: int, col: int, mean: FloatImage) -> None:
        result[:, row : row + mean.shape[1], col : col + mean.shape[2]] = mean

    blender = Blender(lattice, range(lattice.cols), num_classes, emit)
    reader = TileReader(scene, segmenter.inputs, lattice, scaling)
    for segment in reader.read_ahead(range(lattice.rows), range(lattice.cols), 1):
        for read in segment:
            proba = None
            if read.image is not None:
                batch = np.ascontiguousarray(read.image[None])
                proba = segmenter.predict_proba(batch, margin_px=tiling.halo_px)[0]
            blender.add(read.tile, proba)
    return result


def borders(lattice: Lattice, axis: int) -> np.ndarray:
    """(length − 1,) bool: pairs of neighbours p, p + 1 along an axis between which a core starts or ends."""
    length = lattice.shape[axis]
    marked = np.zeros(length - 1, bool)
    for step in range(lattice.rows if axis == 0 else lattice.cols):
        start = lattice.start(step, length)
        for edge in (start, start + lattice.tiling.core_px):
            if 0 < edge < length:
                marked[edge - 1] = True
    return marked


def jumps(proba: FloatImage, lattice: Lattice) -> np.ndarray:
    """(2, 2) sums of |p − q| over classes and numbers of pairs: across borders, and elsewhere."""
    totals = np.zeros((2, 2))
    for axis in (0, 1):
        steps = np.abs(np.diff(proba, axis=axis + 1)).sum(axis=(0, 2 - axis), dtype=np.float64)
        marked = borders(lattice, axis)
        for row, chosen in enumerate((marked, ~marked)):
            totals[row] += steps[chosen].sum(), chosen.sum() * proba.shape[2 - axis]
    return totals


def measure(segmenter: NetworkSegmenter, case: Case, rows: Sequence[Row]) -> np.ndarray:
    """(rows, 7): sums and pairs across borders and elsewhere, the same pixels' sum in one piece, changed, pixels."""
    whole = whole_probabilities(segmenter, case.test)
    best, table = whole.argmax(axis=0), []
    for halo_px, overlap_px, blending in rows:
        tiling = Tiling(TILE_PX, halo_px, overlap_px, blending=blending)
        lattice, proba = Lattice(case.test.shape, tiling), probabilities(segmenter, case.test, tiling)
        across, elsewhere = jumps(proba, lattice)
        changed = (proba.argmax(axis=0) != best).sum()
        table.append([*across, *elsewhere, jumps(whole, lattice)[0, 0], changed, best.size])
    return np.array(table)


def compare_tilings(run: str, image: str, side: int, threads: int) -> None:
    """Print a table of a trained run: its own tiling without and with the scene scaled beforehand, and others."""
    segmenter = load_run(run).segmenter
    segmenter.to(Compute(threads=threads))
    layer = Layer.open(image)
    pixels, _ = layer.read(Window(0, 0, min(side, layer.shape[0]), min(side, layer.shape[1])))
    scene = Scene.open(image=pixels[: segmenter.inputs.in_channels])
    scaling = SceneScaling(scene, segmenter.inputs) if window_scalers(segmenter) else None
    whole, own = whole_probabilities(segmenter, scene, scaling), segmenter.tiling
    columns = "tile | halo | overlap | scaled | jump | one piece there | of it | changed | pixels | processor s"
    print(f"\n{image}, {scene.shape}\n\n| {columns} |\n" + "|---" * 10 + "|")
    for tiling, beforehand in [(own, None), (own, scaling), *((other, scaling) for other in OTHERS)]:
        started, lattice = time.process_time(), Lattice(scene.shape, tiling)
        proba = probabilities(segmenter, scene, tiling, beforehand)
        seconds = time.process_time() - started
        (across, pairs), (elsewhere, others) = jumps(proba, lattice)
        (same, _), (rest, _) = jumps(whole, lattice)
        cost = (tiling.tile_px / tiling.stride_px * own.stride_px / own.tile_px) ** 2
        print(
            f"| {tiling.tile_px} | {tiling.halo_px} | {tiling.overlap_px} | {'scene' if beforehand else 'tile'} "
            f"| {across / pairs / (elsewhere / others):.2f} | {same / pairs / (rest / others):.2f} | {across / same:.2f} "
            f"| {(proba.argmax(axis=0) != whole.argmax(axis=0)).mean():.2%} | {cost:.2f} | {seconds:.1f} |",
            flush=True,
        )


def show(title: str, table: np.ndarray, rows: Sequence[Row]) -> None:
    """Print sums (rows, 7) as a table."""
    print(f"\n{title}\n\n| halo | overlap | blending | jump | jump, same pixels | changed | time |")
    print("|---|---|---|---|---|---|---|")
    strides = [TIMED_PX - 2 * halo_px - overlap_px for halo_px, overlap_px, _ in rows]
    for (halo_px, overlap_px, blending), values, stride in zip(rows, table, strides, strict=True):
        across, pairs, elsewhere, others, same, changed, pixels = values
        kind = blending if overlap_px else "–"
        print(
            f"| {halo_px} | {overlap_px} | {kind} | {across / pairs / (elsewhere / others):.2f} | {across / same:.2f} "
            f"| {changed / pixels:.2%} | {(strides[0] / stride) ** 2:.2f} |",
            flush=True,
        )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real labelled samples")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--size", type=int, default=640, help="side of the city, or of the crop, in px")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run", help="a trained run, instead of networks trained here")
    parser.add_argument("--images", nargs="+", help="rasters for --run")
    parser.add_argument("--networks", nargs="*", default=["unet-mobilenet", "segnet"], choices=list(NETWORKS))
    arguments = parser.parse_args()
    if arguments.run and not arguments.images:
        parser.error("--run needs --images")
    if arguments.data and (missing := [one for one in CROPS.values() if not (arguments.data / one).is_dir()]):
        parser.error(f"{arguments.data} lacks {', '.join(missing)}: give the folder that has them")
    torch.set_num_threads(arguments.threads)
    if arguments.run:
        for image in arguments.images:
            compare_tilings(arguments.run, image, arguments.size, arguments.threads)
        return
    sums: dict[tuple[str, str], np.ndarray] = {}
    for seed in range(arguments.seeds):
        for scene, case in cases(seed, arguments.size, arguments.data):
            for name in arguments.networks:
                torch.manual_seed(seed)
                segmenter = NetworkSegmenter(NETWORKS[name], InputSpec.measure([case.train]), LEGEND)
                train(segmenter, case.train, arguments.steps, seed)
                segmenter.to(Compute(threads=arguments.threads))
                key = name, scene
                sums[key] = sums.get(key, 0) + measure(segmenter, case, ROWS)
                show(f"{name}, {scene}, {seed + 1} seeds", sums[key], ROWS)


if __name__ == "__main__":
    main()
