"""The main job: pre and post image and footprints in, a damage map out.

Takes paths or layers (see `damage.inputs.opening` for what is refused). Five steps: footprints, registration, evidence,
decision, products; the last is `DamageMap.save`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from deepnets4eo.damage.calibration.pool import Score
from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.decision.estimates import BuildingGround
from deepnets4eo.damage.decision.findings import block_findings
from deepnets4eo.damage.decision.inundation import find_water, inundated_buildings, with_inundation
from deepnets4eo.damage.decision.model import set_not_assessed
from deepnets4eo.damage.decision.unbuilt import NO_BUILDING, UNBUILT, UnbuiltOutlines, find_unbuilt
from deepnets4eo.damage.evidence import EvidenceTable, gather
from deepnets4eo.damage.evidence.gather import EVIDENCE
from deepnets4eo.damage.evidence.point_evidence import PointEvidence, PointScore, with_point_columns
from deepnets4eo.damage.evidence.raster_evidence import (
    ClassMapSource,
    RasterEvidence,
    mean_scores,
    open_class_map_source,
    with_class_shares,
    with_scores,
)
from deepnets4eo.damage.inputs.checks import CheckedImages
from deepnets4eo.damage.inputs.find_buildings import BuildingNetwork, with_outline_probability
from deepnets4eo.damage.inputs.journal import JobControl, Passes, damage_journal
from deepnets4eo.damage.inputs.opening import Inputs, open_inputs
from deepnets4eo.damage.inputs.registered_scene import NOT_ON_BUILDINGS, PreparedScene
from deepnets4eo.damage.inputs.settings import Settings
from deepnets4eo.damage.map import DamageMap
from deepnets4eo.damage.map_making import make_map
from deepnets4eo.damage.network.pooling import TileWork
from deepnets4eo.damage.vocabulary import POST_ONLY
from deepnets4eo.errors import InputError
from deepnets4eo.footprints.read import Footprints
from deepnets4eo.grid import apply_affine
from deepnets4eo.jobs.blocks import DoBlock, StepFinder, Steps
from deepnets4eo.jobs.journal import Journal
from deepnets4eo.jobs.parts import WHOLE, Part, Progress
from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.outputs.findings import count_of, worst_first
from deepnets4eo.rasters.gdal_cache import cache_bytes, gdal_cache
from deepnets4eo.rasters.scene import LayerLike

logger = logging.getLogger(__name__)

NETWORK, NETWORK_POST, BUILDINGS = "network", "network_post", "buildings"  # steps, and folders of their tiles


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
    pre : image before the event: a path, a folder of tiles or a layer; None or "-" for a job on the post image alone
    post : image after the event
    footprints : building outlines: any vector file, a table with a CRS, or what `read_footprints` returned
    dsm_pre, dsm_post : surface models of both dates, metres; both or none
    cloud_mask : raster that is not 0 where clouds hide the ground; where it has no data counts as clouded
    evidence
        Rasters of scores, such as of change; their means become columns, and take part in the decision by their skill.
    points
        Clouds of points or surface models, for height loss and debris of every building; they take part by their card.
    settings : how the job is done
    event : what the map is of, for its products; dates that are not given are taken from the images' tags
    work
        Where finished steps are kept, and what is called with the share that is done; the result does not depend on it.

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
    inputs: Inputs,
    settings: Settings = Settings(),
    work: JobControl = JobControl(),
    event: EventInfo = EventInfo(),
) -> DamageMap:
    """Assess every building, as `assess` does, from inputs that are open; what is in the scratch folder is not done again.

    Parameters
    ----------
    inputs : what `open_inputs` opened and checked
    settings, work, event : the same as in `assess`

    Returns
    -------
    DamageMap
        The same as in `assess`.

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
    model, class_map = open_models(inputs, settings)
    journal = damage_journal(work.scratch, inputs, settings)
    journal.report_parts()
    scene = PreparedScene.prepare(inputs, settings, journal)
    steps = ImageSteps.plan(scene, model, journal, work.progress, remote=work.remote)
    network = steps.grade_pair()
    evidence = steps.gather_evidence()
    model.require_pair(evidence)
    if not model.reads_pre:
        evidence = evidence.without_pre()
    unbuilt = steps.find_unbuilt()
    if unbuilt is not None:
        evidence = set_not_assessed(evidence, np.where(unbuilt.flags, NO_BUILDING, "").astype(object))
    outlines = _outlines_on_post(inputs, evidence)
    rasters, points = (inputs.scores, inputs.points) if scene.position.known else ((), None)
    scores: tuple[Score, ...] = rasters
    if rasters:
        means = journal.run("scores", lambda: mean_scores(rasters, outlines, settings.workers))
        evidence = with_scores(evidence, rasters, means)
    if points is not None:
        measures = journal.run("points", lambda: points.measure(inputs.footprints))
        evidence, scores = with_point_columns(evidence, measures), (*rasters, PointScore(points))
    post_alone = steps.grade_post(evidence)
    ground = BuildingGround.of(outlines, inputs.post.grid.crs)
    evidence = set_not_assessed(evidence, steps.not_graded(len(evidence.frame)))
    water = find_water(scene, outlines, journal.folder_of("water"))
    inundated = inundated_buildings(evidence.frame, water, settings)
    decision = model.decide(evidence, network, scores, post_alone, ground, inundated)
    if class_map is not None and scene.position.known:
        logger.info("labelling the post image …")
        evidence = with_class_shares(
            decision.evidence, class_map, outlines, settings.workers, journal.folder_of("classes")
        )
        decision = replace(decision, evidence=evidence)
    decision = replace(decision, evidence=with_outline_probability(decision.evidence, inputs.footprints))
    inundation = None
    if water is not None:
        decision, inundation = with_inundation(decision, water, inundated, settings)
    event = event.with_tags(inputs.pre, inputs.post)
    damage_map = make_map(scene, outlines, model, decision, unbuilt, event, inundation)
    if work.remote is not None:
        damage_map.findings = worst_first((*damage_map.findings, *block_findings(work.remote.failures)))
    return damage_map


def assess_part(inputs: Inputs, part: Part, settings: Settings = Settings(), work: JobControl = JobControl()) -> None:
    """Do a part of the long work, the passes of the network and of the evidence over the images, and keep it in `work.scratch`.

    Several processes or computers can share a job so. When all parts are done, `assess_inputs` with the same inputs, settings and
    folder makes the map from what they kept, and does what is missing. On computers of one kind it is the map that one process
    makes.

    Parameters
    ----------
    inputs : what `open_inputs` opened and checked
    part : which part it is
    settings : how the job is done
    work : with a scratch folder that all processes see

    Raises
    ------
    InputError, GridError
        The inputs cannot be used, or not together; no scratch folder is given.

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
    model, _ = open_models(inputs, settings)
    scene = PreparedScene.prepare(inputs, settings, journal)
    steps = ImageSteps.plan(scene, model, journal, work.progress, part, work.remote)
    steps.grade_pair()
    evidence = steps.gather_evidence()
    if not model.reads_pre:
        evidence = evidence.without_pre()
    steps.find_unbuilt()
    steps.grade_post(evidence)
    journal.mark_part(part)


@dataclass(frozen=True)
class ImageSteps:
    """The long work of a job, its passes over the images; whole, or a part's share of it.
    part : whose share is done; None for the job that makes the map, which keeps the results of its steps and not only
    blocks and tiles."""

    scene: PreparedScene
    model: DecisionModel
    journal: Journal
    passes: Passes
    part: Part | None = None
    remote: Steps | None = None
    failed: dict[int, str] = field(default_factory=dict)

    @classmethod
    def plan(
        cls, scene: PreparedScene, model: DecisionModel, journal: Journal, progress: Progress | None,
        part: Part | None = None, remote: Steps | None = None,
    ) -> ImageSteps:  # fmt: skip
        """The steps with their shares of the progress."""
        paired = scene.registered_pre is not None and model.reads_pre
        return cls(
            scene, model, journal, Passes.of(progress, graded=model.grader is not None, paired=paired), part, remote
        )

    def grade_pair(self) -> pd.DataFrame | None:
        """The network's probabilities from both images, one row a footprint; None where it does not take part."""
        if not self._graded:
            return None
        tiles = self._tiles(NETWORK, self.passes.network)
        return self._run(NETWORK, lambda: self.model.network_probabilities(self.scene, tiles))

    def gather_evidence(self) -> EvidenceTable:
        """What both images and the surface models say of every building; of none where the outlines may lie beside them."""
        inputs, position = self.scene.inputs, self.scene.position
        if not position.known:
            logger.warning("the structure of no building is assessed: the footprints are not known to lie on buildings")
            return EvidenceTable.empty(inputs.footprints.frame["id"].to_numpy(), NOT_ON_BUILDINGS)
        part = self.part or WHOLE
        whose = "" if part == WHOLE else f", part {part}"
        logger.info("gathering the evidence of %s%s …", count_of(len(inputs.footprints), "building"), whose)
        return gather(
            inputs.pre, inputs.post, inputs.footprints, self.scene.registration, outlines_px=inputs.outlines_px,
            alignment=position.alignment, aligned_on=position.image, dsm_pre=inputs.dsm_pre, dsm_post=inputs.dsm_post,
            cloud_mask=inputs.cloud_mask, workers=self.scene.settings.workers, progress=self.passes.evidence,
            scratch=self.journal.folder_of("blocks"), part=part, steps=self.remote,
        )  # fmt: skip

    def find_unbuilt(self) -> UnbuiltOutlines | None:
        """Outlines without a building in the registered pre image; None where they are not aligned on it, or it is radar."""
        inputs, settings, position = self.scene.inputs, self.scene.settings, self.scene.position
        pre, alignment = self.scene.registered_pre, position.alignment
        if pre is None or position.image != "pre" or (alignment is not None and alignment.status != "ok"):
            return None
        if settings.sensor == "auto" and "pre" in inputs.radar:
            return None
        logger.info("looking for outlines without a building in the pre image …")
        part = self.part or WHOLE
        outlines = find_unbuilt(
            pre, inputs.footprints, alignment, workers=settings.workers, seed=settings.seed,
            progress=self.passes.unbuilt, scratch=self.journal.folder_of("unbuilt"), part=part,
            network=BuildingNetwork.in_box() if self.model.box_decides else None,
            tiles=replace(self._tiles(BUILDINGS, self.passes.built), failed={}), steps=self.remote,
        )  # fmt: skip
        if self.passes.built is not None:
            self.passes.built(1.0)  # done, or there was no network to look
        return outlines

    def grade_post(self, evidence: EvidenceTable) -> pd.DataFrame | None:
        """The network's probabilities from the post image alone, for the buildings that the evidence assesses so."""
        if not self._graded:
            return None
        # whatever the part: the tiles around its buildings
        tiles = replace(self._tiles(NETWORK_POST, self.passes.post), part=WHOLE)
        return self._run(NETWORK_POST, lambda: self.model.post_probabilities(self.scene, evidence, tiles))

    def block_function(self, step: str) -> DoBlock:
        """In a worker: what does a block of a step."""
        finder = StepFinder(step)
        here = replace(self, remote=finder)
        seen = EvidenceTable.empty(self.scene.inputs.footprints.frame["id"].to_numpy(), "")
        graded = replace(seen, frame=seen.frame.assign(method=POST_ONLY))  # whichever they are: a tile is one of theirs
        jobs: dict[str, Callable[[], object]] = {
            NETWORK: here.grade_pair,
            EVIDENCE: here.gather_evidence,
            UNBUILT: here.find_unbuilt,
            BUILDINGS: here.find_unbuilt,
            NETWORK_POST: lambda: here.grade_post(graded),
        }
        return finder.find(jobs[step])

    def not_graded(self, count: int) -> NDArray[np.object_]:
        """(N,) why the network could not grade a building; '' where it could, or was not needed."""
        reasons = np.full(count, "", object)
        for row, reason in self.failed.items():
            reasons[row] = f"could not be graded: {reason}"
        return reasons

    def _tiles(self, step: str, progress: Progress | None) -> TileWork:
        return TileWork(self.journal.tiles(step), self.part or WHOLE, progress, self.remote, step, failed=self.failed)

    @property
    def _graded(self) -> bool:
        return self.scene.position.known and self.model.grader is not None

    def _run(self, name: str, step: Callable[[], pd.DataFrame | None]) -> pd.DataFrame | None:
        """The result of a step; the job that makes the map keeps it, a part knows only its share."""
        if self.part is not None or isinstance(self.remote, StepFinder):
            return step()
        return self.journal.run(name, step, complete=lambda: not self.failed)


def open_models(inputs: Inputs, settings: Settings) -> tuple[DecisionModel, ClassMapSource | None]:
    """What grades the buildings, and what labels pixels for shares of classes: opened and checked before long work
    starts. Errors: InputError and RunError for settings and models that do not fit the inputs."""
    post = inputs.post_to_label or inputs.post
    class_map = open_class_map_source(settings.class_shares, post, inputs.dsm_post) if settings.class_shares else None
    return load_model(inputs, settings), class_map


def load_model(inputs: Inputs | CheckedImages, settings: Settings) -> DecisionModel:
    """The model of the decision; on radar a network decides alone, and the weight-free model is refused. Errors:
    InputError for settings that do not fit, and images that the model cannot read."""
    model = DecisionModel.load(settings.model, settings.network_weight, settings.damaged_share)
    radar = inputs.radar if settings.sensor == "auto" else ()
    if radar and model.grader is None:
        raise InputError(
            f"{getattr(inputs, radar[0]).source} looks like radar (speckle); the weight-free model reads optical images only"
            + (f", and the run does not decide: {model.skill.reason}" if model.skill is not None else "")
            + f". Give a run trained on radar with --model RUN{', - for the pre image' if radar[0] == 'pre' else ''}, or "
            "--set sensor=optical if it is none."
        )
    if radar:
        model = replace(model, weight=1.0)
    elif settings.network:
        model = model.with_shipped(inputs.pre, inputs.post)
    return model.fitted_to(inputs.pre, inputs.post)


def _outlines_on_post(inputs: Inputs, evidence: EvidenceTable) -> NDArray[np.object_]:
    """Outlines (N,) in the post image's CRS, moved to where it shows the buildings."""
    shift_px = evidence.frame[["dx_px", "dy_px"]].to_numpy(float)
    coordinates, owner = shapely.get_coordinates(inputs.outlines_px, return_index=True)
    moved = apply_affine(inputs.post.grid.affine, coordinates + shift_px[owner])
    outlines: NDArray[np.object_] = shapely.set_coordinates(inputs.outlines_px.copy(), moved)
    return outlines
