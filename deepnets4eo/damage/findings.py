"""Findings on the inputs of a damage job that limit the use of its map, joined with the findings on its result, worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepnets4eo.addresses import file_name_of
from deepnets4eo.damage.images.dates import is_too_coarse, mean_gsd
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.outputs import Finding, worst_first
from deepnets4eo.rasters import Layer

HIDDEN = {
    Reason.BLANK: "blank_post",
    Reason.SHADE: "deep_shadow_post",
}  # reason of buildings that an image does not show → its finding
EXCHANGED_M = 2.5  # a storey: less is noise of surface models, and of outlines next to roofs
MIN_EXCHANGED, TIMES_LOST = 3, 2  # buildings that are higher, and times as many as lower ones
COARSE_POST_M = 1.0  # beyond that, roofs have too few pixels for what the model was fitted on


def join_findings(inputs: Sequence[Finding], result: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings of inputs and result, worst first, without `nothing_assessed` if another finding gives the reason."""
    explained = any(finding.severity == "worthless" for finding in inputs)
    kept = (finding for finding in result if not (explained and finding.code == "nothing_assessed"))
    return worst_first((*inputs, *kept))


def segmenter_findings(segmenter: str | None, *, after: bool) -> tuple[Finding, ...]:
    """Return the findings if a network (segmenter) found the buildings. after : whether in the image after the event."""
    if segmenter is None:
        return ()
    outlines = Finding("outlines_of_network", "note", {"network": Finding.verbatim(file_name_of(segmenter))})
    return (Finding("outlines_after_event", "caution"), outlines) if after else (outlines,)


def evidence_findings(pre: Layer | None, post: Layer, buildings: Buildings) -> tuple[Finding, ...]:
    """Return the findings of a job whose outlines are on buildings. pre : the registered pre image, or None."""
    findings = []
    if mean_gsd(post) > COARSE_POST_M:
        findings.append(Finding("post_coarse", "caution", {"gsd_m": mean_gsd(post), "most_m": COARSE_POST_M}))
    loss = buildings.height_lost_m
    gained, lost = int((loss <= -EXCHANGED_M).sum()), int((loss >= EXCHANGED_M).sum())
    if gained >= max(MIN_EXCHANGED, TIMES_LOST * lost + 1):
        values = {"gained": gained, "lost": lost, "metres": EXCHANGED_M}
        findings.append(Finding("heights_exchanged", "caution", values))
    for reason, code in HIDDEN.items():
        hidden = int(buildings.because(reason).sum())
        if hidden:
            findings.append(Finding(code, "caution", {"number": hidden}, hidden))
    alone = int(buildings.by_post.sum())
    if pre is not None and is_too_coarse(pre, post):
        findings.append(Finding("pre_coarse", "note", {"pre_m": mean_gsd(pre), "post_m": mean_gsd(post)}))
    elif pre is not None and alone and buildings.compared.any():
        findings.append(Finding("some_post_only", "note", {"number": alone}, alone))
    return tuple(findings)


def block_findings(failures: Mapping[str, Mapping[str, str]]) -> tuple[Finding, ...]:
    """Return the finding on blocks that could not be processed. failures : step → block → reason."""
    failed = [(step, block, reason) for step, blocks in failures.items() for block, reason in blocks.items()]
    if not failed:
        return ()
    step, block, reason = failed[0]
    names = {"block": Finding.verbatim(block), "step": Finding.verbatim(step), "reason": Finding.verbatim(reason)}
    return (Finding("blocks_failed", "caution", {"number": len(failed), **names}),)


def empty_outline_findings(buildings: Buildings, *, looked_for: bool) -> tuple[Finding, ...]:
    """Return the finding that outlines without a building look destroyed in the post image, if such outlines were not searched for."""
    if looked_for or not buildings.by_post.any() or buildings.compared.any():
        return ()
    return (Finding("empty_outlines", "note"),)
