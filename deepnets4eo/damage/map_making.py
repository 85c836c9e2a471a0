"""The damage map of a decision: its table, extents, findings, and all that its products say of the job.

Takes what the steps of a job returned; computes nothing of the images but the extents.
"""

from __future__ import annotations

from dataclasses import asdict

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.decision import Decision, DecisionModel
from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.extent import map_extents
from deepnets4eo.damage.findings import (
    empty_outline_findings,
    evidence_findings,
    join_findings,
    segmenter_findings,
    unbuilt_findings,
)
from deepnets4eo.damage.inputs import Inputs
from deepnets4eo.damage.map import DamageMap, MapImages
from deepnets4eo.damage.point_evidence import PointScore
from deepnets4eo.damage.pool import Score
from deepnets4eo.damage.prepared_scene import PreparedScene, registration_findings
from deepnets4eo.damage.stretched_images import stretch_findings, stretches_of_job
from deepnets4eo.damage.unbuilt import UnbuiltOutlines
from deepnets4eo.damage.vocabulary import ASSESSED
from deepnets4eo.footprints.read import footprint_findings
from deepnets4eo.outputs.event import EventInfo, event_findings
from deepnets4eo.outputs.findings import Finding


def make_map(
    scene: PreparedScene,
    outlines: NDArray[np.object_],
    model: DecisionModel,
    decision: Decision,
    unbuilt: UnbuiltOutlines | None,
    event: EventInfo,
) -> DamageMap:
    """The map of a decision; its parameters say whether a network was used, and its weight, on radar the network's alone."""
    inputs, settings, registration = scene.inputs, scene.settings, scene.registration
    evidence, alignment = decision.evidence, scene.position.alignment
    frame, graded = evidence.frame, decision.graded
    columns = {"id": frame["id"].to_numpy()}
    columns |= {name: graded[name].to_numpy() for name in ("damage", "damage_prob", "confidence", "damage_set")}
    columns |= {
        name: frame[name].to_numpy() for name in ("status", "reason", "method", "dx_px", "dy_px", *evidence.names)
    }
    crs = None if inputs.post.grid.crs is None else inputs.post.grid.crs.to_wkt()
    stretches = stretches_of_job(model.stretches, settings.segmenter, inputs.pre, inputs.post)
    extents = map_extents(inputs.post, inputs.cloud_mask, outlines, (frame["status"] == ASSESSED).to_numpy())
    damage_map = DamageMap(
        buildings=gpd.GeoDataFrame(columns, geometry=outlines, crs=crs),
        assessed_extent=extents.assessed,
        extent_without_outlines=extents.without_outlines,
        registration=(registration.to_dict() if registration else {})
        | {"footprints": alignment.to_dict() if alignment else {"status": "not moved"}},
        meaning=evidence.meaning,
        synthetic=inputs.post.synthetic or (inputs.pre is not None and inputs.pre.synthetic),
        parameters=asdict(settings)
        | {"damaged_share": decision.share.value, "network": model.box_decides}
        | {"network_weight": model.weight if model.grader is not None else 0.0}
        | {"evidence": {score.name: score.to_dict() for score in _scores_of(inputs)}}
        | ({"stretch": {role: stretch.to_dict() for role, stretch in stretches.items()}} if stretches else {}),
        inputs=inputs.paths | model.paths(),
        findings=join_findings(
            [
                *_input_findings(scene, model, evidence),
                *(() if unbuilt is None else unbuilt_findings(unbuilt)),
                *stretch_findings(stretches, {"pre": inputs.pre, "post": inputs.post}),
                *(() if settings.segmenter else empty_outline_findings(evidence, unbuilt)),
                *event_findings(event),
            ],
            decision.findings,
        ),
        footprints=inputs.footprints.account(),
        grading=decision.grading,
        damaged_share=decision.share.to_dict(),
        estimates=decision.estimates,
        event=event,
    )
    damage_map.images = MapImages(inputs.pre, inputs.post, inputs.scores)
    return damage_map


def _scores_of(inputs: Inputs) -> tuple[Score, ...]:
    return (*inputs.scores, *([] if inputs.points is None else [PointScore(inputs.points)]))


def _input_findings(scene: PreparedScene, model: DecisionModel, evidence: EvidenceTable) -> list[Finding]:
    """What the inputs, their registration and their evidence say about the worth of the map."""
    inputs = scene.inputs
    outlines = (
        *segmenter_findings(scene.settings.segmenter, after=inputs.pre is None),
        *footprint_findings(inputs.footprints),
    )
    findings = [*inputs.findings, *outlines, *scene.position.findings]
    if scene.position.known:
        findings += [
            *registration_findings(scene.registration, scene.settings),
            *evidence_findings(inputs.pre if model.reads_pre else None, inputs.post, evidence),
        ]
    return findings
