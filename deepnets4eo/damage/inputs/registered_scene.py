"""A damage job's inputs, how pre lies against post, and whether the outlines lie on buildings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from deepnets4eo.damage.evidence.gather import roofs_in_place
from deepnets4eo.damage.evidence.working_grid import mean_gsd
from deepnets4eo.damage.inputs.opening import Inputs
from deepnets4eo.damage.inputs.settings import Settings
from deepnets4eo.footprints import FootprintAlignment, align_footprints
from deepnets4eo.footprints.alignment import LEAST_FOOTPRINTS
from deepnets4eo.inspection.clouds import cloud_finding, clouds_in_image
from deepnets4eo.jobs.journal import Journal
from deepnets4eo.outputs.findings import Finding, count_of, one_or_many
from deepnets4eo.rasters.band_roles import COLOURS
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.registration import ImagePair, Registration, on_post_grid
from deepnets4eo.registration.options import NEAR_ROTATION_DEG
from deepnets4eo.registration.pair import UNMOVED, Role
from deepnets4eo.segmenters.inputs import DISPLAY_RGB
from deepnets4eo.segmenters.stretch import needed_stretch, show

logger = logging.getLogger(__name__)

IN_PLACE = 3.5  # of `FootprintAlignment.in_place`: outlines of another site reached 2.8 in 20 trials
CLEARLY = 0.05  # by which the agreement of roofs differs where one place is better than another
FAR_M = 8.0  # footprints seldom lie farther off than that
NOT_ON_BUILDINGS = "footprint not on a building: alignment failed"
CHECK = (
    "Check that footprints and images show one site, and the CRS of each, with `deepnets4eo check`; where you know that "
    "the footprints lie on the buildings, give --set align=no."
)
FAR_SCALE = 0.02  # of georeferenced images
LEAST_MATCHING = 0.5  # share of reliable matches that agree with the registration
FARTHER = "Where the images lie farther apart, raise --set max_shift_m."


@dataclass(frozen=True)
class OutlinePosition:
    """How the outlines must move, and on which image that was measured.

    known : whether they lie on buildings; fit_after : where they follow the image after alone, the shares of them that agree on one offset
    on the image before and on the one after."""

    alignment: FootprintAlignment | None
    image: Role
    known: bool = True
    findings: tuple[Finding, ...] = ()
    fit_after: tuple[float, float] | None = None


@dataclass(frozen=True)
class RegisteredScene:
    """What all steps of a damage job work on; registration is None without a pre image."""

    inputs: Inputs
    settings: Settings
    registration: Registration | None
    position: OutlinePosition

    @classmethod
    def prepare(cls, inputs: Inputs, settings: Settings, journal: Journal) -> RegisteredScene:
        """Register the images and align the footprints, or take both from the journal."""
        registration = journal.run(
            "registration", lambda: _tested_by_roofs(inputs, _register(inputs, settings), settings)
        )
        paired = registration is not None and registration.usable
        alignments = journal.run("alignments", lambda: measure_alignments(inputs, settings, paired=paired))
        inputs = with_clouds(inputs, settings, registration)
        return cls(inputs, settings, registration, outline_position(alignments, registration))

    def position_findings(self, by_water: int = 0) -> tuple[Finding, ...]:
        """What limits how well the outlines lie. by_water : buildings graded all the same."""
        alignment, registration = self.position.alignment, self.registration
        if not by_water or self.position.known or alignment is None:
            return self.position.findings
        return (_unknown(alignment, None if self.registered_pre is not None else registration, by_water),)

    @property
    def registered_pre(self) -> Layer | None:
        """The pre image; None where it could not be registered to the post image."""
        return self.inputs.pre if self.registration is not None and self.registration.usable else None


def with_clouds(inputs: Inputs, settings: Settings, registration: Registration | None) -> Inputs:
    """The inputs with the clouds that an optical post image in colour shows, where there is no mask of them."""
    post, pre = inputs.post, inputs.pre
    if (
        inputs.cloud_mask is not None
        or post.count < len(COLOURS)
        or ("post" in inputs.radar and settings.sensor != "optical")
    ):
        return inputs
    before = None
    if pre is not None and pre.count == post.count and "pre" not in inputs.radar:
        motion = registration.matrix if registration is not None and registration.usable else UNMOVED
        before = show(on_post_grid(pre, post.grid, motion), needed_stretch(DISPLAY_RGB, pre))
    measured = (
        pre if before is not None and pre is not None and pre.dtype == post.dtype else post
    )  # a stretch by the clouds would hide them
    clouds = clouds_in_image(show(post, needed_stretch(DISPLAY_RGB, measured)), before, mean_gsd(post))
    if clouds is None:
        return inputs
    finding = cloud_finding(
        clouds, post, "post", "Give another post image, or the true mask of its clouds: --cloud-mask."
    )
    return replace(inputs, cloud_mask=clouds, findings=(*inputs.findings, *([] if finding is None else [finding])))


def _register(inputs: Inputs, settings: Settings) -> Registration | None:
    """How the pre image lies against the post image; None without a pre image."""
    pair = ImagePair(inputs.pre, inputs.post)
    if pair.pre is None:
        logger.info("no pre image: every building is assessed from the post image alone")
        return None
    if settings.assume_registered:
        logger.info("pre and post are taken as registered, nothing is measured")
        return pair.assume_registered().registration
    logger.info("registering pre to post …")
    return pair.register(settings).log_registration().registration


def _tested_by_roofs(inputs: Inputs, registration: Registration | None, settings: Settings) -> Registration | None:
    """The registration, or the images as georeferenced where roofs agree clearly better with that."""
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
        reason = f"roofs agree better without its shift of {registration.shift_m:.1f} m ({there:.2f} for {moved:.2f}), which was not applied"
    else:
        reason = (
            f"roofs are found again where the images are georeferenced (agreement {there:.2f}, by chance {chance:.2f})"
        )
    logger.info("%s", reason)
    return replace(unmoved, reason=f"{registration.reason}; {reason}")


def measure_alignments(inputs: Inputs, settings: Settings, *, paired: bool) -> dict[str, FootprintAlignment]:
    """Alignments of the footprints on the pre image, and on the post image where that fails."""
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
    """Where the outlines lie; without alignments, the user knows them to lie well."""
    paired = registration is not None and registration.usable
    if not alignments:
        return OutlinePosition(None, "pre" if paired else "post")
    images: list[tuple[Role, FootprintAlignment]] = [
        (role, alignments[role]) for role in ("pre", "post") if role in alignments
    ]
    for role, alignment in images:
        if alignment.status == "ok":
            other = alignments.get("pre") if role == "post" else None
            no_fit = other is not None and other.voters >= LEAST_FOOTPRINTS and not other.in_place >= IN_PLACE
            fit_after = (other.agreeing, alignment.agreeing) if other is not None and no_fit else None
            return OutlinePosition(alignment, role, findings=_moved_far(alignment), fit_after=fit_after)
    role, weak = max(images, key=lambda item: item[1].in_place if item[1].voters else -1.0)
    if weak.voters < LEAST_FOOTPRINTS:
        return OutlinePosition(weak, role, findings=(_too_few(weak),))
    if weak.in_place >= IN_PLACE:
        return OutlinePosition(weak, role, findings=(_weak(weak, role),))
    return OutlinePosition(weak, role, known=False, findings=(_unknown(weak, None if paired else registration),))


def _moved_far(alignment: FootprintAlignment) -> tuple[Finding, ...]:
    if alignment.shift_m <= FAR_M:
        return ()
    return (
        Finding(
            "footprints_moved_far", "caution",
            f"The footprints lay {alignment.shift_m:.0f} m off the roofs; they were moved there, and "
            f"{alignment.agreeing:.0%} of them agree on it.",
            "Check the CRS of footprints and images with `deepnets4eo check`.",
        ),
    )  # fmt: skip


def _too_few(alignment: FootprintAlignment) -> Finding:
    return Finding(
        "alignment_unknown", "caution",
        f"{count_of(alignment.voters, 'footprint')} {one_or_many(alignment.voters, 'lies', 'lie')} on the image: too few to "
        f"measure whether footprints lie on buildings (at least {LEAST_FOOTPRINTS}). They were used where they are.",
        "Look at each of them on the page, or give more footprints of the site.",
    )  # fmt: skip


def _weak(alignment: FootprintAlignment, role: Role) -> Finding:
    return Finding(
        "alignment_weak", "caution",
        f"The footprints could not be aligned on the {role} image ({alignment.reason}); its edges follow them better where "
        f"they are than elsewhere ({alignment.in_place:.1f} standard deviations), so they stay.",
        "Look at some of them on the page.",
    )  # fmt: skip


def _unknown(alignment: FootprintAlignment, failed: Registration | None, by_water: int = 0) -> Finding:
    """failed : a registration that is not usable; by_water : buildings graded all the same."""
    seen = f"The footprints could not be aligned ({alignment.reason})"
    remedy = CHECK
    if failed is not None:
        seen = f"Neither could the images be registered ({failed.reason}) nor the footprints be aligned ({alignment.reason})"
        remedy = f"{CHECK} {FARTHER}"
    if by_water:
        return Finding(
            "alignment_failed", "caution",
            f"{seen}: they are not known to lie on buildings, and their structure was not assessed. "
            f"{count_of(by_water, 'outline')} {one_or_many(by_water, 'has', 'have')} a grade, since new water fills the ground wherever the "
            f"building may stand within {FAR_M:.0f} m.",
            remedy,
        )  # fmt: skip
    return Finding(
        "alignment_failed", "worthless",
        f"{seen}: they are not known to lie on buildings, and none of them was assessed.",
        remedy,
    )  # fmt: skip


def registration_findings(registration: Registration | None, settings: Settings = Settings()) -> tuple[Finding, ...]:
    """What a registration that failed, is doubtful or was not measured means for the map."""
    if registration is None:
        return ()
    findings, look = [], "Look whether pre and post agree on the page."
    if not registration.usable:
        text = (
            f"The pre image could not be registered and was not used ({registration.reason}): every building is assessed from "
            "the post image alone."
        )
        remedy = f"Check that both images show one site. {FARTHER} Or give - for PRE."
        findings.append(Finding("registration_failed", "caution", text, remedy))
    elif registration.status != "ok":
        text = f"The registration is doubtful: {registration.reason}."
        findings.append(Finding("registration_degraded", "caution", text, look))
    if registration.usable and not settings.assume_registered:
        findings += _unusual_fit(registration)
    turn = abs(registration.measured.rotation_deg)
    if settings.assume_registered:
        text = (
            "The pre image was assumed to lie in the right place (--assume-registered); nothing was measured. An offset of a "
            "few pixels would look like damage."
        )
        remedy = "Look whether pre and post agree on the page, or leave --assume-registered out."
        findings.append(Finding("registration_assumed", "caution", text, remedy))
    elif registration.usable and turn > NEAR_ROTATION_DEG:
        text = f"The pre image is turned by {turn:.1f}°; georeferenced images are seldom turned by more than {NEAR_ROTATION_DEG:g}°."
        findings.append(Finding("registration_turned", "caution", text, look))
    return tuple(findings)


def _unusual_fit(registration: Registration) -> list[Finding]:
    """That the images differ in scale, or that few of their places are found again."""
    measured, findings, order = (
        registration.measured,
        [],
        "Check that both images show one site, and which is the earlier one.",
    )
    if max(measured.scale_max - 1, 1 - measured.scale_min) > FAR_SCALE:
        text = (
            f"The pre image is scaled by {measured.scale_min:.3f} to {measured.scale_max:.3f}; georeferenced images are seldom scaled by more "
            f"than {FAR_SCALE:.0%}."
        )
        findings.append(Finding("registration_scaled", "caution", text, order))
    share = measured.inliers / measured.reliable if measured.reliable else 1.0
    if share < LEAST_MATCHING:
        text = f"{share:.0%} of the places that both images show in detail lie where the registration has them; good pairs have {LEAST_MATCHING:.0%} or more."
        findings.append(Finding("registration_few_matches", "note", text, order))
    return findings
