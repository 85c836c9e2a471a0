"""A Siamese grader trained on miniature cities alone, and what it is worth on cities it never saw and on real pairs.

Usage: python experiments/damage_siamese_cities.py --out runs/siamese [--joplin FOLDER] [--encoder resnet18] [--epochs 10]
Some ten minutes on two cores. Prints, for each scene, the weight-free model, the network and both together; the real
pair takes no part in the network's training (the weight-free model as shipped did learn from half of it).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
import pandas as pd
from script import JOPLIN, plain_errors, require_all
from smoke import NOTE, add_smoke

from deepnets4eo.damage import Settings, assess
from deepnets4eo.damage.decision import to_decision_table
from deepnets4eo.damage.siamese.evidence import COLUMNS, is_run
from deepnets4eo.damage.skill import compare_with_reference
from deepnets4eo.synthetic import City
from deepnets4eo.training import train

TRAINED, VALIDATED, UNSEEN = range(101, 109), 109, (110, 205)
SIZE_PX, GSD_M = 640, 0.5
SMALL = (
    "data.tile_px=128", "data.windows_per_epoch=208", "train.batch_size=16", "train.lr=1.0e-3",
    "model.decoder_channels=[64, 48, 32, 24, 16]", "predict.tile_px=256", "predict.halo_px=32",
    f"data.val_names=[c{VALIDATED}]",
)  # fmt: skip
SMOKE_PX, SMOKE = 320, ("train.epochs=1", "data.windows_per_epoch=4", "train.batch_size=2", "data.num_workers=0")


def make_city(folder: Path, seed: int, size_px: int = SIZE_PX) -> Path:
    """A city's folder, made when it is not there."""
    city_folder = folder / f"c{seed}"
    if not (city_folder / "city.json").exists():
        City(seed, size_px, GSD_M).write(city_folder)
    return city_folder


def compare(name: str, run: Path, pair: tuple[Path, Path], outlines: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> None:
    """Print the skill of the weight-free model, of the network alone, and of both as a job weighs them."""
    alone = assess(*pair, outlines, settings=Settings()).buildings
    both = assess(*pair, outlines, settings=Settings(model=str(run))).buildings
    methods = {"weight-free": alone, "both": both}
    if set(COLUMNS.values()) <= set(both.columns):  # a job does not use a network without skill
        methods["network"] = both.assign(**to_table(both))
    for method, buildings in methods.items():
        print(f"{name:>8} {method:>12}: {compare_with_reference(buildings, truth)}")


def to_table(buildings: gpd.GeoDataFrame) -> pd.DataFrame:
    """Decision of the network alone for buildings in both images; the others keep the job's decision."""
    decided = to_decision_table(buildings[list(COLUMNS.values())].to_numpy(float), buildings.index)
    decided_by_network = (buildings["status"] == "assessed") & decided["damage"].notna()
    return decided.where(decided_by_network, buildings[decided.columns])


def main() -> None:
    """Make, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--joplin", type=Path)
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--epochs", type=int, default=10)
    add_smoke(parser)
    arguments = parser.parse_args()
    few, size_px, more = (1, SMOKE_PX, SMOKE) if arguments.smoke else (None, SIZE_PX, ())
    if arguments.smoke:
        print(NOTE)
    if arguments.joplin:
        require_all(arguments.joplin, JOPLIN)
    for seed in (*TRAINED[:few], VALIDATED):
        make_city(arguments.out / "cities", seed, size_px)
    run = arguments.out / arguments.encoder
    if not is_run(run):
        overrides = [*SMALL, f"model.encoder={arguments.encoder}", f"train.epochs={arguments.epochs}", *more]
        train("damage-siamese", run, data=arguments.out / "cities", overrides=overrides)
    for seed in UNSEEN[:few]:
        city = make_city(arguments.out / "unseen", seed, size_px)
        truth = gpd.read_file(city / "truth.gpkg", layer="buildings")
        compare(city.name, run, (city / "pre.tif", city / "post.tif"), truth[["id", "geometry"]], truth)
    if arguments.joplin:
        outlines = gpd.read_file(arguments.joplin / "footprints_overlap.geojson")
        truth = gpd.read_file(arguments.joplin / "damage_labels.geojson")
        compare("joplin", run, (arguments.joplin / "pre", arguments.joplin / "post"), outlines, truth)


if __name__ == "__main__":
    with plain_errors():
        main()
