"""False alarms: the weight-free model on intact places it has never seen, from one image each.

Usage: python experiments/damage_intact_places.py --data FOLDER
FOLDER holds the sample sets wv3_vegas, spacenet and fair_kampala; those absent are skipped, and said so. Nothing is
damaged there, so every building called major or worse is a false alarm.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from deepnets4eo.damage.decision import GRADES, DamageModel
from deepnets4eo.damage.evidence import gather
from deepnets4eo.damage.footprints import read_footprints
from deepnets4eo.scene import Layer

PLACES = {
    "Las Vegas": ("wv3_vegas/tiff_3channel_uint8.tif", "wv3_vegas/tiff_3channel_uint8.geojson"),
    "Atlanta": ("spacenet/data/sample_geotiff.tif", "spacenet/data/geotiff_labels.geojson"),
    "Kampala": ("fair_kampala/block0_image.tif", "fair_kampala/labels.geojson"),
}


def false_alarms(name: str, image: Path, footprints: Path, model: DamageModel) -> dict[str, object]:
    """One row: how many buildings were assessed, and what they were called."""
    decided = model.decide(gather(None, Layer.open(image), read_footprints(footprints), None))
    assessed = decided["damage"].notna()
    counts = {grade: int((decided["damage"] == grade).sum()) for grade in GRADES}
    wrong = float((decided.loc[assessed, "damage_prob"] >= 0.5).mean())
    return {"place": name, "assessed": int(assessed.sum()), **counts, "false alarms": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    model, rows = DamageModel.load(), []
    for name, (image, footprints) in PLACES.items():
        if (data / image).exists():
            rows.append(false_alarms(name, data / image, data / footprints, model))
        else:
            print(f"skipped {name}: {data / image} is not there", file=sys.stderr)
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    main()
