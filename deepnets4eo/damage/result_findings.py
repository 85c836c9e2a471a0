"""What limits the worth of a result: evidence beyond what the model knows, outlines without a building, unskilled runs.

Takes the table of a job after its decision; returns findings, with their numbers, for summary, page and command line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.damage.abstention import BY_NETWORK, MOST_CONFIDENT
from deepnets4eo.damage.fitted_range import REASONS, UNLIKE
from deepnets4eo.damage.network_skill import NetworkSkill
from deepnets4eo.damage.unbuilt import NO_BUILDING
from deepnets4eo.damage.vocabulary import ASSESSED
from deepnets4eo.outputs.findings import Finding, count_of, one_or_many, worst_first

NOTHING = "nothing_assessed"
OUTSIDE = (*REASONS.values(), UNLIKE)
MANY = 0.9  # share of the visible buildings outside the range from which the map is worthless


def result_findings(frame: pd.DataFrame, unlike: NDArray[np.bool_], skill: NetworkSkill | None) -> tuple[Finding, ...]:
    """Findings of the result.

    frame : `status` and `reason` of N buildings after the decision; unlike : (N,) of `unlike_the_fit`;
    skill : of the run that was given, None without a run.
    """
    findings = [*_range_findings(frame, unlike), *_unbuilt_findings(frame)]
    if not any(finding.severity == "worthless" for finding in findings):
        findings += _nothing_assessed(frame)
    if skill is not None and skill.value == 0:
        findings.append(
            Finding(
                "network_without_skill",
                "caution",
                f"The run given with --model did not decide: {skill.reason}. The weight-free model decided alone.",
                "Train the run longer or on more buildings, or leave --model out.",
            )
        )
    return tuple(findings)


def join_findings(inputs: Sequence[Finding], result: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings of inputs and result, worst first; that nothing was assessed is left out where another one says why."""
    explained = any(finding.severity == "worthless" for finding in inputs)
    kept = (finding for finding in result if not (explained and finding.code == NOTHING))
    return worst_first((*inputs, *kept))


def _range_findings(frame: pd.DataFrame, unlike: NDArray[np.bool_]) -> list[Finding]:
    counts = frame["reason"].value_counts()
    set_aside, by_network = (
        {reason: int(counts[lead + reason]) for reason in OUTSIDE if lead + reason in counts}
        for lead in ("", BY_NETWORK)
    )
    number = sum(set_aside.values())
    seen = int((frame["status"] == ASSESSED).sum()) + number
    if not set_aside and not by_network:
        return []
    what = ((set_aside, "not assessed"), (by_network, "graded by the network alone"))
    message = " ".join(_outside_sentence(of_reason, seen, done) for of_reason, done in what if of_reason)
    if unlike.any():
        message += f" That is more than at any site the model was fitted on: confidence is at most {MOST_CONFIDENT}."
    severity = "worthless" if number > MANY * seen else "caution" if unlike.any() else "note"
    return [
        Finding(
            "evidence_outside_range",
            severity,  # type: ignore[arg-type]
            message,
            "Remove haze or a green cast, use sharper images without crowns over the roofs, or give surface models of both dates.",
        )
    ]


def _outside_sentence(of_reason: dict[str, int], seen: int, done: str) -> str:
    number = sum(of_reason.values())
    parts = "; ".join(f"{count} × {reason}" for reason, count in of_reason.items())
    return (
        f"{number} of {count_of(seen, 'visible building')} {one_or_many(number, 'was', 'were')} {done}, because the model "
        f"was not fitted on such evidence ({parts})."
    )


def _unbuilt_findings(frame: pd.DataFrame) -> list[Finding]:
    number = int((frame["reason"] == NO_BUILDING).sum())
    if number == 0:
        return []
    return [
        Finding(
            "not_in_pre",
            "note",
            f"{number} of {count_of(len(frame), 'outline')} {one_or_many(number, 'shows', 'show')} no building in the pre image "
            f"and {one_or_many(number, 'was', 'were')} not assessed. Not all such outlines are recognised, 12 of 22 at Joplin and "
            "18 where the network for buildings looked too; the others may get a damage grade.",
            "Use footprints from before the event.",
        )
    ]


def _nothing_assessed(frame: pd.DataFrame) -> list[Finding]:
    if len(frame) == 0 or (frame["status"] == ASSESSED).any():
        return []
    reasons = "; ".join(f"{count} × {reason}" for reason, count in frame["reason"].value_counts().items())
    return [Finding(NOTHING, "worthless", f"No building could be assessed ({reasons}).")]
