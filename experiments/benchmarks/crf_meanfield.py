"""How fast post-processing is: mean field in whole-array operations against a loop over pixels, in the same run.

Prints MPix/s (processor time, one thread) of both on the miniature city (synthetic) and their ratio, the greatest
difference of their probabilities, and MPix/s of the majority filter and of the minimum area.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.baselines.postprocessing import CrfSettings, majority_filter, mean_field, minimum_area
from deepnets4eo.baselines.postprocessing.crf import LEAST_SUM
from deepnets4eo.synthetic import City

Image = NDArray[np.float32]


class Loop:
    """The plain way: a loop over each pixel's neighbours; a pixel's classes are summed at once."""

    def __init__(self, guide: Image, settings: CrfSettings) -> None:
        self.guide, self.settings = np.moveaxis(guide, 0, -1).astype(float), settings
        self.shape = guide.shape[1:]
        self.sums = {pixel: self._sums(pixel) for pixel in np.ndindex(*self.shape)}

    def neighbours(self, pixel: tuple[int, ...]) -> list[tuple[int, int]]:
        """Pixels of the window but the one in its middle."""
        radius = self.settings.radius_px
        rows = range(max(pixel[0] - radius, 0), min(pixel[0] + radius + 1, self.shape[0]))
        cols = range(max(pixel[1] - radius, 0), min(pixel[1] + radius + 1, self.shape[1]))
        return [(row, col) for row in rows for col in cols if (row, col) != pixel]

    def kernels(self, one: tuple[int, ...], other: tuple[int, int]) -> tuple[float, float]:
        """Likeness and nearness of two pixels."""
        settings = self.settings
        distance = (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2
        difference = float(((self.guide[one] - self.guide[other]) ** 2).mean())
        near = math.exp(-distance / 2 / settings.smoothness_px**2)
        look = -distance / 2 / settings.appearance_px**2 - difference / 2 / settings.appearance_range**2
        return math.exp(look), near

    def run(self, proba: Image) -> Image:
        """Probabilities (K, h, w) after all iterations."""
        settings = self.settings
        unary = np.log(np.clip(np.moveaxis(proba, 0, -1), settings.least_proba, 1))
        belief = np.exp(unary) / np.exp(unary).sum(axis=-1, keepdims=True)
        for _ in range(settings.iterations):
            scores = unary.copy()
            for pixel in np.ndindex(*self.shape):
                for other in self.neighbours(pixel):
                    scores[pixel] += self._weight(pixel, other) * belief[other]
            belief = np.exp(scores - scores.max(axis=-1, keepdims=True))
            belief /= belief.sum(axis=-1, keepdims=True)
        return np.moveaxis(belief, -1, 0)

    def _sums(self, pixel: tuple[int, ...]) -> tuple[float, float]:
        kernels = [self.kernels(pixel, other) for other in self.neighbours(pixel)]
        return max(sum(look for look, _ in kernels), LEAST_SUM), max(sum(near for _, near in kernels), LEAST_SUM)

    def _weight(self, one: tuple[int, ...], other: tuple[int, int]) -> float:
        (look, near), here, there = self.kernels(one, other), self.sums[one], self.sums[other]
        by_look = self.settings.appearance_weight * look / math.sqrt(here[0] * there[0])
        return by_look + self.settings.smoothness_weight * near / math.sqrt(here[1] * there[1])


def rate(work: Callable[[], object], pixels: int, repeats: int) -> float:
    """MPix/s of the fastest of some runs, by processor time of one thread."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return pixels / min(seconds) / 1e6


def noisy_city(side_px: int) -> tuple[Image, Image, NDArray[np.uint8], NDArray[np.uint8]]:
    """Probabilities that are wrong on a quarter of the pixels, the image 0–1, the noisy labels, and the true ones."""
    city, generator = City(seed=3, size_px=side_px), np.random.default_rng(0)
    labels = city.labels("isprs")
    num_classes = 6
    noise = generator.integers(0, num_classes, labels.shape)
    noisy = np.where(generator.random(labels.shape) < 0.3, noise, labels).astype(np.uint8)
    proba = np.full((num_classes, *labels.shape), 0.1, np.float32)
    np.put_along_axis(proba, noisy[None].astype(int), 0.5, 0)
    return proba, (city.image / 255).astype(np.float32), noisy, labels.astype(np.uint8)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=600, help="side of the image in px")
    parser.add_argument("--loop-side", type=int, default=24, help="side of the part that the loop works on")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    settings = CrfSettings()
    proba, guide, noisy, labels = noisy_city(options.side)
    window = (slice(None), slice(0, options.loop_side), slice(0, options.loop_side))
    by_loop = Loop(guide[window], settings).run(proba[window])
    difference = float(np.abs(mean_field(proba[window], guide[window], settings) - by_loop).max())
    loop = rate(lambda: Loop(guide[window], settings).run(proba[window]), options.loop_side**2, 1)
    arrays = rate(lambda: mean_field(proba, guide, settings), labels.size, options.repeats)
    smoothed = mean_field(proba, guide, settings).argmax(axis=0)
    print(f"mean field ({settings.iterations} iterations, radius {settings.radius_px} px, {len(proba)} classes):")
    print(
        f"  {arrays:.3f} MPix/s, loop {loop:.6f} MPix/s, ratio {arrays / loop:.0f}, greatest difference {difference:.1e}"
    )
    print(f"  right labels {(noisy == labels).mean():.3f} before, {(smoothed == labels).mean():.3f} after")
    for name, work in (
        ("majority, radius 2 px", lambda: majority_filter(noisy, 2)),
        ("majority of probabilities, radius 2 px", lambda: majority_filter(proba, 2)),
        ("minimum area of 50 px, noise", lambda: minimum_area(noisy, 50)),
        ("minimum area of 50 px, smoothed", lambda: minimum_area(smoothed.astype(np.uint8), 50)),
    ):
        print(f"{name}: {rate(work, labels.size, options.repeats):.1f} MPix/s")


if __name__ == "__main__":
    main()
