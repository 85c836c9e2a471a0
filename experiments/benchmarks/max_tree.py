"""How fast a max-tree is built: `MaxTree.build` against scikit-image's `max_tree`, in one run and one thread.

On smooth and on noisy images of 256 grey levels; the filtered images are compared. Prints seconds and ratios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.morphology import area_opening, max_tree

from deepnets4eo.baselines.features.max_tree import MaxTree

AREA_PX = 100
SMOOTHING_PX = {"smooth": 2.0, "noisy": 0.6}


def seconds(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Shortest of several runs, and the result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    """Print a row for each size and kind of image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 640])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for side in options.sides:
        for kind, sigma in SMOOTHING_PX.items():
            values = ndimage.gaussian_filter(rng.random((side, side)), sigma)
            image = ((values - values.min()) / np.ptp(values) * 255).round().astype(np.uint8)
            ours, tree = seconds(partial(MaxTree.build, image), options.repeats)
            theirs, (parent, order) = seconds(partial(max_tree, image, 1), options.repeats)
            opened = tree.filter_levels((tree.area() >= AREA_PX)[:, None])[tree.node_of][..., 0]
            assert np.array_equal(opened, area_opening(image, AREA_PX, 1, parent, order)), "the two trees differ"
            print(f"{side:5d} px {kind:6s}: {ours:.3f} s, scikit-image {theirs:.3f} s, ratio {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
