"""Findings about the inputs from the gathered evidence: a coarse image, buildings without data or seen in one image alone.

Takes the layers and the evidence table; returns findings.
"""

from __future__ import annotations

from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.evidence.table import BLANK
from deepnets4eo.damage.evidence.working_grid import COARSEST_PRE, mean_gsd, pre_ratio
from deepnets4eo.damage.unbuilt import LEAST_AUC, LEAST_DECOYS, UnbuiltOutlines
from deepnets4eo.damage.vocabulary import ASSESSED, POST_ONLY, PRE_POST
from deepnets4eo.outputs.findings import Finding, count_of, one_or_many
from deepnets4eo.rasters.scene import Layer

COARSE_POST_M = 1.0  # beyond that, roofs have too few pixels for what the model was fitted on


def evidence_findings(pre: Layer | None, post: Layer, evidence: EvidenceTable) -> tuple[Finding, ...]:
    """Findings of a job whose outlines are known to lie on buildings. pre : the pre image that was registered, or None."""
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
            )
        )  # fmt: skip
    return tuple(findings)


def unbuilt_findings(unbuilt: UnbuiltOutlines) -> tuple[Finding, ...]:
    """That outlines without a building in the pre image were not looked for, where no open ground is there to compare with."""
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
    """That outlines without a building look destroyed, where all are assessed from the post image alone and none was looked for.

    unbuilt : what the pre image said of them; None where there is none.
    """
    frame = evidence.frame
    graded = frame.loc[frame["status"] == ASSESSED, "method"]
    looked = unbuilt is not None and (unbuilt.auc >= LEAST_AUC or unbuilt.few_copies is not None)
    if looked or not len(graded) or (graded == PRE_POST).any():
        return ()
    return (
        Finding(
            "empty_outlines", "note",
            "From the post image alone, an outline where no building stood looks like one that was destroyed: of 22 such "
            "outlines at Joplin, Missouri, 20 were called destroyed and one damaged.",
            "Use footprints from shortly before the event, and leave out outlines that are no buildings; or give a pre image.",
        ),
    )  # fmt: skip
