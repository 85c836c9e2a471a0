"""What other processes cost and gain: `damage` and `predict` in one process, and by one and two workers of a Dask cluster.

Usage: python experiments/benchmarks/executors.py [--side 4000] [--out runs/executors]
Every job runs as users run it, with one thread a process, on a synthetic miniature city laid side by side (`damage_city.py`). Printed are
seconds by the clock and of processor time, of all processes, the ratios of two workers to one, and whether the results are the same
bytes. The start of a worker, some seconds, is in them: it weighs less the larger the job.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from damage_city import make_place

WORKERS = ("1", "dask:1", "dask:2")


def run_job(*words: str) -> tuple[float, float]:
    """A verb in a process of its own: seconds by the clock, and of processor time with that of its workers."""
    command = [sys.executable, "-m", "deepnets4eo.cli.main", *words]
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, processor


def compare(name: str, words: list[str], out: Path, result: str) -> None:
    """Run a job with all kinds of workers and print what each took. result : the file of the output whose bytes are compared."""
    times, digests = dict[str, tuple[float, float]](), set[str]()
    for workers in WORKERS:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        times[workers] = run_job(*words, "--workers", workers)
        digests.add(hashlib.sha256((out / result).read_bytes()).hexdigest())
        print(f"{name}, --workers {workers}: {times[workers][0]:.0f} s, {times[workers][1]:.0f} s of processor time")
    clock, processor = (times["dask:2"][index] / times["dask:1"][index] for index in (0, 1))
    print(
        f"{name}: two workers to one {clock:.2f} by the clock, {processor:.2f} in processor time; one worker to one process "
        f"{times['dask:1'][1] / times['1'][1]:.2f} in processor time; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; the bytes are "
        f"{'the same' if len(digests) == 1 else 'OTHER ONES'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4000, help="pixels, a multiple of 2,000")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    site, out = options.out / f"site-{options.side}", options.out / "out"
    if not (site / "footprints.gpkg").exists():
        site.mkdir(parents=True, exist_ok=True)
        print(f"{make_place(site, options.side)} buildings over {options.side}² pixels (SYNTHETIC)")
    pre, post, footprints = (str(site / name) for name in ("pre.tif", "post.tif", "footprints.gpkg"))
    compare("predict", ["predict", "buildings", post, "--out", str(out / "labels.tif")], out, "labels.tif")
    damage = ["damage", pre, post, footprints, "--out", str(out / "map"), "--overwrite"]
    compare("damage", damage, out, "map/damage.parquet")


if __name__ == "__main__":
    main()
