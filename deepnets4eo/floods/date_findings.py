"""Findings on the reliability of a flood map from the thresholds of its dates."""

from __future__ import annotations

from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.water_date import WaterDate
from deepnets4eo.outputs import Finding, Phrase


def level_findings(mapper: WaterMapper) -> list[Finding]:
    """Return what the dates before and POST together state against their comparison."""
    roles = {name: "pre" if name == FIRST else name for name in mapper.before}
    return [finding for name, role in roles.items() for finding in mapper.dates[name].findings(role)]


def mode_findings(mapper: WaterMapper) -> list[Finding]:
    """Return a caution if no part of POST has two modes, so that no threshold between water and land was measured."""
    date = mapper.dates[POST]
    fixed = [
        f"{name} {threshold.value:g} dB"
        for name, threshold in date.thresholds.items()
        if threshold is not None and not threshold.measured
    ]
    if not date.thresholds or any(
        threshold is not None and threshold.measured for threshold in date.thresholds.values()
    ):
        return _bounded_finding(date)
    what = date.without_modes()
    if fixed:
        what = Phrase("usual_threshold_taken", {"thresholds": Finding.verbatim(", ".join(fixed))})
    return [Finding("no_two_modes", "caution", {"what": what})]


def _bounded_finding(date: WaterDate) -> list[Finding]:
    """Return a note if the modes of POST are not well separated, and the threshold is not the valley between them."""
    bounded = [
        f"{name} {threshold.value:g} dB"
        for name, threshold in date.thresholds.items()
        if threshold is not None and threshold.bounded
    ]
    if not bounded:
        return []
    return [Finding("threshold_bounded", "note", {"thresholds": Finding.verbatim(", ".join(bounded))})]
