"""Jobs of users in this checkout and in an earlier state, in turns: processor seconds of one thread, their ratio, and peak memory.

Usage: make bench [BASE=REF], or python experiments/benchmarks/jobs.py [--base origin/main] [--turns 2] [--only damage flood …] [--json FILE]
Some five minutes. SYNTHETIC inputs. Each job runs in a process of its own, on one core, by the command line; a first run of each state is
not counted. The states take turns, since what one computer does in a second differs from minute to minute; a ratio above 1 means
that this checkout takes longer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

sys.path.insert(0, str(Path(__file__).parents[1]))
import damage_city
from change import make_pair_of_ir_mad
from script import add_json, run_apart, store_part

ROOT = Path(__file__).resolve().parents[2]
CITY_PX, RADAR_PX, PAIR_PX, PAIR_BANDS, SMALL_PX = 1500, 2048, 2000, 4, 512


def make_inputs(folder: Path) -> dict[str, list[str]]:
    """Write the inputs of all jobs; returns the words of each job's command."""
    city, pair, radar = (folder / name for name in ("city", "pair", "radar"))
    for part in (city, pair, radar):
        part.mkdir()
    damage_city.TILE_PX = CITY_PX
    damage_city.make_place(city, CITY_PX)
    make_pair_of_ir_mad(pair, PAIR_PX, PAIR_BANDS)
    make_radar(radar)
    with rasterio.open(city / "pre.tif") as file:
        profile = {**file.profile, "width": SMALL_PX, "height": SMALL_PX, "driver": "GTiff"}
        with rasterio.open(folder / "small.tif", "w", **profile) as small:
            small.write(file.read(window=rasterio.windows.Window(0, 0, SMALL_PX, SMALL_PX)))
    images = [str(city / "pre.tif"), str(city / "post.tif")]
    out = ["--out", str(folder / "out"), "--overwrite"]
    return {
        "damage": ["damage", *images, str(city / "footprints.gpkg"), *out],
        "damage without network": ["damage", *images, str(city / "footprints.gpkg"), "--set", "network=no", *out],
        "flood": ["flood", str(radar / "pre.tif"), str(radar / "post.tif"), *out],
        "change by CVA": ["change", str(pair / "pre.tif"), str(pair / "post.tif"), "--method", "cva", *out],
        "predict": ["predict", "buildings", images[0], "--out", str(folder / "out.tif"), "--overwrite"],
        "check": ["check", str(folder / "small.tif")],
    }


def make_radar(folder: Path) -> None:
    """Write two dates of VV and VH in dB with speckle of 4.4 looks; a tenth of the ground is water at the second."""
    rng = np.random.default_rng(0)
    step = RADAR_PX // 32
    level = np.kron(rng.uniform(-14, -7, (32, 32)), np.ones((step, step))).astype(np.float32)
    flooded = np.kron(rng.random((32, 32)) < 0.1, np.ones((step, step))) > 0
    profile = {
        "driver": "GTiff", "width": RADAR_PX, "height": RADAR_PX, "count": 2, "dtype": "float32", "crs": "EPSG:32630",
        "transform": Affine(10, 0, 500_000, 0, -10, 1_000_000), "tiled": True, "compress": "deflate", "zlevel": 1,
    }  # fmt: skip
    for name, water in (("pre", np.zeros_like(flooded)), ("post", flooded)):
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as file:
            for band, (polarisation, drop) in enumerate((("VV", 0), ("VH", 6)), start=1):
                speckle = 10 * np.log10(rng.gamma(4.4, 1 / 4.4, level.shape)).astype(np.float32)
                file.write(np.where(water, np.float32(-22), level) - drop + speckle, band)
                file.set_band_description(band, polarisation)


@contextmanager
def earlier_state(reference: str) -> Iterator[Path]:
    """Check out an earlier state into a folder of its own for a while."""
    with tempfile.TemporaryDirectory() as name:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", name, reference], check=True)
        try:
            yield Path(name)
        finally:
            subprocess.run([*git, "remove", "--force", name], check=True)


def measure(states: dict[str, Path], words: list[str], turns: int) -> dict[str, list[tuple[float, float]]]:
    """Return (processor seconds, peak MB) of each turn of each state; the first run of a state is not counted."""
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in states}
    for _ in range(turns + 1):
        for name, root in states.items():  # Python imports from the folder that it starts in before all others
            os.environ["PYTHONPATH"] = str(root)
            runs[name].append(run_apart([sys.executable, "-m", "deepnets4eo", *words], folder=root))
    return {name: each[1:] for name, each in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="origin/main", help="the earlier state: any name of a commit")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="jobs by name")
    add_json(parser)
    chosen = parser.parse_args()
    # Compiled modules are kept, whatever the environment says: the fresh checkout of the other state would compile all in each run.
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name, earlier_state(chosen.base) as base:
        jobs = make_inputs(Path(name))
        rows = []
        for job, words in jobs.items():
            if chosen.only and job not in chosen.only:
                continue
            runs = measure({"ours": ROOT, "base": base}, words, chosen.turns)
            ratios = [ours[0] / other[0] for ours, other in zip(runs["ours"], runs["base"], strict=True)]
            ours_s, base_s = (statistics.median(seconds for seconds, _ in runs[state]) for state in ("ours", "base"))
            peak_mb = max(peak for _, peak in runs["ours"])
            ratio = ", ".join(f"{one:.2f}" for one in ratios)
            rows.append(f"| {job} | {ours_s:.2f} | {base_s:.2f} | {ratio} | {peak_mb:.0f} |")
            store_part(
                chosen.json,
                job,
                ours_s=ours_s,
                base_s=base_s,
                ratios=[round(one, 3) for one in ratios],
                base=chosen.base,
                synthetic=True,
            )
    print(f"| job (SYNTHETIC) | this checkout, s | {chosen.base}, s | ratio by turn | peak, MB |")
    print("\n".join(["|---|---:|---:|---:|---:|", *rows]))  # after all that the jobs said


if __name__ == "__main__":
    main()
