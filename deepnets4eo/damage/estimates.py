"""How many buildings of each grade a site has, and how much built area, with 95 % intervals that say what they hold.

`site_estimates` takes the probabilities of the assessed buildings, how far evidence shifts from site to site, the buildings' blocks and
areas; each of its draws shifts the log-odds of all buildings as another site would, draws the share by its weights for the site
(without such: resamples blocks of neighbours and estimates it anew) and adds the chance of single buildings. `count_interval` holds the
grading error by how often calls are right (Rogan & Gladen 1978). `block_bootstrap` and `expected_count` know no grading error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.probabilities import MOST_LOG_ODDS, adjust_to_share, grades_of_sides, side_log_odds
from deepnets4eo.damage.site import DIFFER, ESTIMATED, LIMITED, SHARES, ShareEstimate, likely_shares
from deepnets4eo.damage.vocabulary import GRADES, MAJOR
from deepnets4eo.footprints.outlines import centres_m, outline_areas_m2, repeated_outlines

DRAWS = 500
CHUNK = 25  # draws that are worked out at the same time
FINE = (0.25, 0.75, 0.75)  # steps of log-odds: buildings in one step count together, with their mean
OF_SHARE = (0.1, 100.0, 100.0)  # the share depends on the first alone
SPREAD_ORDER = np.array(
    [1.0, math.pi, math.e]
)  # of cells, which decides the draw of each and the last digit of sums; any would do
STEPS = 256  # more than there are of each kind of log-odds
# Part of the spread of damage that stays where the share was estimated together with the shift of the site, which its weights hold
# already: 95 % of the intervals at 104 made-up sites hold the truth (97 % with all of it, 93 % with none).
SPREAD_LEFT = 0.5
MIN_BLOCKS = 12  # fewer blocks than this say too little about the spread between them
RATE_DRAWS = 4000
LEAST_AT_SITE = 10  # buildings of one side for a site's rate to count
LEAST_GAIN = 0.1  # sensitivity + specificity − 1 is taken to be no smaller: below it, calls say nothing of the count
LEAST_SD = 0.01
CALLED = "called"  # key beside rates: how many buildings are called damaged
Z95 = 1.959963984540054
IN_WATER = (
    10.0,
    1.0,
)  # beta distribution of the share of damaged houses in new water: uniform before 9 of 9 of xBD Midwest 00 and 06
IN_WATER_MEAN = 0.9  # its mean, rounded
REPLICATES = 1000


@dataclass(frozen=True)
class BuildingGround:
    """What the ground says of N buildings: area_m2 (N,) of the outlines, NaN where not known; block (N,) number of the
    block of neighbours each lies in; repeated (N,) whether the outline is that of a building before it, None for none."""

    area_m2: Floats
    block: NDArray[np.intp]
    repeated: NDArray[np.bool_] | None = None

    def rows(self, keep: NDArray[np.bool_]) -> BuildingGround:
        """Some of the buildings."""
        repeated = None if self.repeated is None else self.repeated[keep]
        return BuildingGround(self.area_m2[keep], np.unique(self.block[keep], return_inverse=True)[1], repeated)


def building_ground(outlines: NDArray[np.object_], crs: Any) -> BuildingGround:
    """Area and block of each of N outlines. crs : of the outlines, None for plain pixels."""
    frame = gpd.GeoDataFrame(geometry=outlines, crs=None if crs is None else crs.to_wkt())
    if len(frame) == 0:
        return BuildingGround(np.zeros(0), np.zeros(0, np.intp))
    block = blocks_of(np.nan_to_num(centres_m(frame)))[0]
    return BuildingGround(outline_areas_m2(frame), block, repeated_outlines(outlines))


def blocks_of(xy_m: NDArray[np.floating], block_m: float = 500.0) -> tuple[NDArray[np.intp], float]:
    """Number of the square block each building lies in, and the side used.
    xy_m : (N, 2) float64, metres. The side is halved (to no less than 50 m) until MIN_BLOCKS blocks are occupied."""
    while True:
        cells = np.floor((xy_m - xy_m.min(axis=0)) / block_m).astype(np.int64)
        _, block = np.unique(cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1], return_inverse=True)
        if block.max() + 1 >= MIN_BLOCKS or block_m / 2 < 50.0:
            return block, block_m
        block_m /= 2


@dataclass(frozen=True)
class InundatedBuildings:
    """Buildings in new water, which count by it as well as by their structure.

    rows, covered : (N,) bool, those that are surrounded or covered, and those whose roof is under water; chance : (N,) probability that
    they stand in it, 1 where the place of the outlines is known; damaged : whether they count as damaged.
    """

    rows: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    chance: Floats
    damaged: bool = True

    def subset(self, keep: NDArray[np.bool_]) -> InundatedBuildings:
        """Some of the buildings."""
        return replace(self, rows=self.rows[keep], covered=self.covered[keep], chance=self.chance[keep])

    def grades(self, structure: Floats, rate: float) -> Floats:
        """(N, 5) probabilities of the grades and of damage, where the share `rate` of the houses in water is damaged.

        structure : (N, 4) by structure alone, which can only make it worse; NaN where it is not known.
        """
        none, minor, major, destroyed = np.where(np.isfinite(structure), structure, [1.0, 0, 0, 0]).T
        damaged = np.maximum(rate * self.chance, major + destroyed)
        minor_share = np.divide(minor, none + minor, out=np.zeros(len(minor)), where=none + minor > 0)
        gone = np.where(self.covered, damaged, destroyed)
        parts = ((1 - damaged) * (1 - minor_share), (1 - damaged) * minor_share, damaged - gone, gone, damaged)
        return np.stack(parts, axis=-1)


@dataclass(frozen=True)
class Cells:
    """Buildings of like log-odds and spread counted together: M cells.
    log_odds : (M, 3) of damage, of minor damage among the intact, of destroyed among the damaged; spread : (M, 3) sd of
    their shift between sites; number : (M,) buildings; area, area_squares : (M,) sums of m², and of their squares;
    cell : (N,) cell of each building."""

    log_odds: Floats
    spread: Floats
    number: Floats
    area: Floats
    area_squares: Floats
    cell: NDArray[np.intp]

    @staticmethod
    def of(probabilities: Floats, spread: Floats, area_m2: Floats, steps_of: tuple[float, ...] = FINE) -> Cells:
        """Cells of buildings: probabilities (N, 4) where half are damaged, spread (N, 3), area_m2 (N,), size of cells (3,)."""
        exact = side_log_odds(probabilities)
        steps = np.rint((exact + MOST_LOG_ODDS) / np.array(steps_of)).astype(np.int64)
        distinct, kind = np.unique(spread, axis=0, return_inverse=True)
        kind = np.argsort(np.argsort(distinct @ SPREAD_ORDER))[kind.ravel()]
        code = ((kind * STEPS + steps[:, 0]) * STEPS + steps[:, 1]) * STEPS + steps[:, 2]
        cell = np.unique(code, return_inverse=True)[1]
        number = np.bincount(cell).astype(float)
        means = [np.bincount(cell, column) / number for column in (*exact.T, *spread.T)]
        area, squares = (np.bincount(cell, values).astype(float) for values in (area_m2, area_m2**2))
        return Cells(np.stack(means[:3], axis=1), np.stack(means[3:], axis=1), number, area, squares, cell)


def site_estimates(
    probabilities: Floats,
    spread: Floats,
    ground: BuildingGround,
    share: ShareEstimate,
    weights: Floats | None = None,
    seed: int = 0,
    inundated: InundatedBuildings | None = None,
) -> tuple[ShareEstimate, dict[str, Any]]:
    """The share with its interval, and numbers and built areas of each grade and of major damage or worse, expected and with interval.

    probabilities : (N, 4) where half are damaged; spread : (N, 3) standard deviations between sites of `side_log_odds`; weights : (P,) of
    `SHARES` where the share was estimated together with the shift of the site. Areas are None where those of the outlines are not known;
    `most_likely` becomes what is expected here, scores included, where it was estimated with weights and nothing limits it.
    inundated : buildings in new water, whose numbers rest on the share of damaged houses among such; share and weights are of the others."""
    total = len(probabilities)
    if total == 0:
        return share, {}
    rng = np.random.default_rng(seed)
    area_m2 = np.nan_to_num(ground.area_m2)
    dry = np.ones(total, bool) if inundated is None else ~inundated.rows
    expected, drawn = np.zeros((2, len(GRADES) + 1)), np.zeros((2, DRAWS, len(GRADES) + 1))
    if dry.any():
        of_dry = probabilities[dry], spread[dry], area_m2[dry]
        expected, drawn = _structure_totals(*of_dry, ground.rows(dry).block, share, weights, rng)
    if inundated is not None and not dry.all():
        structure = adjust_to_share(probabilities[~dry], share.value)
        of_wet = _water_totals(inundated.subset(~dry), structure, area_m2[~dry], rng)
        expected, drawn = expected + of_wet[0], drawn + of_wet[1]
    known_area = bool(np.isfinite(ground.area_m2).all())
    estimates: dict[str, Any] = {
        "buildings": _rows(expected[0], drawn[0], float(total)),
        "built_area_m2": _rows(expected[1], drawn[1], float(area_m2.sum())) if known_area else None,
    }
    if share.status in (ESTIMATED, LIMITED):
        damaged = estimates["buildings"]["damaged"]
        low, high = (bound / total for bound in damaged["interval_95"])
        share = replace(share, interval_95=(low, high))
        if weights is not None and share.status == ESTIMATED:
            share = replace(share, most_likely=damaged["expected"] / total)
    return share, estimates


def _structure_totals(
    probabilities: Floats, spread: Floats, area_m2: Floats, block: NDArray[np.intp], share: ShareEstimate,
    weights: Floats | None, rng: np.random.Generator,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Expected (2, 5) and drawn (2, D, 5) numbers and areas of buildings by their structure."""
    cells = Cells.of(probabilities, spread, area_m2)
    normal = rng.standard_normal((DRAWS, 3))
    of_share = Cells.of(probabilities, spread, area_m2, OF_SHARE)
    if weights is None or share.status not in (ESTIMATED, LIMITED):
        shares = _draw_shares(of_share, block, normal[:, 0], share, rng)
    else:
        shares = rng.choice(SHARES, DRAWS, p=weights)
        normal[:, 0] *= SPREAD_LEFT
    return np.stack(_expected(cells, share.value)), np.stack(_draw_totals(cells, normal, shares, rng))


def _water_totals(
    wet: InundatedBuildings, structure: Floats, area_m2: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Expected (2, 5) and drawn (2, D, 5) numbers and areas of buildings in water: the share of damaged ones is that of another site."""
    weights = np.stack([np.ones(len(area_m2)), area_m2])
    drawn = np.zeros((2, DRAWS, len(GRADES) + 1))
    for number, rate in enumerate(rng.beta(*IN_WATER, DRAWS)):
        p = wet.grades(structure, rate)
        noise = np.sqrt(weights**2 @ (p * (1 - p)))
        drawn[:, number] = weights @ p + rng.standard_normal(len(GRADES) + 1) * noise
    return weights @ wet.grades(structure, IN_WATER_MEAN), np.clip(drawn, 0, weights.sum(axis=1)[:, None, None])


def _draw_shares(
    cells: Cells, block: NDArray[np.intp], normal: Floats, share: ShareEstimate, rng: np.random.Generator
) -> Floats:
    """(D,) shares: estimated anew from resampled blocks and shifted evidence; the one used where it is no estimate.
    Where the two opinions differ, every share between them is as likely."""
    if share.status not in (ESTIMATED, LIMITED):
        return np.full(len(normal), share.value)
    shares = np.concatenate(
        [
            likely_shares(
                cells.log_odds[:, 0] + normal[rows, None] * cells.spread[:, 0], _resampled(cells, block, len(rows), rng)
            )
            for rows in _chunks(len(normal))
        ]
    )
    if share.reason == DIFFER and share.second_opinion is not None:
        other = logit(np.clip(share.second_opinion, 1e-3, 1 - 1e-3))
        mixed = rng.random(len(shares))
        shares = expit(mixed * logit(shares) + (1 - mixed) * other)
    return shares


def _resampled(cells: Cells, block: NDArray[np.intp], draws: int, rng: np.random.Generator) -> Floats:
    """(draws, M) buildings in each cell where whole blocks, or single buildings of few blocks, are drawn again."""
    blocks = int(block.max()) + 1
    total = cells.number.sum()
    if blocks < MIN_BLOCKS:
        return rng.multinomial(int(total), cells.number / total, size=draws).astype(float)
    from scipy.sparse import coo_array

    table = coo_array((np.ones(len(block)), (block, cells.cell)), shape=(blocks, len(cells.number))).tocsr()
    return np.asarray(rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws) @ table, float)


def _draw_totals(cells: Cells, normal: Floats, shares: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(D, 5) numbers, and (D, 5) areas: the four grades, and major damage or worse."""
    numbers, areas = np.empty((len(shares), 5)), np.empty((len(shares), 5))
    for rows in _chunks(len(shares)):
        moved = cells.log_odds + normal[rows][:, None] * cells.spread
        moved[..., 0] += logit(np.clip(shares[rows], 1e-6, 1 - 1e-6))[:, None]
        p = _append_damaged(grades_of_sides(moved))
        chance = p * (1 - p)
        for out, weight, squares in (
            (numbers, cells.number, cells.number),
            (areas, cells.area, cells.area_squares),
        ):
            total = np.einsum("m,dmk->dk", weight, p)
            noise = np.sqrt(np.einsum("m,dmk->dk", squares, chance))
            out[rows] = np.clip(total + rng.standard_normal(total.shape) * noise, 0, weight.sum())
    return numbers, areas


def _expected(cells: Cells, share: float) -> tuple[Floats, Floats]:
    """(5,) expected numbers and areas at one share."""
    p = _append_damaged(grades_of_sides(cells.log_odds + np.array([logit(share), 0.0, 0.0])))
    return cells.number @ p, cells.area @ p


def _append_damaged(p: Floats) -> Floats:
    return np.concatenate([p, p[..., MAJOR:].sum(axis=-1, keepdims=True)], axis=-1)


def _rows(expected: Floats, drawn: Floats, most: float) -> dict[str, Any]:
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return {
        name: {"expected": float(expected[k]), "interval_95": [float(low[k]), float(min(high[k], most))]}
        for k, name in enumerate((*GRADES, "damaged"))
    }


def _chunks(draws: int) -> list[NDArray[np.intp]]:
    return [np.arange(start, min(start + CHUNK, draws)) for start in range(0, draws, CHUNK)]


def expected_count(prob: NDArray[np.floating]) -> dict[str, Any]:
    """Expected number of positives and its interval, from calibrated independent probabilities.

    E = Σp, variance = Σp(1−p): only the doubt about each building, so a lower bound of the doubt about the sum.

    >>> expected_count(np.repeat([0.9, 0.05], [100, 900]))["sd"].round(2)
    np.float64(7.19)
    """
    total, sd = float(prob.sum()), np.sqrt((prob * (1 - prob)).sum())
    bounds = [max(total - Z95 * sd, 0.0), min(total + Z95 * sd, float(len(prob)))]
    return {"expected": total, "sd": sd, "interval_95": bounds}


def block_bootstrap(
    flags: NDArray[np.bool_] | NDArray[np.floating], block: NDArray[np.intp], rng: np.random.Generator
) -> list[float] | None:
    """95 % percentile interval of a count when whole blocks are drawn with replacement, scaled to all buildings.
    flags : (N,) 0/1 grades, or probabilities (then each building's own doubt is added as Σp(1−p) noise). None when
    fewer than MIN_BLOCKS blocks are occupied."""
    number = int(block.max()) + 1
    if number < MIN_BLOCKS:
        return None
    weights = flags.astype(float)
    sums = np.bincount(block, weights, number)
    sizes = np.bincount(block, minlength=number)
    noise = np.bincount(block, weights * (1 - weights), number)
    draws = rng.multinomial(number, np.full(number, 1 / number), size=REPLICATES)
    totals = draws @ sums + rng.standard_normal(REPLICATES) * np.sqrt(draws @ noise)
    shares = np.clip(totals / (draws @ sizes), 0, 1)
    low, high = np.quantile(shares, [0.025, 0.975]) * len(flags)
    return [float(low), float(high)]


def widest(*intervals: list[float] | tuple[float, float] | None) -> list[float]:
    """The interval from the lowest to the highest bound given; None is passed over."""
    known = [interval for interval in intervals if interval is not None]
    return [min(low for low, _ in known), max(high for _, high in known)]


@dataclass(frozen=True)
class Rate:
    """A rate with its spread between sites: `mean` and `sd`, both in 0–1."""

    mean: float
    sd: float

    def draw(self, rng: np.random.Generator, number: int) -> NDArray[np.float64]:
        """(number,) rates of sites like those of the fit: a beta distribution of this mean and spread."""
        mean = min(max(self.mean, 1e-3), 1 - 1e-3)
        variance = min(max(self.sd, LEAST_SD) ** 2, 0.9 * mean * (1 - mean))
        strength = mean * (1 - mean) / variance - 1
        return rng.beta(mean * strength, (1 - mean) * strength, number)


@dataclass(frozen=True)
class GradingRates:
    """Share of the damaged buildings that are called damaged, and of the others that are not. Damaged: major damage or
    worse; called so where the probability at an even prior is at least one half."""

    sensitivity: Rate
    specificity: Rate

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Plain values, for model file and summary."""
        return {name: {key: round(value, 4) for key, value in part.items()} for name, part in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> GradingRates:
        """Read what `to_dict` wrote. Errors: KeyError or TypeError for anything else."""
        sides = (content["sensitivity"], content["specificity"])
        return cls(*(Rate(float(side["mean"]), float(side["sd"])) for side in sides))

    def draw_counts(self, called: int, buildings: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(4000,) true numbers of damaged buildings that go with `called` of `buildings`, 0 … buildings. Each draw
        takes the rates of one site, undoes them, and adds the chance of single buildings."""
        sensitivity, specificity = (side.draw(rng, RATE_DRAWS) for side in (self.sensitivity, self.specificity))
        gain = np.maximum(sensitivity + specificity - 1, LEAST_GAIN)
        count = np.clip((called - (1 - specificity) * buildings) / gain, 0, buildings)
        chance = count * sensitivity * (1 - sensitivity) + (buildings - count) * specificity * (1 - specificity)
        return np.clip(count + rng.standard_normal(RATE_DRAWS) * np.sqrt(chance) / gain, 0, buildings)


# Of a site unlike those of the fit: anything from chance to perfect (mean and spread of a uniform rate in 0.5–1).
UNKNOWN_RATES = GradingRates(Rate(0.75, 0.1443), Rate(0.75, 0.1443))


def fit_rates(called: NDArray[np.bool_], damaged: NDArray[np.bool_], site: NDArray[np.object_]) -> GradingRates:
    """Rates over sites, every site with enough buildings of a side counting the same.
    called : (N,) calls on buildings left out of the fit; damaged : (N,) truth; site : (N,) names."""
    return GradingRates(
        _rate(called[damaged], site[damaged]),
        _rate(~called[~damaged], site[~damaged]),
    )


def _rate(right: NDArray[np.bool_], site: NDArray[np.object_]) -> Rate:
    """Mean of the sites' rates and the spread of one site around it; of all buildings where sites are too small."""
    sites = pd.Series(right.astype(float)).groupby(np.asarray(site, dtype=object)).agg(["mean", "size"])
    sites = sites[sites["size"] >= LEAST_AT_SITE]
    if len(sites) < 2:
        mean = float((right.sum() + 1) / (len(right) + 2))
        return Rate(mean, float(np.sqrt(mean * (1 - mean) / max(len(right), 1))))
    return Rate(float(sites["mean"].mean()), float(sites["mean"].std(ddof=1)))


def count_interval(parts: list[tuple[GradingRates, int, int]], rng: np.random.Generator) -> list[float]:
    """95 % interval of the true number of damaged buildings.
    parts : rates, number called damaged and number of buildings, for each kind of input that buildings were graded by."""
    total = np.sum([rates.draw_counts(called, buildings, rng) for rates, called, buildings in parts], axis=0)
    low, high = np.quantile(total, [0.025, 0.975])
    return [float(low), float(high)]


def corrected_share(parts: list[tuple[GradingRates, int, int]]) -> float | None:
    """Share of damaged buildings from the number of calls and how often they are right (Rogan & Gladen 1978); None without buildings.

    parts : the same as in `count_interval`. For two classes it is also what black-box shift estimation solves (Lipton et al. 2018).

    >>> rates = GradingRates(Rate(0.70, 0.03), Rate(0.96, 0.01))
    >>> round(corrected_share([(rates, 1200, 10_000)]), 6)
    0.121212
    """
    buildings = sum(number for _, _, number in parts)
    if buildings == 0:
        return None
    total = 0.0
    for rates, called, number in parts:
        gain = max(rates.sensitivity.mean + rates.specificity.mean - 1, LEAST_GAIN)
        total += min(max((called - (1 - rates.specificity.mean) * number) / gain, 0.0), float(number))
    return total / buildings


def share_by_calls(
    damaged: NDArray[np.float64], method: NDArray[np.object_], rates: Mapping[str, Mapping[str, Any]]
) -> float | None:
    """The corrected share from probabilities (N,) of damage where half are damaged, NaN where not assessed; None where some rates are not known.

    method : (N,) how each was assessed; rates : of each method, as `GradingRates.to_dict` writes them."""
    assessed = np.isfinite(damaged)
    parts = [
        (GradingRates.from_dict(rates[name]), int((damaged[rows] >= 0.5).sum()), int(rows.sum()))
        for name, rows in ((name, assessed & (method == name)) for name in rates)
    ]
    counted = sum(number for _, _, number in parts) == assessed.sum()
    return corrected_share(parts) if counted else None
