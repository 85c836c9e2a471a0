"""How many buildings of a site are damaged, estimated from their own evidence: the prior of its decision.

Takes log-odds that hold where half of the buildings are damaged; returns the share that explains them best, beside a second
opinion from the number of buildings called damaged, and says how far the share may be used. Where damage is rare,
log-odds for one half name more intact buildings damaged than there are damaged ones.
Sources: Saerens, Latinne & Decaestecker 2002 (the most likely share); Rogan & Gladen 1978 (the second opinion).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepnets4eo.arrays import Floats
from deepnets4eo.outputs.findings import Finding

PSEUDO_COUNT = 1.0  # buildings of either kind added, so that few buildings move the share little
CERTAIN = 9.2  # no log-odds count as farther from 0: a probability of 1e-4
HALVINGS = 40
LEAST_BUILDINGS = 20  # fewer say too little about their share
LIMITS = 0.02, 0.98  # of a share in which both opinions agree: plainly damaged buildings are still named
NARROW_LIMITS = 0.05, 0.5  # of any other: a high share would make the evidence confirm itself
MOST_RATIO = 2.0  # between the two opinions, of the damaged and of the intact share
LEAST_COMPARED = 0.05  # smaller shares count as this one where the opinions are compared

BY_USER, ESTIMATED, LIMITED, EVEN = "given", "estimated", "limited", "even"
TOO_FEW, DIFFER, UNLIKE = "too few buildings", "the two estimates differ", "evidence unlike that of the fit"


@dataclass(frozen=True)
class ShareEstimate:
    """Share of a site's assessed buildings with major damage or worse.

    Parameters
    ----------
    value
        The share that the probabilities of all buildings begin from, 0–1.
    status
        "given" by the user; "estimated" from the buildings; "limited": estimated, kept within 0.05 to 0.5; "even": one
        half, because no calibrated evidence took part.
    reason
        Why it is limited, '' otherwise.
    most_likely
        The share that is expected among these buildings by their own evidence, without limits; None where it is not estimated.
    second_opinion
        From the number of buildings called damaged at one half and how often such calls are right; None without rates, and
        where the shift of the site was estimated, of which such calls know nothing.
    interval_95
        The interval 95 of the true share among these buildings, by `site_estimates`; None where it is not estimated.
    buildings
        Buildings it rests on.

    Examples
    --------
    >>> ShareEstimate(0.1, BY_USER).to_dict()["status"]
    'given'
    """

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


def likely_shares(log_odds: Floats, weights: Floats, pseudo_count: float = PSEUDO_COUNT) -> Floats:
    """The most likely share of damaged buildings for several weightings of the same buildings.

    The limit of expectation-maximisation (Saerens et al. 2002), found by halving: the likelihood has one maximum.

    Parameters
    ----------
    log_odds
        (M,) or (D, M), of damage where half are damaged.
    weights
        (D, M) how many buildings each stands for.
    pseudo_count
        Buildings of either kind added (a Dirichlet prior), 0 or more.

    Returns
    -------
    ndarray
        (D,) shares, 0–1.

    Examples
    --------
    >>> from scipy.special import logit
    >>> published = logit(np.array([0.05, 0.3, 0.8])) - logit(0.3)  # fitted where 30 % are damaged
    >>> float(likely_shares(published, np.array([[6.0, 2.0, 2.0]]), pseudo_count=0)[0].round(3))
    0.195
    """
    gain = np.expm1(np.clip(np.atleast_2d(log_odds), -CERTAIN, CERTAIN))  # likelihood ratio − 1
    low, high = np.full((len(weights), 1), 1e-9), np.full((len(weights), 1), 1 - 1e-9)
    for _ in range(HALVINGS):
        share = (low + high) / 2
        slope = (weights * gain / (1 + share * gain)).sum(axis=1, keepdims=True)
        rising = slope + pseudo_count * (1 / share - 1 / (1 - share)) > 0
        low, high = np.where(rising, share, low), np.where(rising, high, share)
    return np.asarray(((low + high) / 2)[:, 0])


def choose_share(log_odds: Floats, second_opinion: float | None, *, unlike: bool = False) -> ShareEstimate:
    """The share to use for a site, without its interval.

    It is free between 0.02 and 0.98 where there are buildings enough and the second opinion agrees within a factor of two, for the
    damaged and for the intact share; else it is the opinion nearer to one half, within 0.05 to 0.5.

    Parameters
    ----------
    log_odds
        (N,) of damage where half are damaged; NaN rows are left out.
    second_opinion
        Share by `corrected_share`; None where how often calls are right is not known.
    unlike
        Whether the evidence is unlike that of the fit.

    Returns
    -------
    ShareEstimate

    Examples
    --------
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


def share_of_site(share: float, expected: float, buildings: int, *, unlike: bool = False) -> ShareEstimate:
    """The share to use where it was estimated together with the shift of the site's evidence (`reliability.fit_to_site`).

    That estimate is cautious by itself; it stays within 0.05 to 0.5 where there are few buildings, and where the evidence is unlike
    that of the fit. There is no second opinion: calls at one half know nothing of the shift, so that both differ at most sites
    where many buildings are damaged, however right the estimate is.

    >>> share_of_site(0.8, 0.9, 200).value, share_of_site(0.8, 0.9, 200, unlike=True).value
    (0.8, 0.5)
    """
    reason = _doubt(expected, buildings, None, unlike)
    value = float(np.clip(share, *NARROW_LIMITS)) if reason else share
    return ShareEstimate(value, LIMITED if reason else ESTIMATED, reason, expected, None, None, buildings)


def _doubt(share: float, buildings: int, second_opinion: float | None, unlike: bool) -> str:
    """Why an estimated share is in doubt, '' where it is not."""
    if buildings < LEAST_BUILDINGS:
        return TOO_FEW
    if unlike:
        return UNLIKE
    return DIFFER if second_opinion is not None and opinions_differ(share, second_opinion) else ""


def opinions_differ(first: float, second: float) -> bool:
    """Whether two shares differ by more than a factor of two, in the damaged or the intact share; below 0.05 all are the same.

    >>> opinions_differ(0.01, 0.04), opinions_differ(0.05, 0.2), opinions_differ(0.95, 0.7)
    (False, True, True)
    """
    sides = ((first, second), (1 - first, 1 - second))
    ratios = [max(one, LEAST_COMPARED) / max(other, LEAST_COMPARED) for one, other in sides]
    return any(ratio > MOST_RATIO or ratio < 1 / MOST_RATIO for ratio in ratios)


def share_findings(share: ShareEstimate) -> list[Finding]:
    """That the share could not be trusted, with both opinions, and what to do."""
    if share.reason != DIFFER:
        return []  # few buildings and foreign evidence have findings of their own
    opinions = (
        f"{share.most_likely:.0%} by the evidence of each building, {share.second_opinion:.0%} by the number of buildings "
        "called damaged"
    )
    return [
        Finding(
            "damaged_share_uncertain",
            "caution",
            f"The share of damaged buildings is uncertain ({share.reason}): {opinions}. The probabilities of all buildings "
            f"begin from {share.value:.0%}.",
            "Grade a random sample of 100 to 200 buildings by eye and give the share with --set damaged_share=SHARE.",
        )
    ]
