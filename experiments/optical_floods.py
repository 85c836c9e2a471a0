"""Houses in flood water in real pairs of optical images: rings around outlines that new water fills, beside official grades.

Usage: python experiments/optical_floods.py --data FOLDER

FOLDER holds xbd_more/ and xbd_midwest/: pre.png, post.png of about 0.5 m and footprints_px.geojson with official grades. A house
counts as surrounded where new water fills more than 0.4 of the ring of 2 to 12 m around it. Nothing is trained; the constants of
`optical_water` were chosen while looking at the two flooded tiles, midwest-flooding_00000000 and _00000006; the dry places
were measured along with them, and no constant was changed for them. Without PRE, a ring of any water counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from script import plain_errors, require_files

from deepnets4eo.damage.vocabulary import DAMAGED
from deepnets4eo.floods import optical_water
from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Layer

GSD_M = 0.5
INNER_M, OUTER_M = 2.0, 12.0  # of the ring around an outline
LEAST_SHARE = 0.4  # of the ring


def read(path: Path) -> NDArray[np.uint8]:
    """Red, green and blue of an image."""
    layer = Layer.open(path)
    return layer.read(Window(0, 0, *layer.grid.shape))[0][:3].astype(np.uint8)


def find_surrounded(classes: NDArray[np.uint8], outlines: gpd.GeoSeries, water: int) -> NDArray[np.bool_]:
    """(N,) whether the ring around each outline is filled by a class of water."""
    rings = outlines.buffer(OUTER_M / GSD_M).difference(outlines.buffer(INNER_M / GSD_M))
    shares = [(classes[rasterize([ring], classes.shape) > 0] == water).mean() for ring in rings]
    return np.array(shares) > LEAST_SHARE


def row(folder: Path) -> str:
    """One place: its flood, and the houses called surrounded."""
    pre, post = (read(folder / f"{date}.png") for date in ("pre", "post"))
    table = gpd.read_file(folder / "footprints_px.geojson")
    outlines = table.set_crs(None, allow_override=True).geometry
    damaged = table["grade"].isin(DAMAGED).to_numpy()
    classes = optical_water(pre, post, gsd_m=GSD_M)
    new = find_surrounded(classes, outlines, FLOOD)
    alone = find_surrounded(optical_water(None, post, gsd_m=GSD_M), outlines, PERMANENT_WATER)
    return (
        f"| {folder.name} | {len(table)} | {damaged.sum()} | {(classes == FLOOD).mean():.1%} | {(new & damaged).sum()} | "
        f"{(new & ~damaged).sum()} | {(alone & damaged).sum()} | {(alone & ~damaged).sum()} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    print("| place | houses | damaged | new water | damaged in it | others in it | damaged in water, no PRE | others |")
    print("|---|---|---|---|---|---|---|---|")
    for path in [*require_files(data / "xbd_more", "*/post.png"), *require_files(data / "xbd_midwest", "post.png")]:
        print(row(path.parent))


if __name__ == "__main__":
    with plain_errors():
        main()
