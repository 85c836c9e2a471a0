"""The damage job at the scale of a city, as it comes and without its network: 100,000 buildings over a pair of 20,000² pixels.

Usage: python experiments/benchmarks/damage_city.py [--side 20000] [--out runs/damage_city] [--parts 4]
The pair is one synthetic miniature city of 2,000² pixels laid side by side, with its footprints. The job runs as users
run it (`deepnets4eo damage`), in a process of its own, and again with `--set network=no`. The plain way beside it, in the same run: two window reads and
one structural similarity per building, in a loop, over a sample, extrapolated; it makes no decision and no product. Times are
processor seconds.

With --parts the job as it comes is also divided (`--part 1/4` to `4/4`, one after the other, then `--resume`): on as many computers it
takes as long as the slowest part and the last command. The table must be the same.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as RasterioWindow
from skimage.metrics import structural_similarity

sys.path.insert(0, str(Path(__file__).parents[1]))
from script import add_json, run_apart, store_part

from deepnets4eo.files import read_json
from deepnets4eo.grid import Window
from deepnets4eo.rasters import CogWriter
from deepnets4eo.synthetic import City
from deepnets4eo.system import cores

TILE_PX = 2000
GSD_M = 0.5
SAMPLE = 2000
PATCH_PX = 64


def make_place(folder: Path, side_px: int) -> int:
    """Write pre.tif, post.tif and footprints.gpkg; returns the number of buildings."""
    city = City(5, TILE_PX, GSD_M)
    grid = GeoBox((side_px, side_px), city.grid.affine, city.grid.crs)
    tags = {"SYNTHETIC": "deepnets4eo miniature city, tiled"}
    for name, image in (("pre", city.pre.image[:3]), ("post", city.post.image[:3])):
        with CogWriter(folder / f"{name}.tif", grid, count=3, tags=tags) as writer:
            row = np.concatenate([image] * (side_px // TILE_PX), axis=2)
            for top in range(0, side_px, TILE_PX):
                writer.write(Window(top, 0, TILE_PX, side_px), row)
    outlines = city.footprints()
    step = TILE_PX * GSD_M
    tiles = [
        outlines.assign(
            id=outlines["id"].astype(str) + f"-{row}-{col}",
            geometry=outlines.geometry.translate(col * step, -row * step),
        )
        for row in range(side_px // TILE_PX)
        for col in range(side_px // TILE_PX)
    ]
    footprints = gpd.GeoDataFrame(pd.concat(tiles, ignore_index=True), crs=outlines.crs)
    footprints.to_file(folder / "footprints.gpkg")
    return len(footprints)


def run_job(folder: Path, out: Path, *options: str) -> tuple[float, float]:
    """Run `deepnets4eo damage` in a process of its own; returns its processor seconds and its peak memory in MB."""
    names = [str(folder / name) for name in ("pre.tif", "post.tif", "footprints.gpkg")]
    command = [sys.executable, "-m", "deepnets4eo.cli.main", "damage", *names, "--out", str(out), *options]
    return run_apart(command)


def run_parts(folder: Path, count: int) -> tuple[list[float], float, bool]:
    """Return the processor seconds of the parts and of the last command, and whether the table is the one of the whole job."""
    out = folder / "divided"
    shutil.rmtree(out, ignore_errors=True)
    parts = [run_job(folder, out, "--part", f"{number}/{count}")[0] for number in range(1, count + 1)]
    last = run_job(folder, out, "--resume")[0]
    one, other = (gpd.read_parquet(path / "damage.parquet") for path in (folder / "damage", out))
    return parts, last, one.equals(other)


def plain_seconds(folder: Path) -> float:
    """Return the processor seconds per building of the plain loop."""
    footprints = gpd.read_file(folder / "footprints.gpkg").sample(SAMPLE, random_state=0)
    with rasterio.open(folder / "pre.tif") as pre, rasterio.open(folder / "post.tif") as post:
        started = time.process_time()
        for point in footprints.geometry.centroid:
            row, col = pre.index(point.x, point.y)
            window = RasterioWindow(col - PATCH_PX // 2, row - PATCH_PX // 2, PATCH_PX, PATCH_PX)
            a, b = (file.read(window=window, boundless=True) for file in (pre, post))
            structural_similarity(a, b, channel_axis=0)
        return (time.process_time() - started) / SAMPLE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20_000, help="pixels, a multiple of 2,000")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=0, help="divide the job into so many parts, too")
    add_json(parser)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    ready = options.out / f"ready-{options.side}"
    if not ready.exists():
        ready.write_text(str(make_place(options.out, options.side)))
    buildings = int(ready.read_text())
    plain = plain_seconds(options.out) * buildings
    print(f"{buildings} buildings over {options.side}² pixels (synthetic)")
    print(f"plain loop, evidence of one kind only: {plain:.0f} s (extrapolated from {SAMPLE})")
    figures: dict[str, dict[str, float]] = {}
    for name, choice in (("without network", ("--set", "network=no")), ("as it comes", ())):
        seconds, peak_mb = run_job(options.out, options.out / "damage", "--overwrite", *choice)
        assessed = int(read_json(options.out / "damage" / "summary.json")["buildings"]["assessed"])
        peak_gib = peak_mb * 1e6 / 2**30
        print(
            f"the whole job {name}: {seconds:.1f} processor s, {assessed} assessed, peak memory {peak_gib:.2f} GiB; "
            f"the plain loop takes {plain / seconds:.2f} times as long",
            flush=True,
        )
        figures[name] = {"s": round(seconds, 2), "plain_ratio": round(plain / seconds, 3), "gib": round(peak_gib, 3)}
    if options.parts:
        parts, last, same = run_parts(options.out, options.parts)
        slowest, whole = (max(parts) + last) / seconds, (sum(parts) + last) / seconds
        print(
            f"in {options.parts} parts: the slowest {max(parts):.0f} s, then {last:.0f} s, together {slowest:.2f} of the whole job's processor "
            f"time; all parts and the last command {whole:.2f}; the table is {'the same' if same else 'ANOTHER ONE'}"
        )
        figures[f"in {options.parts} parts"] = {
            "slowest": round(slowest, 3),
            "all": round(whole, 3),
            "same_table": same,
        }
    store_part(
        options.json,
        f"{options.side}",
        threads=cores(),
        synthetic=True,
        buildings=buildings,
        side_px=options.side,
        jobs=figures,
    )


if __name__ == "__main__":
    main()
