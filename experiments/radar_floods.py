"""Water and floods in radar images beside plain ways: IoU of water on chips of Sen1Floods11, κ of change on Ottawa.

Usage: python experiments/radar_floods.py --data FOLDER [--out FOLDER]

FOLDER holds chips CHIP_S1Hand.tif with CHIP_LabelHand.tif in sen1floods11*/ and below, and sar_change/ (ottawa_1.bmp, ottawa_2.bmp,
ottawa_gt.bmp). Plain ways: Otsu on all pixels of the unfiltered image; VH below −22 dB after the refined Lee filter; 2-means on the unfiltered logarithm of the ratio. Nothing is trained; all options are the
defaults. Labels without data are left out. --out: writes results.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from script import plain_errors, require_files, store_results

from deepnets4eo.arrays import Mask
from deepnets4eo.floods import RadarImage, RadarOptions, equivalent_looks, log_ratio, radar_water, refined_lee_filter
from deepnets4eo.floods.radar import COMPARISONS
from deepnets4eo.floods.speckle import to_decibel
from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER
from deepnets4eo.grid import Window
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Layer

FIXED_DB = -22.0


def read(path: Path) -> np.ndarray:
    """All bands (C, H, W) of a file."""
    layer = Layer.open(path)
    return np.asarray(layer.read(Window(0, 0, *layer.grid.shape))[0])


def counts(mask: Mask, reference: Mask, seen: Mask) -> ConfusionMatrix:
    """Counts of both classes where the reference has a label."""
    return ConfusionMatrix(2).update(reference.astype(np.uint8), mask.astype(np.uint8), seen)


def chips(folder: Path) -> dict[str, float]:
    """Print and return the IoU of water in each chip and in all pixels together, by VV and VH."""
    from skimage.filters import threshold_otsu

    ways = ("plain Otsu", "VH < -22 dB", "ours")
    pooled = {way: ConfusionMatrix(2) for way in ways}
    print(f"| IoU of water | share of water | {' | '.join(ways)} | thresholds, dB |\n|---|---|---|---|---|---|")
    for radar in require_files(folder, "sen1floods11*/**/*_S1Hand.tif"):
        name = radar.name.removesuffix("_S1Hand.tif")
        labels = read(require_files(folder, f"sen1floods11*/**/{name}_LabelHand.tif")[0])[0]
        bands = dict(zip(("VV", "VH"), read(radar).astype(np.float32), strict=True))
        mean = np.mean(list(bands.values()), axis=0)
        image = RadarImage(name, bands)
        water = radar_water(None, image, RadarOptions())
        smooth = to_decibel(refined_lee_filter(image.power()["VH"], equivalent_looks(image.power()["VH"])))
        masks = (mean < threshold_otsu(mean[np.isfinite(mean)]), smooth < FIXED_DB, water.classes == PERMANENT_WATER)
        scores = [counts(mask, labels == 1, labels >= 0) for mask in masks]
        pooled = {way: pooled[way] + score for way, score in zip(ways, scores, strict=True)}
        cuts = " ".join(
            "none" if one is None else f"{one.value:.1f}{'' if one.measured else ' (fixed)'}"
            for one in water.statistics.thresholds.values()
        )
        share = np.mean(labels[labels >= 0] == 1)
        print(f"| {name} | {share:.1%} | {' | '.join(f'{score.iou[1]:.3f}' for score in scores)} | {cuts} |")
    print(f"| all | | {' | '.join(f'{pooled[way].iou[1]:.3f}' for way in ways)} | |")
    return {way: round(float(matrix.iou[1]), 4) for way, matrix in pooled.items()}


def ottawa(folder: Path) -> dict[str, float]:
    """Print and return κ of change between two dates, of which the first is flooded; the numbers are amplitudes of 8 bits."""
    from sklearn.cluster import KMeans

    flooded, dry = ((read(folder / f"ottawa_{date}.bmp")[0].astype(np.float32) + 1) ** 2 for date in (1, 2))
    reference = read(folder / "ottawa_gt.bmp")[0] > 0
    ratio = np.abs(log_ratio(dry, flooded))
    groups = KMeans(2, n_init=10, random_state=0).fit_predict(ratio.reshape(-1, 1)).reshape(ratio.shape)
    plain = groups == np.argmax([ratio[groups == group].mean() for group in range(2)])
    before, after = (RadarImage(f"ottawa_{date}.bmp", {"HH": power}) for date, power in ((2, dry), (1, flooded)))
    ways = {way: radar_water(before, after, RadarOptions(comparison=way)).classes == FLOOD for way in COMPARISONS}
    print("\n| Ottawa | κ | overall accuracy |\n|---|---|---|")
    kappa = {}
    for name, mask in {"log-ratio + 2-means": plain, **ways}.items():
        matrix = counts(mask, reference, np.ones_like(reference))
        print(f"| {name} | {matrix.kappa:.3f} | {matrix.overall_accuracy:.3f} |")
        kappa[name] = round(matrix.kappa, 4)
    return kappa


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=None, help="folder of results.json; without it nothing is written")
    arguments = parser.parse_args()
    iou, kappa = chips(arguments.data), ottawa(arguments.data / "sar_change")
    if arguments.out:
        store_results(arguments.out, smoke=False, iou_of_water=iou, kappa_of_ottawa=kappa)


if __name__ == "__main__":
    with plain_errors():
        main()
