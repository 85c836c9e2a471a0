"""Guided anisotropic diffusion against the published scheme in whole arrays: processor time of a step, and the difference.

Run: python experiments/benchmarks/change_diffusion.py [--side 512] [--steps 20] [--all 2500]
A SYNTHETIC pair of three bands and one channel of scores. Both run in one process and one thread; what `--all` steps take
follows from the time of a step, as every step does the same. Then two threads: the processor time of the busier one is what they
take on two free cores, and the clock of one thread divided by that of two shows whether one waits for the other.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.change.diffusion import EDGE_LEVEL, RATE, Diffusion, _Step, guided_anisotropic_diffusion

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


@contextmanager
def busy_threads() -> Iterator[dict[int, float]]:
    """Processor seconds of each thread within `_Step.apply`, where nearly all of them are spent."""
    seconds: dict[int, float] = defaultdict(float)
    apply = _Step.apply

    def apply_and_measure(step: _Step, *arguments: Any) -> None:
        started = time.thread_time()
        apply(step, *arguments)
        seconds[threading.get_ident()] += time.thread_time() - started

    with mock.patch.object(_Step, "apply", apply_and_measure):
        yield seconds


def print_threads(run: Callable[[int], FloatImage], steps: int, all_steps: int, single: FloatImage) -> None:
    """Two threads beside one. run : takes a number of threads. single : the result of one"""
    clocks = []
    for workers in (1, 2):
        started = time.perf_counter()
        with busy_threads() as busy:
            result = run(workers)
        clocks.append(time.perf_counter() - started)
    busiest, total = max(busy.values()), sum(busy.values())
    print(
        f"two threads: {1000 * total / steps:.1f} ms of processor time a step, {1000 * busiest / steps:.1f} in the busier one; "
        f"{clocks[0] / clocks[1]:.2f} times as fast by the clock; same bits: {np.array_equal(result, single)}"
    )
    print(f"{all_steps} steps on two free cores: {busiest / steps * all_steps:.0f} s")


def main() -> None:
    """Print both times and how far the results are apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--all", type=int, default=2500)
    chosen = parser.parse_args()
    guides, scores = make_pair(chosen.side)

    def ours(workers: int = 1) -> FloatImage:
        return guided_anisotropic_diffusion(scores, guides, diffusion=Diffusion(chosen.steps), workers=workers)

    ours()  # compiled and in the cache
    of_ours, seconds = time_of(ours)
    of_plain, plainly = time_of(lambda: plain(scores, guides, chosen.steps))
    print(f"SYNTHETIC pair of {chosen.side}² × {BANDS}, {chosen.steps} steps, one thread")
    print(
        f"ours {1000 * seconds / chosen.steps:.1f} ms of processor time a step, plain {1000 * plainly / chosen.steps:.1f}"
    )
    print(f"{plainly / seconds:.1f} times as fast; largest difference {np.abs(of_ours - of_plain).max():.1e}")
    print(f"{chosen.all} steps: {seconds / chosen.steps * chosen.all:.0f} s of processor time")
    print_threads(ours, chosen.steps, chosen.all, of_ours)


if __name__ == "__main__":
    main()
