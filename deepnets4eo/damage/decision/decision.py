"""The decision: by the weight-free model alone, or together with a trained network and rasters of scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Floats, Mask, Texts
from deepnets4eo.cards.catalog import run_path
from deepnets4eo.damage.calibration.pool import NetworkReliability, NetworkSkill, Score, pool_scores, validated_skill
from deepnets4eo.damage.calibration.reliability import UNKNOWN_SPREAD, Judgement, fill_between, set_names
from deepnets4eo.damage.calibration.site import ShareEstimate, SiteFit
from deepnets4eo.damage.decision.estimates import (
    BuildingGround,
    InundatedBuildings,
    confusion_of_grades,
    site_estimates,
)
from deepnets4eo.damage.decision.findings import minor_findings, result_findings, share_findings
from deepnets4eo.damage.decision.model import (
    DEFAULT_MODEL,
    NARROW,
    REASONS,
    DamageModel,
    cap_confidence,
    set_by_network,
    set_by_water,
    set_not_assessed,
    to_decision_table,
    unlike_the_fit,
)
from deepnets4eo.damage.decision.quake import standing_findings, standing_roofs
from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.evidence.raster_evidence import score_findings
from deepnets4eo.damage.evidence.working_grid import COARSEST_PRE, pre_ratio
from deepnets4eo.damage.inputs.checks import order_finding, require_order, require_two_pictures
from deepnets4eo.damage.network.grader import (
    MEANING,
    POST_ALONE,
    NetworkGrader,
    not_used,
    open_shipped,
    pre_not_read,
    why_unfit,
)
from deepnets4eo.damage.network.pairs import POST, PRE
from deepnets4eo.damage.network.pooling import TileWork
from deepnets4eo.damage.vocabulary import ASSESSED, GRADES, MAJOR, NETWORK_COLUMNS, NOT_ASSESSED, POST_ONLY, PRE_POST
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.segmenters.checksums import CARD, is_run

if TYPE_CHECKING:
    from deepnets4eo.damage.inputs.registered_scene import OutlinePosition, RegisteredScene
    from deepnets4eo.rasters.scene import Layer
    from deepnets4eo.segmenters.stretch import Stretch

logger = logging.getLogger(__name__)


# Least probability of a building that is named at a site that is more probably intact: half of the best F1 is the best threshold
# (Lipton, Elkan & Naryanaswamy 2014), which at made-up sites left out was 0.33 to 0.39 with the network.
CLEAR = 0.35
INTACT = 0.5  # probability that a site has no damage, above which none of its buildings is named for the sake of their number


@dataclass(frozen=True)
class Decision:
    """The decision of a job: evidence with the network's columns, grades, share, findings and estimates.

    unlike : (N,) buildings unlike those of the fit, whose confidence is capped."""

    evidence: EvidenceTable
    graded: pd.DataFrame
    share: ShareEstimate
    findings: tuple[Finding, ...] = ()
    estimates: dict[str, Any] = field(default_factory=dict)
    unlike: Mask | None = None


@dataclass(frozen=True)
class DecisionModel:
    """The weight-free model, and a network with its weights on pairs and on the post image alone, skill and reliability.

    damaged_share : if known; findings : why the default network is not used; reads_pre : whether it can read pre."""

    model: DamageModel
    grader: NetworkGrader | None = None
    weight: float = 0.5
    post_weight: float = 0.0
    damaged_share: float | None = None
    skill: NetworkSkill | None = None
    reliability: NetworkReliability = NetworkReliability()
    reads_pre: bool = True
    findings: tuple[Finding, ...] = ()

    @classmethod
    def load(
        cls, model: str, weight: float = 0.5, damaged_share: float | None = None, *, device: str = "auto",
        precision: str = "auto",
    ) -> DecisionModel:  # fmt: skip
        """Open a model of models/ or a run. weight : of a run with perfect skill; device, precision : of the run, auto is float32.
        Errors: RunError, InputError."""
        if not 0 <= weight <= 1:
            raise InputError(
                f"the network's weight is {weight}, expected 0 (the network is not used) to 1 (it decides alone)."
            )
        if damaged_share is not None and not 0 < damaged_share < 1:
            raise InputError(
                f"the share of damaged buildings is {damaged_share}, expected more than 0 and less than 1."
            )
        if model == DEFAULT_MODEL:
            return cls(DamageModel.load(), weight=weight, damaged_share=damaged_share)
        if not is_run(folder := run_path(model)):
            return cls(DamageModel.load(model), weight=weight, damaged_share=damaged_share)
        stored = "float32" if precision == "auto" else precision
        grader = NetworkGrader.load(folder, device=device, precision=stored)
        skill = validated_skill(grader.run.card)
        if skill.value == 0:
            logger.warning("the run %s does not decide: %s", model, skill.reason)
        weights = weight * skill.value, weight * validated_skill(grader.run.card, POST_ALONE).value
        measured = NetworkReliability.of_card(grader.run.card, model, *weights)
        return cls(DamageModel.load(), grader if skill.value else None, *weights, damaged_share, skill, measured)

    def with_shipped(
        self, pre: Layer | None, post: Layer, *, device: str = "auto", precision: str = "auto"
    ) -> DecisionModel:
        """The same with the default network, or with the finding why it is not used; unchanged with another run."""
        if self.skill is not None or self.weight == 0:
            return self
        grader, finding = open_shipped(device, precision)
        if grader is None:
            return self if finding is None else replace(self, findings=(finding,))
        skills = [validated_skill(grader.run.card, head) for head in (None, POST_ALONE)]
        unread = why_unfit(grader, PRE, pre)
        reason = skills[0].reason or why_unfit(grader, POST, post) or ("" if skills[1].value else unread)
        if reason:
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

    def fitted_to(self, pre: Layer | None, post: Layer) -> DecisionModel:
        """The same, whose network sees these images as `NetworkGrader.fitted_to` shows them."""
        if self.grader is None:
            return self
        return replace(self, grader=self.grader.fitted_to(pre if self.reads_pre else None, post))

    @property
    def stretches(self) -> Mapping[str, Stretch]:
        """How the network sees images that are not of 8 bits, by role."""
        return {} if self.grader is None else self.grader.stretches

    @property
    def box_decides(self) -> bool:
        """Whether the default network takes part."""
        return self.grader is not None and self.skill is None

    def paths(self) -> dict[str, str]:
        """Role to path of the run that decides: its card names all its files with their hashes."""
        return {} if self.grader is None else {"run": str(self.grader.run.folder / CARD)}

    def network_probabilities(self, scene: RegisteredScene, work: TileWork) -> pd.DataFrame | None:
        """The network's probabilities, one row a footprint; None without a network or a registered pair. Errors: RunError."""
        pre, post, position = scene.registered_pre, scene.inputs.post, scene.position
        if self.grader is None:
            return None
        if pre is None or scene.registration is None:
            if self.grader.post_temperature is None:
                logger.warning("the network is not used: it needs a pre image that could be registered")
            return None
        if not self.reads_pre:
            return None
        if pre_ratio(pre, post) > COARSEST_PRE:
            logger.warning("the network is not used: the pre image is too coarse")
            return None
        logger.info("grading by the network …")
        return self.grader.probabilities(
            pre, post, scene.inputs.outlines_px, scene.registration, position.alignment, position.image, work
        )

    def post_probabilities(
        self, scene: RegisteredScene, evidence: EvidenceTable, work: TileWork
    ) -> pd.DataFrame | None:
        """The network's probabilities for buildings assessed from the post image alone; None without such a head."""
        if self.grader is None or self.grader.post_temperature is None or self.post_weight == 0:
            return None
        rows = np.flatnonzero((evidence.frame["method"] == POST_ONLY).to_numpy())
        inputs, position = scene.inputs, scene.position
        return self.grader.post_probabilities(
            inputs.post, inputs.outlines_px, scene.registration, position.alignment, position.image, rows, work
        )

    def check_order(self, evidence: EvidenceTable, position: OutlinePosition) -> tuple[Finding, ...]:
        """What the outlines say of the order of the images; refuses copies, and pairs that seem to be swapped. Errors: InputError."""
        if evidence.before is None:
            return ()
        frame = evidence.frame
        require_two_pictures(frame["ev_roof_match"].to_numpy(float))
        both = (frame["method"] == PRE_POST).to_numpy()
        alone = pd.DataFrame({"status": np.where(both, ASSESSED, NOT_ASSESSED), "method": POST_ONLY}, frame.index)
        before, after = (
            self.model.probabilities(pd.concat([alone, columns], axis=1))[:, MAJOR:].sum(axis=1)
            for columns in (evidence.before, frame[evidence.before.columns])
        )
        require_order(before, after)
        return () if position.fit_after is None else (order_finding(before, after, position.fit_after),)

    def decide(
        self,
        evidence: EvidenceTable,
        network: pd.DataFrame | None,
        scores: Sequence[Score] = (),
        post: pd.DataFrame | None = None,
        ground: BuildingGround | None = None,
        inundated: InundatedBuildings | None = None,
        *,
        quake: bool = False,
    ) -> Decision:
        """The evidence with the network's where it decides, and the decision.

        network, post : its probabilities from both images and from post alone
        quake : whether roofs that are found again count as standing

        Buildings in water say nothing of the share of damaged ones among the others.
        """
        seen = evidence
        if network is not None or post is not None:
            seen = with_network(evidence, network, post, leaves_displaced=self.weight < 1)
        outside, unlike = self._unknown_evidence(seen.frame, by_network_alone=self.weight == 1 and network is not None)
        gradable = self.reliability.gradable_alone(seen.frame, self._weights(seen.frame))
        # A roof of a few pixels shows nothing to anyone.
        by_network = gradable & ~np.isin(outside, ["", REASONS[NARROW]])
        full = _with_reasons(seen, outside, by_network, inundated)
        judgement = self._pool_judgements(full.frame, by_network, scores)
        wet = inundated if inundated is not None and inundated.damaged else None
        site = judgement.at_site(self.damaged_share, _apart(len(full.frame), wet, ground))
        if quake and self.damaged_share is None:
            site = replace(site, standing=standing_roofs(full.frame))
        graded = cap_confidence(_grade(site, judgement, full.frame.index, unlike, wet), by_network)
        spread = np.where(unlike[:, None], UNKNOWN_SPREAD, judgement.values(lambda fitted: fitted.spread))
        share, totals = _estimates(site, spread, ground, wet)
        by_structure = graded["damage"] if wet is None else graded["damage"].mask(wet.any_water)
        confusion = confusion_of_grades(site, spread, by_structure.to_numpy(object))
        findings = (
            *self.findings, *result_findings(full.frame, unlike, self.skill), *score_findings(scores, full.frame),
            *standing_findings(site.standing, full.frame),
            *share_findings(share, int((full.frame["status"] == ASSESSED).sum())), *minor_findings(confusion),
        )  # fmt: skip
        estimates = {**totals, "confusion": confusion} if totals else {}
        return Decision(full, graded, share, findings, estimates, unlike)

    def _unknown_evidence(self, frame: pd.DataFrame, *, by_network_alone: bool) -> tuple[Texts, Mask]:
        """(N,) why the model does not know a building's evidence, else ''; (N,) whether the whole site is unlike its fit."""
        if by_network_alone:
            return np.full(len(frame), "", object), np.zeros(len(frame), bool)
        outside = self.model.outside_range(frame)
        return outside, unlike_the_fit(frame, self.model, outside)

    def _pool_judgements(self, frame: pd.DataFrame, by_network: Mask, scores: Sequence[Score]) -> Judgement:
        """What model, network and scores together think. by_network : (N,) graded by the network alone."""
        weight_free = np.where(by_network[:, None], np.nan, self.model.probabilities(frame))
        judgement = Judgement(weight_free, self.model.variant_names(frame), self.model.reliabilities)
        return pool_scores(self.reliability.pool_network(judgement, frame, self._weights(frame)), frame, scores)

    def _weights(self, frame: pd.DataFrame) -> Floats:
        """(N,) weight of the network, by the images that show a building."""
        return np.where(frame["method"] == PRE_POST, self.weight, self.post_weight)


def _with_reasons(
    evidence: EvidenceTable, outside: Texts, by_network: Mask, inundated: InundatedBuildings | None
) -> EvidenceTable:
    """The table with the reasons of buildings that are not assessed, or by network or water alone."""
    known = set_not_assessed(evidence, np.where(by_network, "", outside))
    noted = set_by_network(known, np.where(by_network, outside, ""))
    return noted if inundated is None else set_by_water(noted, inundated.rows)


def _grade(
    site: SiteFit, judgement: Judgement, index: pd.Index, unlike: Mask, wet: InundatedBuildings | None
) -> pd.DataFrame:
    """Grade, probability, confidence and set of every building at this site."""
    named = name_damaged(site, None if wet is None else wet.rows)
    thresholds = judgement.values(lambda fitted: fitted.thresholds)
    members = np.where(unlike[:, None], True, judgement.members(site.even))
    return with_sets(cap_confidence(to_decision_table(site.probabilities, index, thresholds, named), unlike), members)


def name_damaged(site: SiteFit, wet: Mask | None = None) -> Mask:
    """(N,) the most probable buildings, as many as are expected to be damaged at a site that has damage, above the plain mean at
    most the median; where the site is probably intact, the clear ones alone."""
    p = site.probabilities[:, MAJOR:].sum(axis=1)
    counted = np.isfinite(p) & (True if wet is None else ~wet)
    if site.intact > INTACT:
        return np.nan_to_num(p) >= CLEAR
    order = np.argsort(-np.where(counted, p, -1.0), kind="stable")
    named = (np.nan_to_num(p) >= 0.5) & ~counted
    expected = float(p[counted].sum())
    number = max(expected, min(expected / (1 - site.intact), site.median_number(counted)))
    named[order[: round(number)]] = True
    return named


def with_sets(graded: pd.DataFrame, members: Mask) -> pd.DataFrame:
    """The decision with `damage_set`: the grades (N, 4) that cannot be excluded, the one named and those between."""
    assessed = graded["damage"].notna().to_numpy()
    named = graded["damage"].to_numpy()[:, None] == np.array(GRADES, dtype=object)
    names = set_names(fill_between(members | named))
    names[~assessed] = None
    return graded.assign(damage_set=pd.Series(names, graded.index, dtype=object))


def _apart(number: int, wet: InundatedBuildings | None, ground: BuildingGround | None) -> Mask:
    """(N,) buildings that say nothing of the share of damaged ones: in water, and repeated ones."""
    apart = np.zeros(number, bool) if wet is None else wet.rows
    return apart if ground is None else apart | ground.repeated


def _estimates(
    site: SiteFit, spread: Floats, ground: BuildingGround | None, wet: InundatedBuildings | None
) -> tuple[ShareEstimate, dict[str, Any]]:
    """Share and estimates of the assessed buildings."""
    assessed = np.isfinite(site.even[:, 0]) | (False if wet is None else wet.rows)
    area_m2 = np.full(len(assessed), np.nan) if ground is None else ground.area_m2
    return site_estimates(
        site.rows(assessed), spread[assessed], area_m2[assessed], None if wet is None else wet.subset(assessed)
    )


def with_network(
    evidence: EvidenceTable,
    probabilities: pd.DataFrame | None,
    post: pd.DataFrame | None = None,
    *,
    leaves_displaced: bool = False,
) -> EvidenceTable:
    """The table with the network's columns. leaves_displaced : not of roofs beside their place."""
    method = evidence.frame["method"].to_numpy()
    graded = np.full((len(method), len(NETWORK_COLUMNS)), np.nan)
    for used, table in ((PRE_POST, probabilities), (POST_ONLY, post)):
        if table is not None:
            graded = np.where((method == used)[:, None], table.to_numpy(float), graded)
    if leaves_displaced and evidence.displaced is not None:
        graded[evidence.displaced & (method == PRE_POST)] = np.nan
    logger.info("the network graded %d of %d buildings", int(np.isfinite(graded).all(axis=1).sum()), len(method))
    added = dict(zip(NETWORK_COLUMNS.values(), graded.T, strict=True))
    return replace(evidence, frame=evidence.frame.assign(**added), meaning=evidence.meaning | MEANING)
