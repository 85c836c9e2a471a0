"""The main job: pre and post image and footprints in, a damage map out; `DamageMap.save` writes its products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import geopandas as gpd

from deepnets4eo.damage.decision.decision import Decision, DecisionModel, load_model
from deepnets4eo.damage.decision.estimates import BuildingGround
from deepnets4eo.damage.decision.inundation import dry_hazard_findings, inundated_buildings, with_inundation
from deepnets4eo.damage.evidences.further import is_score, open_further_evidences, read_by
from deepnets4eo.damage.findings import block_findings
from deepnets4eo.damage.journal import JobControl, damage_journal, with_precision
from deepnets4eo.damage.map import DamageMap
from deepnets4eo.damage.mapping import make_map
from deepnets4eo.damage.opening import built_in_evidences, open_evidences, open_inputs
from deepnets4eo.damage.placing import register_and_align
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.phases import Phase, SharedWork, measure_phases, working_ahead
from deepnets4eo.damage.site.site import Evidence, EvidenceSource, Inputs, Site
from deepnets4eo.damage.site.work import Work, step_progress
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import Footprints
from deepnets4eo.jobs import Part
from deepnets4eo.outputs import EventInfo, worst_first
from deepnets4eo.rasters import LayerLike, gdal_cache

WHERE_BUILDINGS_ARE = (Phase.OUTLINES, Phase.DATES, Phase.BUILDINGS)  # phases of a part, too, whose site is then known


def assess(
    pre: LayerLike | None,
    post: LayerLike,
    footprints: str | Path | gpd.GeoDataFrame | Footprints,
    *,
    dsm_pre: LayerLike | None = None,
    dsm_post: LayerLike | None = None,
    cloud_mask: LayerLike | None = None,
    evidence: Sequence[EvidenceSource] = (),
    points: EvidenceSource | None = None,
    evidence_files: Mapping[str, str] | None = None,
    settings: Settings = Settings(),
    event: EventInfo = EventInfo(),
) -> DamageMap:
    """Assess every building: class, probability of major damage or worse, confidence, and the evidence behind them.

    Parameters
    ----------
    pre : image before the event: a path, a folder of tiles or a layer; None or "-" for none
    post : image after the event
    footprints : building outlines: any vector file, a table with a CRS, or what `read_footprints` returned
    dsm_pre, dsm_post : surface models of both dates, metres; both or none
    cloud_mask : raster that is not 0 where clouds hide the ground; no data counts as clouded
    evidence : `RasterEvidence` of scores, such as of change; their means take part in the decision by their skill
    points : `PointEvidence` of clouds of points or surface models, for height loss and debris; they take part by their card
    evidence_files : evidence of another package → file for it; `settings.evidences` names the evidence
    settings : how the job is done
    event : what the map is of; dates that are not given are taken from the images' tags

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
    >>> from deepnets4eo.rasters import Layer
    >>> from deepnets4eo.synthetic import City
    >>> city = City(seed=1, size_px=256)
    >>> pre, post = (Layer.open(a.image, grid=a.grid) for a in (city.pre, city.post))
    >>> assess(pre, post, city.footprints()).buildings["status"].isin(["assessed", "not_assessed"]).all()
    np.True_
    """
    inputs = open_inputs(
        pre, post, footprints, settings, dsm_pre=dsm_pre, dsm_post=dsm_post, cloud_mask=cloud_mask, evidence=evidence,
        points=points, evidence_files=evidence_files,
    )  # fmt: skip
    return assess_inputs(inputs, settings, event=event)


def assess_inputs(
    inputs: Inputs, settings: Settings = Settings(), work: JobControl = JobControl(), event: EventInfo = EventInfo()
) -> DamageMap:
    """Assess every building, as `assess` does, from open inputs; steps in the scratch folder are not repeated.

    Parameters
    ----------
    inputs : what `open_inputs` opened and checked
    settings, event : as in `assess`
    work : where finished steps are kept, and progress; the result does not depend on it

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
    with gdal_cache(inputs.pre, inputs.post):
        return _assess(inputs, settings, work, event)


def _assess(inputs: Inputs, settings: Settings, work: JobControl, event: EventInfo) -> DamageMap:
    further = open_further_evidences(inputs, settings)
    inputs = replace(inputs, paths=inputs.paths | read_by(further))
    journal = damage_journal(work.scratch, inputs, settings, further)
    settings = with_precision(settings, journal)
    model, scores = load_model(inputs, settings), open_evidences(inputs, settings, further)
    undecisive = [evidence for evidence in further if not is_score(evidence)]
    evidences: tuple[Evidence, ...] = (*built_in_evidences(model), *scores, *undecisive, *inputs.priors)
    journal.report_parts()
    site = open_site(Site(inputs, settings, event, Work(journal), scores), model, work)
    with working_ahead(site, evidences):
        site = measure_phases(site, evidences, *WHERE_BUILDINGS_ARE)
    site = measure_phases(site, evidences, Phase.SCORES, Phase.MEASURES)
    damage_map = make_map(site, model, decide(site, model, evidences))
    if work.remote is not None:
        damage_map.findings = worst_first((*damage_map.findings, *block_findings(work.remote.failures)))
    return damage_map


def open_site(site: Site, model: DecisionModel, work: JobControl, part: Part | None = None) -> Site:
    """Return the site with registered images, aligned outlines, and the way its long work is done. part : selects the share of the work."""
    site = register_and_align(site)
    paired = site.registered_pre is not None and model.network.reads_pre
    progress = step_progress(work.progress, graded=model.network.grader is not None, paired=paired)
    return replace(
        site,
        work=replace(
            site.work, part=part, finish=None if work.remote is None else work.remote.finish, progress=progress
        ),
    )


def decide(site: Site, model: DecisionModel, evidences: Sequence[Evidence]) -> Decision:
    """Return the decision on all buildings of a site; buildings in water have the grades that water gives."""
    ground = BuildingGround.of(site.outlines, site.post.grid.crs)
    inundated = inundated_buildings(site.buildings, site.water, site.settings)
    decision = model.decide(site.buildings, site.scores, ground, inundated, event=site.event)
    extended = measure_phases(replace(site, buildings=decision.ungraded), evidences, Phase.AFTERWARDS)
    decision = replace(decision, ungraded=extended.buildings)
    if site.water is None:
        return decision.checked_against_grades(site.event)
    decision = with_inundation(decision, site.water, inundated, site.settings)
    dry = dry_hazard_findings(site.event, site.settings, decision.inundation["inundated"])
    return replace(decision, findings=(*dry, *decision.findings)).checked_against_grades(site.event)


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
    assess_part(inputs, Part(3, 16), work=work)  # each of 16 jobs has its own number
    damage_map = assess_inputs(inputs, work=work)  # when all are done
    ```
    """
    if work.scratch is None:
        raise InputError("a part of a job has no scratch folder. Give JobControl one that all parts see.")
    with gdal_cache(inputs.pre, inputs.post):
        _assess_part(inputs, part, settings, work)


def _assess_part(inputs: Inputs, part: Part, settings: Settings, work: JobControl) -> None:
    further = open_further_evidences(inputs, settings)
    journal = damage_journal(work.scratch, inputs, settings, further)
    journal.check_part(part)
    settings = with_precision(settings, journal)
    model = load_model(inputs, settings)
    evidences = (*built_in_evidences(model), *further)
    site = open_site(Site(inputs, settings, work=Work(journal)), model, work, part)
    site = measure_phases(site, evidences, *WHERE_BUILDINGS_ARE)
    measure_phases(site, [evidence for evidence in evidences if isinstance(evidence, SharedWork)], Phase.MEASURES)
    journal.mark_part(part)
