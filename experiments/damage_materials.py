"""What a material map of a hyperspectral cube adds to the damage map: miniature cities (synthetic), three seeds left out.

Usage: python experiments/damage_materials.py --out runs/materials [--smoke]
A linear discriminant learns materials from the cubes of two other cities (4 times coarser than the images), predicts a
label raster of each unseen city after its event, and the damage job takes the raster as evidence (`--class-shares`):
columns such as ev_class_rubble. Prints, for each unseen seed, the area under the ROC curve for major damage or worse of
the structural evidence as decided, of the share of wreckage alone, and of both (a logistic regression fitted to the other
seeds). The cubes' spectra are made up with few materials, so that the figures show that the path works, and no more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from script import plain_errors
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from smoke import NOTE, add_smoke

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.baselines.estimators import EstimatorOptions, build_estimator
from deepnets4eo.damage import Settings, assess
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import load_run, save_run
from deepnets4eo.synthetic import City, Event
from deepnets4eo.synthetic.cube_spectra import material_legend

TRAINED, UNSEEN = (301, 302), (311, 312, 313)
SIZE_PX, GSD_M = 900, 0.5
WRECKAGE = ["ev_class_rubble", "ev_class_burnt", "ev_class_wood"]
SEVERE = ["major-damage", "destroyed"]


def make_city(folder: Path, seed: int, size_px: int) -> Path:
    """A city and its cubes of both dates in a folder, made when they are not there."""
    city_folder = folder / f"c{seed}"
    if not (city_folder / "cube_post.tif").exists():
        city = City(seed, size_px, GSD_M, event=Event(kind="tornado"))
        city.write(city_folder, overwrite=True)
        city.cube("post").write(city_folder, "post")
    return city_folder


def train_materials(cities: list[Path], run: Path) -> Path:
    """A run that labels cubes with materials."""
    scenes = [Scene.open(image=city / "cube_post.tif", labels=city / "materials_post.tif") for city in cities]
    estimator = build_estimator(EstimatorOptions(name="lda"))
    classifier = PixelClassifier(estimator, InputSpec.measure(scenes), material_legend())
    return save_run(classifier.fit(scenes, max_pixels=40_000), run)


def assess_city(city: Path, run: Path) -> pd.DataFrame:
    """Severe damage or not, probability of the structural evidence, and share of wreckage of each assessed building."""
    labels = city / "predicted_materials.tif"
    predict(load_run(run), city / "cube_post.tif", labels, PredictOptions(overwrite=True))
    settings = Settings(class_shares=str(labels))
    buildings = assess(city / "pre.tif", city / "post.tif", city / "footprints.gpkg", settings=settings).buildings
    truth = gpd.read_file(city / "truth.gpkg", layer="buildings").set_index("id")["damage"]
    known = buildings[(buildings["status"] == "assessed") & buildings["id"].isin(truth.index)]
    grades = known["id"].map(truth)
    wreckage = known[WRECKAGE].sum(axis=1).to_numpy()
    return pd.DataFrame(
        {
            "severe": grades.isin(SEVERE).to_numpy(),
            "structure": known["damage_prob"].to_numpy(),
            "wreckage": wreckage,
        }
    ).dropna()


def together(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """Probability from both, learned on other cities."""

    def vectors(frame: pd.DataFrame) -> np.ndarray:
        probability = frame["structure"].clip(0.01, 0.99)
        return np.column_stack([np.log(probability / (1 - probability)), frame["wreckage"] * 5])

    return np.asarray(LogisticRegression().fit(vectors(train), train["severe"]).predict_proba(vectors(test))[:, 1])


def main() -> None:
    """Make, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    add_smoke(parser)
    arguments = parser.parse_args()
    size_px = 400 if arguments.smoke else SIZE_PX
    if arguments.smoke:
        print(NOTE)
    run = train_materials([make_city(arguments.out, seed, size_px) for seed in TRAINED], arguments.out / "run")
    tables = {seed: assess_city(make_city(arguments.out, seed, size_px), run) for seed in UNSEEN}
    rows = []
    for seed, table in tables.items():
        others = pd.concat([other for number, other in tables.items() if number != seed])
        scores = {
            "structure": table["structure"],
            "wreckage": table["wreckage"],
            "both": together(others, table),
        }
        row = {name: roc_auc_score(table["severe"], score) for name, score in scores.items()}
        rows.append(row)
        areas = ", ".join(f"{name} {area:.3f}" for name, area in row.items())
        print(
            f"SYNTHETIC city {seed}: {len(table)} buildings, {int(table['severe'].sum())} severe; AUC {areas}",
            flush=True,
        )
    frame = pd.DataFrame(rows)
    print(
        "SYNTHETIC mean ± sd: "
        + ", ".join(f"{name} {frame[name].mean():.3f} ± {frame[name].std():.3f}" for name in frame)
    )


if __name__ == "__main__":
    with plain_errors():
        main()
