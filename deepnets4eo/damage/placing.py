"""The first step of a damage job: the position of PRE relative to POST, and whether and how the outlines are on buildings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from deepnets4eo.damage.images.clouds import seen_clouds
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.site import Inputs, OutlinePosition, Site
from deepnets4eo.damage.structure.moved_outlines import roofs_in_place
from deepnets4eo.footprints import MIN_FOOTPRINTS, FootprintAlignment, align_footprints
from deepnets4eo.inspection import cloud_finding
from deepnets4eo.outputs import Finding, Phrase, image_of
from deepnets4eo.registration import UNMOVED, ImagePair, Registration, Role, SearchLimits

logger = logging.getLogger(__name__)

# Of `FootprintAlignment.in_place`, whose standard deviation by chance is 1: 2 of 1,028 trials with outlines of another site reached 3.0
# (both images of 24 places; experiments/outlines_in_place.py), and none 3.5.
IN_PLACE = 3.0
CLEARLY = 0.05  # by which the agreement of roofs differs where one place is better than another
FAR_SCALE = 0.02  # of georeferenced images
MIN_MATCHING_SHARE = 0.5  # share of reliable matches that agree with the registration


def register_and_align(site: Site) -> Site:
    """Return the site with registered images, aligned footprints, and the clouds that POST shows.

    The journal provides the registration and alignment if it has them."""
    inputs, settings, journal = site.inputs, site.settings, site.work.journal
    registration = journal.run("registration", lambda: _tested_by_roofs(inputs, _register(inputs, settings), settings))
    paired = registration is not None and registration.usable
    alignments = journal.run("alignments", lambda: measure_alignments(inputs, settings, paired=paired))
    position = outline_position(alignments, registration)
    return replace(
        site, inputs=with_clouds(inputs, settings, registration), registration=registration, position=position
    )


def position_findings(site: Site, by_water: int = 0) -> tuple[Finding, ...]:
    """Return findings on what limits the accuracy of the outlines' positions. by_water : buildings graded all the same."""
    if not by_water or site.position.known or site.position.alignment is None:
        return site.position.findings
    return (
        _unknown(site.position.alignment, None if site.registered_pre is not None else site.registration, by_water),
    )


def with_clouds(inputs: Inputs, settings: Settings, registration: Registration | None) -> Inputs:
    """Return the inputs with the clouds that an optical post image in colour shows, if there is no mask of clouds."""
    if inputs.cloud_mask is not None or not inputs.after.shows_colours(settings.sensor):
        return inputs
    post, pre, date = inputs.post, inputs.pre, inputs.before
    if pre is not None and (pre.count != post.count or date is None or date.speckled):
        pre = None
    motion = registration.matrix if registration is not None and registration.usable else UNMOVED
    clouds = seen_clouds(post, pre, motion)
    if clouds is None:
        return inputs
    finding = cloud_finding(clouds, post, "post", "give_true_cloud_mask")
    return replace(inputs, cloud_mask=clouds, findings=(*inputs.findings, *([] if finding is None else [finding])))


def _register(inputs: Inputs, settings: Settings) -> Registration | None:
    """Register the pre image to the post image; returns None without a pre image."""
    pair = ImagePair(inputs.pre, inputs.post)
    if pair.pre is None:
        logger.info("no pre image: every building is assessed only from the post image")
        return None
    if settings.assume_registered:
        logger.info("pre and post are taken as registered, nothing is measured")
        return pair.assume_registered().registration
    logger.info("registering pre to post …")
    return pair.register(settings).log_registration().registration


def _tested_by_roofs(inputs: Inputs, registration: Registration | None, settings: Settings) -> Registration | None:
    """Return the registration, or the images as georeferenced if roofs agree clearly better with the georeference."""
    if registration is None or inputs.pre is None or registration.status == "ok" or settings.assume_registered:
        return registration
    unmoved = replace(
        registration, status="degraded", model="translation", matrix=np.array(UNMOVED), dx_m=0.0, dy_m=0.0
    )
    there, chance = roofs_in_place(inputs.pre, inputs.post, inputs.outlines_px, unmoved)
    if not there > chance:
        return registration
    if registration.usable:
        moved, _ = roofs_in_place(inputs.pre, inputs.post, inputs.outlines_px, registration)
        if not there > moved + CLEARLY:
            return registration
        values = {"shift_m": registration.shift_m, "there": there, "moved": moved}
        reason = Phrase("roofs_agree_without_shift", values)
    else:
        reason = Phrase("roofs_agree_as_georeferenced", {"there": there, "chance": chance})
    logger.info("%s", reason.text())
    return replace(unmoved, why=Phrase("reasons", {"reasons": [*filter(None, [registration.why]), reason]}))


def measure_alignments(inputs: Inputs, settings: Settings, *, paired: bool) -> dict[str, FootprintAlignment]:
    """Measure the alignment of the footprints on the pre image, and on the post image if the pre image fails."""
    if not settings.align:
        return {}
    frame = inputs.footprints.frame_beside(inputs.post.grid)
    alignments: dict[str, FootprintAlignment] = {}
    for role, image in (("pre", inputs.pre if paired else None), ("post", inputs.post)):
        if image is None:
            continue
        alignment = alignments[role] = align_footprints(image, frame, seed=settings.seed)
        logger.info("footprints on the %s image %s: moved %.2f m %s, %.2f m %s, %d of %d on their own. %s", role,
                    alignment.status, abs(alignment.dx_m), "right" if alignment.dx_m >= 0 else "left",
                    abs(alignment.dy_m), "down" if alignment.dy_m >= 0 else "up", int(alignment.own.sum()), len(frame),
                    alignment.reason)  # fmt: skip
        if alignment.status == "ok":
            break
    return alignments


def outline_position(
    alignments: Mapping[str, FootprintAlignment], registration: Registration | None
) -> OutlinePosition:
    """Return the position of the outlines; without alignments, the user vouches for it."""
    paired = registration is not None and registration.usable
    if not alignments:
        return OutlinePosition(None, "pre" if paired else "post")
    images: list[tuple[Role, FootprintAlignment]] = [
        (role, alignments[role]) for role in ("pre", "post") if role in alignments
    ]
    for role, alignment in images:
        if alignment.status == "ok":
            other = alignments.get("pre") if role == "post" else None
            no_fit = other is not None and other.voters >= MIN_FOOTPRINTS and not other.in_place >= IN_PLACE
            fit_after = (other.agreeing, alignment.agreeing) if other is not None and no_fit else None
            return OutlinePosition(alignment, role, findings=_moved_far(alignment), fit_after=fit_after)
    role, weak = max(images, key=lambda item: item[1].in_place if item[1].voters else -1.0)
    if weak.voters < MIN_FOOTPRINTS:
        return OutlinePosition(weak, role, findings=(_too_few(weak),))
    if weak.in_place >= IN_PLACE:
        return OutlinePosition(weak, role, findings=(_weak(weak, role),))
    return OutlinePosition(weak, role, known=False, findings=(_unknown(weak, None if paired else registration),))


def _moved_far(alignment: FootprintAlignment) -> tuple[Finding, ...]:
    if alignment.shift_m <= OutlinePosition.FAR_M:
        return ()
    return (Finding("footprints_moved_far", "caution", {"shift_m": alignment.shift_m, "agreeing": alignment.agreeing}),)


def _too_few(alignment: FootprintAlignment) -> Finding:
    return Finding("alignment_unknown", "caution", {"number": alignment.voters, "least": MIN_FOOTPRINTS})


def _weak(alignment: FootprintAlignment, role: Role) -> Finding:
    values = {"image": image_of(role), "reason": alignment.why, "deviations": alignment.in_place}
    return Finding("alignment_weak", "caution", values)


def _unknown(alignment: FootprintAlignment, failed: Registration | None, by_water: int = 0) -> Finding:
    """failed : a registration that is not usable; by_water : buildings graded all the same."""
    seen = Phrase("footprints_not_aligned", {"reason": alignment.why})
    if failed is not None:
        seen = Phrase("neither_registered_nor_aligned", {"images": failed.why, "footprints": alignment.why})
    values = {"seen": seen, "farther": None if failed is None else Phrase("raise_max_shift")}
    if by_water:
        in_water = {"number": by_water, "far_m": OutlinePosition.FAR_M, **values}
        return Finding("alignment_failed", "caution", in_water, wording="alignment_failed_in_water")
    return Finding("alignment_failed", "worthless", values)


def registration_findings(registration: Registration | None, settings: Settings = Settings()) -> tuple[Finding, ...]:
    """Return findings on what a registration that failed, is doubtful or was not measured means for the map."""
    if registration is None:
        return ()
    findings = []
    if not registration.usable:
        findings.append(Finding("registration_failed", "caution", {"reason": registration.why}, share=1.0))
    elif registration.status != "ok":
        findings.append(Finding("registration_degraded", "caution", {"reason": registration.why}))
    if registration.usable and not settings.assume_registered:
        findings += _unusual_fit(registration)
    turn = abs(registration.measured.rotation_deg)
    if settings.assume_registered:
        findings.append(Finding("registration_assumed", "caution"))
    elif registration.usable and turn > SearchLimits.near_rotation_deg:
        findings.append(
            Finding("registration_turned", "caution", {"turn_deg": turn, "most_deg": SearchLimits.near_rotation_deg})
        )
    return tuple(findings)


def _unusual_fit(registration: Registration) -> list[Finding]:
    """Return findings if the images differ in scale, or if few of their places are found again."""
    measured, findings = registration.measured, list[Finding]()
    if max(measured.scale_max - 1, 1 - measured.scale_min) > FAR_SCALE:
        values = {"least": measured.scale_min, "most": measured.scale_max, "usual": FAR_SCALE}
        findings.append(Finding("registration_scaled", "caution", values))
    share = measured.inliers / measured.reliable if measured.reliable else 1.0
    if share < MIN_MATCHING_SHARE:
        findings.append(Finding("registration_few_matches", "note", {"share": share, "good": MIN_MATCHING_SHARE}))
    return findings
