"""The main job: pre and post image and footprints in, a damage map out.

Takes paths or layers; refuses images and footprints that do not overlap, and inputs that cannot be a pair of images of
one place. Five steps: footprints, registration, evidence, decision, products; the last is `DamageMap.save`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from deepnets4eo.damage.abstention import set_not_assessed
from deepnets4eo.damage.class_shares import open_class_map_source, with_class_shares
from deepnets4eo.damage.decision_with_network import Decision, DecisionModel
from deepnets4eo.damage.evidence import EvidenceTable, gather
from deepnets4eo.damage.evidence_findings import evidence_findings
from deepnets4eo.damage.extent import map_extents
from deepnets4eo.damage.findings import Finding, worst_first
from deepnets4eo.damage.footprint_findings import footprint_findings
from deepnets4eo.damage.footprints import PIXELS, Footprints, read_footprints
from deepnets4eo.damage.input_checks import check_images
from deepnets4eo.damage.map import DamageMap
from deepnets4eo.damage.position import (
    NOT_ON_BUILDINGS,
    OutlinePosition,
    Role,
    measure_alignments,
    outline_position,
    registration_findings,
)
from deepnets4eo.damage.radar import is_radar
from deepnets4eo.damage.registration import FootprintAlignment, Registration, align_footprints, register
from deepnets4eo.damage.result_findings import join_findings
from deepnets4eo.damage.resume import Steps
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.unbuilt import NO_BUILDING, find_unbuilt
from deepnets4eo.damage.vocabulary import ASSESSED
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import apply_affine
from deepnets4eo.rasters.scene import Layer, LayerLike, overlap_share

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobControl:
    """How the work is followed.

    scratch : folder for finished steps, with which an interrupted job goes on; who made it removes it (see `resume`).
    progress : called with the share of the evidence that is done, 0–1.
    """

    scratch: Path | None = None
    progress: Callable[[float], None] | None = None


@dataclass(frozen=True)
class Inputs:
    """What the job works on, opened and checked.

    pre : None for a job on the post image alone; dsm_pre and dsm_post count only together. findings : what was seen
    of the images when they were opened.
    """

    pre: Layer | None
    post: Layer
    footprints: Footprints
    dsm_pre: Layer | None = None
    dsm_post: Layer | None = None
    cloud_mask: Layer | None = None
    findings: tuple[Finding, ...] = ()

    def paths(self) -> dict[str, str]:
        """Role to path, for the manifest; arrays have none."""
        layers = {name: getattr(self, name) for name in ("pre", "post", "dsm_pre", "dsm_post", "cloud_mask")}
        found = {
            role if len(layer.paths) == 1 else f"{role}_{index}": path
            for role, layer in layers.items()
            if layer is not None
            for index, path in enumerate(layer.paths)
        }
        if Path(self.footprints.source).is_file():
            found["footprints"] = self.footprints.source
        return found


def assess(
    pre: LayerLike | None,
    post: LayerLike,
    footprints: str | Path | gpd.GeoDataFrame | Footprints,
    *,
    dsm_pre: LayerLike | None = None,
    dsm_post: LayerLike | None = None,
    cloud_mask: LayerLike | None = None,
    settings: Settings = Settings(),
    work: JobControl = JobControl(),
) -> DamageMap:
    """Assess every building: class, probability of major damage or worse, confidence, and the evidence behind them.

    pre : None or "-" for a job on the post image alone. cloud_mask : not 0 where clouds hide the ground.
    work : where finished parts are kept, and whom to tell how much is done; nothing of it shapes the result.
    returns : DamageMap in the CRS of the post image, outlines where the post image shows them.
    Errors: InputError, GridError for inputs that cannot be used together.
    Peak memory: some 250 MB a worker and 5 kB a building, whatever the size of the images.

    >>> from deepnets4eo.synthetic import City
    >>> city = City(seed=1, size_px=256)
    >>> pre, post = (Layer.open(a.image, grid=a.grid) for a in (city.pre, city.post))
    >>> assess(pre, post, city.footprints()).buildings["status"].isin(["assessed", "not_assessed"]).all()
    np.True_
    """
    inputs = open_inputs(pre, post, footprints, settings, dsm_pre=dsm_pre, dsm_post=dsm_post, cloud_mask=cloud_mask)
    return assess_inputs(inputs, settings, work)


def assess_inputs(inputs: Inputs, settings: Settings = Settings(), work: JobControl = JobControl()) -> DamageMap:
    """The same from inputs that `open_inputs` opened and checked."""
    judge = _judge(inputs, settings)
    labeller = (
        open_class_map_source(settings.class_shares, inputs.post, inputs.dsm_post) if settings.class_shares else None
    )
    steps = Steps.of(work.scratch, inputs, settings)
    registration = steps.run("registration", lambda: _registration(inputs, settings))
    alignments = steps.run("alignments", lambda: _alignments(inputs, registration, settings))
    position = outline_position(alignments, registration)
    if position.known:
        evidence, heard = _gathered(inputs, judge, registration, position, settings, work, steps)
    else:
        logger.warning("no building is assessed: the footprints are not known to lie on buildings")
        evidence, heard = EvidenceTable.not_assessed(inputs.footprints.frame["id"].to_numpy(), NOT_ON_BUILDINGS), None
    judge.require_pair(evidence)
    decision = judge.decide(_without_unbuilt(evidence, inputs, registration, position, settings), heard)
    evidence = decision.evidence
    outlines = _on_the_post_image(inputs, evidence.frame[["dx_px", "dy_px"]].to_numpy(float))
    if labeller is not None and position.known:
        logger.info("labelling the post image …")
        evidence = with_class_shares(evidence, labeller, outlines, settings.workers, steps.part("classes"))
    result = _damage_map(inputs, outlines, evidence, decision, registration, position, settings)
    result.inputs.update(judge.paths())
    result.findings = join_findings(result.findings, decision.findings)
    result.grading = decision.grading
    result.parameters["network_weight"] = judge.weight  # on radar the network alone is heard
    return result


def _gathered(
    inputs: Inputs,
    judge: DecisionModel,
    registration: Registration | None,
    position: OutlinePosition,
    settings: Settings,
    work: JobControl,
    steps: Steps,
) -> tuple[EvidenceTable, pd.DataFrame | None]:
    """The evidence, and what the network says where there is one."""
    images = inputs.pre, inputs.post
    heard = steps.run(
        "network",
        lambda: judge.network_probabilities(
            images, inputs.footprints, registration, position.alignment, position.image
        ),
    )
    logger.info("gathering the evidence of %d buildings …", len(inputs.footprints))
    evidence = gather(
        inputs.pre, inputs.post, inputs.footprints, registration, alignment=position.alignment,
        aligned_on=position.image, dsm_pre=inputs.dsm_pre, dsm_post=inputs.dsm_post, cloud_mask=inputs.cloud_mask,
        workers=settings.workers, progress=work.progress, scratch=steps.part("blocks"),
    )  # fmt: skip
    return evidence, heard


def open_inputs(
    pre: LayerLike | None,
    post: LayerLike,
    footprints: str | Path | gpd.GeoDataFrame | Footprints,
    settings: Settings,
    **others: LayerLike | None,
) -> Inputs:
    """Open everything and check that it shows one place; cheap, so that errors come before long work starts.

    others : dsm_pre, dsm_post, cloud_mask.
    Errors: GridError for inputs that cannot be used together; InputError for noise, and one image given twice.
    """
    layers = {name: None if source is None else Layer.open(source) for name, source in others.items()}
    if (layers["dsm_pre"] is None) != (layers["dsm_post"] is None):
        raise GridError("one surface model is given, height loss needs both: --dsm-pre and --dsm-post.")
    post_layer = Layer.open(post)
    pre_layer = None if pre is None or (isinstance(pre, str) and pre == "-") else Layer.open(pre)
    if pre_layer is not None:
        pre_layer, post_layer = align_georeference(pre_layer, post_layer)
        _require_overlap(pre_layer, post_layer)
    outlines = read_footprints(
        footprints, layer=settings.layer, id_column=settings.id_column,
        assume_crs=settings.footprints_crs or (PIXELS if post_layer.grid.crs is None else None),
    )  # fmt: skip
    _require_inside(outlines, post_layer)
    checked = check_images(pre_layer, post_layer)
    return Inputs(checked.pre, checked.post, outlines, **layers, findings=checked.findings)


def align_georeference(pre: Layer, post: Layer) -> tuple[Layer, Layer]:
    """The pair; an image without a CRS lies pixel by pixel on the other, where both have one size (else a GridError)."""
    if pre.grid.crs is None and post.grid.crs is not None:
        return pre.on(post.grid), post
    if post.grid.crs is None and pre.grid.crs is not None:
        return pre, post.on(pre.grid)
    return pre, post


def _require_overlap(pre: Layer, post: Layer) -> None:
    if overlap_share(post.grid, pre.grid) == 0:
        raise GridError(
            f"pre image {pre.source} and post image {post.source} do not overlap. Check their CRS with `deepnets4eo check`."
        )


def _require_inside(footprints: Footprints, post: Layer) -> None:
    bounds = shapely.bounds(footprints.in_pixels(post.grid))
    height, width = post.shape
    with np.errstate(invalid="ignore"):
        inside = (bounds[:, 0] < width) & (bounds[:, 2] > 0) & (bounds[:, 1] < height) & (bounds[:, 3] > 0)
    if not inside.any():
        raise GridError(
            f"none of the {len(footprints)} footprints of {footprints.source} lies in the post image {post.source}. "
            "Check their CRS with `deepnets4eo check`."
        )


def _judge(inputs: Inputs, settings: Settings) -> DecisionModel:
    """Who decides; the weight-free model has no say on radar."""
    judge = DecisionModel.load(settings.model, settings.network_weight, settings.damaged_share)
    radar = [
        layer.source
        for layer in (inputs.pre, inputs.post)
        if settings.sensor == "auto" and layer is not None and is_radar(layer)
    ]
    if radar and judge.grader is None:
        raise InputError(
            f"{radar[0]} looks like radar (speckle); the weight-free model reads optical images only"
            + (f", and the run does not decide: {judge.skill.reason}" if judge.skill is not None else "")
            + ". Give a run trained on radar with --model RUN, a pre image of - if it is the pre image, or --sensor "
            "optical if it is none."
        )
    return replace(judge, weight=1.0) if radar else judge


def _registration(inputs: Inputs, settings: Settings) -> Registration | None:
    if inputs.pre is None:
        logger.info("no pre image: every building is judged from the post image alone")
        return None
    logger.info("registering pre to post …")
    found = register(
        inputs.pre, inputs.post, model=settings.motion, max_shift_m=settings.max_shift_m, seed=settings.seed
    )
    logger.info("registration %s: %s, shift %.2f m, residual %.2f m. %s", found.status, found.model, found.shift_m,
                found.residual_m, found.reason)  # fmt: skip
    return found


def _trusted(inputs: Inputs, registration: Registration | None) -> bool:
    """Whether the pre image can be used."""
    return inputs.pre is not None and registration is not None and registration.usable


def _alignments(inputs: Inputs, registration: Registration | None, settings: Settings) -> dict[str, FootprintAlignment]:
    """Onto the roofs of the pre image where it can be trusted (a destroyed street has no roof edges left), else post."""
    if not settings.align:
        return {}
    frame = inputs.footprints.frame
    if frame.crs is None and inputs.post.grid.crs is None:
        frame = frame.set_geometry(gpd.GeoSeries(inputs.footprints.in_pixels(inputs.post.grid), index=frame.index))

    def align(role: Role) -> FootprintAlignment:
        image = inputs.pre if role == "pre" and inputs.pre is not None else inputs.post
        found = align_footprints(image, frame, seed=settings.seed)
        logger.info("footprints on the %s image %s: moved %.2f m %s, %.2f m %s, %d of %d on their own. %s", role,
                    found.status, abs(found.dx_m), "right" if found.dx_m >= 0 else "left", abs(found.dy_m),
                    "down" if found.dy_m >= 0 else "up", int(found.own.sum()), len(frame), found.reason)  # fmt: skip
        return found

    return measure_alignments(align, paired=_trusted(inputs, registration))


def _findings(
    inputs: Inputs, registration: Registration | None, position: OutlinePosition, evidence: EvidenceTable
) -> tuple[Finding, ...]:
    """What limits the worth of the map, worst first."""
    findings = [*inputs.findings, *footprint_findings(inputs.footprints), *position.findings]
    if position.known:
        findings += [*registration_findings(registration), *evidence_findings(inputs.pre, inputs.post, evidence)]
    return worst_first(findings)


def _without_unbuilt(
    evidence: EvidenceTable,
    inputs: Inputs,
    registration: Registration | None,
    position: OutlinePosition,
    settings: Settings,
) -> EvidenceTable:
    """The table without outlines that show no building in the pre image, where outlines and image can be trusted."""
    pre = inputs.pre
    weak = position.alignment is not None and position.alignment.status != "ok"
    if pre is None or not _trusted(inputs, registration) or weak or position.image != "pre":
        return evidence
    if settings.sensor == "auto" and is_radar(pre):
        return evidence
    logger.info("looking for outlines without a building in the pre image …")
    unbuilt = find_unbuilt(pre, inputs.footprints, position.alignment, workers=settings.workers, seed=settings.seed)
    return set_not_assessed(evidence, np.where(unbuilt.flags, NO_BUILDING, "").astype(object))


def _damage_map(
    inputs: Inputs,
    outlines: np.ndarray,
    evidence: EvidenceTable,
    decision: Decision,
    registration: Registration | None,
    position: OutlinePosition,
    settings: Settings,
) -> DamageMap:
    frame, alignment = evidence.frame, position.alignment
    facts = {name: frame[name].to_numpy() for name in ("status", "reason", "method", "dx_px", "dy_px", *evidence.names)}
    columns = {"id": frame["id"].to_numpy()} | {
        name: decision.decided[name].to_numpy() for name in ("damage", "damage_prob", "confidence")
    }
    crs = None if inputs.post.grid.crs is None else inputs.post.grid.crs.to_wkt()
    extents = map_extents(inputs.post, inputs.cloud_mask, outlines, (frame["status"] == ASSESSED).to_numpy())
    return DamageMap(
        buildings=gpd.GeoDataFrame(columns | facts, geometry=outlines, crs=crs),
        assessed_extent=extents.assessed,
        extent_without_outlines=extents.without_outlines,
        registration=(registration.to_dict() if registration else {})
        | {"footprints": alignment.to_dict() if alignment else {"status": "not moved"}},
        meaning=evidence.meaning,
        synthetic=inputs.post.synthetic or (inputs.pre is not None and inputs.pre.synthetic),
        parameters=asdict(settings) | {"damaged_share": decision.damaged_share},
        inputs=inputs.paths(),
        findings=_findings(inputs, registration, position, evidence),
        footprints=inputs.footprints.account(),
    )


def _on_the_post_image(inputs: Inputs, shift_px: np.ndarray) -> np.ndarray:
    """Outlines in the post image's CRS, moved to where it shows the buildings."""
    pixels = inputs.footprints.in_pixels(inputs.post.grid)
    coordinates, owner = shapely.get_coordinates(pixels, return_index=True)
    coordinates = coordinates + shift_px[owner]
    return shapely.set_coordinates(pixels.copy(), apply_affine(inputs.post.grid.affine, coordinates))
