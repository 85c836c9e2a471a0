"""What limits the worth of a damage map: findings of its inputs, its outlines and its result, worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from deepnets4eo.arrays import Mask
from deepnets4eo.damage.calibration.pool import NetworkSkill
from deepnets4eo.damage.calibration.site import ShareEstimate
from deepnets4eo.damage.decision.model import BY_NETWORK, GREEN, MOST_CONFIDENT, NARROW, REASONS, UNLIKE
from deepnets4eo.damage.decision.unbuilt import LEAST_AUC, LEAST_DECOYS, NO_BUILDING, UnbuiltOutlines
from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.evidence.table import BLANK
from deepnets4eo.damage.evidence.working_grid import COARSEST_PRE, mean_gsd, pre_ratio
from deepnets4eo.damage.vocabulary import ASSESSED, BY_WATER, GRADES, LOOK, POST_ONLY, PRE_POST, UNKNOWN_COUNT, WIDE
from deepnets4eo.outputs.findings import Finding, count_of, one_or_many, reasons_text, worst_first
from deepnets4eo.rasters.scene import Layer

NOTHING = "nothing_assessed"


class OutsideReason(NamedTuple):
    """What a reason why evidence lies outside the fitted range says of one building and of many, and its remedy."""

    one: str
    many: str
    remedy: str

    def clause(self, count: int) -> str:
        """So many buildings, in a clause."""
        return f"{count_of(count, 'building')} {one_or_many(count, self.one, self.many)}"


OUTSIDE = {
    REASONS[NARROW]: OutsideReason(
        "has a roof too narrow for the image resolution", "have roofs too narrow for the image resolution",
        "Give finer images: the roofs are too narrow for the pixels.",
    ),
    REASONS[GREEN]: OutsideReason(
        "is greener than the roofs that the model knows", "are greener than the roofs that the model knows",
        "Look at the greener ones: trees, moss or a green tint of the image may hide their roofs; images without leaves show more.",
    ),
    UNLIKE: OutsideReason(
        "has evidence unlike any that the model knows", "have evidence unlike any that the model knows",
        "Look at those unlike any: haze, snow, water or another season or view may be why; clearer images or surface models of both "
        "dates tell more.",
    ),
}  # fmt: skip
MANY = 0.9  # share of the visible buildings outside the range from which the map is worthless
LEAST_NAMED = 5  # buildings with a grade, fewer say nothing of it
COARSE_POST_M = 1.0  # beyond that, roofs have too few pixels for what the model was fitted on


def join_findings(inputs: Sequence[Finding], result: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings of inputs and result, worst first, without `nothing_assessed` where another one says why."""
    explained = any(finding.severity == "worthless" for finding in inputs)
    kept = (finding for finding in result if not (explained and finding.code == NOTHING))
    return worst_first((*inputs, *kept))


def segmenter_findings(segmenter: str | None, *, after: bool) -> tuple[Finding, ...]:
    """Findings where a network (segmenter) found the buildings. after : whether in the image after the event."""
    if segmenter is None:
        return ()
    outlines = Finding(
        "outlines_of_network", "note",
        f"The outlines were found by the network {Path(segmenter).name}: buildings that it missed are not in the map, and "
        "some outlines are no buildings, or several.",
        "Look at the outlines before you use counts; give footprints where there are any.",
    )  # fmt: skip
    if not after:
        return (outlines,)
    destroyed = Finding(
        "outlines_after_event", "caution",
        "The outlines were found in the image after the event, which shows few of the destroyed buildings as buildings: more "
        "is damaged than the map says. No number of destroyed buildings is given; ground without outlines, rubble among it, is hatched and "
        "not counted.",
        "Give footprints, or an image from before the event.",
    )  # fmt: skip
    return (destroyed, outlines)


def evidence_findings(pre: Layer | None, post: Layer, evidence: EvidenceTable) -> tuple[Finding, ...]:
    """Findings of a job whose outlines lie on buildings. pre : the registered pre image, or None."""
    frame = evidence.frame
    findings = []
    if mean_gsd(post) > COARSE_POST_M:
        findings.append(
            Finding(
                "post_coarse", "caution",
                f"The pixels of the post image are {mean_gsd(post):.1f} m wide; the model knows images of up to "
                f"{COARSE_POST_M:g} m, and calls many intact roofs damaged in coarser ones.",
                "Give a finer post image.",
            )
        )  # fmt: skip
    blank = int((frame["reason"] == BLANK).sum())
    if blank:
        findings.append(
            Finding(
                "blank_post", "caution",
                f"{count_of(blank, 'building')} {one_or_many(blank, 'lies', 'lie')} where the post image has one single value "
                f"over a wide area; {one_or_many(blank, 'it was', 'they were')} not assessed.",
                "Declare it as nodata, or give an image without that block.",
                blank,
            )
        )  # fmt: skip
    alone = int(((frame["status"] == ASSESSED) & (frame["method"] == POST_ONLY)).sum())
    paired = bool((frame["method"] == PRE_POST).any())
    if pre is not None and pre_ratio(pre, post) > COARSEST_PRE:
        findings.append(
            Finding(
                "pre_coarse", "note",
                f"The pixels of the pre image ({mean_gsd(pre):.2g} m) are too large to be compared with those of the post "
                f"image ({mean_gsd(post):.2g} m); it was used to align the footprints, and every building is assessed from "
                "the post image alone.",
                "Give a finer pre image.",
            )
        )  # fmt: skip
    elif pre is not None and alone and paired:
        findings.append(
            Finding(
                "some_post_only", "note",
                f"{count_of(alone, 'building')} {one_or_many(alone, 'is', 'are')} not shown by the pre image, or not wholly; "
                f"{one_or_many(alone, 'it is', 'they are')} assessed from the post image alone.",
                "Give a pre image that shows them.",
                alone,
            )
        )  # fmt: skip
    return tuple(findings)


def block_findings(failures: Mapping[str, Mapping[str, str]]) -> tuple[Finding, ...]:
    """What blocks that could not be done mean for the map. failures : step → block → reason."""
    failed = [(step, block, reason) for step, blocks in failures.items() for block, reason in blocks.items()]
    if not failed:
        return ()
    step, block, reason = failed[0]
    return (
        Finding(
            "blocks_failed", "caution",
            f"{count_of(len(failed), 'block')} of the work could not be done. The first is {block} of {step} (row and column of its "
            f"corner): {reason}. The buildings there were not assessed.",
            "Remove the cause and make the map again with --overwrite.",
        ),
    )  # fmt: skip


def unbuilt_findings(unbuilt: UnbuiltOutlines) -> tuple[Finding, ...]:
    """That outlines without a building were not looked for, without open ground to compare with."""
    if unbuilt.few_copies is None:
        return ()
    copies = f"{unbuilt.few_copies} {one_or_many(unbuilt.few_copies, 'copy', 'copies')}"
    return (
        Finding(
            "not_in_pre_unknown", "note",
            "Outlines that show no building in the pre image were not looked for: they are compared with copies of themselves "
            f"on open ground near by, where only {copies} of at least {LEAST_DECOYS} fitted. Such outlines may get a grade.",
            "Use footprints from before the event, and leave out outlines that are no buildings.",
        ),
    )  # fmt: skip


def empty_outline_findings(evidence: EvidenceTable, unbuilt: UnbuiltOutlines | None) -> tuple[Finding, ...]:
    """That outlines without a building look destroyed from post alone, where none was looked for."""
    frame = evidence.frame
    graded = frame.loc[(frame["status"] == ASSESSED) & (frame["method"] != BY_WATER), "method"]
    looked = unbuilt is not None and (unbuilt.auc >= LEAST_AUC or unbuilt.few_copies is not None)
    if looked or not len(graded) or (graded == PRE_POST).any():
        return ()
    return (
        Finding(
            "empty_outlines", "note",
            "From the post image alone, an outline where no building stood looks like one that was destroyed, and nearly all such "
            "outlines are called so.",
            "Use footprints from shortly before the event, and leave out outlines that are no buildings; or give a pre image.",
        ),
    )  # fmt: skip


def result_findings(frame: pd.DataFrame, unlike: Mask, skill: NetworkSkill | None) -> tuple[Finding, ...]:
    """Findings of the result. unlike : (N,) of `unlike_the_fit`; skill : of the run given, or None."""
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


def _range_findings(frame: pd.DataFrame, unlike: Mask) -> list[Finding]:
    assessed = frame["status"] == ASSESSED
    set_aside, by_network = (
        {reason: int(counts[lead + reason]) for reason in OUTSIDE if lead + reason in counts}
        for lead, counts in (
            ("", frame.loc[~assessed, "reason"].value_counts()),
            (BY_NETWORK, frame.loc[assessed, "reason"].value_counts()),
        )
    )
    number = sum(set_aside.values())
    seen = int(assessed.sum()) + number
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
            " ".join(OUTSIDE[reason].remedy for reason in OUTSIDE if reason in {*set_aside, *by_network}),
            number + sum(by_network.values()),
        )
    ]


def _outside_sentence(of_reason: dict[str, int], seen: int, done: str) -> str:
    number = sum(of_reason.values())
    parts = "; ".join(OUTSIDE[reason].clause(count) for reason, count in of_reason.items())
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
            f"and {one_or_many(number, 'was', 'were')} not assessed. Not all such outlines are recognised; the others may get a damage "
            "grade.",
            "Use footprints from before the event.",
            number,
        )
    ]


def _nothing_assessed(frame: pd.DataFrame) -> list[Finding]:
    if len(frame) == 0 or (frame["status"] == ASSESSED).any():
        return []
    reasons = reasons_text({str(reason): count for reason, count in frame["reason"].value_counts().items()}, "building")
    return [Finding(NOTHING, "worthless", f"No building could be assessed ({reasons}).")]


def share_findings(share: ShareEstimate, assessed: int) -> tuple[Finding, ...]:
    """That the images do not show how many buildings are damaged."""
    low, high = share.interval_95 or (0.0, 0.0)
    if high - low <= WIDE:
        return ()
    return (
        Finding(
            "count_not_told", "caution",
            f"{UNKNOWN_COUNT} buildings are damaged: {low * assessed:,.0f} to {high * assessed:,.0f} of {assessed:,} are possible.",
            LOOK, round((high - low) * assessed),
        ),
    )  # fmt: skip


def minor_findings(confusion: Mapping[str, Mapping[str, Any]]) -> tuple[Finding, ...]:
    """That minor damage cannot be distinguished here. confusion : of `confusion_of_grades`."""
    row = confusion.get(GRADES[1], {})
    named, right = row.get("named", 0), row.get("truly", {}).get(GRADES[1], {"interval_95": [0.0, 0.0]})
    if named < LEAST_NAMED or right["interval_95"][0] > named / 2:
        return ()
    low, high = right["interval_95"]
    return (
        Finding(
            "minor_not_told", "note",
            f"Minor damage cannot be told here from none or major damage: of {count_of(named, 'building')} with this grade {low:,.0f} to "
            f"{high:,.0f} are expected to have it.",
            "Take it as possible damage; `damage_set` has what cannot be excluded for each building.", named,
        ),
    )  # fmt: skip
