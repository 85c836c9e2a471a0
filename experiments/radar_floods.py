"""Water and floods in radar images beside plain ways: IoU of water on a Sen1Floods11 chip, κ of change on Ottawa.

Usage: python experiments/radar_floods.py --data FOLDER [--method otsu] [--speckle refined-lee] [--speed-px 2000]

FOLDER holds sen1floods11/ (S1/*_S1Hand.tif, Labels/*_LabelHand.tif) and sar_change/ (ottawa_1.bmp, ottawa_2.bmp, ottawa_gt.bmp).
Plain ways: Otsu on all pixels of the unfiltered image; 2-means on the unfiltered logarithm of the ratio. Nothing is trained; all options are the
defaults, if none is named. Labels without data are left out. Speed: filters beside the same Lee filter by scipy's uniform_filter, SYNTHETIC.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from script import plain_errors, require_files

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.floods import RadarImage, RadarOptions, radar_water
from deepnets4eo.floods.radar import COMPARISONS, FLOOD, PERMANENT_WATER
from deepnets4eo.floods.speckle import FILTERS, log_ratio
from deepnets4eo.grid import Window
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters.scene import Layer


def read(path: Path) -> np.ndarray:
    """All bands (C, H, W) of a file."""
    layer = Layer.open(path)
    return np.asarray(layer.read(Window(0, 0, *layer.grid.shape))[0])


def counts(mask: Mask, reference: Mask, seen: Mask) -> ConfusionMatrix:
    """Counts of both classes where the reference has a label."""
    return ConfusionMatrix(2).update(reference.astype(np.uint8), mask.astype(np.uint8), seen)


def chip(folder: Path, options: RadarOptions) -> None:
    """IoU of water in one chip, by VV, VH and both."""
    from skimage.filters import threshold_otsu

    radar = require_files(folder / "S1", "*_S1Hand.tif")[0]
    labels = read(require_files(folder / "Labels", "*_LabelHand.tif")[0])[0]
    bands = dict(zip(("VV", "VH"), read(radar).astype(np.float32), strict=True))
    print(f"{radar.name}: water on {np.mean(labels[labels >= 0] == 1):.1%} of the labelled pixels\n")
    print("| IoU of water | plain Otsu | ours | threshold, dB |\n|---|---|---|---|")
    for names in (("VV",), ("VH",), ("VV", "VH")):
        chosen = {name: bands[name] for name in names}
        mean = np.mean(list(chosen.values()), axis=0)
        plain = mean < threshold_otsu(mean[np.isfinite(mean)])
        water = radar_water(None, RadarImage(radar.name, chosen), options)
        scores = [counts(mask, labels == 1, labels >= 0).iou[1] for mask in (plain, water.classes == PERMANENT_WATER)]
        cuts = " ".join("none" if one is None else f"{one.value:.1f}" for one in water.statistics.thresholds.values())
        print(f"| {' + '.join(names)} | {scores[0]:.3f} | {scores[1]:.3f} | {cuts} |")


def ottawa(folder: Path, options: RadarOptions) -> None:
    """κ of change between two dates, of which the first is flooded; the numbers are amplitudes of 8 bits."""
    from sklearn.cluster import KMeans

    flooded, dry = ((read(folder / f"ottawa_{date}.bmp")[0].astype(np.float32) + 1) ** 2 for date in (1, 2))
    reference = read(folder / "ottawa_gt.bmp")[0] > 0
    ratio = np.abs(log_ratio(dry, flooded))
    groups = KMeans(2, n_init=10, random_state=0).fit_predict(ratio.reshape(-1, 1)).reshape(ratio.shape)
    plain = groups == np.argmax([ratio[groups == group].mean() for group in range(2)])
    pair = [RadarImage(f"ottawa_{date}.bmp", {"HH": power}) for date, power in ((2, dry), (1, flooded))]
    ways = {way: radar_water(*pair, replace(options, comparison=way)).classes == FLOOD for way in COMPARISONS}
    print("\n| Ottawa | κ | overall accuracy |\n|---|---|---|")
    for name, mask in {"log-ratio + 2-means": plain, **ways}.items():
        matrix = counts(mask, reference, np.ones_like(reference))
        print(f"| {name} | {matrix.kappa:.3f} | {matrix.overall_accuracy:.3f} |")


def plain_lee(power: FloatImage, looks: float) -> FloatImage:
    """The Lee filter by means over windows of scipy, without care of nodata."""
    from scipy.ndimage import uniform_filter

    mean = uniform_filter(power, 7)
    variance = np.maximum(uniform_filter(power * power, 7) - mean * mean, 1e-30)
    signal = np.maximum(variance - mean * mean / looks, 0) / (1 + 1 / looks)
    return mean + signal / variance * (power - mean)


def speed(side_px: int) -> None:
    """Megapixels a second of each filter on made-up speckle of four looks."""
    power = np.random.default_rng(0).gamma(4, 0.25, (side_px, side_px)).astype(np.float32)
    ways: dict[str, Callable[[FloatImage, float], FloatImage]] = {"plain scipy Lee": plain_lee, **FILTERS}
    print("\n| filter (SYNTHETIC speckle) | MPix/s | seconds of processor a MPix |\n|---|---|---|")
    for name, way in ways.items():
        image = power[: side_px // 4, : side_px // 4] if name == "non-local" else power
        way(image[:64, :64], 4.0)  # compiles
        walls, works = [], []
        for _ in range(3):
            start, work = time.perf_counter(), time.process_time()
            way(image, 4.0)
            walls.append(time.perf_counter() - start)
            works.append(time.process_time() - work)
        megapixels = image.size / 1e6
        print(f"| {name} | {megapixels / min(walls):.1f} | {min(works) / megapixels:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--method", default=RadarOptions.method)
    parser.add_argument("--speckle", default=RadarOptions.speckle)
    parser.add_argument("--speed-px", type=int, default=0, help="side of the image on which filters are timed; 0: none")
    arguments = parser.parse_args()
    options = RadarOptions(speckle=arguments.speckle, method=arguments.method)
    chip(arguments.data / "sen1floods11", options)
    ottawa(arguments.data / "sar_change", options)
    if arguments.speed_px:
        speed(arguments.speed_px)


if __name__ == "__main__":
    with plain_errors():
        main()
