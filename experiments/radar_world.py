"""Floods in made-up radar images (SYNTHETIC): IoU of flood and of permanent water by every speckle filter, beside plain ways.

Usage: python experiments/radar_world.py [--seeds 3] [--size-px 256] [--looks 4.4]

Each style is drawn with every seed, calm (2 m/s) and windy (8 m/s at both dates), in pixels of 10 m, and the pixels of all places are counted
together. Plain ways: Otsu of the flood date, its threshold applied to both dates; 2-means of the logarithm of the ratio. Both take the unfiltered
mean of VV and VH in dB. Ours takes the defaults with each filter, if no looks are given; no option of it was chosen on these places.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from script import plain_errors
from world import RadarLook, RadarView, draw_radar_flood
from world.radar import POLARISATIONS

from deepnets4eo.arrays import ByteImage
from deepnets4eo.floods import RadarImage, RadarOptions, radar_water
from deepnets4eo.floods.speckle import FILTERS
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.metrics import ConfusionMatrix

STYLES = ("countryside", "farms", "village", "resort")
WINDS = {"calm": 2.0, "windy": 8.0}  # m/s
CLASSES = {"flood": FLOOD, "permanent water": PERMANENT_WATER}


def by_plain_ways(before: RadarView, after: RadarView) -> dict[str, ByteImage]:
    """Classes by the name of each plain way."""
    from skimage.filters import threshold_otsu
    from sklearn.cluster import KMeans

    means = [view.bands.mean(axis=0) for view in (before, after)]
    limit = threshold_otsu(means[1])
    wet = [mean < limit for mean in means]
    drop = means[0] - means[1]
    groups = KMeans(2, n_init=10, random_state=0).fit_predict(drop.reshape(-1, 1)).reshape(drop.shape)
    darker = groups == np.argmax([drop[groups == group].mean() for group in range(2)])
    return {
        "Otsu": np.where(wet[1], np.where(wet[0], PERMANENT_WATER, FLOOD), DRY).astype(np.uint8),
        "log-ratio + 2-means": np.where(darker, FLOOD, DRY).astype(np.uint8),
    }


def by_filters(before: RadarView, after: RadarView, looks: float | None) -> dict[str, ByteImage]:
    """Classes by the name of each filter of speckle."""
    pair = [
        RadarImage(name, dict(zip(POLARISATIONS, view.bands, strict=True)), view.tags)
        for name, view in (("before", before), ("after", after))
    ]
    return {name: radar_water(pair[0], pair[1], RadarOptions(speckle=name, looks=looks)).classes for name in FILTERS}


def count(seeds: int, size_px: int, looks: float | None) -> dict[tuple[str, str], ConfusionMatrix]:
    """Counts of dry, permanent water and flood over all places, by way and wind."""
    counts: dict[tuple[str, str], ConfusionMatrix] = defaultdict(lambda: ConfusionMatrix(3))
    for style in STYLES:
        for seed in range(1, seeds + 1):
            for wind, speed in WINDS.items():
                before, after = draw_radar_flood(seed, style=style, look=RadarLook(wind_m_s=speed), size_px=size_px)
                truth = np.where(after.water, np.where(before.water, PERMANENT_WATER, FLOOD), DRY).astype(np.uint8)
                for way, classes in (by_plain_ways(before, after) | by_filters(before, after, looks)).items():
                    seen = classes != NOT_SEEN
                    counts[way, wind].update(truth, np.where(seen, classes, DRY), seen)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size-px", type=int, default=256)
    parser.add_argument("--looks", type=float, help="equivalent number of looks; measured in each image if not given")
    arguments = parser.parse_args()
    counts = count(arguments.seeds, arguments.size_px, arguments.looks)
    heads = [f"{name}, {wind}" for name in CLASSES for wind in WINDS]
    print(f"| IoU (SYNTHETIC) | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for way in dict.fromkeys(way for way, _ in counts):
        scores = [counts[way, wind].iou[value] for value in CLASSES.values() for wind in WINDS]
        print(f"| {way} | {' | '.join(f'{score:.3f}' if score > 0 else '–' for score in scores)} |")


if __name__ == "__main__":
    with plain_errors():
        main()
