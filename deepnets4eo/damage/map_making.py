"""The damage map of a decision: its table, findings, and where the post image shows assessed ground or ground without outlines.

Takes what the steps of a job returned; extents are drawn from an overview, to about a thousandth of the image's side.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from shapely.geometry import MultiPolygon, shape

from deepnets4eo.damage.calibration.pool import Score
from deepnets4eo.damage.decision.decision import Decision, DecisionModel
from deepnets4eo.damage.decision.findings import (
    empty_outline_findings,
    evidence_findings,
    join_findings,
    segmenter_findings,
    unbuilt_findings,
)
from deepnets4eo.damage.decision.inundation import Inundation
from deepnets4eo.damage.decision.unbuilt import UnbuiltOutlines
from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.evidence.maps import nonzero_valid
from deepnets4eo.damage.evidence.point_evidence import PointScore
from deepnets4eo.damage.evidence.working_grid import known_or_assumed_gsd_m
from deepnets4eo.damage.inputs.opening import Inputs
from deepnets4eo.damage.inputs.registered_scene import PreparedScene, registration_findings
from deepnets4eo.damage.map import DamageMap, MapImages
from deepnets4eo.damage.network.stretched_images import stretch_findings, stretches_of_job
from deepnets4eo.damage.vocabulary import ASSESSED, BY_WATER, PRE_POST
from deepnets4eo.footprints.read import footprint_findings, outline_date_findings
from deepnets4eo.grid import Grid
from deepnets4eo.outputs.event import EventInfo, event_findings
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.rasters.scene import Layer

OVERVIEW_PX = 1024
NEAR_M = 50.0  # ground farther from every outline than that was not looked at


def make_map(
    scene: PreparedScene,
    outlines: NDArray[np.object_],
    model: DecisionModel,
    decision: Decision,
    unbuilt: UnbuiltOutlines | None,
    event: EventInfo,
    inundation: Inundation | None = None,
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
    compared = columns["method"] == PRE_POST
    if registration is not None and registration.usable and compared.any():
        middles = shapely.centroid(inputs.outlines_px)
        off_m = registration.error_m(np.column_stack((shapely.get_x(middles), shapely.get_y(middles))))
        columns["pre_off_m"] = np.where(compared, off_m.round(2), np.nan)
    if inundation is not None:
        columns["inundated"] = frame["inundated"].to_numpy()
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
        | {"damaged_share": settings.damaged_share or decision.share.value, "network": model.box_decides}
        | {"network_weight": model.weight if model.grader is not None else 0.0}
        | {"evidence": {score.name: score.to_dict() for score in _scores_of(inputs)}}
        | ({"stretch": {role: stretch.to_dict() for role, stretch in stretches.items()}} if stretches else {}),
        inputs=inputs.paths | model.paths(),
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


def _scores_of(inputs: Inputs) -> tuple[Score, ...]:
    return (*inputs.scores, *([] if inputs.points is None else [PointScore(inputs.points)]))


def _input_findings(scene: PreparedScene, model: DecisionModel, evidence: EvidenceTable) -> list[Finding]:
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


@dataclass(frozen=True)
class Extents:
    """Two GeoDataFrames of one row each, in the post image's CRS: (multi)polygons, empty where nothing is.
    assessed : valid, cloud-free ground within 50 m of an assessed outline; without_outlines : such ground farther than
    50 m from every outline, assessed or not."""

    assessed: gpd.GeoDataFrame
    without_outlines: gpd.GeoDataFrame


def map_extents(
    post: Layer, cloud_mask: Layer | None, outlines: NDArray[np.object_], assessed: NDArray[np.bool_]
) -> Extents:
    """What of the post image was assessed, and what has no outline.
    outlines : (N,) polygons in the post image's CRS, where it shows the buildings; assessed : (N,)."""
    data, valid, coarse = post.thumbnail(OVERVIEW_PX)
    seen = nonzero_valid(data, valid)
    if cloud_mask is not None:
        cloud, known = cloud_mask.on(coarse, "nearest").read()
        seen = seen & known & (cloud[0] == 0)
    near_any = _near(outlines, coarse)
    near_assessed = near_any if assessed.all() else _near(outlines[assessed], coarse)
    crs = None if post.grid.crs is None else post.grid.crs.to_wkt()
    return Extents(
        *(
            gpd.GeoDataFrame(geometry=[_polygon(part, coarse)], crs=crs)
            for part in (seen & near_assessed, seen & ~near_any)
        )
    )


def _near(outlines: NDArray[np.object_], grid: Grid) -> NDArray[np.bool_]:
    """(h, w) cells of the grid within 50 m of an outline."""
    present = outlines[~shapely.is_empty(outlines)]
    if len(present) == 0:
        return np.zeros(tuple(grid.shape), bool)
    touched = rasterio.features.rasterize(present, out_shape=tuple(grid.shape), transform=grid.affine, all_touched=True)
    if not touched.any():
        return np.zeros(tuple(grid.shape), bool)
    size_m = known_or_assumed_gsd_m(grid)
    return np.asarray(distance_transform_edt(touched == 0, sampling=size_m) <= NEAR_M)


def _polygon(cells: NDArray[np.bool_], grid: Grid) -> shapely.Geometry:
    pieces = rasterio.features.shapes(cells.astype(np.uint8), mask=cells, transform=grid.affine)
    outline = shapely.union_all([shape(piece) for piece, _ in pieces])
    return outline if not outline.is_empty else MultiPolygon()
