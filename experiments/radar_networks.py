"""Water in one radar image by a network that learnt it next door, beside thresholds: IoU of water on half a Sen1Floods11 chip.

Usage: python experiments/radar_networks.py --data FOLDER --out FOLDER [--seeds 0 1 2] [--smoke]

FOLDER holds S1Hand/ or S1/ and LabelHand/ or Labels/ (see the card sen1floods11); the first chip is taken. The recipe floods/unet learns
from its left 192 columns, the right 256 are scored, and the 64 between are used for nothing: one chip, one flood and few steps, so that
this says how little labels of a site are worth, not what networks reach on Sen1Floods11. Thresholds see the right half alone and
learn nothing. Labels without data are left out.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from radar_floods import counts, read
from script import FEW_STEPS, add_smoke, plain_errors, title_of

import deepnets4eo
from deepnets4eo.arrays import Mask
from deepnets4eo.cards.dataset_reader import open_dataset
from deepnets4eo.evaluation import spread
from deepnets4eo.floods import RadarImage, radar_water
from deepnets4eo.grid import Window, crop, whole
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.training import load_recipe

TEST_COL, BUFFER_PX = 256, 64
SHORT = (
    "data.tile_px=64", "data.windows_per_epoch=320", "data.val_share=0", "data.num_workers=0", "train.epochs=3", "train.keep=last",
    "train.patience=0", "predict.tile_px=320",
)  # fmt: skip


def cut(sources: dict[str, Path], cols: range, folder: Path) -> dict[str, str]:
    """Some columns of all layers of a chip, as files of their own."""
    paths = {}
    for name, source in sources.items():
        layer = Layer.open(source, labels=name == "labels").as_stored()
        window = Window(0, cols.start, layer.shape[0], len(cols))
        paths[name], grid = str(folder / f"{name}.tif"), crop(layer.grid, window)
        folder.mkdir(parents=True, exist_ok=True)
        with CogWriter(
            paths[name], grid, count=layer.count, dtype=str(layer.dtype), nodata=layer.nodata, band_names=layer.band_names,
            categorical=name == "labels",
        ) as cog:  # fmt: skip
            cog.write(whole(grid), layer.read(window)[0])
    return paths


def by_network(learnt: dict[str, str], image: str, out: Path, seed: int, *, smoke: bool) -> Mask:
    """Water by the recipe, from the columns that it learnt to those of the image."""
    few = FEW_STEPS if smoke else ()
    scenes = json.dumps([{"name": "left", **learnt}])
    recipe, _ = load_recipe("floods/unet", overrides=(*SHORT, *few, f"train.seed={seed}", f"data.scenes={scenes}"))
    run = deepnets4eo.train(recipe, out / f"seed-{seed}")
    predict(run, image, out / f"seed-{seed}.tif", PredictOptions(device="cpu", overwrite=True))
    return read(out / f"seed-{seed}.tif")[0] == 1


def by_thresholds(image: str) -> dict[str, Mask]:
    """Water by Otsu on the mean of VV and VH, and by the thresholds of `deepnets4eo flood`."""
    from skimage.filters import threshold_otsu

    bands = dict(zip(("VV", "VH"), read(Path(image)).astype(np.float32), strict=True))
    mean = np.mean(list(bands.values()), axis=0)
    water = radar_water(None, RadarImage(image, bands)).classes == 1
    return {"Otsu on unfiltered dB": mean < threshold_otsu(mean[np.isfinite(mean)]), "deepnets4eo flood": water}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_smoke(parser)
    arguments = parser.parse_args()
    name, sources = next(iter(open_dataset("sen1floods11", arguments.data, layers=["image", "labels"]).items()))
    width = Layer.open(sources["image"]).shape[1]
    learnt = cut(sources, range(TEST_COL - BUFFER_PX), arguments.out / "left")
    test = cut(sources, range(TEST_COL, width), arguments.out / "right")
    labels = read(Path(test["labels"]))[0]

    def iou(mask: Mask) -> float:
        return float(counts(mask, labels == 1, labels >= 0).iou[1])

    share = np.mean(labels[labels >= 0] == 1)
    print(
        title_of(f"{name}, right half: water on {share:.1%} of the labelled pixels", smoke=arguments.smoke), end="\n\n"
    )
    print("| method | IoU of water, % | seconds |\n|---|---:|---:|")
    for method, mask in by_thresholds(test["image"]).items():
        print(f"| {method} | {100 * iou(mask):.1f} | |")
    started = time.perf_counter()
    scores = [
        iou(by_network(learnt, test["image"], arguments.out, seed, smoke=arguments.smoke)) for seed in arguments.seeds
    ]
    seconds = (time.perf_counter() - started) / len(scores)
    print(f"| U-Net from the left half, {len(scores)} seeds | {spread(100 * np.array(scores))} | {seconds:.0f} each |")


if __name__ == "__main__":
    with plain_errors():
        main()
