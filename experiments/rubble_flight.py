"""A flight around a place in a cloud: pictures from all sides, by our own renderer, and a sheet of them.

Usage: python experiments/rubble_flight.py --out FOLDER [--data FILE --at X Y] [--radius 30] [--smoke]
Without a cloud: the largest house of a miniature city that becomes a heap, before and after (SYNTHETIC)."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from script import add_smoke, plain_errors

from deepnets4eo.points import PointCloud, fly_around, open_cloud
from deepnets4eo.synthetic import City, aerial_scan

CITY, SIDE_PX, GSD_M, DENSITY = 301, 300, 0.4, 40.0
VOXEL_M, PICTURES, ON_SHEET, SHEET_PX = 0.25, 8, 3, (480, 320)


def made_up_sites(*, smoke: bool) -> list[tuple[str, PointCloud, tuple[float, float]]]:
    """Name, points and middle of the largest house of a miniature city that becomes a heap, before and after."""
    city = City(seed=CITY, size_px=SIDE_PX, gsd_m=GSD_M)
    houses = city.buildings
    heaps = houses[houses["look"] == "rubble"]
    middle = heaps.geometry.iloc[int(np.argmax(heaps.area))].centroid
    density = 2.0 if smoke else DENSITY
    dates = (("SYNTHETIC-before", city.pre), ("SYNTHETIC-after", city.post))
    return [(name, aerial_scan(date, density=density), (middle.x, middle.y)) for name, date in dates]


def write_sheet(rows: list[list[Path]], path: Path) -> Path:
    """Pictures at equal steps of each flight, a row a flight."""
    width, height = SHEET_PX
    sheet = Image.new("RGB", (ON_SHEET * width, len(rows) * height))
    for row, pictures in enumerate(rows):
        for col in range(ON_SHEET):
            with Image.open(pictures[col * len(pictures) // ON_SHEET]) as picture:
                sheet.paste(picture.resize(SHEET_PX), (col * width, row * height))
    sheet.save(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a file of points of a real place")
    parser.add_argument("--at", type=float, nargs=2, metavar=("X", "Y"), help="its middle, in metres of its CRS")
    parser.add_argument("--radius", type=float, default=30.0, help="of the flight, metres")
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.data is not None:
        cloud = open_cloud(arguments.data).read()
        middle = tuple(arguments.at or cloud.xyz[:, :2].mean(axis=0))
        sites = [(arguments.data.stem, cloud, middle)]
    else:
        sites = made_up_sites(smoke=arguments.smoke)
    flights = [
        fly_around(cloud, at, arguments.out / name, radius_m=arguments.radius, voxel_m=VOXEL_M,
                   pictures=ON_SHEET if arguments.smoke else PICTURES)
        for name, cloud, at in sites
    ]  # fmt: skip
    print(write_sheet(flights, arguments.out / "sheet.png"))


if __name__ == "__main__":
    with plain_errors():
        main()
