"""A right and a wrong damage map of a hazard, drawn over the image after: which buildings were called as they are, missed or called too much.

Usage: python experiments/right_and_wrong.py --out FOLDER [--places flood:village:5 …] [--smoke]

Made-up places (SYNTHETIC) of HAZARD:STYLE:SEED that no network learnt from; the job runs as a user's would, with the name of the event. Green: intact and called so,
blue: damaged and called so, red: missed, yellow: intact and called damaged, grey: not assessed. The places of the two pictures in docs/images are the default: they
were chosen among sixteen to show what is seen and what is hidden.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from places.working_grid import CRS, metric_grid
from script import add_smoke, plain_errors
from world import draw_pair
from world.plan import BOTH

from deepnets4eo.damage import assess
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.vocabulary import DAMAGED, MAJOR
from deepnets4eo.grid import transform_shapes
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import Layer

GSD_M, PANEL_PX, QUALITY = 0.5, 640, 80
SIZES_PX = {"earthquake": 360, "flood": 640}  # floods leave more of a place whole
FIRST_SEED = 9_400_000
SITES = ("earthquake:concrete-blocks:11", "earthquake:red-roof-suburb:13", "flood:suburb:32", "flood:trailer-park:41")
COLOURS = {
    "right": (60, 220, 60),
    "hit": (70, 140, 255),
    "missed": (255, 50, 50),
    "too much": (255, 230, 40),
    "left out": (170, 170, 170),
}


def outcomes(damaged: NDArray[np.bool_], called: NDArray[np.bool_], assessed: NDArray[np.bool_]) -> NDArray[np.object_]:
    """(N,) what became of each building: a key of `COLOURS`."""
    kinds = np.where(damaged, np.where(called, "hit", "missed"), np.where(called, "too much", "right"))
    return np.where(assessed, kinds, "left out").astype(object)


def map_site(site: str, size_px: int) -> tuple[Image.Image, str]:
    """The picture of a place, and its numbers."""
    hazard, style, seed = site.split(":")
    pair = draw_pair(FIRST_SEED + int(seed), style=style, hazard=hazard, size_px=size_px, gsd_m=GSD_M)
    shapes = np.array(pair.polygons(), dtype=object)
    rows = np.flatnonzero((pair.plan.buildings["when"] == BOTH) & (shapely.area(shapes) > 0))
    grid = metric_grid(pair.labels_post.shape, (GSD_M, GSD_M))
    ids = [f"b{row}" for row in rows]
    outlines = gpd.GeoDataFrame({"id": ids}, geometry=transform_shapes(grid.affine, shapes[rows]), crs=CRS)
    pre, post = (Layer.open(image[:3], grid=grid) for image in (pair.pre, pair.post))
    damage_map = assess(pre, post, outlines, event=EventInfo(name=hazard.capitalize()))
    headline = damage_map.headline()
    damage_map.state_likeliest_grades()  # also where the map states none, as their number is not known
    buildings = damage_map.buildings.set_index("id").loc[ids]
    kinds = outcomes(
        pair.visible[rows] >= MAJOR,
        buildings["damage"].isin(DAMAGED).to_numpy(),
        Buildings(buildings).assessed,
    )
    picture = Image.fromarray(np.moveaxis(pair.post[:3], 0, -1)).resize((PANEL_PX,) * 2)
    draw, zoom = ImageDraw.Draw(picture), PANEL_PX / size_px
    for shape, kind in zip(transform_shapes(~grid.affine, buildings.geometry.to_numpy()), kinds, strict=True):
        for part in shapely.get_parts(shape):
            draw.line([(x * zoom, y * zoom) for x, y in part.exterior.coords], COLOURS[str(kind)], 2)
    draw.text((6, 6), f"SYNTHETIC, {hazard}", "white")
    counts = ", ".join(f"{int((kinds == kind).sum())} {kind}" for kind in COLOURS)
    return picture, f"{site}: {counts}; {headline}"


def main() -> None:
    """Map the places, and draw those of each hazard side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--places", nargs="*", default=SITES, metavar="HAZARD:STYLE:SEED")
    add_smoke(parser)
    options = parser.parse_args()
    sites = options.places[:1] if options.smoke else options.places
    options.out.mkdir(parents=True, exist_ok=True)
    by_hazard: dict[str, list[Image.Image]] = {}
    for site in sites:
        picture, text = map_site(site, 200 if options.smoke else SIZES_PX[site.partition(":")[0]])
        by_hazard.setdefault(site.partition(":")[0], []).append(picture)
        print(text, flush=True)
    for hazard, pictures in by_hazard.items():
        sheet = Image.new("RGB", (sum(one.width for one in pictures), pictures[0].height))
        for number, one in enumerate(pictures):
            sheet.paste(one, (number * one.width, 0))
        sheet.save(options.out / f"right_and_wrong_{hazard}.jpg", quality=QUALITY)


if __name__ == "__main__":
    with plain_errors():
        main()
