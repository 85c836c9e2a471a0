"""Makes models/damage-evidence: evidence of miniature cities and of the miniature world → coefficients.

Usage: python experiments/damage_train_evidence.py --out models/damage-evidence [--cities 28] [--data JOPLIN] [--draws 1]
The model shipped is made with --draws 1 and without --data: nothing real is trained on. A draw is one pair of the miniature world of
every style and hazard (207); with draws come 92 pairs seen from the side. Each goes through the damage job as it comes, with alignment and registration. The gathered evidence is kept in --cache and used again. Takes some 4 s of
processor time a city and 2 s a pair.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray
from places.damage_scores import weight_free_settings
from places.working_grid import FOOTPRINT_ERROR_M, world_pair
from script import JOPLIN, NOTE, add_smoke, plain_errors, require_all

from deepnets4eo.damage import GRADES, assess
from deepnets4eo.damage.decision.fit_model import PAIR, VARIANTS, GradedEvidence, fit_model, fit_variant, grade_numbers
from deepnets4eo.damage.site.site import Inputs, OutlinePosition, Site
from deepnets4eo.damage.structure.evidence import gather
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import write_yaml
from deepnets4eo.footprints import align_footprints, read_footprints
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import register
from deepnets4eo.synthetic import City, Event

LOG = logging.getLogger("damage_train_evidence")
CITY_M = 420.0
GSD_M = (0.3, 0.7)
TIE_ERROR_M = 0.4  # what registration leaves, as measured on real pairs
BLOCK_M = 200.0
METRES_UTM = "EPSG:32615"
FIRST_SEED = 7_000_000  # of the miniature world; no other experiment uses these seeds
# Pairs seen from the side, as of a dense city after an earthquake: how many of each style, the seed of the first, what struck them.
OBLIQUE_DRAWS, FIRST_OBLIQUE, OBLIQUE_HAZARDS = 2, 3, ("earthquake", "none")
MAX_A_PAIR = 60  # buildings: a settlement of a thousand huts would outweigh all other places
WORLD_COLUMNS = ("ev_light_change",)  # gain on hazards and styles left out, where the world is trained on
KINDS = {"quake": "earthquake", "fire": "wildfire"}  # events of the city by the world's names


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
    footprints = read_footprints(outlines)
    inputs = Inputs(footprints=footprints, outlines_px=footprints.in_pixels(layers["post"].grid), **layers)  # type: ignore[arg-type]
    table = gather(Site(inputs, registration=registration))  # type: ignore[arg-type]
    frame = table.frame.assign(damage=buildings["damage"].to_numpy(), domain="city", group=f"city-{seed}")
    return frame[frame["status"] == "assessed"]


def world_evidence(draw: int, style: str, hazard: str, oblique: bool = False) -> pd.DataFrame:
    """Evidence of one pair of the miniature world with the grades that are visible from above, gathered by the damage job.

    oblique : both dates are seen from the side. Empty where the job refuses the pair, where it finds no outline on a building, or where nothing is built.
    """
    from world import hazard_names, style_names

    number = style_names().index(style) * len(hazard_names()) + hazard_names().index(hazard)
    seed = FIRST_SEED + 1000 * (draw + FIRST_OBLIQUE * oblique) + number
    pair = world_pair(seed, style, hazard, np.random.default_rng([seed, 2012]), oblique=oblique)
    try:
        settings = replace(weight_free_settings(), workers=1)
        made = assess(pair.pre, pair.post, pair.outlines.drop(columns="damage"), settings=settings)
        frame = pd.DataFrame(made.buildings.drop(columns="geometry"))
    except DeepNets4EOError as error:
        LOG.info("%s, %s: %s", style, hazard, error)
        return pd.DataFrame()
    frame["damage"] = pair.outlines["damage"].to_numpy()
    frame = frame.assign(
        domain=style, style=style, event=hazard, group=f"{style}, {hazard}, {draw}{', oblique' * oblique}", draw=draw
    )
    return some_buildings(frame, seed)


def some_buildings(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """At most 60 buildings of a pair, drawn from those that are wide and free enough of vegetation to be known."""
    if "ev_roof_roughness" not in frame:
        return pd.DataFrame()
    known = frame[frame["ev_roof_roughness"].notna() & frame["reason"].isin(["", Reason.UNLIKE_ANY.sentence])]
    drawn = np.random.default_rng([seed, 2013]).permutation(len(known))[:MAX_A_PAIR]
    columns = [name for name in map(str, known) if name.startswith("ev_")]
    return known.iloc[np.sort(drawn)][["id", "damage", "domain", "style", "event", "group", "draw", *columns]]


def joplin_evidence(folder: Path) -> pd.DataFrame:
    """Evidence and grades of the labelled outlines of Joplin, `no-building` among them."""
    pre, post = Layer.open(folder / "pre"), Layer.open(folder / "post")
    footprints = read_footprints(folder / "footprints_overlap.geojson")
    registration = register(pre, post)
    alignment = align_footprints(pre, footprints.frame)
    inputs = Inputs(pre, post, footprints, footprints.in_pixels(post.grid))
    frame = gather(Site(inputs, registration=registration, position=OutlinePosition(alignment, "pre"))).frame
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


def world_columns(variant: str) -> tuple[str, ...]:
    """Evidence of a variant where the world is trained on."""
    columns = VARIANTS[variant]
    return (*columns, *WORLD_COLUMNS) if PAIR[0] in columns else columns


def fit_with_world(data: GradedEvidence) -> dict[str, Any]:
    """The variants of a fit to cities and the world; the world's surface models take no part."""
    names = [name for name, columns in VARIANTS.items() if set(columns) <= set(data.evidence)]
    return {name: fit_variant(taught_by(data, name), world_columns(name)) for name in names}


def taught_by(data: GradedEvidence, variant: str) -> GradedEvidence:
    """The data whose weights are learnt from cities alone where only the post image is used: so they rank better at worlds left out.

    The reliability, and how far sites are shifted, come from cities and world in any case.
    """
    return data if PAIR[0] in VARIANTS[variant] else replace(data, teaches=data.domain == "city")


def keep_graded(frame: pd.DataFrame) -> GradedEvidence:
    """A table of evidence with `damage`, `domain` and `group` in the form the fit takes.

    With pairs of the world, styles and events are left out whole; a city is a style of its own.
    """
    frame = frame[frame["damage"].isin(GRADES)].reset_index(drop=True)
    evidence = frame[[name for name in frame.columns if name.startswith("ev_")]]
    domain, group = (frame[name].to_numpy(object) for name in ("domain", "group"))
    # What is real takes no part in calibration, thresholds and sets: it stays a test of them.
    made_up, cities = domain != "joplin", domain == "city"
    graded = GradedEvidence(evidence, grade_numbers(frame["damage"]), domain, group, made_up if made_up.any() else None)
    if "style" not in frame or frame["style"].isna().all():
        return graded
    style = np.where(frame["style"].isna(), group, frame["style"]).astype(object)
    event = [_event_of(*names) for names in zip(frame["event"], domain, group, strict=True)]
    world = np.where(cities | ~made_up, domain, "world").astype(object)  # counts as much as all cities together
    return replace(
        graded, domain=world, style=style, event=np.array(event, object), bounds=cities if cities.any() else None
    )


def _event_of(event: object, domain: str, group: str) -> str:
    """What struck a building, by the world's names."""
    if isinstance(event, str):
        return event
    kind = Event.draw(int(group.split("-")[1])).kind if domain == "city" else "tornado"
    return KINDS.get(kind, kind)


def gather_tables(cities: int, joplin: Path | None, cache: Path, draws: int = 0) -> pd.DataFrame:
    """Evidence of all scenes, read from the cache where it exists; `draws` pairs of every style and hazard of the miniature world."""
    if joplin is not None:
        require_all(joplin, JOPLIN)
    cache.mkdir(parents=True, exist_ok=True)
    scenes: list[tuple[str, Callable[[], pd.DataFrame]]] = [
        (f"city-{seed}", partial(city_evidence, seed)) for seed in range(1, cities + 1)
    ]
    if draws:
        from world import hazard_names, style_names  # needs the extra `radar`

        for names in product(range(draws), style_names(), hazard_names()):
            scenes.append((f"world-{'-'.join(map(str, names))}", partial(world_evidence, *names)))
        for names in product(range(OBLIQUE_DRAWS), style_names(), OBLIQUE_HAZARDS):
            scenes.append((f"lean-{'-'.join(map(str, names))}", partial(world_evidence, *names, oblique=True)))
    if joplin is not None:
        scenes.append(("joplin", partial(joplin_evidence, joplin)))
    return pd.concat([_kept(cache / f"{name}.parquet", make) for name, make in scenes], ignore_index=True)


def _kept(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """A table read from its file, made and written where there is none."""
    if not path.exists():
        make().to_parquet(path)
        LOG.info("gathered %s", path.name)
    return pd.read_parquet(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cities", type=int, default=28)
    parser.add_argument(
        "--draws", type=int, default=0, help="of the miniature world: 207 pairs each, and 92 seen from the side"
    )
    parser.add_argument("--data", type=Path, help="folder of Joplin")
    parser.add_argument("--cache", type=Path, default=Path("runs/damage-evidence"))
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        options.cities, options.draws, options.cache = 2, 0, options.out / "smoke"
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    frame = gather_tables(options.cities, options.data, options.cache, options.draws)
    trained_on = frame["domain"].where(frame["domain"].isin(["city", "joplin"]), "world")
    content = {
        **({"note": NOTE} if options.smoke else {}),
        "name": "damage-evidence",
        "grades": ["no-damage", "minor-damage", "major-damage", "destroyed"],
        "prior": "probabilities are those of a site where half of the buildings have major damage or worse",
        "trained_on": {domain: int(count) for domain, count in trained_on.value_counts().items()},
        "variants": (fit_with_world if options.draws else fit_model)(keep_graded(frame)),
    }
    print(write_yaml(options.out / "coefficients.yaml", content))


if __name__ == "__main__":
    with plain_errors():
        main()
