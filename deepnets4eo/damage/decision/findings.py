"""Findings on the result of a decision that limit the use of a damage map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deepnets4eo.arrays import Mask
from deepnets4eo.damage.decision.site_fit import ShareEstimate
from deepnets4eo.damage.site.skill import NetworkSkill
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.grades import MAX_CONFIDENCE
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.damage.table.vocabulary import GRADES, is_wide, look_at
from deepnets4eo.outputs import EventInfo, Finding, Phrase, Severity

OUTSIDE = {Reason.TOO_NARROW: "too_narrow", Reason.TOO_GREEN: "too_green", Reason.UNLIKE_ANY: "unlike_any"}  # → phrase
MANY = 0.9  # share of the visible buildings outside the range from which the map is worthless
COUNT_UNKNOWN, MINOR_UNKNOWN = "count_not_told", "minor_not_told"
OF_NUMBERS = (COUNT_UNKNOWN, MINOR_UNKNOWN)  # codes of findings on numbers, which answers move
MIN_NAMED = 5  # buildings with a grade, fewer say nothing of it


def result_findings(buildings: Buildings, unlike: Mask, skill: NetworkSkill | None) -> tuple[Finding, ...]:
    """Return the findings of the result. unlike : (N,) of `unlike_the_fit`; skill : of the run given, or None."""
    findings = [*_range_findings(buildings, unlike), *_unbuilt_findings(buildings)]
    if not any(finding.severity == "worthless" for finding in findings):
        findings += _nothing_assessed(buildings)
    if skill is not None and skill.value == 0:
        findings.append(Finding("network_without_skill", "caution", {"reason": skill.why}))
    return tuple(findings)


def _range_findings(buildings: Buildings, unlike: Mask) -> list[Finding]:
    assessed = buildings.assessed
    set_aside = _counts_outside(~assessed, buildings.because)
    by_network = _counts_outside(assessed, buildings.by_network_because)
    number = sum(set_aside.values())
    seen = int(assessed.sum()) + number
    if not set_aside and not by_network:
        return []
    severity: Severity = "worthless" if number > MANY * seen else "caution" if unlike.any() else "note"
    values = {
        "set_aside": _outside_phrase("set_aside", set_aside, seen),
        "by_network": _outside_phrase("by_network_alone", by_network, seen),
        "most": MAX_CONFIDENCE if unlike.any() else None,
    }
    remedies = {
        key: Phrase(f"{key}.remedy") if reason in {*set_aside, *by_network} else None for reason, key in OUTSIDE.items()
    }
    return [Finding("evidence_outside_range", severity, {**values, **remedies}, number + sum(by_network.values()))]


def _counts_outside(rows: Mask, because: Callable[[Reason], Mask]) -> dict[Reason, int]:
    """Return how many of some rows (N,) the model left out, for each reason that occurs."""
    counts = {reason: int((rows & because(reason)).sum()) for reason in OUTSIDE}
    return {reason: count for reason, count in counts.items() if count}


def _outside_phrase(key: str, of_reason: Mapping[Reason, int], seen: int) -> Phrase | None:
    if not of_reason:
        return None
    parts = [Phrase(OUTSIDE[reason], {"number": count}) for reason, count in of_reason.items()]
    return Phrase(key, {"number": sum(of_reason.values()), "seen": seen, "reasons": parts})


def _unbuilt_findings(buildings: Buildings) -> list[Finding]:
    number = int(buildings.because(Reason.NO_BUILDING).sum())
    return [Finding("not_in_pre", "note", {"number": number, "of": len(buildings)}, number)] if number else []


def _nothing_assessed(buildings: Buildings) -> list[Finding]:
    if len(buildings) == 0 or buildings.assessed.any():
        return []
    reasons = Reason.phrases(buildings.reason_counts(), "building")
    return [Finding("nothing_assessed", "worthless", {"reasons": reasons})]


def share_findings(share: ShareEstimate, assessed: int, event: EventInfo = EventInfo()) -> tuple[Finding, ...]:
    """Return the finding that the images do not show how many buildings are damaged; its remedy depends on the event."""
    interval = share.interval_95 or (0.0, 0.0)
    return _unknown_count(interval, assessed, event) if is_wide(interval) or share.contradicted else ()


def findings_after_answers(
    findings: tuple[Finding, ...], interval: tuple[float, float] | None, assessed: int, event: EventInfo
) -> tuple[Finding, ...]:
    """Return the findings of a map after answers: what they say of the number of damaged buildings follows the moved interval.

    interval : of the damaged share, None if its number is known
    """
    kept = tuple(finding for finding in findings if finding.code not in OF_NUMBERS)
    return kept if interval is None else (*kept, *_unknown_count(interval, assessed, event))


def _unknown_count(interval: tuple[float, float], assessed: int, event: EventInfo) -> tuple[Finding, ...]:
    low, high = interval
    values = {
        "low": low * assessed,
        "high": high * assessed,
        "assessed": assessed,
        **event.count_advice((low, high), look_at(assessed)),
    }
    return (Finding(COUNT_UNKNOWN, "caution", values, round((high - low) * assessed)),)


def minor_findings(confusion: Mapping[str, Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Return the finding that minor damage cannot be distinguished here. confusion : of `confusion_of_grades`."""
    row = confusion.get(GRADES[1], {})
    named, right = row.get("named", 0), row.get("truly", {}).get(GRADES[1], {"interval_95": [0.0, 0.0]})
    low, high = right["interval_95"]
    if named < MIN_NAMED or low > named / 2:
        return ()
    return (Finding(MINOR_UNKNOWN, "note", {"number": named, "low": low, "high": high}, named),)
