"""Kuro Siwo (Bountos et al., NeurIPS 2024): its files as the dataset card lays them out, and the table of BlackBench.

Usage: python experiments/kuro_siwo.py --data FOLDER --out STACKS [--events 321 561]     (writes one file a date in dB, and labels)
       python experiments/kuro_siwo.py --data STACKS --out RUNS --table [--rows NAME …] [--seeds 0 1 2]     (trains and scores networks)
       python experiments/kuro_siwo.py --out RUNS --table [--smoke]         (the same on made-up floods, SYNTHETIC, of eight places)

FOLDER is `data` of the authors' GRD download, EVENT/AREA/PATCH with one band of linear power a file; STACKS gets EVENT/AREA/PATCH/{pre2,pre,post,water}.tif.
Patches that are written already stay, so that an interrupted call can be repeated. The table: the official training events, of which the last three
are validated on, and the official test events; all their pixels together; what is finished is not run again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from change_pairs import publish, table
from script import FEW_STEPS, add_smoke, plain_errors, title_of

from deepnets4eo.arrays import ByteImage, FloatImage
from deepnets4eo.cards import VOID, DatasetCard, Legend, open_dataset
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json, write_json
from deepnets4eo.floods.speckle import to_decibel
from deepnets4eo.grid import Grid, whole
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import NetworkSegmenter, load_run
from deepnets4eo.synthetic.write import write_raster
from deepnets4eo.training import TrainOptions, train

DATES = {"pre2": "SL2", "pre": "SL1", "post": "MS1"}  # from old to new
POLARISATIONS = {"VV": "IVV", "VH": "IVH"}
LABELS, VALID = "MK0_MLU", "MK0_MNA"
WATER = "water.tif"
NAMES = ("dry", "permanent water", "flood", "any water")
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "U-Net, ResNet-18, flood date alone": (
        "floods/unet", ("legend=water", "model.layers=[image_post]", "train.monitor=f1.flood"),
    ),
    "FC-EF": ("floods/fc-ef", ()),
    "FC-Siam-conc": ("floods/fc-siam-conc", ()),
    "FC-Siam-diff": ("floods/fc-siam-conc", ("model.network=fc-siam-diff",)),
    "ConvLSTM, three dates": ("floods/conv-lstm", ()),
}  # fmt: skip
PUBLISHED = (
    "- Published: F1 of flood about 85 %, of any water about 87 % (abstract of the preprint, the best network, 32 events); the table of the "
    "43 events could not be read at its source, so the rows of BlackBench, the interferometric ones of its complex half among them, are not repeated (coherence: layers coherence). SNUNet, FloodViT, BIT, ChangeFormer, UPerNet and others of it are "
    "not in the toolbox, or under other recipes (`upernet`, `deeplabv3`: --set model.network)."
)
MADE_UP = {"130": 1, "470": 2, "1111006": 3, "1111005": 4, "1111010": 5, "321": 6, "561": 7, "445": 8}  # event → seed
MADE_UP_STEPS = ("train.epochs=8", "data.windows_per_epoch=160", "train.batch_size=8", "data.tile_px=96", "data.num_workers=0")  # fmt: skip


def stack_kuro_siwo(folder: str | Path, out: str | Path, events: Collection[str] = ()) -> list[Path]:
    """Write the dates and labels of all labelled patches, or of those of some events; returns their folders in `out`."""
    folder, written = Path(folder), []
    for labels in sorted(folder.glob(f"*/*/*/{LABELS}_*.tif")):
        patch = labels.parent
        if events and patch.parts[-3] not in events:
            continue
        target = Path(out) / patch.relative_to(folder)
        if not (target / WATER).exists():
            _write_patch(patch, target)
        written.append(target)
    if not written:
        of = f" of the events {', '.join(sorted(events))}" if events else ""
        raise InputError(
            f"{folder} has no labelled patch{of}: no EVENT/AREA/PATCH/{LABELS}_….tif. Give the folder data of the GRD download."
        )
    return written


def _write_patch(patch: Path, target: Path) -> None:
    """All dates of a patch, then its labels, whose file says that the patch is whole."""
    target.mkdir(parents=True, exist_ok=True)
    for date, prefix in DATES.items():
        layers = [_layer(patch, f"{prefix}_{name}") for name in POLARISATIONS.values()]
        decibel = np.stack([_decibel(layer) for layer in layers])
        with CogWriter(
            target / f"{date}.tif", layers[0].grid, count=len(layers), dtype="float32", nodata=np.nan,
            band_names=list(POLARISATIONS), tags={"UNIT": "dB"},
        ) as cog:  # fmt: skip
            cog.write(whole(layers[0].grid), decibel)
    grid, labels = _read_labels(patch)
    with CogWriter(target / WATER, grid, legend=Legend.load("water"), nodata=VOID) as cog:
        cog.write(whole(grid), labels[None])


def _decibel(layer: Layer) -> FloatImage:
    """(H, W) dB, NaN without data: 0 in the files, whether they declare it or not."""
    power, valid = layer.read(whole(layer.grid))
    return np.where(valid & (power[0] > 0), to_decibel(power[0].astype(np.float32)), np.float32(np.nan))


def _read_labels(patch: Path) -> tuple[Grid, ByteImage]:
    """(H, W) values of the legend `water`, void where 3 or not in the mask of valid pixels."""
    layer = _layer(patch, LABELS)
    labels, known = layer.read(whole(layer.grid))
    valid = _layer(patch, VALID).as_stored().read(whole(layer.grid))[0][0] == 1
    return layer.grid, np.where(known & valid & (labels[0] < 3), labels[0], VOID).astype(np.uint8)


def _layer(patch: Path, prefix: str) -> Layer:
    paths = sorted(patch.glob(f"{prefix}_*.tif"))
    if len(paths) != 1:
        raise InputError(f"{patch} has {len(paths)} files {prefix}_….tif, one is expected. Download the patch again.")
    return Layer.open(paths[0])


def draw_floods(out: Path, size_px: int) -> None:
    """Stacks of made-up places (SYNTHETIC) under names of events; the older date before is windy."""
    from world import RadarLook, draw_radar_flood

    for event, seed in MADE_UP.items():
        folder = out / event / "01" / "made-up"
        if (folder / WATER).exists():
            continue
        older, _ = draw_radar_flood(seed, look=RadarLook(wind_m_s=8.0), size_px=size_px)
        before, after = draw_radar_flood(seed, size_px=size_px)
        grid = before.grid
        for date, view in zip(DATES, (older, before, after), strict=True):
            write_raster(folder / f"{date}.tif", grid, view.bands.astype(np.float32), view.tags)
        labels = np.where(after.water, np.where(before.water, 1, 2), 0).astype(np.uint8)
        write_raster(folder / WATER, grid, labels, view.tags, Legend.load("water"))


def score(run: Path, stacks: Path) -> list[float]:
    """F1 of dry, permanent water, flood and any water over the test events, 0 to 1."""
    segmenter = load_run(run).segmenter
    assert isinstance(segmenter, NetworkSegmenter)
    names, matrix = segmenter.inputs.names, ConfusionMatrix(3)
    for files in open_dataset("kuro_siwo", stacks, part="test", layers=[*names, Scene.label_layer]).values():
        scene = Scene.open(None, **{name: str(path) for name, path in files.items()})
        sample = scene.read(whole(scene.grid))
        matrix.update(
            sample[Scene.label_layer],
            segmenter.predict_classes(segmenter.inputs.prepare(sample)[None])[0],
            sample["valid"],
        )
    return f1_of(matrix)


def f1_of(matrix: ConfusionMatrix) -> list[float]:
    """F1 of dry, permanent water, flood and any water from the counts of three classes; 0 without any pixel."""
    wet, merged = np.array([0, 1, 1]), np.zeros((2, 2), np.int64)
    np.add.at(merged, (wet[:, None], wet[None]), matrix.matrix)
    return np.nan_to_num([*matrix.f1, ConfusionMatrix.from_matrix(merged).f1[1]]).tolist()


def print_table(stacks: Path | None, out: Path, rows: Sequence[str], seeds: Sequence[int], *, smoke: bool) -> None:
    """Train the rows, score them, and write the table."""
    made_up = stacks is None
    if stacks is None:
        stacks = out / "made-up"
        draw_floods(stacks, 96 if smoke else 224)
    validated = DatasetCard.load("kuro_siwo").split("official")[1]["train"][-3:]
    shared = [
        "data.dataset=kuro_siwo", f"data.folders=[{stacks}]", f"data.val_scenes=[{', '.join(f'{one}-*' for one in validated)}]",
        *(MADE_UP_STEPS if made_up else ()), *((*FEW_STEPS, "data.tile_px=64") if smoke else ()),
    ]  # fmt: skip
    cells: dict[str, list[list[float]]] = {}
    for name in rows:
        recipe, overrides = ROWS[name]
        for seed in seeds[: 1 if smoke else None]:
            run = out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
            if not (done := run.with_suffix(".json")).exists():
                start = time.perf_counter()
                train(
                    recipe,
                    run,
                    overrides=[*shared, *overrides, f"train.seed={seed}"],
                    options=TrainOptions(overwrite=True),
                )
                seconds = time.perf_counter() - start
                write_json(done, [*score(run, stacks), seconds / 100])
            for number, value in enumerate(read_json(done)):
                cells.setdefault(name, [[] for _ in range(5)])[number].append(value)
        title = "BlackBench on made-up floods (SYNTHETIC)" if made_up else "BlackBench, Kuro Siwo, test events"
        publish(
            out, table(title_of(title, smoke=smoke), [*(f"F1 {one}" for one in NAMES), "train s"], cells, [PUBLISHED])
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the stacks, or with --table of runs and table.md"
    )
    parser.add_argument("--events", nargs="+", default=[], help="activations to write; all if not given")
    parser.add_argument("--table", action="store_true", help="train and score networks")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.table:
        print_table(arguments.data, arguments.out, arguments.rows, arguments.seeds, smoke=arguments.smoke)
    elif arguments.data is None:
        parser.error("--data names the GRD download; --table trains networks")
    else:
        print(f"{len(stack_kuro_siwo(arguments.data, arguments.out, arguments.events)):,} patches in {arguments.out}")


if __name__ == "__main__":
    with plain_errors():
        main()
