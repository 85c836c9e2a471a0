"""The main job: pre and post image and footprints in, a damage map out; `DamageMap.save` writes its products."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.addresses import without_secrets
from deepnets4eo.damage.decision.decision import Decision, DecisionModel
from deepnets4eo.damage.decision.estimates import BuildingGround
from deepnets4eo.damage.decision.evidences import open_evidence
from deepnets4eo.damage.decision.findings import (
    block_findings,
    empty_outline_findings,
    evidence_findings,
    join_findings,
    segmenter_findings,
    unbuilt_findings,
)
from deepnets4eo.damage.decision.inundation import (
    Inundation,
    find_water,
    inundated_buildings,
    water_looked_for,
    with_inundation,
)
from deepnets4eo.damage.decision.model import set_not_assessed
from deepnets4eo.damage.decision.passes import ImageSteps, load_model
from deepnets4eo.damage.decision.unbuilt import NO_BUILDING, UnbuiltOutlines
from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.evidence.extents import NEAR_AFTER_M, NEAR_M, map_extents
from deepnets4eo.damage.evidence.further import Evidence, with_further
from deepnets4eo.damage.evidence.point_evidence import PointEvidence
from deepnets4eo.damage.evidence.raster_evidence import RasterEvidence
from deepnets4eo.damage.inputs.find_buildings import with_outline_probability
from deepnets4eo.damage.inputs.journal import JobControl, damage_journal
from deepnets4eo.damage.inputs.opening import Inputs, open_inputs
from deepnets4eo.damage.inputs.registered_scene import RegisteredScene, registration_findings
from deepnets4eo.damage.inputs.settings import Settings
from deepnets4eo.damage.map import DamageMap, MapImages
from deepnets4eo.damage.network.stretched_images import stretch_findings, stretches_of_job
from deepnets4eo.damage.vocabulary import ASSESSED, BY_WATER, PRE_POST
from deepnets4eo.device import return_freed_memory
from deepnets4eo.errors import InputError
from deepnets4eo.footprints.read import Footprints, footprint_findings, outline_date_findings
from deepnets4eo.grid import apply_affine
from deepnets4eo.jobs.journal import Journal
from deepnets4eo.jobs.parts import Part
from deepnets4eo.outputs.event import EventInfo, event_findings
from deepnets4eo.outputs.findings import Finding, worst_first
from deepnets4eo.rasters.gdal_cache import cache_bytes, gdal_cache
from deepnets4eo.rasters.scene import LayerLike

logger = logging.getLogger(__name__)


def assess(
    pre: LayerLike | None,
    post: LayerLike,
    footprints: str | Path | gpd.GeoDataFrame | Footprints,
    *,
    dsm_pre: LayerLike | None = None,
    dsm_post: LayerLike | None = None,
    cloud_mask: LayerLike | None = None,
    evidence: Sequence[RasterEvidence] = (),
    points: PointEvidence | None = None,
    settings: Settings = Settings(),
    event: EventInfo = EventInfo(),
    work: JobControl = JobControl(),
) -> DamageMap:
    """Assess every building: class, probability of major damage or worse, confidence, and the evidence behind them.

    Parameters
    ----------
    pre : image before the event: a path, a folder of tiles or a layer; None or "-" for none
    post : image after the event
    footprints : building outlines: any vector file, a table with a CRS, or what `read_footprints` returned
    dsm_pre, dsm_post : surface models of both dates, metres; both or none
    cloud_mask : raster that is not 0 where clouds hide the ground; no data counts as clouded
    evidence : rasters of scores, such as of change; their means take part in the decision by their skill
    points : clouds of points or surface models, for height loss and debris; they take part by their card
    settings : how the job is done
    event : what the map is of; dates that are not given are taken from the images' tags
    work : where finished steps are kept, and progress; the result does not depend on it

    Returns
    -------
    DamageMap
        In the CRS of the post image, outlines where the post image shows them. Peak memory: about 1 GB with
        two workers, 2 GB with the default damage network, and 5 to 10 kB a building, whatever the size of the images.

    Raises
    ------
    InputError, GridError
        The inputs cannot be used, or not together.

    Examples
    --------
    >>> from deepnets4eo.rasters.scene import Layer
    >>> from deepnets4eo.synthetic import City
    >>> city = City(seed=1, size_px=256)
    >>> pre, post = (Layer.open(a.image, grid=a.grid) for a in (city.pre, city.post))
    >>> assess(pre, post, city.footprints()).buildings["status"].isin(["assessed", "not_assessed"]).all()
    np.True_
    """
    inputs = open_inputs(
        pre, post, footprints, settings, dsm_pre=dsm_pre, dsm_post=dsm_post, cloud_mask=cloud_mask, evidence=evidence,
        points=points,
    )  # fmt: skip
    return assess_inputs(inputs, settings, work, event)


def assess_inputs(
    inputs: Inputs, settings: Settings = Settings(), work: JobControl = JobControl(), event: EventInfo = EventInfo()
) -> DamageMap:
    """Assess every building, as `assess` does, from open inputs; what is in the scratch folder is not done again.

    Parameters
    ----------
    inputs : what `open_inputs` opened and checked
    settings, work, event : the same as in `assess`

    Returns
    -------
    DamageMap

    Raises
    ------
    InputError
        The images seem to be swapped, or are copies of one; a model cannot be used.

    Examples
    --------
    ```python
    damage_map = assess_inputs(open_inputs("pre.tif", "post.tif", "footprints.gpkg"))
    ```
    """
    with gdal_cache(cache_bytes(inputs.pre, inputs.post)):
        return _assess(inputs, settings, work, event)


def _assess(inputs: Inputs, settings: Settings, work: JobControl, event: EventInfo) -> DamageMap:
    model, further = load_model(inputs, settings), open_evidence(inputs, settings)
    journal = damage_journal(work.scratch, inputs, settings)
    journal.report_parts()
    scene = RegisteredScene.prepare(inputs, settings, journal)
    steps = ImageSteps.plan(scene, model, journal, work.progress, remote=work.remote)
    network = steps.grade_pair()
    with water_looked_for(scene, journal.folder_of("water")):
        measured = steps.gather_evidence()
    order = model.check_order(measured, scene.position)
    unbuilt = steps.find_unbuilt()
    return_freed_memory()  # of the blocks
    built = measured if model.reads_pre else measured.without_pre()
    if unbuilt is not None:
        built = set_not_assessed(built, np.where(unbuilt.flags, NO_BUILDING, "").astype(object))
    outlines = _outlines_on_post(inputs, built)
    scores = further if scene.position.known else ()
    scored = with_further(scene.site(outlines, built, journal), scores)
    post_alone = steps.grade_post(scored)
    evidence = set_not_assessed(scored, steps.not_graded(len(scored.frame)))
    ground = BuildingGround.of(outlines, inputs.post.grid.crs)
    water = find_water(scene, outlines, journal.folder_of("water"), event)
    inundated = inundated_buildings(evidence.frame, water, settings)
    decision = model.decide(evidence, network, scores, post_alone, ground, inundated, quake=event.is_earthquake)
    probable = with_outline_probability(decision.evidence, inputs.footprints)
    decision = replace(decision, evidence=probable, findings=(*order, *decision.findings))
    inundation = None
    if water is not None:
        decision, inundation = with_inundation(decision, water, inundated, settings)
    tagged = event.with_tags(inputs.pre, inputs.post)
    damage_map = make_map(scene, outlines, model, decision, unbuilt, tagged, inundation, further)
    if work.remote is not None:
        damage_map.findings = worst_first((*damage_map.findings, *block_findings(work.remote.failures)))
    return damage_map


def assess_part(inputs: Inputs, part: Part, settings: Settings = Settings(), work: JobControl = JobControl()) -> None:
    """Do a part of the passes over the images, and keep it in `work.scratch`, so that several computers share a job.

    Then `assess_inputs` with the same inputs, settings and folder makes the map, and does what is missing. On computers of
    one kind it is the map that one process makes.

    Parameters
    ----------
    inputs : what `open_inputs` opened and checked
    part : which part it is
    settings : how the job is done
    work : with a scratch folder that all processes see

    Raises
    ------
    InputError, GridError
        The inputs cannot be used, or not together; there is no scratch folder.

    Examples
    --------
    ```python
    inputs, work = open_inputs("pre.tif", "post.tif", "footprints.gpkg"), JobControl(Path("/shared/scratch"))
    assess_part(inputs, Part(3, 16), work=work)  # each of 16 jobs has a number of its own
    damage_map = assess_inputs(inputs, work=work)  # when all are done
    ```
    """
    if work.scratch is None:
        raise InputError("a part of a job has no scratch folder. Give JobControl one that all parts see.")
    with gdal_cache(cache_bytes(inputs.pre, inputs.post)):
        _assess_part(inputs, part, settings, damage_journal(work.scratch, inputs, settings), work)


def _assess_part(inputs: Inputs, part: Part, settings: Settings, journal: Journal, work: JobControl) -> None:
    journal.check_part(part)
    model = load_model(inputs, settings)
    scene = RegisteredScene.prepare(inputs, settings, journal)
    steps = ImageSteps.plan(scene, model, journal, work.progress, part, work.remote)
    steps.grade_pair()
    evidence = steps.gather_evidence()
    if not model.reads_pre:
        evidence = evidence.without_pre()
    steps.find_unbuilt()
    steps.grade_post(evidence)
    journal.mark_part(part)


def _outlines_on_post(inputs: Inputs, evidence: EvidenceTable) -> NDArray[np.object_]:
    """Outlines (N,) in the post image's CRS, moved to where it shows the buildings."""
    shift_px = evidence.frame[["dx_px", "dy_px"]].to_numpy(float)
    coordinates, owner = shapely.get_coordinates(inputs.outlines_px, return_index=True)
    moved = apply_affine(inputs.post.grid.affine, coordinates + shift_px[owner])
    outlines: NDArray[np.object_] = shapely.set_coordinates(inputs.outlines_px.copy(), moved)
    return outlines


def make_map(
    scene: RegisteredScene,
    outlines: NDArray[np.object_],
    model: DecisionModel,
    decision: Decision,
    unbuilt: UnbuiltOutlines | None,
    event: EventInfo,
    inundation: Inundation | None = None,
    further: Sequence[Evidence] = (),
) -> DamageMap:
    """The map of a decision."""
    inputs, settings, registration = scene.inputs, scene.settings, scene.registration
    evidence, alignment = decision.evidence, scene.position.alignment
    frame, graded = evidence.frame, decision.graded
    columns = {"id": frame["id"].to_numpy()}
    columns |= {name: graded[name].to_numpy() for name in ("damage", "damage_prob", "confidence", "damage_set")}
    columns |= {
        name: frame[name].to_numpy() for name in ("status", "reason", "method", "dx_px", "dy_px", *evidence.names)
    }
    compared = columns["method"] == PRE_POST
    if registration is not None and registration.usable and compared.any():
        middles = shapely.centroid(inputs.outlines_px)
        off_m = registration.error_m(np.column_stack((shapely.get_x(middles), shapely.get_y(middles))))
        columns["pre_off_m"] = np.where(compared, off_m.round(2), np.nan)
    if inundation is not None:
        columns["inundated"] = frame["inundated"].to_numpy()
    crs = None if inputs.post.grid.crs is None else inputs.post.grid.crs.to_wkt()
    stretches = stretches_of_job(model.stretches, settings.segmenter, inputs.pre, inputs.post)
    near_m = NEAR_AFTER_M if settings.segmenter and inputs.pre is None else NEAR_M
    extents = map_extents(inputs.post, inputs.cloud_mask, outlines, (frame["status"] == ASSESSED).to_numpy(), near_m)
    damage_map = DamageMap(
        buildings=gpd.GeoDataFrame(columns, geometry=outlines, crs=crs),
        assessed_extent=extents.assessed,
        extent_without_outlines=extents.without_outlines,
        registration=(registration.to_dict() if registration else {})
        | {"footprints": alignment.to_dict() if alignment else {"status": "not moved"}},
        meaning=evidence.meaning,
        synthetic=inputs.post.synthetic or (inputs.pre is not None and inputs.pre.synthetic),
        parameters=without_secrets(asdict(settings))
        | {"damaged_share": settings.damaged_share or decision.share.value, "network": model.box_decides}
        | {"network_weight": model.weight if model.grader is not None else 0.0}
        | {"evidence": {score.name: score.to_dict() for score in further}}
        | ({"stretch": {role: stretch.to_dict() for role, stretch in stretches.items()}} if stretches else {}),
        inputs=without_secrets(inputs.paths | model.paths()),
        findings=join_findings(
            [
                *_input_findings(scene, model, evidence),
                *outline_date_findings(inputs.footprints, event.date_pre, event.date_post),
                *(() if unbuilt is None else unbuilt_findings(unbuilt)),
                *stretch_findings(stretches, {"pre": inputs.pre, "post": inputs.post}),
                *(() if settings.segmenter else empty_outline_findings(evidence, unbuilt)),
                *event_findings(event),
            ],
            decision.findings,
        ),
        footprints=inputs.footprints.account(),
        damaged_share=decision.share.to_dict(),
        estimates=decision.estimates,
        event=event,
        inundation={} if inundation is None else inundation.to_dict(),
    )
    damage_map.images = MapImages(inputs.pre, inputs.post, inputs.scores)
    return damage_map


def _input_findings(scene: RegisteredScene, model: DecisionModel, evidence: EvidenceTable) -> list[Finding]:
    """What the inputs, their registration and their evidence say about the worth of the map."""
    inputs = scene.inputs
    outlines = (
        *segmenter_findings(scene.settings.segmenter, after=inputs.pre is None),
        *footprint_findings(inputs.footprints),
    )
    by_water = int((evidence.frame["method"] == BY_WATER).sum())
    findings = [*inputs.findings, *outlines, *scene.position_findings(by_water)]
    if scene.position.known:
        findings += [
            *registration_findings(scene.registration, scene.settings),
            *evidence_findings(inputs.pre if model.reads_pre else None, inputs.post, evidence),
        ]
    return findings
