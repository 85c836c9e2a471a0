"""Rubble and debris: volumes on the miniature city, points as evidence of damage, and two real sites.

Usage: python experiments/rubble.py volumes|heaps|evidence|fit|real [--data FOLDER] [--out FOLDER] [--smoke]
volumes: error of volumes of buildings above 100 m³ on three cities (SYNTHETIC), from the air, from tripods and from masts in the
streets, and from the air before and tripods after; true outlines and mapped ones; how often the 95 % interval holds the truth;
volumes lost by grade, and by whether they were seen (`lost_unseen_m3`). heaps: the same of volumes up to 100 m³ from the air, none included, on cities on which nothing was
chosen. evidence: AUC of major damage or worse with and without points (SYNTHETIC). fit: the cards of
`damage/evidences/points.py`, on cities that volumes and evidence do not use.
real: FOLDER holds autzen (differences of heights against published M3C2 distances) and ahn3_delft (intact buildings from
one date: no rubble is expected). --out: writes results.json of real.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from script import add_smoke, plain_errors, require_all, store_results, title_of
from sklearn.metrics import roc_auc_score

from deepnets4eo.damage import EvidenceCard, PointEvidence, assess
from deepnets4eo.points import PointCloud, RubbleMap, RubbleOptions, debris_volumes, open_cloud
from deepnets4eo.points.height_grid import grid_around, height_grid
from deepnets4eo.points.rubble.rubble_map import MAX_UNSEEN
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City, aerial_scan, building_volumes, scanner_positions, terrestrial_scan
from deepnets4eo.synthetic.scan import EYE_M
from deepnets4eo.synthetic.sensor import Acquisition

SEEDS, FIT_SEEDS = (301, 302, 303), tuple(range(401, 441))
HEAP_SEEDS = tuple(range(701, 713))  # the intervals were made with 501-530 and 601-610
SIDE_PX, HEAP_SIDE_PX, GSD_M = 500, 300, 0.4
LARGE_M3 = (100.0, np.inf)
SMALL_M3 = (-np.inf, 100.0)
SPACING_M, RAYS = 30.0, 40_000  # of tripods along the streets
MAST_M = 8.0
AIR, STREET, MAST = "air", "street", "mast"
SCANNERS = {
    "aerial": (AIR, AIR), "terrestrial": (STREET, STREET), "aerial, then terrestrial": (AIR, STREET),
    "terrestrial, masts of 8 m": (MAST, MAST),
}  # fmt: skip  # before and after the event
QUANTITIES = ("volume_pre_m3", "lost_m3", "debris_m3")
EDGE_M = 3.0  # buildings at the edge of the scene are not wholly scanned
UNCLASSIFIED, RUBBLE = 1, 70
FOOT_M = 0.3048006096
M3C2_RADIUS_M = 2.0


def without_rubble_class(cloud: PointCloud) -> PointCloud:
    """The cloud as a scanner's software classifies it: rubble is unclassified."""
    if cloud.classification is not None:
        cloud.classification[cloud.classification == RUBBLE] = UNCLASSIFIED
    return cloud


def scans(city: City, scanner: str) -> tuple[PointCloud, PointCloud]:
    """The clouds before and after, without the class that gives rubble away. scanner : one of SCANNERS."""
    before, after = SCANNERS[scanner]
    return scan(city, city.pre, before), scan(city, city.post, after)


def scan(city: City, acquisition: Acquisition, position: str) -> PointCloud:
    """The cloud of one date. position : AIR, STREET or MAST."""
    if position == AIR:
        return without_rubble_class(aerial_scan(acquisition))
    spots = scanner_positions(city, SPACING_M)
    spots = spots[[city.extent.contains(point) for point in gpd.points_from_xy(*spots.T)]]
    eye_m = MAST_M if position == MAST else EYE_M
    return without_rubble_class(terrestrial_scan(acquisition, spots, RAYS, eye_m=eye_m))


def volume_rows(
    seeds: tuple[int, ...], scanner: str, side_px: int, limits_m3: tuple[float, float]
) -> Iterator[dict[str, object]]:
    """One row a building with a volume between limits, quantity, scanner, kind of outline and way of working."""
    for seed in seeds:
        city = City(seed, side_px, GSD_M)
        truth = building_volumes(city)
        inner = city.extent.buffer(-EDGE_M)
        whole = city.buildings.loc[city.buildings.within(inner), ["id", "height_m", "damage"]]
        truth = truth.merge(whole.rename(columns={"damage": "grade"}), on="id")
        pre, post = scans(city, scanner)
        for outlines, table in (("true", city.buildings), ("mapped", city.footprints())):
            for way, before in (("both dates", pre), ("post only", None)):
                result = debris_volumes(post, table, before, RubbleOptions(align=outlines == "mapped"))
                about = {"seed": seed, "scanner": scanner, "outlines": outlines, "way": way}
                yield from _compare(result, truth, about, limits_m3)


def _compare(
    result: RubbleMap, truth: pd.DataFrame, about: dict[str, object], limits_m3: tuple[float, float]
) -> Iterator[dict[str, object]]:
    joined = result.buildings.merge(truth, on="id", suffixes=("", "_true"))
    joined = joined[joined["state"] != "not-assessed"]
    for name in ("debris_m3", "debris_low_m3", "debris_high_m3"):
        joined[name] -= joined["debris_around_m3"]  # the truth is of the plans
    for name in QUANTITIES:
        for _, row in joined[joined[f"{name}_true"].between(*limits_m3, inclusive="right")].iterrows():
            if np.isfinite(row[name]):
                low, high = (row.get(f"{name[:-3]}_{end}_m3", np.nan) for end in ("low", "high"))
                yield {
                    **about, "quantity": name, "id": row["id"], "known": row["known_share"], "grade": row["grade"],
                    "error": row[name] / row[f"{name}_true"] - 1 if row[f"{name}_true"] > 0 else np.nan,
                    "held": np.nan if not np.isfinite(low) else float(max(low, 0) <= row[f"{name}_true"] <= high),
                    "measured": row[name], "true": row[f"{name}_true"],
                    "seen": "yes" if row["lost_unseen_m3"] <= MAX_UNSEEN * row["lost_m3"] else "no",
                }  # fmt: skip


def show_volumes(
    seeds: tuple[int, ...],
    scanners: Iterable[str] = SCANNERS,
    side_px: int = SIDE_PX,
    limits_m3: tuple[float, float] = LARGE_M3,
) -> None:
    """A table of the distribution of relative errors."""
    print(
        "| scanner | outlines | way | quantity | buildings | within 10 % | median | 90th | largest | sum | held by interval |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    frames = []
    for scanner in scanners:
        frames.append(pd.DataFrame(volume_rows(seeds, scanner, side_px, limits_m3)))
        print_rows(frames[-1], ["scanner", "outlines", "way", "quantity"])
    lost = pd.concat(frames).query("quantity == 'lost_m3'")
    for title, columns in (
        ("by grade", ["scanner", "outlines", "grade"]),
        ("by whether they were seen", ["scanner", "outlines", "seen"]),
    ):
        print(f"\nVolumes lost {title}\n")
        print(f"| {' | '.join(columns)} | buildings | within 10 % | median | 90th | largest | sum | held by interval |")
        print("|" + "---|" * 10)
        print_rows(lost, columns)


def print_rows(frame: pd.DataFrame, columns: list[str]) -> None:
    """A row of the table for each group of the columns."""
    for key, group in frame.groupby(columns, sort=False):
        error = group["error"].abs()
        total = group["measured"].sum() / group["true"].sum() - 1
        held = "–" if group["held"].isna().all() else f"{group['held'].mean():.0%}"
        print(
            f"| {' | '.join(map(str, key))} | {len(group)} | {(error <= 0.1).mean():.0%} | {error.median():.1%} | "
            f"{error.quantile(0.9):.1%} | {error.max():.1%} | {total:+.1%} | {held} |",
            flush=True,
        )


def show_evidence(seeds: tuple[int, ...]) -> None:
    """AUC of major damage or worse without points, with both dates and with the post cloud alone."""
    print("| seed | buildings | damaged | without points | pre and post points | post points | points alone |")
    print("|---|---|---|---|---|---|---|")
    for seed in seeds:
        city = City(seed, SIDE_PX, GSD_M)
        before, after = (Layer.open(one.image, grid=one.grid) for one in (city.pre, city.post))
        pre, post = scans(city, "aerial")
        areas, alone, number, share = [], float("nan"), 0, 0.0
        for points in (None, PointEvidence(post, pre), PointEvidence(post)):
            result = assess(before, after, city.footprints(), points=points).buildings
            joined = result[result["status"] == "assessed"].merge(
                city.buildings[["id", "damage"]], on="id", suffixes=("", "_true")
            )
            damaged = joined["damage_true"].isin(["major-damage", "destroyed"])
            areas.append(roc_auc_score(damaged, joined["damage_prob"]))
            number, share = len(joined), damaged.mean()
            if points is not None and points.pre is not None:
                known = joined["ev_points_come_down"].notna()
                alone = roc_auc_score(damaged[known], joined.loc[known, "ev_points_come_down"])
        print(f"| {seed} | {number} | {share:.0%} | {areas[0]:.3f} | {areas[1]:.3f} | {areas[2]:.3f} | {alone:.3f} |")


def fit_cards(seeds: tuple[int, ...]) -> None:
    """Cards of the share that has come down, by both dates and by the later one."""
    shares: dict[str, list[float]] = {"pre_post": [], "post_only": []}
    damaged: dict[str, list[bool]] = {"pre_post": [], "post_only": []}
    for seed in seeds:
        city = City(seed, 300, GSD_M)
        pre, post = scans(city, "aerial")
        for method, before in (("pre_post", pre), ("post_only", None)):
            table = debris_volumes(post, city.footprints(), before).buildings
            joined = table.merge(city.buildings[["id", "damage"]], on="id", suffixes=("", "_true"))
            joined = joined[joined["state"] != "not-assessed"]
            shares[method] += joined["collapsed_share"].tolist()
            damaged[method] += joined["damage_true"].isin(["major-damage", "destroyed"]).tolist()
    for method in shares:
        print(method, EvidenceCard.fit(np.array(shares[method]), np.array(damaged[method])))


def show_autzen(folder: Path) -> dict[str, dict[str, float]]:
    """Print and return how differences of mean heights agree with the published M3C2 distances, in feet as those are."""
    before, after = (open_cloud(folder / f"autzen-bmx-{year}.las").read() for year in (2010, 2023))
    reference = pd.read_csv(folder / "autzen-bmx-m3c2.txt")
    distance, own = reference["m3c2_distance"].to_numpy(float), np.full(len(reference), np.nan)
    for number, core in enumerate(reference[["X", "Y"]].to_numpy(float)):
        near = [cloud.xyz[np.hypot(*(cloud.xyz[:, :2] - core).T) <= M3C2_RADIUS_M] for cloud in (before, after)]
        if min(map(len, near)) >= 4:
            (slope_x, slope_y, _), *_ = np.linalg.lstsq(
                np.c_[near[0][:, :2] - core, np.ones(len(near[0]))], near[0][:, 2]
            )
            fall = (near[1][:, 2].mean() - near[0][:, 2].mean()) / FOOT_M
            own[number] = fall / np.sqrt(
                1 + (slope_x / FOOT_M) ** 2 + (slope_y / FOOT_M) ** 2
            )  # along the normal, as M3C2
    grid = grid_around((*before.xyz[:, :2].min(axis=0), *before.xyz[:, :2].max(axis=0)), M3C2_RADIUS_M, before.crs)
    cells = [height_grid(partial(list, [cloud]), grid) for cloud in (before, after)]
    col, row = (
        (reference[["X", "Y"]].to_numpy(float) - (grid.affine.c, grid.affine.f)) / (grid.affine.a, grid.affine.e)
    ).T
    inside = (col >= 0) & (row >= 0) & (col < grid.shape[1]) & (row < grid.shape[0])
    gridded = np.full(len(reference), np.nan)
    fall = (cells[1].mean - cells[0].mean) / FOOT_M
    gridded[inside] = fall[row[inside].astype(int), col[inside].astype(int)]
    agreement = {}
    for name, values in (("along the normal", own), ("cells of 2 m, vertical", gridded)):
        known = np.isfinite(values) & np.isfinite(distance)
        error = values[known] - distance[known]
        correlation, rmse = np.corrcoef(values[known], distance[known])[0, 1], np.sqrt((error**2).mean())
        agreement[name] = {"correlation": round(float(correlation), 4), "rmse_ft": round(float(rmse), 3)}
        print(
            f"Autzen, {name}: {known.sum()} of {len(reference)} points, correlation {correlation:.3f}, "
            f"median difference {np.median(error):+.2f} ft, RMSE {rmse:.2f} ft "
            f"(median M3C2 uncertainty {reference['m3c2_uncertainty'].median():.2f} ft)"
        )
    return agreement


def show_delft(folder: Path) -> dict[str, int]:
    """Print states and rubble shares of buildings that stand, from heights of one date; return how many have a rubble share above 0.1."""
    outlines = gpd.read_file(folder / "bgt_pand.sqlite")
    outlines = outlines[outlines.geometry.notna() & outlines.geom_type.isin(["Polygon", "MultiPolygon"])]
    counts = {"assessed": 0, "rubble share above 0.1": 0}
    for part in (1, 2):
        file = folder / f"ahn3_cropped_{part}.laz"
        (left, bottom, _), (right, top, _) = open_cloud(file).bounds
        inside = outlines.cx[left:right, bottom:top]
        table = debris_volumes(file, inside).buildings
        table = table[table["state"] != "not-assessed"]
        share = table["rubble_share"]
        print(
            f"Delft {part}: {len(table)} of {len(inside)} buildings assessed; states {table['state'].value_counts().to_dict()}; rubble share "
            f"median {share.median():.3f}, mean {share.mean():.3f}, above 0.1 in {int((share > 0.1).sum())}"
        )
        counts["assessed"] += len(table)
        counts["rubble share above 0.1"] += int((share > 0.1).sum())
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["volumes", "heaps", "evidence", "fit", "real"])
    parser.add_argument("--data", type=Path, help="folder of the real samples")
    parser.add_argument(
        "--out", type=Path, default=None, help="of real: folder of results.json; without it nothing is written"
    )
    add_smoke(parser)
    options = parser.parse_args()
    number = 1 if options.smoke else None
    print(title_of("Rubble", smoke=options.smoke))
    if options.what == "volumes":
        show_volumes(SEEDS[:number])
    elif options.what == "heaps":
        show_volumes(HEAP_SEEDS[:number], ("aerial",), HEAP_SIDE_PX, SMALL_M3)
    elif options.what == "evidence":
        show_evidence(SEEDS[:number])
    elif options.what == "fit":
        fit_cards(FIT_SEEDS[:number])
    elif options.data is None:
        parser.error("real needs --data FOLDER")
    else:
        require_all(options.data, ("autzen", "ahn3_delft"))
        autzen, delft = show_autzen(options.data / "autzen"), show_delft(options.data / "ahn3_delft")
        if options.out:
            store_results(options.out, smoke=options.smoke, autzen=autzen, standing_buildings_of_delft=delft)


if __name__ == "__main__":
    with plain_errors():
        main()
