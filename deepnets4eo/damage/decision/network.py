"""A trained network as evidence: its probabilities of the grades, from both images or from only POST, and how far they may decide."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Floats, Texts
from deepnets4eo.damage.decision.pool import NetworkReliability
from deepnets4eo.damage.images.dates import is_too_coarse
from deepnets4eo.damage.network import NetworkGrader
from deepnets4eo.damage.network.grader import (
    POST_ALONE,
    not_used,
    open_shipped,
    pre_not_read,
    why_unfit,
)
from deepnets4eo.damage.network.pairs import POST, PRE
from deepnets4eo.damage.site.phases import Phase
from deepnets4eo.damage.site.site import Site
from deepnets4eo.damage.site.skill import NetworkSkill, validated_skill
from deepnets4eo.damage.site.work import NETWORK, NETWORK_POST
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import RunError
from deepnets4eo.jobs import Part
from deepnets4eo.outputs import Finding
from deepnets4eo.segmenters import RunFolder

if TYPE_CHECKING:
    from deepnets4eo.rasters import Layer
    from deepnets4eo.segmenters import Stretch

logger = logging.getLogger(__name__)

NETWORK_LEANING = "network_leaning"  # the step that no other process does: few tiles


@dataclass(frozen=True)
class DamageNetwork:
    """A network with its weights on pairs and on only the post image, its skill and its reliability.

    grader : None if no network takes part; skill : of a run that was given, None for the default network; reads_pre : whether it can read
    PRE; findings : why the default network is not used, or does not read PRE."""

    grader: NetworkGrader | None = None
    weight: float = 0.5
    post_weight: float = 0.0
    skill: NetworkSkill | None = None
    reliability: NetworkReliability = NetworkReliability()
    reads_pre: bool = True
    findings: tuple[Finding, ...] = ()

    name = NETWORK
    phase = Phase.MEASURES

    @classmethod
    def load(cls, run: str, folder: Path, weight: float, device: str, precision: str, runtime: str) -> DamageNetwork:
        """Load the run of a folder. weight : the weight if its skill is perfect; precision : auto is float32. Raises RunError, InputError."""
        stored = "float32" if precision == "auto" else precision
        grader = NetworkGrader.load(folder, device=device, precision=stored, runtime=runtime)
        skill = validated_skill(grader.run.card)
        if skill.value == 0:
            logger.warning("the run %s does not decide: %s", run, skill.reason)
        weights = weight * skill.value, weight * validated_skill(grader.run.card, POST_ALONE).value
        measured = NetworkReliability.of_card(grader.run.card, run, *weights)
        return cls(grader if skill.value else None, *weights, skill, measured)

    def with_shipped(
        self, pre: Layer | None, post: Layer, *, device: str = "auto", precision: str = "auto", runtime: str = "auto"
    ) -> DamageNetwork:
        """Return the default network, or the finding why it is not used; unchanged with another run."""
        if self.skill is not None or self.weight == 0:
            return self
        grader, finding = open_shipped(device, precision, runtime)
        if grader is None:
            return self if finding is None else replace(self, findings=(finding,))
        skills = [validated_skill(grader.run.card, head) for head in (None, POST_ALONE)]
        unread = why_unfit(grader, PRE, pre)
        reason = skills[0].why or why_unfit(grader, POST, post) or (None if skills[1].value else unread)
        if reason is not None:
            return replace(self, findings=(not_used(reason),))
        weight, post_weight = (self.weight * skill.value for skill in skills)
        try:
            measured = NetworkReliability.of_card(grader.run.card, str(grader.run.folder), weight, post_weight)
        except RunError as error:
            return replace(self, findings=(not_used(str(error)),))
        findings = (pre_not_read(unread),) if unread else ()
        return replace(
            self, grader=grader, weight=weight, post_weight=post_weight, reliability=measured, reads_pre=not unread,
            findings=findings,
        )  # fmt: skip

    def fitted_to(self, pre: Layer | None, post: Layer) -> DamageNetwork:
        """Return the network with these images prepared as by `NetworkGrader.fitted_to`."""
        if self.grader is None:
            return self
        return replace(self, grader=self.grader.fitted_to(pre if self.reads_pre else None, post))

    @property
    def stretches(self) -> Mapping[str, Stretch]:
        """Return how the network receives images that are not of 8 bits, by role."""
        return {} if self.grader is None else self.grader.stretches

    @property
    def is_shipped(self) -> bool:
        """Return whether the default network takes part."""
        return self.grader is not None and self.skill is None

    def paths(self) -> dict[str, str]:
        """Return role → path of the run that decides; the card names all files of the run with their hashes."""
        return {} if self.grader is None else {"run": str(RunFolder(self.grader.run.folder).card)}

    def weights(self, buildings: Buildings) -> Floats:
        """Return (N,) the weight of the network, by the images that show a building."""
        return np.where(buildings.compared, self.weight, self.post_weight)

    def steps(self) -> dict[str, Callable[[Site], object]]:
        """Return the steps over the images, whose blocks several processes do."""
        return {NETWORK: self.grade_pair, NETWORK_POST: self.grade_post}

    def measure(self, site: Site) -> Site:
        """Return the site with the probabilities of the grades; without buildings that other processes of the job could not grade."""
        pair, post = self.grade_pair(site), self.grade_post(site)
        if pair is not None and (leaning := self.grade_leaning(site)) is not None:
            post = leaning if post is None else post.combine_first(leaning)
        site = site.leave_out(_not_graded(site))
        if pair is None and post is None:
            return site
        tables = (None if table is None else table.to_numpy(float) for table in (pair, post))
        buildings = site.buildings.with_network(*tables, leaves_displaced=self.weight < 1)
        logger.info("the network graded %d of %d buildings", int(buildings.graded_by_network.sum()), len(buildings))
        return replace(site, buildings=buildings)

    def grade_pair(self, site: Site) -> pd.DataFrame | None:
        """Return the probabilities from both images, one row per footprint. Raises RunError.

        None without a registered pair that the network reads."""
        grader = self.grader
        if grader is None or not site.position.known:
            return None
        return site.work.run(NETWORK, lambda: self._from_pair(site, grader))

    def _from_pair(self, site: Site, grader: NetworkGrader) -> pd.DataFrame | None:
        pre, position = self._graded_pre(site), site.position
        if pre is None or site.registration is None:
            if grader.post_temperature is None:
                logger.warning("the network is not used: it needs a registered pre image that is not too coarse")
            return None
        logger.info("grading by the network …")
        return grader.probabilities(
            pre, site.post, site.inputs.outlines_px, site.registration, position.alignment, position.image,
            site.work.tiles(NETWORK),
        )  # fmt: skip

    def _graded_pre(self, site: Site) -> Layer | None:
        """Return the registered PRE if the network grades from it and POST, else None."""
        pre = site.registered_pre if self.reads_pre else None
        return None if pre is None or is_too_coarse(pre, site.post) else pre

    def grade_post(self, site: Site) -> pd.DataFrame | None:
        """Return the probabilities for buildings that are assessed from only the post image; None without such a head."""
        grader = self.grader
        if grader is None or not site.position.known:
            return None
        return site.work.run(NETWORK_POST, lambda: self._from_post(site, grader))

    def _from_post(self, site: Site, grader: NetworkGrader) -> pd.DataFrame | None:
        if grader.post_temperature is None or self.post_weight == 0:
            return None
        rows = np.flatnonzero(site.buildings.by_post)
        tiles = replace(site.work.tiles(NETWORK_POST), part=Part.whole)  # whatever the part: those around its buildings
        return grader.post_probabilities(
            site.post, site.inputs.outlines_px, site.registration, site.position.alignment, site.position.image, rows, tiles,
            few=self._graded_pre(site) is not None,
        )  # fmt: skip

    def grade_leaning(self, site: Site) -> pd.DataFrame | None:
        """Return the probabilities of `leaning` buildings from only the post image, at the position of their roof; None without such buildings.

        At five cities, and after a fire (Santa Rosa 242: AUC .94 → .97), they order buildings better than no probabilities.
        """
        grader, rows = self.grader, np.flatnonzero(site.buildings.leaning)
        if grader is None or self.weight == 1 or self.post_weight == 0 or not len(rows):
            return None
        tiles = replace(site.work.tiles(NETWORK_LEANING), part=Part.whole, finish=None)
        return site.work.run(
            NETWORK_LEANING,
            lambda: grader.post_probabilities(site.post, site.roofs_px, None, None, "post", rows, tiles),
        )


def _not_graded(site: Site) -> Texts:
    """Return (N,) why the network could not grade a building, else ''."""
    reasons: Texts = np.full(len(site.buildings), "", object)
    for row, reason in site.work.failed.items():
        reasons[row] = f"could not be graded: {reason}"
    return reasons
