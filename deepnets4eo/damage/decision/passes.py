"""The long work of a damage job: its passes over the images, each with its share of the progress, and their models."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.decision.unbuilt import UNBUILT, UnbuiltOutlines, find_unbuilt
from deepnets4eo.damage.evidence import EvidenceTable, gather
from deepnets4eo.damage.evidence.gather import EVIDENCE
from deepnets4eo.damage.inputs.checks import CheckedImages
from deepnets4eo.damage.inputs.find_buildings import BuildingNetwork
from deepnets4eo.damage.inputs.opening import Inputs
from deepnets4eo.damage.inputs.registered_scene import NOT_ON_BUILDINGS, RegisteredScene
from deepnets4eo.damage.inputs.settings import Settings
from deepnets4eo.damage.network.pooling import TileWork
from deepnets4eo.damage.vocabulary import POST_ONLY
from deepnets4eo.errors import InputError
from deepnets4eo.jobs.blocks import DoBlock, StepFinder, Steps
from deepnets4eo.jobs.journal import Journal
from deepnets4eo.jobs.parts import WHOLE, Part, Progress, between
from deepnets4eo.outputs.findings import count_of

logger = logging.getLogger(__name__)

NETWORK, NETWORK_POST, BUILDINGS = "network", "network_post", "buildings"  # steps, and folders of tiles


NETWORK_TIME, UNBUILT_TIME, BUILT_TIME = 4.0, 0.5, 2.0  # of the passes over the images, times that of the evidence


@dataclass(frozen=True)
class ImageSteps:
    """The passes of a job over the images. part : whose share is done; None keeps the results of whole steps, too."""

    scene: RegisteredScene
    model: DecisionModel
    journal: Journal
    passes: Passes
    part: Part | None = None
    remote: Steps | None = None
    failed: dict[int, str] = field(default_factory=dict)

    @classmethod
    def plan(
        cls, scene: RegisteredScene, model: DecisionModel, journal: Journal, progress: Progress | None,
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
        """The evidence of every building; of none where the outlines may lie beside them."""
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
        """Outlines without a building in the pre image; None where they are not aligned on it, or it is radar."""
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
            network=BuildingNetwork.in_box(settings.device, settings.precision) if self.model.box_decides else None,
            tiles=replace(self._tiles(BUILDINGS, self.passes.built), failed={}), steps=self.remote,
        )  # fmt: skip
        if self.passes.built is not None:
            self.passes.built(1.0)  # done, or there was no network to look
        return outlines

    def grade_post(self, evidence: EvidenceTable) -> pd.DataFrame | None:
        """The network's probabilities for buildings that are assessed from the post image alone."""
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
        """(N,) why the network could not grade a building, else ''."""
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


def load_model(inputs: Inputs | CheckedImages, settings: Settings) -> DecisionModel:
    """The model of the decision; on radar a network decides alone. Errors: InputError, RunError."""
    where = {"device": settings.device, "precision": settings.precision}
    model = DecisionModel.load(settings.model, settings.network_weight, settings.damaged_share, **where)
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
        model = model.with_shipped(inputs.pre, inputs.post, **where)
    return model.fitted_to(inputs.pre, inputs.post)


@dataclass(frozen=True)
class Passes:
    """Progress of the passes in their order, each called with its own share that is done."""

    network: Progress | None
    evidence: Progress | None
    unbuilt: Progress | None
    built: Progress | None
    post: Progress | None

    @classmethod
    def of(cls, progress: Progress | None, *, graded: bool, paired: bool) -> Passes:
        """The passes of a job. graded : whether the network takes part; paired : whether both images do."""
        both = graded * paired
        times = (
            both * NETWORK_TIME,
            1.0,
            paired * UNBUILT_TIME,
            both * BUILT_TIME,
            graded * (not paired) * NETWORK_TIME,
        )
        ends = np.cumsum((0.0, *times)) / sum(times)
        return cls(*(between(progress, *limits) for limits in pairwise(ends.tolist())))
