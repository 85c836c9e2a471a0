"""What the evidence of one site says about its own intact and damaged buildings, when a whole site's evidence may be shifted.

Other light, seasons, sensors and ways to build move the log-odds of all buildings of a site, and not by the same amount for
intact and for damaged ones. How far sites differ is measured at sites that were left out of the fit (`fit_site_shift`). At a new site
the two levels and the share of damaged buildings are unknown together: `site_posterior` weighs every combination by how
well it explains the log-odds of the site, and by how likely it is beforehand (Bayesian mixture of two normal
distributions with an empirical prior; Efron 2010 for such priors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from deepnets4eo.arrays import Floats

# Shares that are weighed. Half of all sites are taken to have no damage: chosen by the calibration of made-up sites left out.
SHARES = np.array([0.002, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, *np.arange(0.3, 0.81, 0.1), 0.85, 0.9, 0.95, 0.98, 0.998])
INTACT_SITES = 0.5
LEVELS = np.linspace(-2.5, 2.5, 11)  # of either kind, in standard deviations between sites
LEAST_APART = 0.2  # log-odds: damaged buildings lie that far above intact ones at every site
MOST_INFORMATION = 30.0  # buildings: those of one site err together, so that more of them say no more of its levels
STEP = 0.25  # of log-odds; buildings in one step count together
FARTHEST = 9.2  # log-odds: a probability of 1e-4
LEAST_AT_SITE = 8  # buildings of a kind for a site to say where that kind lies
LEAST_SD = 0.1


@dataclass(frozen=True)
class SiteShift:
    """How log-odds of damage lie at sites that were left out: normal within a site, around levels that differ from site to site.

    Parameters
    ----------
    level
        (2,) mean level of the intact and of the damaged buildings, log-odds where half are damaged.
    between
        (2,) standard deviations of the two levels between sites.
    correlation
        The correlation of the two levels, −1 to 1.
    within
        Standard deviation within a site, of either kind.
    most_information
        Buildings of a site that say something of its levels: they err together.

    Examples
    --------
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

        information : factor of at most 1 on what each building says.
        """
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


def site_posterior(
    parts: Sequence[tuple[SiteShift, Floats]], damaged_share: float | None = None
) -> tuple[Floats, list[Floats]]:
    """Weights of the shares at a site, and the probability of damage of each building.

    Parameters
    ----------
    parts
        Log-odds (N,) of the buildings that one variant of a model graded, with its shift; all parts have one share.
    damaged_share
        Where it is known beforehand.

    Returns
    -------
    tuple
        (P,) weights of `SHARES`, sum 1, and for each part the (N,) probabilities.

    Examples
    --------
    >>> shift = SiteShift((-1.0, 1.0), (0.6, 0.8), 0.4, 0.7)
    >>> shifted = np.repeat([-0.5, 3.0], 50)  # half of the buildings, and both kinds rougher than usual
    >>> weights, (p,) = site_posterior([(shift, shifted)])
    >>> bool(0.4 < weights @ SHARES < 0.6), bool(p[0] < 0.1), bool(p[-1] > 0.9)
    (True, True, True)
    """
    total = sum(len(log_odds) for _, log_odds in parts)
    most = min((shift.most_information for shift, _ in parts), default=MOST_INFORMATION)
    information = min(1.0, most / max(total, 1))
    parts = [(shift, np.clip(log_odds, -FARTHEST, FARTHEST)) for shift, log_odds in parts]
    tables = [shift.evidence(log_odds, information) for shift, log_odds in parts]
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


def fit_site_shift(
    log_odds: Floats,
    damaged: NDArray[np.bool_],
    site: NDArray[np.generic],
    most_information: float = MOST_INFORMATION,
) -> SiteShift | None:
    """How far sites differ, from left-out log-odds of their graded buildings, by moments; what single buildings scatter is taken off.

    Parameters
    ----------
    log_odds
        (N,) of damage where half are damaged.
    damaged
        (N,) bool, truth.
    site
        (N,) names.
    most_information
        The same as in `SiteShift`.

    Returns
    -------
    SiteShift, or None where fewer than two sites have eight buildings of a kind.
    """
    names, number = np.unique(site, return_inverse=True)
    log_odds = np.clip(log_odds, -FARTHEST, FARTHEST)
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
