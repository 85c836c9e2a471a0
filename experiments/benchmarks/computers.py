"""How many computers a damage job is worth: processor seconds of its parts and of the last command, at two sizes.

Usage: python experiments/benchmarks/computers.py [--parts 2] [--json FILE]
A SYNTHETIC city of 3,000² and of 6,000² pixels; the job with its network, divided by `--part`, one command after the other on one core.
What grows with the pixels follows from both sizes: the work that computers share, and the work of the last command, which one
computer does. What does not grow is the start of each command.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import damage_city
from damage_city import run_job
from script import add_json, store_part

SIDES_PX = (3000, 6000)
CITY_MEGAPIXELS = 34_000**2 / 1e6  # of 447,000 footprints


def measure(side_px: int, count: int) -> tuple[float, float]:
    """Return processor seconds of all parts together, and of the last command."""
    damage_city.TILE_PX = SIDES_PX[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        damage_city.make_place(folder, side_px)
        parts = [run_job(folder, folder / "out", "--part", f"{number}/{count}")[0] for number in range(1, count + 1)]
        return sum(parts), run_job(folder, folder / "out", "--resume")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=2)
    add_json(parser)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    megapixels = [side * side / 1e6 for side in SIDES_PX]
    small, large = (measure(side, options.parts) for side in SIDES_PX)
    more = megapixels[1] - megapixels[0]
    shared, serial = ((large[k] - small[k]) / more for k in (0, 1))
    start_s, last_start_s = small[0] - shared * megapixels[0], small[1] - serial * megapixels[0]
    print(f"{SIDES_PX} px: parts {small[0]:.1f} and {large[0]:.1f} s, last command {small[1]:.1f} and {large[1]:.1f} s")
    print(f"seconds per megapixel: shared {shared:.2f}, of the last command {serial:.2f}; starts {start_s / options.parts:.1f} and {last_start_s:.1f} s")  # fmt: skip
    store_part(
        options.json, "damage", synthetic=True, sides_px=list(SIDES_PX), parts=options.parts,
        parts_s=[small[0], large[0]], last_s=[small[1], large[1]],
        shared_per_megapixel_s=shared, serial_per_megapixel_s=serial,
        start_s=start_s / options.parts, last_start_s=last_start_s,
        last_of_34000_min=(last_start_s + serial * CITY_MEGAPIXELS) / 60,
    )  # fmt: skip


if __name__ == "__main__":
    main()
