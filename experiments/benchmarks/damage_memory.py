"""What a building costs the damage job in memory: many outlines over a small image, and a city over a large one.

Usage: python experiments/benchmarks/damage_memory.py [--side 1000] [--buildings 200000] [--stage job|evidence]
       python experiments/benchmarks/damage_memory.py --side 20000 --buildings 447000
The pair is one synthetic miniature city laid side by side; its outlines are repeated, each copy moved by up to a metre,
up to the number requested. Every figure comes from a process of its own. The same job with few of the
buildings is what the images cost; the difference of the two peaks, divided by the further buildings, is what one costs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from deepnets4eo.damage.evidence import gather
from deepnets4eo.damage.job import assess
from deepnets4eo.footprints import align_footprints
from deepnets4eo.footprints.read import read_footprints
from deepnets4eo.grid import Window
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.registration import register
from deepnets4eo.synthetic import City

TILE_PX = 2000
GSD_M = 0.5
MOVED_M = 1.0  # largest shift of a copy of an outline, along each axis
FEW = 2000


def make_scene(folder: Path, side_px: int, buildings: int) -> None:
    """Write pre.tif, post.tif, few.parquet and all.parquet."""
    tile_px = min(side_px, TILE_PX)
    city = City(5, tile_px, GSD_M)
    grid = GeoBox((side_px, side_px), city.grid.affine, city.grid.crs)
    tags = {"SYNTHETIC": "deepnets4eo miniature city, tiled"}
    for name, image in (("pre", city.pre.image[:3]), ("post", city.post.image[:3])):
        with CogWriter(folder / f"{name}.tif", grid, count=3, tags=tags) as writer:
            row = np.concatenate([image] * (side_px // tile_px), axis=2)
            for top in range(0, side_px, tile_px):
                writer.write(Window(top, 0, tile_px, side_px), row)
    outlines = city.footprints()
    rng = np.random.default_rng(0)
    number = np.arange(buildings)
    original, tile = number % len(outlines), number // len(outlines) % (side_px // tile_px) ** 2
    row, col = np.divmod(tile, side_px // tile_px)
    moved = np.column_stack([col, -row]) * tile_px * GSD_M + rng.uniform(-MOVED_M, MOVED_M, (buildings, 2))
    shapes = outlines.geometry.to_numpy()[original]
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    shapes = shapely.set_coordinates(shapes, xy + moved[owner])
    outlines_of_city = gpd.GeoDataFrame({"id": number.astype(str)}, geometry=shapes, crs=outlines.crs)
    outlines_of_city.to_parquet(folder / "all.parquet")
    outlines_of_city.sample(FEW, random_state=0).to_parquet(folder / "few.parquet")


def work(folder: Path, name: str, stage: str, also: list[str] | None) -> None:
    """The job on one file of footprints, files in, products out; or its evidence alone. Prints seconds, of the clock and of processors, and the peak."""
    pre, post = Layer.open(folder / "pre.tif"), Layer.open(folder / "post.tif")
    started = time.perf_counter()
    if stage == "job":
        result = assess(pre, post, folder / f"{name}.parquet")
        result.save(folder / f"damage-{name}", post=post, pre=pre, overwrite=True, also=also)
    else:
        footprints = read_footprints(folder / f"{name}.parquet")
        alignment = align_footprints(pre, footprints.frame)
        gather(pre, post, footprints, register(pre, post), alignment=alignment)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": time.perf_counter() - started, "busy": time.process_time(), "peak": peak}))


def measure(folder: Path, name: str, stage: str, also: str) -> dict[str, float]:
    """What `work` prints, from a process of its own; peak memory in bytes."""
    command = [sys.executable, __file__, "--folder", str(folder), "--stage", stage, "--also", also, "--work", name]
    measured: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1000, help="pixels; above 2,000 a multiple of it")
    parser.add_argument("--buildings", type=int, default=200_000)
    parser.add_argument("--stage", choices=("job", "evidence"), default="job")
    parser.add_argument("--also", default="csv,geojson,kml", help="further products of the job; '' for none")
    parser.add_argument("--folder", type=Path, default=Path("runs/damage_memory"))
    parser.add_argument("--work", choices=("few", "all"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.folder, options.work, options.stage, [name for name in options.also.split(",") if name])
        return
    folder = options.folder / f"{options.side}-{options.buildings}"
    if not (folder / "few.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        make_scene(folder, options.side, options.buildings)
    few, every = (measure(folder, name, options.stage, options.also) for name in ("few", "all"))
    each = (every["peak"] - few["peak"]) / (options.buildings - FEW)
    print(f"{options.buildings} buildings over {options.side}² pixels (synthetic), stage: {options.stage}")
    for name, row in ((f"{FEW} of them", few), ("all", every)):
        print(
            f"{name}: {row['seconds']:.0f} s ({row['busy']:.0f} s of processors), "
            f"peak memory {row['peak'] / 1e9:.2f} GB"
        )
    print(
        f"{each / 1e3:.1f} kB and {1e6 * (every['busy'] - few['busy']) / (options.buildings - FEW):.0f} µs a building"
    )


if __name__ == "__main__":
    main()
