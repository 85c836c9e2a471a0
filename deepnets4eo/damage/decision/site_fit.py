"""One site as a whole: how far its evidence is shifted, how many of its buildings are damaged, and what each building is.

The shifts and the share of damaged buildings are estimated together. A known share is kept.

Each combination is weighed by how well it explains the site and by its prior probability (two normal distributions with
an empirical prior, Efron 2010).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.damage.table.probabilities import (
    MAX_LOG_ODDS,
    adjust_to_share,
    set_damaged_probability,
    side_log_odds,
)
from deepnets4eo.damage.table.vocabulary import MAJOR

# Shares that are weighed. Half of all sites are taken to have no damage: chosen by the calibration of made-up sites left out.
SHARES = np.array([0.002, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, *np.arange(0.3, 0.81, 0.1), 0.85, 0.9, 0.95, 0.98, 0.998])
INTACT_SITES = 0.5
LEVELS = np.linspace(-2.5, 2.5, 11)  # of either kind, in standard deviations between sites
MIN_APART_LOG_ODDS = 0.2  # log-odds: damaged buildings lie that far above intact ones at every site
MAX_INFORMATION = 30.0  # buildings: those of one site err together, so that more of them say no more of its levels
# Buildings whose log-odds lie two deviations within a site above the highest level of intact ones (two deviations between sites) are clear:
# at real places 228 of 229 of them were damaged, and none of some 1,400 intact ones was clear. Where they are three and a share of 0.05 or more, their
# number counts as if of ten buildings, so that it is no longer likely that none is damaged. Chosen at eight made-up sites: intervals of
# mean width .43 → .34 with the truth in the same seven; fewer clear ones, or none, said nothing there of damage that hardly shows.
CLEAR_AWAY = 2.0
MIN_CLEAR, MIN_CLEAR_SHARE, CLEAR_INFORMATION = 3, 0.05, 10.0
STEP = 0.25  # of log-odds; buildings in one step count together
MIN_AT_SITE = 8  # buildings of a kind for a site to say where that kind lies
MIN_SD = 0.1

HALVINGS = 40
ROUNDED = 0.5  # buildings by which a count and the ends of its interval may differ by being whole numbers
NORMAL_MAD = 0.6744897501960817  # median absolute deviation of a normal distribution of deviation 1
GIVEN_SHARE, ESTIMATED_SHARE = "given", "estimated"


@dataclass(frozen=True)
class PartialDamage:
    """Major damage between intact and destroyed buildings, at sites whose levels lie far apart.

    One normal distribution cannot hold both groups of damaged buildings there: destroyed houses raise the level, and houses with major
    damage get low probabilities. Chosen on 73 synthetic cities (seeds 30000 to 30059, 2026 and 1 to 12), with 38 real jobs looked at.
    """

    share: float = 0.25  # of the damaged buildings
    position: float = 0.6  # from the level of intact buildings (0) to the level of destroyed ones (1)
    min_apart: float = 4.0  # standard deviations within a site between both levels; one more for the whole group

    def shares(self, apart: Floats) -> Floats:
        """Return the group's share of the damaged buildings. apart : between the levels, in standard deviations within a site."""
        return np.asarray(self.share * np.clip(apart - self.min_apart, 0, 1))


PARTIAL_DAMAGE = PartialDamage()


@dataclass(frozen=True)
class AnchorRules:
    """Rules by which roofs that are certainly found again show the level of intact buildings of the same site.

    Looked at: Kahramanmaras 4, Adiyaman 6 and 2 NE, Joplin, and ten synthetic cities. At 11 of these 14 the other intact buildings lie 0.6 to
    1.5 log-odds above such roofs (Adiyaman 6 with nine such roofs 3.1), with a deviation within the site of 0.8 to 1.6.
    """

    min_roofs: int = 20  # the median of fewer is not known to a third of a deviation
    others_above: float = 1.0  # log-odds between such roofs and intact buildings whose roof is not found again
    others_spread: float = 0.7  # standard deviation of that between sites
    fit_counts: float = 10.0  # roofs, as which the deviation within the sites of the fit counts


ANCHOR = AnchorRules()


@dataclass(frozen=True)
class SiteShift:
    """Distribution of log-odds of damage at sites: normal within a site, around levels that differ from site to site.

    level, between : mean and standard deviation of the levels of intact and of damaged buildings, if half are damaged; correlation : of
    both levels; within : standard deviation in a site."""

    level: tuple[float, float]
    between: tuple[float, float]
    correlation: float
    within: float
    most_information: float = MAX_INFORMATION

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        kinds = ("intact", "damaged")
        return {
            "level": dict(zip(kinds, (round(x, 3) for x in self.level), strict=True)),
            "between": dict(zip(kinds, (round(x, 3) for x in self.between), strict=True)),
            "correlation": round(self.correlation, 3),
            "within": round(self.within, 3),
            "most_information": self.most_information,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> SiteShift:
        """Read what `to_dict` wrote. Errors: KeyError, TypeError, ValueError."""
        pairs = [(float(content[name]["intact"]), float(content[name]["damaged"])) for name in ("level", "between")]
        correlation, within, most = (float(content[name]) for name in ("correlation", "within", "most_information"))
        shift = cls(pairs[0], pairs[1], correlation, within, most)
        if min(*shift.between, shift.within, shift.most_information) <= 0 or not abs(shift.correlation) < 1:
            raise ValueError(f"spreads of {shift} are not above 0")
        return shift

    def widen(self, weight: float, other: SiteShift | None = None) -> SiteShift:
        """Return the shift of log-odds if a share `weight` of them comes from a score. other : of the score; None if it was not measured."""
        own, most, kept = 1 - weight, self.most_information, kept_doubt(weight, measured=other is not None)
        others_most = min(most, UNKNOWN_SITE.most_information) if other is None else other.most_information
        other = UNKNOWN_SITE if other is None else other
        intact, damaged = (own * a + weight * b for a, b in zip(self.level, other.level, strict=True))
        between = [float(np.hypot(kept * a, weight * b)) for a, b in zip(self.between, other.between, strict=True)]
        return SiteShift(
            (intact, damaged), (between[0], between[1]), own * self.correlation, own * self.within + weight * other.within,
            own * most + weight * others_most,
        )  # fmt: skip

    def with_anchor(self, roofs: Floats, rules: AnchorRules = ANCHOR) -> SiteShift:
        """Return the shift of a site where roofs with these log-odds (R,) are surely found again.

        Their median measures the level of intact buildings, their robust deviation the deviation within this site, both together with those
        of other sites. The level of damaged buildings follows by the correlation. The shift is unchanged for few roofs, and for roofs that
        differ more than buildings of one kind do: after storms, many of them are damaged (Joplin: 28 of 59, deviation 3.0)."""
        count = len(roofs)
        if count < rules.min_roofs:
            return self
        middle = float(np.median(roofs))
        deviation = float(np.median(np.abs(roofs - middle))) / NORMAL_MAD
        if deviation > self.within:
            return self
        counts = rules.fit_counts, count
        within = float(np.sqrt(np.average([self.within**2, deviation**2], weights=counts)))
        (intact, damaged), (sd_intact, sd_damaged) = self.level, self.between
        share = sd_intact**2 / (sd_intact**2 + rules.others_spread**2 + within**2 / count)  # of what is measured here
        step = share * (middle + rules.others_above - intact)
        kept = 1 - self.correlation**2 * share  # of the variance of damaged levels
        level = (intact + step, damaged + self.correlation * sd_damaged / sd_intact * step)
        between = (sd_intact * math.sqrt(1 - share), sd_damaged * math.sqrt(kept))
        correlation = self.correlation * math.sqrt((1 - share) / kept)
        return SiteShift(level, between, correlation, within, self.most_information)

    def levels(self) -> tuple[Floats, Floats]:
        """Return (T, 2) levels that are weighed, and the logarithms (T,) of their weights beforehand."""
        intact, other = (values.ravel() for values in np.meshgrid(LEVELS, LEVELS, indexing="ij"))
        damaged = self.correlation * intact + np.sqrt(1 - self.correlation**2) * other
        theta = np.array(self.level) + np.stack([intact, damaged], axis=1) * self.between
        apart = theta[:, 1] - theta[:, 0] >= MIN_APART_LOG_ODDS
        return theta[apart], -0.5 * (intact**2 + other**2)[apart]

    def evidence(self, log_odds: Floats, information: float) -> Floats:
        """Return (P, T) logarithms of how well each pair of `SHARES` and `levels` explains the buildings. information : of each, at most 1."""
        theta, weight = self.levels()
        steps, number = np.unique(np.rint(log_odds / STEP), return_counts=True)
        intact, damaged = self._log_densities(steps * STEP, theta)
        most = np.maximum(intact, damaged)
        share = SHARES[:, None, None]
        mixed = np.log(share * np.exp(damaged - most) + (1 - share) * np.exp(intact - most)) + most
        return np.asarray(mixed @ number * information + weight + self._of_clear(log_odds, theta, information))

    def _log_densities(self, log_odds: Floats, theta: Floats) -> tuple[Floats, Floats]:
        """Return (T, S) logarithms of the densities of intact and of damaged buildings at levels theta (T, 2), up to a constant."""
        apart = (theta[:, 1] - theta[:, 0])[:, None]
        levels = (theta[:, [0]], theta[:, [1]], theta[:, [0]] + PARTIAL_DAMAGE.position * apart)
        intact, destroyed, partial = (-0.5 * ((log_odds - level) / self.within) ** 2 for level in levels)
        share = PARTIAL_DAMAGE.shares(apart / self.within)
        with np.errstate(divide="ignore"):  # no such group
            return intact, np.logaddexp(np.log1p(-share) + destroyed, np.log(share) + partial)

    def _of_clear(self, log_odds: Floats, theta: Floats, information: float) -> Floats | float:
        """Return what the number of clear buildings adds to `evidence`, for levels theta (T, 2).

        The result is 0 if few buildings are clear, or if all buildings count more than the clear ones."""
        trust = min(1.0, information * CLEAR_INFORMATION / self.most_information)
        limit = self.level[0] + CLEAR_AWAY * (self.between[0] + self.within)
        total, clear = len(log_odds), int((log_odds > limit).sum())
        if clear < max(MIN_CLEAR, MIN_CLEAR_SHARE * total) or self.most_information >= CLEAR_INFORMATION:
            return 0.0
        intact, damaged = (scipy.special.ndtr((theta[:, kind] - limit) / self.within) for kind in (0, 1))
        rate = np.clip(SHARES[:, None] * damaged + (1 - SHARES[:, None]) * intact, 1e-6, 1 - 1e-6)
        return np.asarray(trust * (clear * np.log(rate) + (total - clear) * np.log(1 - rate)))

    def probabilities(self, weights: Floats, log_odds: Floats, information: float = 1.0) -> Floats:
        """Return (N,) probabilities of damage, averaged over shares and levels by (P, T) weights.

        The weights contain each building by its `information`, since buildings of one site err together. A building's own evidence counts
        in full for itself: without it, strong evidence at a site with little damage drowned in the share of the site."""
        theta, _ = self.levels()
        share, level = np.nonzero(weights > weights.max() * 1e-4)
        steps = np.arange(-MAX_LOG_ODDS, MAX_LOG_ODDS + STEP, STEP / 2)
        intact, damaged = (density[level] for density in self._log_densities(steps, theta))
        prior = SHARES[share][:, None]
        explained = np.logaddexp(np.log(prior) + damaged, np.log1p(-prior) + intact)
        used = np.log(weights[share, level])[:, None] + (1 - information) * explained
        used = np.exp(used - used.max(axis=0))
        chance = scipy.special.expit(damaged - intact + scipy.special.logit(prior))
        at_steps = np.clip((used * chance).sum(axis=0) / used.sum(axis=0), 1e-12, 1 - 1e-12)
        return np.asarray(scipy.special.expit(np.interp(log_odds, steps, scipy.special.logit(at_steps))))


def kept_doubt(weight: float, *, measured: bool) -> float:
    """Return the share of the doubt between sites that stays if a share `weight` of the log-odds comes from a score.

    All of it if the reliability of the score was not measured: the score may err at the same sites."""
    return 1 - weight if measured else 1.0


# Levels such that log-odds count as they are; as unsure of them, and of how much many buildings say, as of a network at a new place.
UNKNOWN_SITE = SiteShift((-1.0, 1.0), (1.0, 1.0), 0.0, 2**0.5, 3.0)


def fit_site_shift(
    log_odds: Floats, damaged: Mask, site: NDArray[np.generic], most_information: float = MAX_INFORMATION
) -> SiteShift:
    """Measure how far sites differ, by moments of left-out log-odds; `UNKNOWN_SITE` for too few sites."""
    # The variance of a site's mean within the site is taken off the variance between sites, or sites with few buildings would make sites
    # look more different than they are.
    names, number = np.unique(site, return_inverse=True)
    log_odds = np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)
    kinds = [_levels_of_sites(log_odds[rows], number[rows], len(names)) for rows in (~damaged, damaged)]
    if min(np.isfinite(means).sum() for means, _ in kinds) < 2:
        return UNKNOWN_SITE
    level, sd, variances = [], [], []
    for means, variance_and_noise in kinds:
        variance, noise = np.nanmean(variance_and_noise, axis=1)
        level.append(float(np.nanmean(means)))
        sd.append(float(np.sqrt(max(np.nanvar(means, ddof=1) - noise, MIN_SD**2))))
        variances.append(variance)
    both = np.isfinite(kinds[0][0] + kinds[1][0])
    together = float(np.cov(kinds[0][0][both], kinds[1][0][both])[0, 1]) if both.sum() >= 3 else 0.0
    correlation = float(np.clip(together / (sd[0] * sd[1]), -0.9, 0.9))
    within = max(float(np.sqrt(np.mean(variances))), MIN_SD)
    return SiteShift((level[0], level[1]), (sd[0], sd[1]), correlation, within, most_information)


def _levels_of_sites(log_odds: Floats, number: NDArray[np.intp], sites: int) -> tuple[Floats, Floats]:
    """Return (S,) the mean of each site, and (2, S) the variance of each site and of its mean; NaN for few buildings."""
    count = np.bincount(number, minlength=sites).astype(float)
    count[count < MIN_AT_SITE] = np.nan
    mean = np.bincount(number, log_odds, sites) / count
    square = np.bincount(number, log_odds**2, sites) / count
    variance = np.maximum(square - mean**2, 0) * count / (count - 1)
    return mean, np.stack([variance, variance / count])


def site_posterior(
    parts: Sequence[tuple[SiteShift, Floats]], damaged_share: float | None = None, counted: Sequence[Mask] | None = None
) -> tuple[Floats, list[Floats]]:
    """Return the weights (P,) of `SHARES` at a site, sum 1, and for each part the probabilities (N,) of damage of its buildings.

    parts : shift and log-odds (N,) of each variant of a model; damaged_share : if known; counted : (N,) that the weights rest on."""
    # Shares and levels are a grid that is summed, not a maximum that is climbed (EM): the interval of the number of damaged buildings needs
    # all combinations that explain the site. A share alone, without levels, ran to 0 or 1 (Joplin 0.98, with all intact buildings called
    # damaged). Buildings of one site err together, so all of them count as `most_information` ones, or hundreds of them would leave one
    # combination.
    if counted is None:
        counted = [np.ones(len(log_odds), bool) for _, log_odds in parts]
    numbers = [int(rows.sum()) for rows in counted]
    most = _of_most_buildings([shift.most_information for shift, _ in parts], numbers)
    information = min(1.0, most / max(sum(numbers), 1))
    parts = [(shift, np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)) for shift, log_odds in parts]
    tables = [
        shift.evidence(log_odds[rows], information) for (shift, log_odds), rows in zip(parts, counted, strict=True)
    ]
    tables = [np.exp(table - table.max()) for table in tables]
    by_share = [table.sum(axis=1) for table in tables]
    weights = _prior() * np.prod(by_share, axis=0) if damaged_share is None else _around(damaged_share)
    weights = weights / weights.sum()
    probabilities = [
        shift.probabilities(table / np.maximum(sums, 1e-300)[:, None] * weights[:, None], log_odds, information)
        for (shift, log_odds), table, sums in zip(parts, tables, by_share, strict=True)
    ]
    return weights, probabilities


def _of_most_buildings(information: Sequence[float], numbers: Sequence[int]) -> float:
    """Return the smallest information that half of the buildings or more do not exceed: a few of another kind decide for no site."""
    if not sum(numbers):
        return MAX_INFORMATION
    order = np.argsort(information, kind="stable")
    reached = np.cumsum(np.array(numbers)[order]) * 2 >= sum(numbers)
    return float(information[order[int(reached.argmax())]])


def _prior() -> Floats:
    """Return (P,) weights of `SHARES` beforehand."""
    edges = np.concatenate([[0.0], (SHARES[1:] + SHARES[:-1]) / 2, [1.0]])
    return (1 - INTACT_SITES) * np.diff(edges) + INTACT_SITES * (SHARES[0] == SHARES)


def _around(share: float) -> Floats:
    """Return (P,) weights of `SHARES` whose mean is a known share."""
    share = float(np.clip(share, SHARES[0], SHARES[-1]))
    weights = np.zeros(len(SHARES))
    high = min(max(int(np.searchsorted(SHARES, share)), 1), len(SHARES) - 1)
    part = (share - SHARES[high - 1]) / (SHARES[high] - SHARES[high - 1])
    weights[high - 1], weights[high] = 1 - part, part
    return weights


@dataclass(frozen=True)
class SiteFit:
    """A site's weights (P,) of `SHARES`, probabilities `even` (N, 4) where half are damaged, and prior share."""

    weights: Floats
    even: Floats
    prior: float
    status: str = ESTIMATED_SHARE

    @property
    def share_is_given(self) -> bool:
        """Return True if the share of damaged buildings is known, but not which."""
        return self.status == GIVEN_SHARE

    def draw_shares(self, rng: np.random.Generator, number: int) -> Floats:
        """Draw shares of damaged buildings (number,) by their weights."""
        return rng.choice(SHARES, number, p=self.weights)

    def rows(self, keep: Mask) -> SiteFit:
        """Return the fit of some of the buildings."""
        return replace(self, even=self.even[keep])

    def with_doubt(self, rows: Mask, spread: float) -> SiteFit:
        """Average the probabilities of damage of some buildings (N,) over a normal shift of their log-odds.

        spread : standard deviation of the shift. The average of a logistic function over a normal distribution is nearly the
        function of smaller log-odds (MacKay 1992). Each side keeps its proportions.
        """
        if not rows.any():
            return self
        even, smaller = self.even.copy(), side_log_odds(self.even[rows])[:, 0] / np.sqrt(1 + np.pi / 8 * spread**2)
        even[rows] = set_damaged_probability(even[rows], scipy.special.expit(smaller))
        return replace(self, even=even)

    @property
    def probabilities(self) -> Floats:
        """Return (N, 4) of the grades at this site."""
        return self.at_share(self.prior)

    def at_share(self, share: float) -> Floats:
        """Return (N, 4) probabilities of the grades at a share of damaged buildings."""
        return adjust_to_share(self.even, share)

    @property
    def intact(self) -> float:
        """Probability that the site has no damage; 0 where the share was given."""
        return float(self.weights[0]) if self.status == ESTIMATED_SHARE else 0.0


def fit_to_site(
    probabilities: Floats,
    kind: NDArray[np.generic],
    shifts: Mapping[str, SiteShift],
    damaged_share: float | None = None,
    apart: Mask | None = None,
    anchors: Mask | None = None,
) -> SiteFit:
    """Fit probabilities to the site of their buildings.

    kind : (N,) keys of the shifts; apart : (N,) buildings ignored in the share; anchors : (N,) roofs that are surely found again"""
    rows = [(name, np.flatnonzero((kind == name) & np.isfinite(probabilities[:, 0]))) for name in shifts]
    rows = [(name, index) for name, index in rows if len(index)]
    counts = np.isfinite(probabilities[:, 0]) & (True if apart is None else ~apart)
    parts = [(shifts[name], side_log_odds(probabilities[index])[:, 0]) for name, index in rows]
    if anchors is not None:
        parts = [
            (shift.with_anchor(log_odds[anchors[index]]), log_odds)
            for (shift, log_odds), (_, index) in zip(parts, rows, strict=True)
        ]
    weights, damaged = site_posterior(parts, damaged_share, [counts[index] for _, index in rows])
    prior = float(weights @ SHARES)
    even = probabilities.copy()
    for (_, index), p in zip(rows, damaged, strict=True):
        at_half = scipy.special.expit(scipy.special.logit(np.clip(p, 1e-6, 1 - 1e-6)) - scipy.special.logit(prior))
        even[index] = set_damaged_probability(probabilities[index], at_half)
    if damaged_share is None:
        return SiteFit(weights, even, prior)
    return SiteFit(weights, even, prior_of_mean(even[counts], damaged_share), GIVEN_SHARE)


def prior_of_mean(even: Floats, share: float) -> float:
    """Return the prior share that makes probabilities (N, 4), correct if half are damaged, have the given mean."""
    if len(even) == 0:
        return share
    low, high = -3 * MAX_LOG_ODDS, 3 * MAX_LOG_ODDS
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        mean = adjust_to_share(even, float(scipy.special.expit(middle)))[:, MAJOR:].sum(axis=1).mean()
        low, high = (middle, high) if mean < share else (low, middle)
    return float(scipy.special.expit(middle))


@dataclass(frozen=True)
class ShareEstimate:
    """The share of damaged among assessed buildings with its interval.

    intact : probability that none is damaged; contradicted : whether the number that is classified as damaged lies outside the interval"""

    value: float
    status: str
    interval_95: tuple[float, float] | None
    intact: float
    prior: float
    contradicted: bool = False

    def against(self, classified: int, assessed: int) -> ShareEstimate:
        """Return the share checked against the number of buildings that are classified as damaged: many uncertain ones may all be called undamaged."""
        low, high = (bound * assessed for bound in self.interval_95 or (0.0, 1.0))
        return replace(self, contradicted=not low - ROUNDED <= classified <= high + ROUNDED)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for summary and manifest."""
        return asdict(self)
