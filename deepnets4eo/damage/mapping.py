"""The last step of a damage job: the map of a site that is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely

from deepnets4eo.addresses import without_secrets
from deepnets4eo.damage.decision.decision import Decision, DecisionModel
from deepnets4eo.damage.findings import (
    empty_outline_findings,
    evidence_findings,
    join_findings,
    segmenter_findings,
)
from deepnets4eo.damage.images.clouds import ShownClouds
from deepnets4eo.damage.map import DamageMap, MapImages
from deepnets4eo.damage.network.stretches import stretch_findings, stretches_of_job
from deepnets4eo.damage.placing import position_findings, registration_findings
from deepnets4eo.damage.site.site import Site
from deepnets4eo.damage.structure.extents import map_extents
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.outputs import EventInfo, Finding

if TYPE_CHECKING:
    from deepnets4eo.segmenters import Stretch


def make_map(site: Site, model: DecisionModel, decision: Decision) -> DamageMap:
    """Return the map of a decision."""
    inputs, settings, registration = site.inputs, site.settings, site.registration
    event = site.event.with_tags(inputs.pre, inputs.post)
    alignment = site.position.alignment
    buildings = decision.buildings
    crs = None if inputs.post.grid.crs is None else inputs.post.grid.crs.to_wkt()
    stretches = stretches_of_job(model.network.stretches, settings.segmenter, inputs.pre, inputs.post)
    of_after = bool(settings.segmenter) and inputs.pre is None
    extents = map_extents(inputs.post, inputs.cloud_mask, site.outlines, buildings.assessed, of_after=of_after)
    damage_map = DamageMap(
        buildings=gpd.GeoDataFrame(_columns(site, buildings), geometry=site.outlines, crs=crs),
        assessed_extent=extents.assessed,
        extent_without_outlines=extents.without_outlines,
        registration=(registration.to_dict() if registration else {})
        | {"footprints": alignment.to_dict() if alignment else {"status": "not moved"}},
        meaning=dict(buildings.meaning),
        synthetic=inputs.post.synthetic or (inputs.pre is not None and inputs.pre.synthetic),
        parameters=without_secrets(asdict(settings))
        | {"damaged_share": settings.damaged_share or decision.share.value, "network": model.network.is_shipped}
        | {"network_weight": model.network.weight if model.network.grader is not None else 0.0}
        | {"evidence": {score.name: score.to_dict() for score in site.evidences}}
        | ({"stretch": {role: stretch.to_dict() for role, stretch in stretches.items()}} if stretches else {}),
        inputs=inputs.paths | model.network.paths(),
        findings=_findings(site, model, decision, stretches, event),
        footprints=inputs.footprints.account(),
        damaged_share=decision.share.to_dict(),
        estimates=decision.estimates,
        event=event,
        inundation=decision.inundation,
    )
    rasters = [raster for evidence in inputs.evidences for raster in evidence.rasters]
    clouds = [] if inputs.cloud_mask is None else [ShownClouds.of_mask(inputs.cloud_mask, inputs.post)]
    water = site.water.rasters if site.water else ()
    damage_map.images = MapImages(inputs.pre, inputs.post, [*clouds, *water, *rasters])
    damage_map.withhold_unknown_grades()
    if site.priors:
        damage_map.combine_priors(site.priors)
    return damage_map


def _columns(site: Site, buildings: Buildings) -> dict[str, Any]:
    """Return the columns of the map, one row per building."""
    frame, registration = buildings.frame, site.registration
    names = (*Buildings.map_columns, *buildings.names)
    columns = {name: frame[name].to_numpy() for name in names}
    compared = buildings.compared
    if registration is not None and registration.usable and compared.any():
        middles = shapely.centroid(site.inputs.outlines_px)
        off_m = registration.error_m(np.column_stack((shapely.get_x(middles), shapely.get_y(middles))))
        columns["pre_off_m"] = np.where(compared, off_m.round(2), np.nan)
    if "inundated" in frame:
        columns["inundated"] = frame["inundated"].to_numpy()
    return columns


def _findings(
    site: Site, model: DecisionModel, decision: Decision, stretches: Mapping[str, Stretch], event: EventInfo
) -> tuple[Finding, ...]:
    """Return the findings that limit the use of the map, worst first."""
    inputs, settings, buildings = site.inputs, site.settings, decision.ungraded
    findings = [
        *inputs.findings,
        *segmenter_findings(settings.segmenter, after=inputs.pre is None),
        *inputs.footprints.findings(),
        *position_findings(site, int(buildings.by_water.sum())),
    ]
    if site.position.known:
        read = inputs.pre if model.network.reads_pre else None
        findings += registration_findings(site.registration, settings)
        findings += evidence_findings(read, inputs.post, buildings)
    findings += inputs.footprints.date_findings(event.date_pre, event.date_post)
    findings += site.findings
    findings += stretch_findings(stretches, {"pre": inputs.pre, "post": inputs.post})
    if not settings.segmenter:
        findings += empty_outline_findings(buildings, looked_for=site.looked_for_unbuilt)
    return join_findings([*findings, *event.findings(), *event.hazard_findings], decision.findings)
