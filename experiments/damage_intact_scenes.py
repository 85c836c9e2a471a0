"""False alarms: the weight-free model on intact scenes that it was not fitted to, from one image each.

Usage: python experiments/damage_intact_scenes.py --data FOLDER
FOLDER holds the sample sets wv3_vegas, spacenet, fair_kampala, xbd_midwest and joplin (of these the pre image alone);
absent ones are skipped with a message. Nothing is damaged there, so every building called major or worse is a false
alarm. The trees and roads that Las Vegas comes with as outlines have a row of their own: none of them is a building.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import geopandas as gpd
import pandas as pd
from script import plain_errors, require_files

from deepnets4eo.damage.decision_with_network import DecisionModel
from deepnets4eo.damage.evidence import gather
from deepnets4eo.damage.footprints import read_footprints
from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.rasters.scene import Layer

VEGAS = ("wv3_vegas/tiff_3channel_uint8.tif", "wv3_vegas/tiff_3channel_uint8.geojson")
SCENES = {  # image and outlines
    "Las Vegas": VEGAS,
    "Las Vegas, trees and roads": VEGAS,
    "Atlanta": ("spacenet/data/sample_geotiff.tif", "spacenet/data/geotiff_labels.geojson"),
    "Kampala": ("fair_kampala/block0_image.tif", "fair_kampala/labels.geojson"),
    "Midwest before": ("xbd_midwest/pre.png", "xbd_midwest/footprints_px.geojson"),
    "Joplin before": ("joplin/pre", "joplin/footprints_overlap.geojson"),
}
LABELS = {
    "Las Vegas": (1,),
    "Las Vegas, trees and roads": (2, 3),
}  # of the rows to use; of other scenes all are buildings


def outlines_of_scene(name: str, data: Path) -> gpd.GeoDataFrame:
    """The outlines of one scene."""
    table = gpd.read_file(data / SCENES[name][1])
    return table[table["label"].isin(LABELS[name])] if name in LABELS else table


def false_alarms(name: str, image: Path, table: gpd.GeoDataFrame) -> dict[str, object]:
    """One row: how many buildings were seen and assessed, what they were called, and how sure the grades are."""
    layer = Layer.open(image)
    footprints = read_footprints(table, assume_crs="pixels" if layer.grid.crs is None else None)
    evidence = gather(None, layer, footprints, None)
    seen = int((evidence.frame["status"] == "assessed").sum())
    decided = DecisionModel.load("damage-evidence").decide(evidence, None).graded
    counts = {grade: int((decided["damage"] == grade).sum()) for grade in GRADES}
    alarms = counts["major-damage"] + counts["destroyed"]
    return {
        "scene": name, "seen": seen, "assessed": int(decided["damage"].notna().sum()), **counts,
        "of seen": alarms / seen, "confidence": float(decided["confidence"].mean()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    require_files(data, *sorted({image for image, _ in SCENES.values()}))
    rows = []
    for name, (image, _) in SCENES.items():
        if (data / image).exists():
            rows.append(false_alarms(name, data / image, outlines_of_scene(name, data)))
        else:
            print(f"skipped {name}: {data / image} is not there", file=sys.stderr)
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    with plain_errors():
        main()
