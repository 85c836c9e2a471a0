"""What change scores add to the structural evidence of the damage map: miniature cities (SYNTHETIC), and real Joplin.

Usage: python experiments/damage_change_evidence.py --out runs/change-evidence [--joplin FOLDER] [--smoke]
Three change scores need no training: IR-MAD on the registered pair of images, the same after guided anisotropic
diffusion, and IR-MAD on the cubes of both dates, four times coarser. The fourth, "change", is a boosted classifier of
pixels and their neighbourhood in both images, taught on two other cities what severe damage looks like. The damage job
takes all as rasters (`assess(…, evidence=[…])`).
The cities are made hard, since on plain ones the structure leaves little room: hazy, blurred, noisy post images in
another season and light. Each is drawn without harmless change and with much of it (new roofs, extensions, sheds, pools).
Prints the area under the ROC curve for major damage or worse: of each score alone, of both by a logistic regression on
the cities left out, and as the job decides with a card fitted there. On Joplin blocks of 200 m are left out, of the
structural model too. The real pair has no cubes,
and no other city that a classifier could learn from.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from damage_joplin import evidence_model, leave_blocks_out
from damage_train_evidence import BLOCK_M, METRES_UTM, blocks_of
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from scipy.special import logit
from script import JOPLIN, plain_errors, require_all
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from smoke import NOTE, add_smoke

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.baselines.estimators import EstimatorOptions, build_estimator
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.change.classical.detector import POST as POST_LAYER
from deepnets4eo.change.classical.detector import PRE, ChangeDetector
from deepnets4eo.change.diffusion import Diffusion, guided_anisotropic_diffusion
from deepnets4eo.damage import GRADES, EvidenceCard, RasterEvidence, Registration, assess, register
from deepnets4eo.damage.raster_evidence import DEFAULT_WEIGHT
from deepnets4eo.grid import transform_shapes
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import Run, load_run, save_run
from deepnets4eo.synthetic import City, Event
from deepnets4eo.synthetic.style import Light, Season, Sensor

SEEDS, TRAINED, LOOKALIKE = (311, 312, 313), (301, 302), (0.0, 0.4)
SIZE_PX, GSD_M, CUBE_BANDS = 520, 0.5, 24
DIFFUSION = Diffusion(steps=400)
POOR_OPTICS: dict[str, Any] = {
    "blur_px": 1.1,
    "noise": 7.0,
    "haze": (50.0, 50.0, 52.0, 26.0),
    "contrast": 0.7,
    "sharpening": 0.0,
}
CERTAIN = 0.01

Scores = NDArray[np.float64]


def hard_city(seed: int, lookalike: float, size_px: int) -> City:
    """A city whose post image is hazy, blurred and noisy, of the leafless season under a low western sun."""
    sensor = replace(Sensor.draw(np.random.default_rng(seed)), **POOR_OPTICS)
    event = replace(
        Event.draw(seed),
        lookalike_share=lookalike,
        sensor=sensor,
        light=Light(235.0, 32.0, 0.5),
        season=Season(0.2, 0.1),
    )
    return City(seed, size_px, GSD_M, event=event)


def pair_scene(pre: Layer, post: Layer, registration: Registration) -> Scene:
    """Both layers on the post layer's grid, pre through the registration of the images."""
    ground = registration.post_grid.affine * Affine(*registration.matrix.ravel()) * ~registration.post_grid.affine
    before = GeoBox(post.grid.shape, ground * post.grid.affine, post.grid.crs)
    return Scene({PRE: pre.on(before), POST_LAYER: post}, post.grid)


def change_score(scene: Scene, *, diffused: bool = False) -> Layer:
    """IR-MAD's score of a pair, 0–1, NaN where not both are valid; diffused : within the objects of the pair's images."""
    detector = ChangeDetector.of_scene(scene, "ir-mad")
    sample = scene.read()
    score = detector.predict_proba(detector.inputs.prepare(sample)[None])[0, 1:]
    if diffused:
        guides = [sample[name][:3].astype(np.float32) for name in (PRE, POST_LAYER)]
        score = guided_anisotropic_diffusion(score, guides, diffusion=DIFFUSION, valid=sample["valid"])
    return Layer.open(np.where(sample["valid"], score, np.nan).astype(np.float32), grid=scene.grid)


def assess_pair(
    pre: Layer, post: Layer, footprints: object, cubes: tuple[Layer, Layer] | None = None, run: Run | None = None
) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Assessed buildings of a pair with a column of mean scores for each kind of change, and the columns' names."""
    registration = register(pre, post)
    images = pair_scene(pre, post, registration)
    rasters = [
        RasterEvidence("ir_mad", change_score(images)),
        RasterEvidence("ir_mad_diffused", change_score(images, diffused=True)),
    ]
    if cubes is not None:
        rasters.append(RasterEvidence("ir_mad_cubes", change_score(pair_scene(*cubes, registration))))
    if run is not None:
        probabilities = run.folder / "change.tif"
        predict(run, images, run.folder / "labels.tif", PredictOptions(probabilities=probabilities, overwrite=True))
        rasters.append(RasterEvidence("change", probabilities))
    buildings = assess(pre, post, footprints, evidence=rasters).buildings
    columns = [raster.column for raster in rasters]
    known = buildings[buildings["status"] == "assessed"].dropna(subset=columns)
    return known, columns


def train_change(folder: Path, size_px: int) -> Run:
    """A run that separates severely damaged buildings from others, by the pixels of registered pairs of other cities."""
    scenes = []
    for seed in TRAINED:
        city = hard_city(seed, sum(LOOKALIKE) / len(LOOKALIKE), size_px)
        pre, post = (Layer.open(date.image, grid=date.grid) for date in (city.pre, city.post))
        outlines = transform_shapes(~city.post.to_pre, city.buildings.geometry.to_numpy())
        severe = city.buildings["damage"].isin(GRADES[2:]).astype(int)
        labels = rasterize(
            zip(outlines, severe, strict=True), post.shape, fill=VOID, transform=post.grid.affine, dtype=np.uint8
        )
        pair = pair_scene(pre, post, register(pre, post))
        scenes.append(Scene(pair.layers | {"labels": Layer.open(labels, grid=post.grid)}, post.grid))
    estimator = build_estimator(EstimatorOptions(name="hist_gradient_boosting", trees=100))
    classifier = PixelClassifier(
        estimator,
        InputSpec.measure(scenes, [PRE, POST_LAYER]),
        Legend.load("change"),
        features=["pixels", "neighbourhood"],
    )
    return load_run(save_run(classifier.fit(scenes, max_pixels=30_000), folder))


def city_table(seed: int, lookalike: float, size_px: int, run: Run) -> tuple[pd.DataFrame, list[str]]:
    """Buildings of one city with `severe` and `structure`."""
    city = hard_city(seed, lookalike, size_px)
    pre, post = (Layer.open(date.image, grid=date.grid) for date in (city.pre, city.post))
    cubes = tuple(
        Layer.open(cube.data, grid=cube.grid)
        for cube in (city.cube(date, bands=CUBE_BANDS) for date in ("pre", "post"))
    )
    known, columns = assess_pair(pre, post, city.footprints(), cubes, run)  # type: ignore[arg-type]
    truth = pd.Series(city.buildings["damage"].to_numpy(), city.buildings["id"].astype(str))
    known = known[known["id"].isin(truth.index)]
    frame = pd.DataFrame(known[columns]).assign(
        severe=known["id"].map(truth).isin(GRADES[2:]), structure=known["damage_prob"], group=f"city-{seed}"
    )
    return frame, columns


def joplin_table(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Graded buildings of Joplin; `structure` is of a model fitted to the other blocks."""
    pre, post = Layer.open(folder / "pre"), Layer.open(folder / "post")
    known, columns = assess_pair(pre, post, folder / "footprints_overlap.geojson")
    centre = known.to_crs(METRES_UTM).centroid
    labels = gpd.read_file(folder / "damage_labels.geojson")
    grade = known["id"].map(pd.Series(labels["damage"].to_numpy(), labels["id"].astype(str))).to_numpy()
    frame = pd.DataFrame(known.drop(columns="geometry")).assign(
        damage=grade, east_m=centre.x.to_numpy(), north_m=centre.y.to_numpy(), domain="joplin"
    )
    frame = frame[frame["damage"].isin(GRADES)].reset_index(drop=True)
    frame["group"] = blocks_of(frame, BLOCK_M)
    structural = frame.drop(columns=columns)
    probability = leave_blocks_out(structural, frame["group"].to_numpy(object), evidence_model("pre_post"))
    return frame.assign(structure=probability[:, 2:].sum(axis=1), severe=frame["damage"].isin(GRADES[2:])), columns


def structure_odds(frame: pd.DataFrame) -> Scores:
    """Log-odds of the structural evidence."""
    return np.asarray(logit(frame["structure"].clip(CERTAIN, 1 - CERTAIN)))


def regression(train: pd.DataFrame, test: pd.DataFrame, column: str) -> Scores:
    """Log-odds from structure and one score by a logistic regression."""
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    model.fit(np.column_stack([structure_odds(train), train[column]]), train["severe"])
    return np.asarray(model.decision_function(np.column_stack([structure_odds(test), test[column]])))


def pool_with_card(train: pd.DataFrame, test: pd.DataFrame, column: str) -> Scores:
    """Log-odds as the job pools them with a card, but for one constant a site, which changes no order."""
    card = EvidenceCard.fit(train[column], train["severe"])
    weight = DEFAULT_WEIGHT * card.skill.value
    return (1 - weight) * structure_odds(test) + weight * card.log_odds(test[column].to_numpy(float))


def leave_groups_out(
    frame: pd.DataFrame, column: str, rule: Callable[[pd.DataFrame, pd.DataFrame, str], Scores]
) -> Scores:
    """Scores of each building by a rule fitted to the other groups."""
    scores = np.zeros(len(frame))
    for group in frame["group"].unique():
        rows = (frame["group"] == group).to_numpy()
        scores[rows] = rule(frame[~rows], frame[rows], column)
    return scores


def row(frame: pd.DataFrame, columns: list[str], *, by_group: bool) -> dict[str, float]:
    """Areas under the ROC curve, the mean over groups where `by_group`."""
    scores: dict[str, Scores] = {"structure": frame["structure"].to_numpy()}
    for column in columns:
        name = column.removeprefix("ev_")
        scores[f"{name} alone"] = frame[column].to_numpy()
        scores[f"{name}, regression"] = leave_groups_out(frame, column, regression)
        scores[f"{name}, job"] = leave_groups_out(frame, column, pool_with_card)
    severe = frame["severe"].to_numpy()
    parts = [(frame["group"] == group).to_numpy() for group in frame["group"].unique()] if by_group else [severe >= 0]
    return {
        name: float(np.mean([roc_auc_score(severe[part], score[part]) for part in parts]))
        for name, score in scores.items()
    }


def main() -> None:
    """Make, assess, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--joplin", type=Path, default=None)
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        print(NOTE)
    if options.joplin is not None:
        require_all(options.joplin, JOPLIN)
    options.out.mkdir(parents=True, exist_ok=True)
    size_px = 320 if options.smoke else SIZE_PX
    run = train_change(options.out / "run", size_px)
    rows = {}
    for lookalike in LOOKALIKE:
        tables = [city_table(seed, lookalike, size_px, run) for seed in SEEDS]
        frame, columns = pd.concat([table for table, _ in tables], ignore_index=True), tables[0][1]
        frame.to_parquet(options.out / f"cities-{lookalike}.parquet")
        title = f"SYNTHETIC, lookalike {lookalike} ({len(frame)} buildings, {int(frame['severe'].sum())} severe)"
        rows[title] = row(frame, columns, by_group=True)
        print(title, {name: round(area, 3) for name, area in rows[title].items()}, flush=True)
    if options.joplin is not None:
        frame, columns = joplin_table(options.joplin)
        frame.to_parquet(options.out / "joplin.parquet")
        rows[f"Joplin ({len(frame)} buildings, {int(frame['severe'].sum())} severe)"] = row(
            frame, columns, by_group=False
        )
    print(pd.DataFrame(rows).to_string(float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    with plain_errors():
        main()
