"""One site as a whole: how far its evidence is shifted, how many of its buildings are damaged, and what each building is then.

Other light, seasons, sensors and ways to build move the log-odds of all buildings of a site, and not by the same amount for
intact and for damaged ones. How far sites differ is measured at sites that were left out of the fit (`fit_site_shift`). At a new site
the two levels and the share of damaged buildings are unknown together: `site_posterior` weighs every combination by how
well it explains the log-odds of the site, and by how likely it is beforehand (Bayesian mixture of two normal
distributions with an empirical prior; Efron 2010 for such priors); `fit_to_site` makes the probabilities of the grades follow.

Where no shift was measured, the share alone is estimated from log-odds that hold where half of the buildings are damaged: the
most likely one (Saerens, Latinne & Decaestecker 2002), beside a second opinion from the number of buildings called damaged (Rogan &
Gladen 1978). Where damage is rare, log-odds for one half name more intact buildings damaged than there are damaged ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.probabilities import MOST_LOG_ODDS, set_damaged_probability, side_log_odds

# Shares that are weighed. Half of all sites are taken to have no damage: chosen by the calibration of made-up sites left out.
SHARES = np.array([0.002, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, *np.arange(0.3, 0.81, 0.1), 0.85, 0.9, 0.95, 0.98, 0.998])
INTACT_SITES = 0.5
LEVELS = np.linspace(-2.5, 2.5, 11)  # of either kind, in standard deviations between sites
LEAST_APART = 0.2  # log-odds: damaged buildings lie that far above intact ones at every site
MOST_INFORMATION = 30.0  # buildings: those of one site err together, so that more of them say no more of its levels
STEP = 0.25  # of log-odds; buildings in one step count together
LEAST_AT_SITE = 8  # buildings of a kind for a site to say where that kind lies
LEAST_SD = 0.1

PSEUDO_COUNT = 1.0  # buildings of either kind added, so that few buildings move the share little
HALVINGS = 40
LEAST_BUILDINGS = 20  # fewer say too little about their share
LIMITS = 0.02, 0.98  # of a share in which both opinions agree: plainly damaged buildings are still named
NARROW_LIMITS = 0.05, 0.5  # of any other: a high share would make the evidence confirm itself
MOST_RATIO = 2.0  # between the two opinions, of the damaged and of the intact share
LEAST_COMPARED = 0.05  # smaller shares count as this one where the opinions are compared
BY_USER, ESTIMATED, LIMITED, EVEN = "given", "estimated", "limited", "even"
TOO_FEW, DIFFER, UNLIKE_FIT = "too few buildings", "the two estimates differ", "evidence unlike that of the fit"


@dataclass(frozen=True)
class SiteShift:
    """How log-odds of damage lie at sites that were left out: normal within a site, around levels that differ from site to site.

    level : (2,) mean levels of the intact and of the damaged buildings, where half are damaged; between : (2,) their standard deviations
    between sites; correlation : of both levels; within : standard deviation in a site; most_information : see `MOST_INFORMATION`.

    >>> shift = SiteShift((-1.0, 1.0), (0.6, 0.8), 0.4, 1.0)
    >>> SiteShift.from_dict(shift.to_dict()) == shift
    True
    """

    level: tuple[float, float]
    between: tuple[float, float]
    correlation: float
    within: float
    most_information: float = MOST_INFORMATION

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model file."""
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
        """Read what `to_dict` wrote. Errors: KeyError, TypeError or ValueError for anything else."""
        pairs = [(float(content[name]["intact"]), float(content[name]["damaged"])) for name in ("level", "between")]
        correlation, within, most = (float(content[name]) for name in ("correlation", "within", "most_information"))
        shift = cls(pairs[0], pairs[1], correlation, within, most)
        if min(*shift.between, shift.within, shift.most_information) <= 0 or not abs(shift.correlation) < 1:
            raise ValueError(f"spreads of {shift} are not above 0")
        return shift

    def levels(self) -> tuple[Floats, Floats]:
        """(T, 2) levels that are weighed, and the logarithms (T,) of their weights beforehand."""
        intact, other = (values.ravel() for values in np.meshgrid(LEVELS, LEVELS, indexing="ij"))
        damaged = self.correlation * intact + np.sqrt(1 - self.correlation**2) * other
        theta = np.array(self.level) + np.stack([intact, damaged], axis=1) * self.between
        apart = theta[:, 1] - theta[:, 0] >= LEAST_APART
        return theta[apart], -0.5 * (intact**2 + other**2)[apart]

    def evidence(self, log_odds: Floats, information: float) -> Floats:
        """(P, T) logarithms of how well each of `SHARES` and each of `levels` explain some buildings, the levels' weights included.

        information : factor of at most 1 on what each building says."""
        theta, weight = self.levels()
        steps, number = np.unique(np.rint(log_odds / STEP), return_counts=True)
        intact, damaged = (-0.5 * ((steps * STEP - theta[:, [kind]]) / self.within) ** 2 for kind in (0, 1))
        most = np.maximum(intact, damaged)
        share = SHARES[:, None, None]
        mixed = np.log(share * np.exp(damaged - most) + (1 - share) * np.exp(intact - most)) + most
        return np.asarray(mixed @ number * information + weight)

    def probabilities(self, weights: Floats, log_odds: Floats) -> Floats:
        """(N,) probabilities of damage of buildings, averaged over shares and levels by (P, T) weights."""
        theta, _ = self.levels()
        share, level = np.nonzero(weights > weights.max() * 1e-4)
        intact, damaged = theta[level].T
        slope = (damaged - intact) / self.within**2
        steps, index = np.unique(np.rint(log_odds / STEP * 2), return_inverse=True)
        odds = slope * (steps[:, None] * STEP / 2 - (intact + damaged) / 2) + logit(SHARES[share])
        used = weights[share, level]
        return np.asarray((expit(odds) @ used / used.sum())[index])


def fit_site_shift(
    log_odds: Floats,
    damaged: NDArray[np.bool_],
    site: NDArray[np.generic],
    most_information: float = MOST_INFORMATION,
) -> SiteShift | None:
    """How far sites differ, by moments, from left-out log-odds (N,), what is damaged (N,) and sites (N,); what single buildings scatter
    is taken off. None where fewer than two sites have eight buildings of a kind."""
    names, number = np.unique(site, return_inverse=True)
    log_odds = np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)
    kinds = [_levels_of_sites(log_odds[rows], number[rows], len(names)) for rows in (~damaged, damaged)]
    if min(np.isfinite(means).sum() for means, _ in kinds) < 2:
        return None
    level, sd, variances = [], [], []
    for means, variance_and_noise in kinds:
        variance, noise = np.nanmean(variance_and_noise, axis=1)
        level.append(float(np.nanmean(means)))
        sd.append(float(np.sqrt(max(np.nanvar(means, ddof=1) - noise, LEAST_SD**2))))
        variances.append(variance)
    both = np.isfinite(kinds[0][0] + kinds[1][0])
    together = float(np.cov(kinds[0][0][both], kinds[1][0][both])[0, 1]) if both.sum() >= 3 else 0.0
    correlation = float(np.clip(together / (sd[0] * sd[1]), -0.9, 0.9))
    within = max(float(np.sqrt(np.mean(variances))), LEAST_SD)
    return SiteShift((level[0], level[1]), (sd[0], sd[1]), correlation, within, most_information)


def _levels_of_sites(log_odds: Floats, number: NDArray[np.intp], sites: int) -> tuple[Floats, Floats]:
    """(S,) mean of each site, and (2, S) its variance and the variance of its mean; NaN for sites with few buildings."""
    count = np.bincount(number, minlength=sites).astype(float)
    count[count < LEAST_AT_SITE] = np.nan
    mean = np.bincount(number, log_odds, sites) / count
    square = np.bincount(number, log_odds**2, sites) / count
    variance = np.maximum(square - mean**2, 0) * count / (count - 1)
    return mean, np.stack([variance, variance / count])


def site_posterior(
    parts: Sequence[tuple[SiteShift, Floats]],
    damaged_share: float | None = None,
    counted: Sequence[NDArray[np.bool_]] | None = None,
) -> tuple[Floats, list[Floats]]:
    """Weights (P,) of `SHARES` at a site, sum 1, and for each part the probabilities (N,) of damage of its buildings.

    parts : the shift and the log-odds (N,) of the buildings of each variant of a model; damaged_share : where it is known beforehand;
    counted : (N,) bool of each part, the buildings that the weights rest on; all of them where None.

    >>> shift = SiteShift((-1.0, 1.0), (0.6, 0.8), 0.4, 0.7)
    >>> shifted = np.repeat([-0.5, 3.0], 50)  # half of the buildings, and both kinds rougher than usual
    >>> weights, (p,) = site_posterior([(shift, shifted)])
    >>> bool(0.4 < weights @ SHARES < 0.6), bool(p[0] < 0.1), bool(p[-1] > 0.9)
    (True, True, True)
    """
    if counted is None:
        counted = [np.ones(len(log_odds), bool) for _, log_odds in parts]
    total = sum(int(rows.sum()) for rows in counted)
    most = min((shift.most_information for shift, _ in parts), default=MOST_INFORMATION)
    information = min(1.0, most / max(total, 1))
    parts = [(shift, np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)) for shift, log_odds in parts]
    tables = [
        shift.evidence(log_odds[rows], information) for (shift, log_odds), rows in zip(parts, counted, strict=True)
    ]
    tables = [np.exp(table - table.max()) for table in tables]
    by_share = [table.sum(axis=1) for table in tables]
    weights = _prior() * np.prod(by_share, axis=0) if damaged_share is None else _around(damaged_share)
    weights = weights / weights.sum()
    probabilities = [
        shift.probabilities(table / np.maximum(own, 1e-300)[:, None] * weights[:, None], log_odds)
        for (shift, log_odds), table, own in zip(parts, tables, by_share, strict=True)
    ]
    return weights, probabilities


def _prior() -> Floats:
    """(P,) weights of `SHARES` beforehand: sites without damage, and all shares alike."""
    edges = np.concatenate([[0.0], (SHARES[1:] + SHARES[:-1]) / 2, [1.0]])
    return (1 - INTACT_SITES) * np.diff(edges) + INTACT_SITES * (SHARES[0] == SHARES)


def _around(share: float) -> Floats:
    """(P,) weights of `SHARES` whose mean is a share that is known: of its two neighbours."""
    share = float(np.clip(share, SHARES[0], SHARES[-1]))
    weights = np.zeros(len(SHARES))
    high = min(max(int(np.searchsorted(SHARES, share)), 1), len(SHARES) - 1)
    part = (share - SHARES[high - 1]) / (SHARES[high] - SHARES[high - 1])
    weights[high - 1], weights[high] = 1 - part, part
    return weights


@dataclass(frozen=True)
class SiteFit:
    """What the buildings of a site say together: weights (P,) of `SHARES`; share, their mean, which stays cautious since few buildings
    count; expected, the share of buildings that are expected to be damaged; and probabilities (N, 4) where half are damaged, fitted to the
    site: `adjust_to_share` with the share makes them those of the site."""

    weights: Floats
    share: float
    expected: float
    probabilities: Floats


def fit_to_site(
    probabilities: Floats,
    kind: NDArray[np.generic],
    shifts: Mapping[str, SiteShift | None],
    damaged_share: float | None = None,
    apart: NDArray[np.bool_] | None = None,
) -> SiteFit | None:
    """Fit the probabilities (N, 4), right on average where half are damaged, to the site that their buildings belong to.

    kind : (N,) keys of the shifts, others for rows that stay as they are; damaged_share : where it is known; apart : (N,) buildings of
    another kind, such as those in water, that say nothing of the share and the shift.
    None where the shift of a kind was not measured, or no building has probabilities."""
    rows = [(name, np.flatnonzero((kind == name) & np.isfinite(probabilities[:, 0]))) for name in shifts]
    rows = [(name, index) for name, index in rows if len(index)]
    if not rows or any(shifts[name] is None for name, _ in rows):
        return None
    parts = [
        (shift, side_log_odds(probabilities[index])[:, 0])
        for name, index in rows
        if (shift := shifts[name]) is not None
    ]
    counted = [np.ones(len(index), bool) if apart is None else ~apart[index] for _, index in rows]
    weights, damaged = site_posterior(parts, damaged_share, counted)
    share = float(weights @ SHARES)  # of a known one beyond those that are weighed, the nearest of them
    fitted = probabilities.copy()
    for (_, index), p in zip(rows, damaged, strict=True):
        even = expit(logit(np.clip(p, 1e-6, 1 - 1e-6)) - logit(share))
        fitted[index] = set_damaged_probability(probabilities[index], even)
    of_counted = np.concatenate(damaged)[np.concatenate(counted)]
    return SiteFit(weights, share, float(of_counted.mean()) if len(of_counted) else share, fitted)


@dataclass(frozen=True)
class ShareEstimate:
    """The share of a site's assessed buildings with major damage or worse, from which the probabilities of all begin.

    value : 0–1; status : "given" by the user, "estimated", "limited" (estimated, kept within 0.05 to 0.5: `reason` says why), or "even"
    (one half, because no calibrated evidence took part); buildings : how many it rests on. None where it is not estimated: most_likely,
    the share that is expected among these buildings by their own evidence; second_opinion, by the number of buildings called
    damaged (None beside the shift of a site too, of which calls know nothing); interval_95, of the true share, by `site_estimates`."""

    value: float
    status: str
    reason: str = ""
    most_likely: float | None = None
    second_opinion: float | None = None
    interval_95: tuple[float, float] | None = None
    buildings: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for summary and manifest."""
        return asdict(self)


def share_of_site(share: float, expected: float, buildings: int, *, unlike: bool = False) -> ShareEstimate:
    """The share where it was estimated together with the shift of the site (`fit_to_site`); cautious by itself, it is limited to 0.05 to
    0.5 only where buildings are few or unlike those of the fit. Calls at one half know nothing of the shift and are no second opinion.

    >>> share_of_site(0.8, 0.9, 200).value, share_of_site(0.8, 0.9, 200, unlike=True).value
    (0.8, 0.5)
    """
    reason = _doubt(expected, buildings, None, unlike)
    value = float(np.clip(share, *NARROW_LIMITS)) if reason else share
    return ShareEstimate(value, LIMITED if reason else ESTIMATED, reason, expected, None, None, buildings)


def choose_share(log_odds: Floats, second_opinion: float | None, *, unlike: bool = False) -> ShareEstimate:
    """The share from log-odds (N,) of damage where half are damaged, NaN left out; without its interval.

    It is free between 0.02 and 0.98 where there are buildings enough and the second opinion (`corrected_share`) agrees within a factor of
    two, for the damaged and for the intact share; else it is the opinion nearer to one half, within 0.05 to 0.5.

    >>> choose_share(np.full(200, -4.0), 0.0).value
    0.02
    >>> choose_share(np.full(200, -4.0), 0.2).reason
    'the two estimates differ'
    """
    known = log_odds[np.isfinite(log_odds)]
    likely = float(likely_shares(known, np.ones((1, len(known))))[0])
    reason = _doubt(likely, len(known), second_opinion, unlike)
    opinions = [likely, second_opinion] if reason == DIFFER and second_opinion is not None else [likely]
    nearest = min(opinions, key=lambda share: abs(share - 0.5))
    value = float(np.clip(nearest, *(NARROW_LIMITS if reason or second_opinion is None else LIMITS)))
    return ShareEstimate(value, LIMITED if reason else ESTIMATED, reason, likely, second_opinion, None, len(known))


def likely_shares(log_odds: Floats, weights: Floats, pseudo_count: float = PSEUDO_COUNT) -> Floats:
    """(D,) most likely shares of damaged buildings for weights (D, M) of how many buildings each of the log-odds (M,) or (D, M) stands for.

    The limit of expectation-maximisation (Saerens et al. 2002), found by halving; pseudo_count : buildings of either kind added.

    >>> from scipy.special import logit
    >>> published = logit(np.array([0.05, 0.3, 0.8])) - logit(0.3)  # fitted where 30 % are damaged
    >>> float(likely_shares(published, np.array([[6.0, 2.0, 2.0]]), pseudo_count=0)[0].round(3))
    0.195
    """
    gain = np.expm1(np.clip(np.atleast_2d(log_odds), -MOST_LOG_ODDS, MOST_LOG_ODDS))  # likelihood ratio − 1
    low, high = np.full((len(weights), 1), 1e-9), np.full((len(weights), 1), 1 - 1e-9)
    for _ in range(HALVINGS):
        share = (low + high) / 2
        slope = (weights * gain / (1 + share * gain)).sum(axis=1, keepdims=True)
        rising = slope + pseudo_count * (1 / share - 1 / (1 - share)) > 0
        low, high = np.where(rising, share, low), np.where(rising, high, share)
    return np.asarray(((low + high) / 2)[:, 0])


def _doubt(share: float, buildings: int, second_opinion: float | None, unlike: bool) -> str:
    """Why an estimated share is in doubt, '' where it is not."""
    if buildings < LEAST_BUILDINGS:
        return TOO_FEW
    if unlike:
        return UNLIKE_FIT
    return DIFFER if second_opinion is not None and opinions_differ(share, second_opinion) else ""


def opinions_differ(first: float, second: float) -> bool:
    """Whether two shares differ by more than a factor of two, in the damaged or the intact share; below 0.05 all are the same.

    >>> opinions_differ(0.01, 0.04), opinions_differ(0.05, 0.2), opinions_differ(0.95, 0.7)
    (False, True, True)
    """
    sides = ((first, second), (1 - first, 1 - second))
    ratios = [max(one, LEAST_COMPARED) / max(other, LEAST_COMPARED) for one, other in sides]
    return any(ratio > MOST_RATIO or ratio < 1 / MOST_RATIO for ratio in ratios)
