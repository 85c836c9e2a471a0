"""How far a trained run may decide: its skill on the buildings it was validated on, from its card.

Takes the card of a run; returns a number from 0 (no better than chance, or never validated) to 1. Refuses nothing: a run
without skill gets 0 and the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepnets4eo.outputs.findings import count_of

LEAST_SKILL = 0.1  # below, a run counts as one that learnt nothing
LEAST_VALIDATED = 30  # validation buildings; fewer say nothing
SHARE = "share"  # note of a card: the network's share of the log-odds that was best beside the weight-free model
EQUAL_SHARE = 0.5


@dataclass(frozen=True)
class NetworkSkill:
    """Skill of a run, 0–1, and why it is 0 ('' where it is not).

    value : the smaller of 2 · AUC − 1 (major damage or worse) and Cohen's κ (four grades), both 0 for chance and 1 for
    a perfect run; 0 where that is below 0.1, and where fewer than 30 buildings were validated. Where the best share
    beside the weight-free model was measured: that share as a part of one half, at most 1.
    """

    value: float
    reason: str = ""


def validated_skill(card: Mapping[str, Any], head: str | None = None) -> NetworkSkill:
    """Skill of a run of `damage-siamese` from its card's `notes`; head : "post_alone" for that from the post image alone."""
    notes = card.get("notes", {})
    own = notes if head is None else notes.get(head, {})
    share = _number(own.get(SHARE))
    if not math.isnan(share):
        return NetworkSkill(
            min(share / EQUAL_SHARE, 1.0), "" if share else "beside the weight-free model it did not help"
        )
    scores = own.get("validation", {})
    auc, kappa = _number(scores.get("auc_major_or_worse")), _number(scores.get("kappa"))
    if math.isnan(auc) or math.isnan(kappa):
        return NetworkSkill(0.0, "its card holds no validation AUC and κ")
    buildings = sum(notes.get("split", {}).get("buildings", {}).get("val", {}).values())
    return skill_of(min(2 * auc - 1, kappa), buildings, f"its AUC is {auc:.2f} and its κ {kappa:.2f}")


def skill_of(value: float, buildings: int, scores: str) -> NetworkSkill:
    """A measured skill; 0 with the reason where it is too small, or rests on too few validation buildings.

    scores : what it follows from, for the reason.
    """
    if buildings < LEAST_VALIDATED:
        return NetworkSkill(
            0.0, f"it was validated on {count_of(buildings, 'building')}, at least {LEAST_VALIDATED} are needed"
        )
    if value < LEAST_SKILL:
        return NetworkSkill(0.0, f"on its {buildings} validation buildings {scores}")
    return NetworkSkill(min(value, 1.0))


def _number(value: Any) -> float:
    """A score of a card as a number; NaN where it is missing or null."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
