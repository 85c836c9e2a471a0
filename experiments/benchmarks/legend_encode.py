"""How fast colours become labels: the legend's look-up against the plain loop over colours, in the same run.

Prints MPix/s (processor time, one thread) of both, on a label image of patches and on one of unrelated pixels, and
their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from deepnets4eo.cards.legend import VOID, Legend


def by_loop(legend: Legend, image: np.ndarray) -> np.ndarray:
    """The plain way: compare the image with each colour."""
    labels = np.full(image.shape[1:], VOID, np.uint8)
    for one in legend.classes:
        red, green, blue = one.color
        labels[(image[0] == red) & (image[1] == green) & (image[2] == blue)] = one.value
    return labels


def best_rate(encode: Callable[[np.ndarray], np.ndarray], image: np.ndarray, repeats: int) -> float:
    """MPix/s of the fastest of some runs, by processor time of one thread; the first, which builds the table, is left out."""
    encode(image)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        encode(image)
        seconds.append(time.process_time() - start)
    return image[0].size / min(seconds) / 1e6


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=6000, help="side of the image in px (an ISPRS Potsdam tile: 6000)")
    parser.add_argument("--legend", default="isprs")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    legend = Legend.load(options.legend)
    generator = np.random.default_rng(0)
    values = np.array([*legend.values, VOID], np.uint8)
    coarse = generator.choice(values, (options.side // 40 + 1,) * 2)
    patches = np.kron(coarse, np.ones((40, 40), np.uint8))[: options.side, : options.side]
    for title, labels in (("patches", patches), ("noise", generator.choice(values, patches.shape))):
        image = np.ascontiguousarray(legend.decode(labels))
        if not np.array_equal(legend.encode(image), by_loop(legend, image)):
            raise SystemExit("the two ways disagree")
        table = best_rate(legend.encode, image, options.repeats)
        loop = best_rate(lambda one: by_loop(legend, one), image, options.repeats)
        print(f"{title}: look-up {table:.0f} MPix/s, loop {loop:.0f} MPix/s, ratio {table / loop:.1f}")


if __name__ == "__main__":
    main()
