"""Guided anisotropic diffusion against the published scheme in whole arrays: processor time of a step, and the difference.

Run: python experiments/benchmarks/change_diffusion.py [--side 512] [--steps 20] [--all 2500]
A SYNTHETIC pair of three bands and one channel of scores. Both run in one process and one thread; what `--all` steps take
follows from the time of a step, as every step does the same.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.change.diffusion import EDGE_LEVEL, RATE, Diffusion, guided_anisotropic_diffusion

BANDS = 3
FloatArray = NDArray[np.floating]


def make_pair(side: int) -> tuple[list[FloatImage], FloatImage]:
    """Two images of flat blocks with noise, and scores."""
    rng = np.random.default_rng(0)
    blocks = [np.kron(rng.uniform(0, 255, (BANDS, side // 32, side // 32)), np.ones((1, 32, 32))) for _ in range(2)]
    guides = [(block + rng.normal(0, 3, block.shape)).astype(np.float32) for block in blocks]
    return guides, rng.random((1, side, side)).astype(np.float32)


def plain(
    scores: FloatArray, guides: list[FloatArray], steps: int, edge_level: float = EDGE_LEVEL, rate: float = RATE
) -> FloatArray:
    """Equations 3 and 4 of Daudt et al., EarthVision 2019, one array operation after another, in the arrays' own type."""
    arrays = [array.copy() for array in (*guides, scores)]
    for _ in range(steps):
        flows = []
        for axis in (1, 2):
            differences = [np.diff(array, axis=axis) for array in arrays]
            shares = [1 / (1 + (np.abs(one).mean(axis=0) / edge_level) ** 2) for one in differences[:-1]]
            least = np.minimum.reduce(shares)
            flows.append([rate * share * one for share, one in zip([*shares, least], differences, strict=True)])
        for array, down, right in zip(arrays, *flows, strict=True):
            array[:, :-1] += down
            array[:, 1:] -= down
            array[:, :, :-1] += right
            array[:, :, 1:] -= right
    return arrays[-1]


def time_of(work: Callable[[], FloatImage]) -> tuple[FloatImage, float]:
    """A result, and the processor seconds that it took."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def main() -> None:
    """Print both times and how far the results are apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--all", type=int, default=2500)
    chosen = parser.parse_args()
    guides, scores = make_pair(chosen.side)

    def ours() -> FloatImage:
        return guided_anisotropic_diffusion(scores, guides, diffusion=Diffusion(chosen.steps), workers=1)

    ours()  # compiled and in the cache
    of_ours, seconds = time_of(ours)
    of_plain, plainly = time_of(lambda: plain(scores, guides, chosen.steps))
    print(f"SYNTHETIC pair of {chosen.side}² × {BANDS}, {chosen.steps} steps, one thread")
    print(
        f"ours {1000 * seconds / chosen.steps:.1f} ms of processor time a step, plain {1000 * plainly / chosen.steps:.1f}"
    )
    print(f"{plainly / seconds:.1f} times as fast; largest difference {np.abs(of_ours - of_plain).max():.1e}")
    print(f"{chosen.all} steps: {seconds / chosen.steps * chosen.all:.0f} s of processor time")


if __name__ == "__main__":
    main()
