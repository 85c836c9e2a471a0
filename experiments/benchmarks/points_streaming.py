"""Points a second from LAZ to labelled LAZ without the cost of a network, and peak memory; the plain way beside it.

Run: python experiments/benchmarks/points_streaming.py [--points 50000000 --density 20 --halo 10 --memory 4000000000]
A made-up scan in flight strips is written once; then each way runs in a process of its own. The plain way reads the whole
file with laspy, labels all points at once and writes them. The labeller compares heights only, so that what is measured is
reading, sorting in tiles with a halo, and writing; both ways write the same dimensions.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import laspy
import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.points import LabelOptions, PointCloud, label_cloud

STRIP_M = 500.0
CHUNK = 1_000_000
GIB = 1 << 30
SPLIT_M = 3.0


class HeightLabeller:
    """High and low points; the cheapest labeller."""

    legend = Legend.load("ign_lidar_hd")
    needs = ()

    def __init__(self, halo_m: float) -> None:
        self.halo_m = halo_m

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """Returns 1 for building above 3 m, else for ground: (N, 7) float32."""
        scores = np.zeros((len(cloud), self.legend.num_classes), np.float32)
        high = cloud.xyz[:, 2] > SPLIT_M
        scores[high, 3], scores[~high, 1] = 1, 1
        return scores


def make_scan(path: Path, points: int, density: float) -> None:
    """Writes points in strips of 500 m, heights of terrain and houses with noise, times that rise."""
    rng = np.random.default_rng(0)
    header = laspy.LasHeader(version="1.4", point_format=6)
    header.scales, header.offsets = np.full(3, 0.01), np.array([700_000.0, 6_600_000.0, 0.0])
    side = np.sqrt(points / density)
    strips = max(1, int(np.ceil(side / STRIP_M)))
    per_strip = points // strips
    with laspy.open(path, mode="w", header=header, do_compress=True) as writer:
        for number in range(strips):
            count = per_strip if number else points - per_strip * (strips - 1)
            for start in range(0, count, CHUNK):
                size = min(CHUNK, count - start)
                x = np.linspace(start / count, (start + size) / count, size) * side
                y = (number + rng.random(size)) * side / strips
                house = (x // 15 % 3 == 0) & (y // 12 % 2 == 0)
                record = laspy.ScaleAwarePointRecord.zeros(size, header=header)
                record["x"], record["y"] = x + 700_000, y + 6_600_000
                record["z"] = np.sin(x / 200) + 6.0 * house + rng.normal(0, 0.03, size)
                record["intensity"] = rng.integers(100, 2000, size)
                record["return_number"], record["number_of_returns"] = np.ones(size, int), np.ones(size, int)
                record["gps_time"] = np.arange(start, start + size) * 1e-5 + number * 1000
                writer.write_points(record)


def stream(path: Path, out: Path, options: argparse.Namespace) -> None:
    """Labels the file by tiles."""
    label_cloud(path, HeightLabeller(options.halo), out, LabelOptions(memory_bytes=options.memory, overwrite=True))


def read_whole(path: Path, out: Path, options: argparse.Namespace) -> None:
    """Labels the file with all points in memory."""
    cloud = laspy.read(path)
    names = ("pred_class", "pred_prob", "entropy", "propagated")
    cloud.add_extra_dims([laspy.ExtraBytesParams(name, "uint8") for name in names])
    cloud.pred_class = np.where(np.asarray(cloud.z) > SPLIT_M, 6, 2).astype(np.uint8)
    cloud.pred_prob = np.full(len(cloud.points), 100, np.uint8)
    cloud.write(out)


def measure(way: str, path: Path, out: Path, options: argparse.Namespace) -> tuple[float, float, float]:
    """Seconds, seconds of processors and peak GiB of one way in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_run, (way, path, out, options))


def _run(way: str, path: Path, out: Path, options: argparse.Namespace) -> tuple[float, float, float]:
    start, before = time.perf_counter(), time.process_time()
    {"stream": stream, "whole": read_whole}[way](path, out, options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    return time.perf_counter() - start, time.process_time() - before, peak


def main() -> None:
    """Make the scan, run both ways, print points a second, peak memory and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50_000_000)
    parser.add_argument("--density", type=float, default=20.0, help="points a square metre")
    parser.add_argument("--halo", type=float, default=10.0, help="metres")
    parser.add_argument("--memory", type=int, default=4_000_000_000, help="bytes that tiles are made for")
    parser.add_argument("--out", type=Path, help="where the files are made; by default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        path = Path(folder) / "scan.laz"
        make_scan(path, options.points, options.density)
        seconds: dict[str, float] = {}
        for way in ("stream", "whole"):
            out = Path(folder) / f"{way}.laz"
            seconds[way], processor_s, peak = measure(way, path, out, options)
            print(
                f"{way:7} {options.points / seconds[way]:12,.0f} points/s in {seconds[way]:.1f} s, "
                f"{options.points / processor_s:12,.0f} points per second of one processor, peak {peak:.2f} GiB",
                flush=True,
            )
        same = all(
            np.array_equal(a.pred_class, b.pred_class)
            for a, b in zip(
                *(laspy.open(Path(folder) / f"{way}.laz").chunk_iterator(CHUNK) for way in seconds), strict=True
            )
        )
        size = path.stat().st_size / options.points
    print(
        f"ratio of time {seconds['stream'] / seconds['whole']:.2f}, labels equal: {same}; {size:.1f} bytes a point in LAZ"
    )


if __name__ == "__main__":
    main()
