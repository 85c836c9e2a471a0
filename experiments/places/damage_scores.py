"""The damage job on the cases of a site, and how its grades and probabilities agree with the truth.

Takes cases and the settings of a job; returns one row a scored building, and the scores of such rows. The job runs
whole: alignment, registration, evidence, decision, whatever it refuses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import real_tiles
import shapely
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from scipy.special import expit, logit
from script import require_files
from sklearn.metrics import cohen_kappa_score, f1_score, log_loss, roc_auc_score

from deepnets4eo.damage import GRADES, DamageMap, Settings, assess
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.vocabulary import MAJOR, STATUSES
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.grid import transform_shapes
from deepnets4eo.metrics import calibration_error
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import Layer
from places.command_line import map_by_command
from places.working_grid import SMALLEST_M2, crs_of, metric_grid, regions_of

INTACT = GRADES[0]
PIXELS = {"footprints_crs": "pixels"}
ON_ROOFS = {"align": False}  # outlines that come from the image itself, too few to align
QUAKE = EventInfo(name="Earthquake")
CITY_GSD_M, PANEL_GSD_M = 0.5, 0.92  # as the sources state
BY_EYE = {"standing": GRADES[0], "heavy": GRADES[2], "collapsed": GRADES[3]}
UNGRADED = "unknown"
NUMBERS = {name: index for index, name in enumerate(GRADES)}
CORNERS = np.ones((3, 3), int)  # diagonal pixels belong together


@dataclass(frozen=True)
class DamageCase:
    """One job.

    Parameters
    ----------
    site
        Rows of one site are scored together.
    pre, post
        Images; pre is None for a job on the post image alone.
    outlines
        `id` and geometry.
    truth
        `id` and `damage`; buildings without a row are assessed and not scored.
    name
        The name of the image, where a site has several.
    changes
        Settings of the job that this case needs.
    event
        What a user would say of it: only earthquakes are named.
    """

    site: str
    pre: Layer | None
    post: Layer
    outlines: gpd.GeoDataFrame
    truth: pd.DataFrame
    name: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    event: EventInfo = EventInfo()


@dataclass(frozen=True)
class DamageSite:
    """A site: its folder in the folder of the samples, a remark, and its cases."""

    name: str
    folder: str
    note: str
    read: Callable[[Path], Iterator[DamageCase]]


def _joplin(folder: Path) -> Iterator[DamageCase]:
    outlines = gpd.read_file(folder / "footprints_overlap.geojson")
    labels = pd.DataFrame(gpd.read_file(folder / "damage_labels.geojson")[["id", "damage"]])
    pre, post = Layer.open(folder / "pre"), Layer.open(folder / "post")
    yield DamageCase("joplin", pre, post, outlines, labels)


def _joplin_before(folder: Path) -> Iterator[DamageCase]:
    outlines = gpd.read_file(folder / "footprints_overlap.geojson")
    yield DamageCase("joplin before", None, Layer.open(folder / "pre"), outlines, intact(outlines))


def _xbd_pair(folder: Path) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / "footprints_px.geojson")
    pre, post = (Layer.open(require_files(folder, f"{date}.png", f"{date}.tif")[0]) for date in ("pre", "post"))
    truth = pd.DataFrame({"id": table["id"].astype(str), "damage": table["grade"]})
    outlines = _on_image(table["id"], table.geometry, post)
    event = QUAKE if "earthquake" in folder.name else EventInfo()
    yield DamageCase(folder.name, pre, post, outlines, truth, changes=PIXELS, event=event)


def _city(folder: Path, name: str) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / f"{name}_grades.geojson")
    pre, post = (Layer.open(folder / f"{name}_{date}.jpg") for date in ("pre", "post"))
    truth = pd.DataFrame({"id": table["id"].astype(str), "damage": table["grade"].map(BY_EYE).fillna(UNGRADED)})
    outlines = _on_image(table["id"], table.geometry, post)
    yield DamageCase(name, pre, post, outlines, truth, changes=PIXELS | {"gsd_m": CITY_GSD_M}, event=QUAKE)


def _panel(folder: Path) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / "footprints_px.geojson")
    pre, post = (Layer.open(require_files(folder, f"{date}.png", f"{date}.jpg")[0]) for date in ("pre", "post"))
    truth = pd.DataFrame({"id": table["id"].astype(str), "damage": UNGRADED})
    outlines = _on_image(table["id"], table.geometry, post)
    yield DamageCase(folder.name, pre, post, outlines, truth, changes=PIXELS | {"gsd_m": PANEL_GSD_M})


def _midwest_before(folder: Path) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / "footprints_px.geojson")
    pre = Layer.open(folder / "pre.png")
    outlines = _on_image(table["id"], table.geometry, pre)
    yield DamageCase("xbd_midwest before", None, pre, outlines, intact(outlines), changes=PIXELS)


def _xbd_post(folder: Path) -> Iterator[DamageCase]:
    for number in range(4):
        yield _xbd_scene("xbd_post_scenes", folder, number, Layer.open(folder / f"post_{number}_rgb500.png"))


def _xbd_post_1_m(folder: Path) -> Iterator[DamageCase]:
    for number in range(4):
        bands = Layer.open(folder / f"post_{number}_rgb500.png").read()[0]
        image = Layer.open(bands, grid=metric_grid(bands.shape[1:], (1.0, 1.0)))
        yield _xbd_scene("xbd_post_scenes, 1 m", folder, number, image)


def _xbd_scene(site: str, folder: Path, number: int, image: Layer) -> DamageCase:
    mask = Layer.open(folder / f"damage_{number}_500.png").read()[0][0]
    outlines, grades = graded_regions(mask, image)
    truth = pd.DataFrame({"id": outlines["id"], "damage": grades})
    changes = PIXELS if image.grid.crs is None else {}
    name = f"scene {number}"
    return DamageCase(site, None, image, outlines, truth, name, changes)


def _vegas(folder: Path) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / "tiff_3channel_uint8.geojson")
    yield _intact_case("vegas", Layer.open(folder / "tiff_3channel_uint8.tif"), table[table["label"] == 1])


def _kampala(folder: Path) -> Iterator[DamageCase]:
    yield _intact_case("kampala", Layer.open(folder / "block0_image.tif"), gpd.read_file(folder / "labels.geojson"))


def _atlanta(folder: Path) -> Iterator[DamageCase]:
    table = gpd.read_file(folder / "data" / "geotiff_labels.geojson")
    yield _intact_case("atlanta", Layer.open(folder / "data" / "sample_geotiff.tif"), table)


def _ign(folder: Path) -> Iterator[DamageCase]:
    yield _intact_tile("ign", real_tiles.ign(folder), 0.2)


def _potsdam(folder: Path) -> Iterator[DamageCase]:
    yield _intact_tile("potsdam", real_tiles.potsdam(folder), 0.05)


XBD_MORE = {
    "joplin-tornado_00000000": "tornado, post 28 degrees off nadir",
    "santa-rosa-wildfire_00000242": "fire, smoke",
    "hurricane-florence_00000480": "flood in a wood",
    "midwest-flooding_00000000": "flood",
    "midwest-flooding_00000006": "flood",
    "hurricane-florence_00000318": "intact, a mown lawn",
    "midwest-flooding_00000004": "intact",
    "mexico-earthquake_00000005": "intact, dense blocks, other view",
    "mexico-earthquake_00000010": "intact, dense blocks, other view",
    "guatemala-volcano_00000021": "intact",
}
EVENTS_MORE = {
    "moore_tornado": "tornado",
    "hurricane-harvey_00000126": "flood, nine houses in brown water",
    "hurricane-florence_00000375": "intact, a dark field",
    "santa-rosa-wildfire_00000038": "fire, smoke over burnt trees",
}  # Nepal has no grades
CITIES = {
    "Kahramanmaras_Merkez_4": "earthquake, whole blocks collapsed, roofs 5–20 px apart; grades by eye",
    "Adiyaman_Merkez_6": "earthquake, two collapsed; grades by eye",
    "Adiyaman_Merkez_2_NE": "earthquake, seven collapsed; grades by eye",
    "Adiyaman_Merkez_3_C": "earthquake, a ruined centre in haze; grades by eye",
    "Hatay_Mimar_Sinan_C": "earthquake, looks damaged and mostly stands; grades by eye",
}
PANELS = {
    "hurricane-harvey_00000377": "no grades: brown water over roads and between houses",
    "hurricane-florence_00000520": "no grades: brown fields before, black water after",
    "santa-rosa-wildfire_00000115": "no grades: blue smoke after the fire",
}
SITES = (
    DamageSite("joplin", "joplin", "tornado, labelled half", _joplin),
    DamageSite("xbd_midwest", "xbd_midwest", "flood, small roofs under trees", _xbd_pair),
    DamageSite("xbd_post_scenes", "xbd_post_scenes", "post alone; scene 2 fire, scene 3 hurricane", _xbd_post),
    DamageSite("xbd_post_scenes, 1 m", "xbd_post_scenes", "the same with their pixel size stated", _xbd_post_1_m),
    DamageSite("xbd_midwest before", "xbd_midwest", "intact: the image before the flood as post alone", _midwest_before),
    DamageSite("vegas", "wv3_vegas", "intact", _vegas),
    DamageSite("kampala", "fair_kampala", "intact", _kampala),
    DamageSite("atlanta", "spacenet", "intact, panchromatic", _atlanta),
    DamageSite("ign", "ign_lidar_hd", "intact; outlines from LiDAR classes, not aligned", _ign),
    DamageSite("potsdam", "isprs_potsdam_crop", "intact, 26 m of ground; outlines not aligned", _potsdam),
    DamageSite("joplin before", "joplin", "intact: the image before the tornado as post alone", _joplin_before),
    *(DamageSite(name, f"xbd_more/{name}", note, _xbd_pair) for name, note in XBD_MORE.items()),
    *(DamageSite(name, f"events_more/{name}", note, _xbd_pair) for name, note in EVENTS_MORE.items()),
    *(DamageSite(name, "turkey_2023", note, partial(_city, name=name)) for name, note in CITIES.items()),
    *(DamageSite(name, f"events_more/{name}", note, _panel) for name, note in PANELS.items()),
)  # fmt: skip
INTACT_SITES = ("vegas", "kampala", "atlanta", "ign", "potsdam", "joplin before")
HURRICANE = "scene 3"


def intact(outlines: gpd.GeoDataFrame) -> pd.DataFrame:
    """Truth of buildings none of which is damaged."""
    return pd.DataFrame({"id": outlines["id"].astype(str), "damage": INTACT})


def graded_regions(mask: NDArray[np.uint8], image: Layer) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Outlines of the regions of a mask of grades (1 to 4, 0 none), on the image, and the grade of most of their pixels."""
    numbers, count = label(mask > 0, CORNERS)
    grades = []
    for number, window in enumerate(find_objects(numbers), start=1):
        values = mask[window][numbers[window] == number]
        grades.append(GRADES[int(np.bincount(values).argmax()) - 1])
    polygons = [regions_of((numbers == number).astype(np.uint8)) for number in range(1, count + 1)]
    merged = gpd.GeoSeries([gpd.GeoSeries(list(pieces)).union_all() for pieces in polygons])
    return _on_image([f"r{number:04d}" for number in range(1, count + 1)], merged, image), grades


def _intact_case(site: str, image: Layer, table: gpd.GeoDataFrame) -> DamageCase:
    extent = gpd.GeoSeries([image.grid.extent.geom], crs=crs_of(image)).to_crs(table.crs).iloc[0]
    there = table[table.intersects(extent)]
    ids = [f"b{number:04d}" for number in range(len(there))]
    outlines = gpd.GeoDataFrame({"id": ids}, geometry=there.geometry.to_numpy(), crs=table.crs)
    return DamageCase(site, None, image, outlines, intact(outlines))


def _intact_tile(site: str, tile: real_tiles.RealTile, side_m: float) -> DamageCase:
    """A tile of `real_tiles`, its regions of the class building as outlines."""
    bands = np.asarray(tile.layers["image"][0], np.uint8)
    image = Layer.open(bands, grid=metric_grid(bands.shape[1:], (side_m, side_m)))
    pieces = regions_of((tile.labels == tile.legend.value("building")).astype(np.uint8))
    pieces = pieces[shapely.area(pieces) * side_m**2 >= SMALLEST_M2]
    outlines = _on_image([f"r{number:04d}" for number in range(len(pieces))], gpd.GeoSeries(list(pieces)), image)
    return DamageCase(site, None, image, outlines, intact(outlines), changes=ON_ROOFS)


def _on_image(ids: Iterable[str], pixels: gpd.GeoSeries, image: Layer) -> gpd.GeoDataFrame:
    """Outlines in pixels of an image (x right, y down) as outlines in its CRS; without one they stay in pixels."""
    shapes = np.asarray(pixels.to_numpy(), object)
    if image.grid.crs is None:
        return gpd.GeoDataFrame({"id": list(ids)}, geometry=shapes).astype({"id": str})
    on_ground = transform_shapes(image.grid.affine, shapes)
    return gpd.GeoDataFrame({"id": list(ids)}, geometry=on_ground, crs=crs_of(image)).astype({"id": str})


WEIGHT_FREE, NETWORK, BOTH = "weight-free", "network", "both"
MIN_PROBABILITY = 1e-6  # probabilities are kept that far from 0 and 1 where log-odds are taken

log = logging.getLogger(__name__)


def weight_free_settings() -> Settings:
    """Settings of a job without any network, also where one comes with the toolbox."""
    switch: dict[str, Any] = {"network": False} if "network" in {field.name for field in fields(Settings)} else {}
    return Settings(**switch)


def assess_case(case: DamageCase, settings: Settings) -> dict[str, gpd.GeoDataFrame]:
    """Run the job, with the shipped network as a user does, by the command line; returns, by method, one row per building with a known grade, or all buildings if no grade is known.

    `weight-free` where no network took part; else `both` as the job decides, and `network` alone for the buildings that
    it graded. Columns: site, case, id, truth (0–3, −1 without grades), grade (0–3, −1 not assessed), probability (at this site),
    probability_half (at a share of one half), interval_low and interval_high (95 % interval of the share of damaged
    buildings, the job's), and the outline where the post image shows it. Nothing where the job refuses the images.
    """
    try:
        damage_map = map_of(case, settings)
    except DeepNets4EOError as error:
        log.warning("%s %s is refused: %s", case.site, case.name, error)
        return {}
    share = float(damage_map.damaged_share["prior"])
    buildings = damage_map.buildings
    methods = {BOTH: _rows(case, buildings, share, damage_map.damaged_share.get("interval_95"))}
    if settings == weight_free_settings():
        return {WEIGHT_FREE: methods[BOTH]}
    if Buildings(buildings).has_network:
        methods[NETWORK] = _rows(case, _decided_by_network(buildings), 0.5)
    return methods


def map_of(case: DamageCase, settings: Settings) -> DamageMap:
    """Make the map of a case. Errors: DeepNets4EOError for images that the job refuses."""
    if settings == Settings():
        return map_by_command(case.pre, case.post, case.outlines, case.changes, case.event.name)
    return assess(case.pre, case.post, case.outlines, settings=replace(settings, **case.changes), event=case.event)


def scores_of(rows: pd.DataFrame) -> dict[str, Any]:
    """Scores of rows of `assess_cases`.

    Counts of buildings, damaged and assessed ones; auc, f1, ece and brier of major damage or worse, the share of right grades and
    quadratic kappa, over the assessed ones; false_alarms: share of the assessed intact ones that are graded major or worse. auc_all
    has buildings that were not assessed at one half; names with _half hold where half of the buildings are taken to be damaged, which
    over several images is another order; names with of_all are shares of all.
    """
    seen = rows[rows["grade"] >= 0]
    truth, called = seen["truth"].to_numpy() >= MAJOR, seen["grade"].to_numpy() >= MAJOR
    probability = seen["probability"].to_numpy(float)
    both_sides = 0 < truth.sum() < len(truth)
    hits, either = int((truth & called).sum()), int(truth.sum() + called.sum())
    grades = (seen["truth"].to_numpy(int), seen["grade"].to_numpy(int))
    intact = ~truth
    all_intact = int((rows["truth"] < MAJOR).sum())
    alarms_half = (seen["probability_half"].to_numpy(float) >= 0.5) & intact
    return {
        "buildings": len(rows),
        "damaged": int((rows["truth"] >= MAJOR).sum()),
        "assessed": len(seen),
        "auc": float(roc_auc_score(truth, probability)) if both_sides else float("nan"),
        "auc_half": float(roc_auc_score(truth, seen["probability_half"])) if both_sides else float("nan"),
        "auc_all": _auc_of_all(rows),
        "f1": 2 * hits / either if truth.any() else float("nan"),
        "recall": _share(hits, int(truth.sum())),
        "four_grades": _share(int((grades[0] == grades[1]).sum()), len(seen)),
        "quadratic_kappa": _kappa(*grades),
        "intact_assessed": int(intact.sum()),
        "false_alarms": _share(int((called & intact).sum()), int(intact.sum())),
        "false_alarms_half": _share(int(alarms_half.sum()), int(intact.sum())),
        "false_alarms_of_all": _share(int((called & intact).sum()), all_intact),
        "ece": _calibration(probability, truth),
        "brier": float(np.mean((probability - truth) ** 2)) if len(seen) else float("nan"),
    }


def reports_of(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what a job states of buildings without grades: their number, assessed and named ones, interval of the damaged share."""
    return {
        "buildings": len(rows),
        "assessed": int((rows["grade"] >= 0).sum()),
        "named": int((rows["grade"] >= MAJOR).sum()),
        "interval_95": rows[["interval_low", "interval_high"]].iloc[0].tolist(),
    }


def ranges_of(rows: pd.DataFrame, draws: int = 1000) -> dict[str, list[float]]:
    """What chance leaves open at so few buildings: 95 % ranges of scores of the assessed ones, [least, greatest].

    auc_range, f1_range, four_grades_range, quadratic_kappa_range : where the buildings are drawn anew, with repetition.
    ece_if_right_range : where the truth is drawn from the probabilities, so that these are exactly right.
    Nothing where only one side of the truth is there.
    """
    rng, seen = np.random.default_rng(0), rows[rows["grade"] >= 0]
    truth, grade = seen["truth"].to_numpy(int), seen["grade"].to_numpy(int)
    probability, count = seen["probability"].to_numpy(float), len(seen)
    drawn: dict[str, list[float]] = {
        f"{key}_range": [] for key in ("auc", "f1", "four_grades", "quadratic_kappa", "ece_if_right")
    }
    if len(np.unique(truth >= MAJOR)) < 2:
        return {}
    for _ in range(draws):
        again = rng.integers(count, size=count)
        damaged = truth[again] >= MAJOR
        if 0 < damaged.sum() < count:
            drawn["auc_range"].append(float(roc_auc_score(damaged, probability[again])))
        drawn["f1_range"].append(float(f1_score(damaged, grade[again] >= MAJOR, zero_division=np.nan)))
        drawn["four_grades_range"].append(float((truth[again] == grade[again]).mean()))
        drawn["quadratic_kappa_range"].append(_kappa(truth[again], grade[again]))
        drawn["ece_if_right_range"].append(_calibration(probability, rng.random(count) < probability))
    return {key: np.nanquantile(values, (0.025, 0.975)).tolist() for key, values in drawn.items()}


def intervals_of(rows: pd.DataFrame) -> dict[str, Any]:
    """How the jobs' 95 % intervals of the share of damaged buildings agree with the truth of their assessed buildings.

    intervals : jobs with one; intervals_held, intervals_right : number and share of them whose interval holds the truth;
    interval_width : mean width, as a share of the buildings. Nothing where no job has one.
    """
    jobs = [job[job["grade"] >= 0] for _, job in rows.dropna(subset="interval_low").groupby(["site", "case"])]
    jobs = [job for job in jobs if len(job)]
    if not jobs:
        return {}
    low, high = (np.array([job[name].iloc[0] for job in jobs]) for name in ("interval_low", "interval_high"))
    truth = np.array([(job["truth"] >= MAJOR).mean() for job in jobs])
    held = (low <= truth) & (truth <= high)
    return {
        "intervals": len(jobs),
        "intervals_held": int(held.sum()),
        "intervals_right": float(held.mean()),
        "interval_width": float((high - low).mean()),
    }


def at_half(probability: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Probabilities of damage where half of the buildings are taken to be damaged, from those at `share`.

    >>> float(at_half(np.array([0.05]), 0.05)[0])
    0.5
    """
    odds = logit(np.clip(probability, MIN_PROBABILITY, 1 - MIN_PROBABILITY)) - logit(
        np.clip(share, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    )
    return np.asarray(expit(odds), np.float64)


def even_loss(truth: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    """Log loss where damaged and other buildings count the same; both are there.

    >>> round(even_loss(np.array([True, False, False]), np.array([0.5, 0.2, 0.2])), 3)
    0.458
    """
    weight = np.where(truth, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    return float(log_loss(truth, probability, sample_weight=weight, labels=[False, True]))


def _auc_of_all(rows: pd.DataFrame) -> float:
    truth = rows["truth"].to_numpy() >= MAJOR
    probability = rows["probability_half"].where(rows["grade"] >= 0, 0.5).to_numpy(float)
    return float(roc_auc_score(truth, probability)) if 0 < truth.sum() < len(truth) else float("nan")


def _decided_by_network(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The decision of the network alone, at a share of one half; what it did not grade is not assessed."""
    probabilities = Buildings(buildings).network
    graded = np.isfinite(probabilities).all(axis=1)
    alone = buildings.assign(**Grades.of_sides(probabilities).table(buildings.index))
    alone["status"] = np.where(graded, *STATUSES)
    return alone


def _rows(
    case: DamageCase, buildings: gpd.GeoDataFrame, share: float, interval: Sequence[float] | None = None
) -> gpd.GeoDataFrame:
    low, high = interval or (float("nan"), float("nan"))
    truth = case.truth[case.truth["damage"].isin(GRADES)]
    if truth.empty:
        truth = case.truth
    numbers = pd.Series([NUMBERS.get(grade, -1) for grade in truth["damage"]], truth["id"].astype(str), dtype=int)
    known = Buildings(buildings).with_likeliest_grades().frame  # also where the map states no grade
    table = known[known["id"].isin(numbers.index)]
    assessed = Buildings(table).assessed & table["damage"].notna()
    grade = table["damage"].map(NUMBERS)
    probability = table["damage_prob"].to_numpy(float)
    return gpd.GeoDataFrame(
        {
            "site": case.site, "case": case.name, "id": table["id"].to_numpy(),
            "truth": numbers.loc[table["id"]].to_numpy(),
            "grade": np.where(assessed, grade.astype(float).fillna(-1), -1).astype(int),
            "probability": probability, "probability_half": at_half(probability, share),
            "interval_low": low, "interval_high": high,
        },
        geometry=table.geometry.to_numpy(), crs=table.crs,
    )  # fmt: skip


def _calibration(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Expected calibration error of the likelier side; NaN without buildings."""
    if not len(truth):
        return float("nan")
    return calibration_error(np.maximum(probability, 1 - probability), (probability >= 0.5) == truth)


def _kappa(truth: NDArray[np.int64], grade: NDArray[np.int64]) -> float:
    if len(np.unique(truth)) < 2:
        return float("nan")
    return float(cohen_kappa_score(truth, grade, labels=list(range(len(GRADES))), weights="quadratic"))


def _share(part: int, of: int) -> float:
    return part / of if of else float("nan")
