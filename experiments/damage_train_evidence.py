"""Makes models/damage-evidence: evidence of miniature cities and of the labelled half of Joplin → coefficients.

Usage: python experiments/damage_train_evidence.py --out models/damage-evidence [--cities 32] [--joplin FOLDER]
Without --joplin the model is trained on the miniature cities alone. The gathered evidence is kept in --cache and used
again. Takes about half a minute per city.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray
from smoke import NOTE, add_smoke

from deepnets4eo.damage.alignment import align_footprints
from deepnets4eo.damage.evidence import gather
from deepnets4eo.damage.fit_model import Graded, fit_model, grade_numbers
from deepnets4eo.damage.footprints import read_footprints
from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.files import write_yaml
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.registration import register
from deepnets4eo.synthetic import City, Event

LOG = logging.getLogger("damage_train_evidence")
CITY_M = 420.0
GSD_M = (0.3, 0.7)
FOOTPRINT_ERROR_M, TIE_ERROR_M = 0.7, 0.4  # what registration leaves, as measured on real pairs
BLOCK_M = 200.0
METRES_UTM = "EPSG:32615"


@dataclass(frozen=True)
class KnownRegistration:
    """The true displacement of a city with a little error, in the shape `gather` takes."""

    matrix: NDArray[np.float64]
    status: str = "ok"
    usable: bool = True


def city_evidence(seed: int) -> pd.DataFrame:
    """Evidence and truth of one city whose resolutions, event, season and sensors come from the seed."""
    rng = np.random.default_rng([seed, 2011])
    before_m, after_m = rng.uniform(*GSD_M, 2)
    city = City(seed, round(CITY_M / before_m), before_m, event=replace(Event.draw(seed), gsd_m=float(after_m)))
    buildings = city.buildings
    outlines = buildings[["id", "geometry"]].astype({"id": str})
    outlines.geometry = outlines.geometry.translate(*rng.normal(0, FOOTPRINT_ERROR_M, 2))
    affine = city.post.grid.affine
    error = Affine.translation(*rng.normal(0, TIE_ERROR_M / after_m, 2))
    matrix = ~affine * city.post.to_pre * affine * error
    layers = {
        name: Layer.open(np.ascontiguousarray(values), grid=image.grid)
        for image, when in ((city.pre, "pre"), (city.post, "post"))
        for name, values in ((when, image.image[:3]), (f"dsm_{when}", image.dsm[None]))
    }
    registration = KnownRegistration(np.array(matrix[:6]).reshape(2, 3))
    table = gather(footprints=read_footprints(outlines), registration=registration, **layers)  # type: ignore[arg-type]
    frame = table.frame.assign(damage=buildings["damage"].to_numpy(), domain="city", group=f"city-{seed}")
    return frame[frame["status"] == "assessed"]


def joplin_evidence(folder: Path) -> pd.DataFrame:
    """Evidence and grades of the labelled outlines of Joplin, `no-building` among them."""
    pre, post = Layer.open(folder / "pre"), Layer.open(folder / "post")
    footprints = read_footprints(folder / "footprints_overlap.geojson")
    registration = register(pre, post)
    alignment = align_footprints(pre, footprints.frame)
    frame = gather(pre, post, footprints, registration, alignment=alignment).frame
    centre = footprints.to(METRES_UTM).frame.centroid
    frame["east_m"], frame["north_m"] = centre.x.to_numpy(), centre.y.to_numpy()
    frame["domain"], frame["group"] = "joplin", blocks_of(frame, BLOCK_M)
    labels = gpd.read_file(folder / "damage_labels.geojson")
    frame["damage"] = frame["id"].map(pd.Series(labels["damage"].to_numpy(), labels["id"].astype(str)))
    return frame[frame["damage"].notna() & (frame["status"] == "assessed")]


def blocks_of(frame: pd.DataFrame, side_m: float, offset_m: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.object_]:
    """Names of the square blocks of the buildings."""
    row, col = np.floor((frame["north_m"] - offset_m[0]) / side_m), np.floor((frame["east_m"] - offset_m[1]) / side_m)
    return np.array([f"joplin-{r:.0f}-{c:.0f}" for r, c in zip(row, col, strict=True)], dtype=object)


def keep_graded(frame: pd.DataFrame) -> Graded:
    """A table of evidence with `damage`, `domain` and `group` in the form the fit takes."""
    frame = frame[frame["damage"].isin(GRADES)].reset_index(drop=True)
    evidence = frame[[name for name in frame.columns if name.startswith("ev_")]]
    domain, group = (frame[name].to_numpy(object) for name in ("domain", "group"))
    cities = domain == "city"  # what is real takes no part in calibration, thresholds and sets: it stays a test of them
    return Graded(evidence, grade_numbers(frame["damage"]), domain, group, cities if cities.any() else None)


def gather_tables(cities: int, joplin: Path | None, cache: Path) -> pd.DataFrame:
    """Evidence of all scenes, read from the cache where it exists."""
    cache.mkdir(parents=True, exist_ok=True)
    frames = []
    for seed in range(1, cities + 1):
        path = cache / f"city-{seed}.parquet"
        if not path.exists():
            city_evidence(seed).to_parquet(path)
            LOG.info("gathered %s", path.name)
        frames.append(pd.read_parquet(path))
    if joplin is not None:
        path = cache / "joplin.parquet"
        if not path.exists():
            joplin_evidence(joplin).to_parquet(path)
        frames.append(pd.read_parquet(path))
    return pd.concat(frames, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cities", type=int, default=32)
    parser.add_argument("--joplin", type=Path, default=None)
    parser.add_argument("--cache", type=Path, default=Path("runs/damage-evidence"))
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        options.cities, options.cache = 2, options.out / "smoke"
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    frame = gather_tables(options.cities, options.joplin, options.cache)
    content = {
        **({"note": NOTE} if options.smoke else {}),
        "name": "damage-evidence",
        "grades": ["no-damage", "minor-damage", "major-damage", "destroyed"],
        "prior": "probabilities are those of a site where half of the buildings have major damage or worse",
        "trained_on": {domain: int(count) for domain, count in frame["domain"].value_counts().items()},
        "variants": fit_model(keep_graded(frame)),
    }
    print(write_yaml(options.out / "coefficients.yaml", content))


if __name__ == "__main__":
    main()
