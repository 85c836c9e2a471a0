"""Numbers of buildings of each grade at a site, and their built areas, each with a 95 % interval from draws."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Geometries, Indices, Mask
from deepnets4eo.damage.decision.site_fit import ShareEstimate, SiteFit
from deepnets4eo.damage.table.probabilities import MAX_LOG_ODDS, grades_of_sides, side_log_odds
from deepnets4eo.damage.table.vocabulary import GRADES, MAJOR
from deepnets4eo.footprints import outline_areas_m2, repeated_outlines

DRAWS = 500
CHUNK = 25  # draws that are worked out at the same time
FINE = (0.25, 0.75, 0.75)  # steps of log-odds: buildings in one step count together, with their mean
SPREAD_ORDER = np.array([1.0, math.pi, math.e])  # weights of a stable sort key; changing them changes the random draws
STEPS = 256  # more than there are of each kind of log-odds
# Part of the spread of damage that stays in addition to the shift of the site, which the weights of the shares hold already. With 0.25 and 0.5
# the truth is inside at 35 real jobs, but outside at the demo's city (122; 106–121 and 104–121), as the doubts of single buildings became
# smaller when their own evidence came to count in full; with 0.75 intervals are as wide as those that held at 95 of 95 (60 such cities).
SPREAD_LEFT = 0.75
MIN_PART = 0.005  # share of all; the end of an interval that lies nearer to none or all counts as that
# What the draws leave out beside an end that counts as none or all. With 0.05 the truth is inside at 0.87 of 71 made-up jobs without a
# network (0.79 of 33 with water or mud, whose damage is not seen), with 0.04 at 0.90 (0.85); 0.025 would be wider by a quarter at real places.
BESIDE_LIMIT = 0.04
# Beta distribution of the share of damaged houses in new water: uniform before 9 of 9 of xBD Midwest 00 and 06.
IN_WATER = (10.0, 1.0)
IN_WATER_MEAN = 0.9  # its mean, rounded
# Part of what their structure shows by which the log-odds of houses in water differ. It only keeps their order: with one intact house in
# water at all real places (of five at Midwest 06), its size cannot be measured.
BY_STRUCTURE = 0.25
# Share in water where water is not recognised: none or all is the likeliest, so that neither is left out of an interval.
FLOODED, FLOODED_MEAN = (0.3, 0.3), 0.5
# Between sites, of the log-odds that hidden ground is as wet as the nearest that is seen; and the least of that share, of either side.
HIDDEN_SPREAD, HIDDEN_MIN = 1.0, 0.02


@dataclass(frozen=True)
class BuildingGround:
    """N buildings: area_m2 (N,), NaN if unknown; repeated (N,) whether an outline occurs there a second time."""

    area_m2: Floats
    repeated: Mask

    @classmethod
    def of(cls, outlines: Geometries, crs: Any) -> BuildingGround:
        """Make it from outlines (N,)."""
        frame = gpd.GeoDataFrame(geometry=outlines, crs=None if crs is None else crs.to_wkt())
        return cls(outline_areas_m2(frame), repeated_outlines(outlines))


@dataclass(frozen=True)
class InundatedBuildings:
    """Buildings in new water: (N,) surrounded or covered (rows), covered, and the chance that they are in the water.

    unknown : (N,) whether it is unknown if the building is in water
    hidden : (N,) whether the chance is taken from the nearest ground that is seen
    everywhere : whether nearly all buildings whose ground is seen are in the water, so that all may be
    """

    rows: Mask
    covered: Mask
    chance: Floats
    damaged: bool = True
    unknown: Mask | None = None
    hidden: Mask | None = None
    everywhere: bool = False

    @property
    def unsure(self) -> Mask:
        """Return (N,) buildings for which it is unknown whether they are in water."""
        return np.zeros(len(self.rows), bool) if self.unknown is None else self.unknown

    @property
    def perhaps(self) -> Mask:
        """Return (N,) buildings whose ring is hidden and near which some of the ground is under water."""
        return np.zeros(len(self.rows), bool) if self.hidden is None else self.hidden

    @property
    def any_water(self) -> Mask:
        """Return (N,) buildings that are in water, or may be."""
        return self.rows | self.unsure | self.perhaps

    def subset(self, keep: Mask) -> InundatedBuildings:
        """Return some of the buildings."""
        return replace(
            self, rows=self.rows[keep], covered=self.covered[keep], chance=self.chance[keep], unknown=self.unsure[keep], hidden=self.perhaps[keep]
        )  # fmt: skip

    def grades(self, structure: Floats, rate: float, flooded: float = FLOODED_MEAN, shift: float = 0.0) -> Floats:
        """Return (N, 5) probabilities of the grades and of damage if the share `rate` of buildings in water is damaged.

        structure : (N, 4)
        flooded : the share in water among buildings for which this is unknown
        shift : of the log-odds of buildings whose ground is hidden
        """
        none, minor, major, destroyed = np.where(np.isfinite(structure), structure, [1.0, 0, 0, 0]).T
        damaged = np.maximum(self._in_order(rate * self.chance, structure[:, MAJOR:].sum(axis=1)), major + destroyed)
        damaged = np.where(self.unsure, with_unknown_water(major + destroyed, rate * flooded), damaged)
        if self.perhaps.any():
            wet = scipy.special.expit(scipy.special.logit(np.clip(self.chance, HIDDEN_MIN, 1 - HIDDEN_MIN)) + shift)
            damaged = np.where(self.perhaps, with_unknown_water(major + destroyed, rate * wet), damaged)
        minor_share = np.divide(minor, none + minor, out=np.zeros(len(minor)), where=none + minor > 0)
        gone = np.where(self.covered, damaged, destroyed)
        parts = ((1 - damaged) * (1 - minor_share), (1 - damaged) * minor_share, damaged - gone, gone, damaged)
        return np.stack(parts, axis=-1)

    def _in_order(self, damaged: Floats, by_structure: Floats) -> Floats:
        """Return (N,) probabilities of damage with houses in water in the order of their structure; their sum stays.

        by_structure : (N,) probability of damage, NaN if unknown. Houses whose structure shows more than the water are left out
        """
        rows = np.flatnonzero(self.rows & ~(by_structure >= damaged))
        if len(rows) < 2:
            return damaged
        evidence = BY_STRUCTURE * scipy.special.logit(np.clip(by_structure[rows], HIDDEN_MIN, 1 - HIDDEN_MIN))
        known = np.isfinite(evidence)
        above = np.where(known, evidence, evidence[known].mean() if known.any() else 0.0)
        out, slope = damaged.copy(), float((damaged[rows] * (1 - damaged[rows])).mean())  # of a logistic function
        out[rows] = np.clip(damaged[rows] + slope * (above - above.mean()), 0, 1)
        return out


def with_unknown_water(by_structure: Floats, by_water: float | Floats = IN_WATER_MEAN * FLOODED_MEAN) -> Floats:
    """Return probabilities (N,) of damage by structure or by water, for buildings that may or may not be in water."""
    return np.asarray(1 - (1 - by_structure) * (1 - by_water))


@dataclass(frozen=True)
class Cells:
    """Buildings of like log-odds (M, 3) and spread (M, 3) counted together: number, areas, squared areas (M,); cell : (N,)."""

    log_odds: Floats
    spread: Floats
    number: Floats
    area: Floats
    area_squares: Floats
    cell: NDArray[np.intp]

    @staticmethod
    def of(probabilities: Floats, spread: Floats, area_m2: Floats) -> Cells:
        """Return the cells of buildings from probabilities (N, 4), spread (N, 3) and area_m2 (N,)."""
        exact = side_log_odds(probabilities)
        steps = np.rint((exact + MAX_LOG_ODDS) / np.array(FINE)).astype(np.int64)
        distinct, kind = np.unique(spread, axis=0, return_inverse=True)
        kind = np.argsort(np.argsort(distinct @ SPREAD_ORDER))[kind.ravel()]
        code = ((kind * STEPS + steps[:, 0]) * STEPS + steps[:, 1]) * STEPS + steps[:, 2]
        cell = np.unique(code, return_inverse=True)[1]
        number = np.bincount(cell).astype(float)
        means = [np.bincount(cell, column) / number for column in (*exact.T, *spread.T)]
        area, squares = (np.bincount(cell, values).astype(float) for values in (area_m2, area_m2**2))
        return Cells(np.stack(means[:3], axis=1), np.stack(means[3:], axis=1), number, area, squares, cell)


def site_estimates(
    site: SiteFit, spread: Floats, area_m2: Floats, inundated: InundatedBuildings | None = None, seed: int = 0
) -> tuple[ShareEstimate, dict[str, Any]]:
    """Return the share, and numbers and built areas (None if unknown) of each grade, expected and with interval.

    spread : (N, 3) standard deviations between sites; inundated : buildings whose numbers rest on houses in water."""
    total = len(area_m2)
    if total == 0:
        return ShareEstimate(site.prior, site.status, None, 0.0, site.prior), {}
    rng = np.random.default_rng(seed)
    area = np.nan_to_num(area_m2)
    dry = np.ones(total, bool) if inundated is None else ~inundated.any_water
    expected, drawn = np.zeros((2, len(GRADES) + 1)), np.zeros((2, DRAWS, len(GRADES) + 1))
    if dry.any():
        expected, drawn = _dry_totals(site.rows(dry), spread[dry], area[dry], rng)
    if inundated is not None and not dry.all():
        of_wet = _water_totals(inundated.subset(~dry), site.rows(~dry).probabilities, area[~dry], rng)
        expected, drawn = expected + of_wet[0], drawn + of_wet[1]
    everywhere = inundated is not None and inundated.everywhere
    buildings = _rows(expected[0], drawn[0], float(total), up_to_all=everywhere)
    known_area = bool(np.isfinite(area_m2).all())
    low, high = (bound / total for bound in buildings["damaged"]["interval_95"])
    share = ShareEstimate(buildings["damaged"]["expected"] / total, site.status, (low, high), site.intact, site.prior)
    areas = _rows(expected[1], drawn[1], float(area.sum()), counted=False, up_to_all=everywhere) if known_area else None
    return share, {"buildings": buildings, "built_area_m2": areas}


def confusion_of_grades(site: SiteFit, spread: Floats, graded: Indices, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Estimate how many of the buildings named with each grade truly have which, with 95 % interval. graded : (N,) numbers of grades."""
    table = {}
    for number, grade in enumerate(GRADES):
        rows = (graded == number) & np.isfinite(site.even[:, 0])
        named = int(rows.sum())
        if named:
            rng = np.random.default_rng([seed, number])
            expected, drawn = _dry_totals(site.rows(rows), spread[rows], np.ones(named), rng)
            truly = _rows(expected[0], drawn[0], float(named))
            table[grade] = {"named": named, "truly": {name: truly[name] for name in GRADES}}
    return table


def _dry_totals(site: SiteFit, spread: Floats, area_m2: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return expected (2, 5) and drawn (2, D, 5) numbers and areas by structure."""
    weights = np.stack([np.ones(len(area_m2)), area_m2])
    normal = rng.standard_normal((DRAWS, 3))
    if site.share_is_given:
        shares, normal[:, 0] = np.full(DRAWS, site.prior), 0.0
    else:
        shares = site.draw_shares(rng, DRAWS)
        normal[:, 0] *= SPREAD_LEFT
    drawn = _draw_totals(Cells.of(site.even, spread, area_m2), normal, shares, rng)
    return weights @ _append_damaged(site.probabilities), np.stack(drawn)


def _water_totals(
    wet: InundatedBuildings, structure: Floats, area_m2: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the totals of buildings in water, with the damaged share of another site."""
    weights = np.stack([np.ones(len(area_m2)), area_m2])
    drawn = np.zeros((2, DRAWS, len(GRADES) + 1))
    flooded = rng.beta(*FLOODED, DRAWS) if wet.unsure.any() else np.zeros(DRAWS)
    shifts = HIDDEN_SPREAD * rng.standard_normal(DRAWS) if wet.perhaps.any() else np.zeros(DRAWS)
    for number, rate in enumerate(rng.beta(*IN_WATER, DRAWS)):
        p = wet.grades(structure, rate, flooded[number], shifts[number])
        noise = np.sqrt(weights**2 @ (p * (1 - p)))
        drawn[:, number] = weights @ p + rng.standard_normal(len(GRADES) + 1) * noise
    return weights @ wet.grades(structure, IN_WATER_MEAN), np.clip(drawn, 0, weights.sum(axis=1)[:, None, None])


def _draw_totals(cells: Cells, normal: Floats, shares: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return (D, 5) numbers, and (D, 5) areas: the four grades, and major damage or worse."""
    numbers, areas = np.empty((len(shares), 5)), np.empty((len(shares), 5))
    for rows in _chunks(len(shares)):
        moved = cells.log_odds + normal[rows][:, None] * cells.spread
        moved[..., 0] += scipy.special.logit(np.clip(shares[rows], 1e-6, 1 - 1e-6))[:, None]
        p = _append_damaged(grades_of_sides(moved))
        chance = p * (1 - p)
        for out, weight, squares in ((numbers, cells.number, cells.number), (areas, cells.area, cells.area_squares)):
            total = np.einsum("m,dmk->dk", weight, p)
            noise = np.sqrt(np.einsum("m,dmk->dk", squares, chance))
            out[rows] = np.clip(total + rng.standard_normal(total.shape) * noise, 0, weight.sum())
    return numbers, areas


def _append_damaged(p: Floats) -> Floats:
    return np.concatenate([p, p[..., MAJOR:].sum(axis=-1, keepdims=True)], axis=-1)


def _rows(
    expected: Floats, drawn: Floats, most: float, *, counted: bool = True, up_to_all: bool = False
) -> dict[str, Any]:
    """Return expected values with their intervals; an end that is nearly none or all becomes none or all.

    counted : intervals end at whole numbers; up_to_all : all may be damaged, whatever was drawn."""
    low, part, rest, high = np.quantile(drawn, [0.025, BESIDE_LIMIT, 1 - BESIDE_LIMIT, 0.975], axis=0)
    none = low <= MIN_PART * most
    whole = ~none & (high >= most - MIN_PART * most)
    low = np.where(none, 0.0, np.where(whole, part, low))
    high = np.where(none, rest, np.where(whole, most, high))
    high[-1] = most if up_to_all else high[-1]
    if counted:
        low, high = np.rint(low), np.rint(high)
    return {
        name: {"expected": float(e), "interval_95": [float(min(low[k], e)), float(max(min(high[k], most), e))]}
        for k, (name, e) in enumerate(zip((*GRADES, "damaged"), expected, strict=True))
    }


def _chunks(draws: int) -> list[NDArray[np.intp]]:
    return [np.arange(start, min(start + CHUNK, draws)) for start in range(0, draws, CHUNK)]
