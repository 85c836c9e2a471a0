"""The decision: by only the weight-free model, or together with a trained network and rasters of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from deepnets4eo.arrays import Floats, Mask, Texts
from deepnets4eo.cards import run_path
from deepnets4eo.damage.decision.estimates import (
    BuildingGround,
    InundatedBuildings,
    confusion_of_grades,
    site_estimates,
)
from deepnets4eo.damage.decision.findings import minor_findings, result_findings, share_findings
from deepnets4eo.damage.decision.model import (
    DamageModel,
    unlike_the_fit,
)
from deepnets4eo.damage.decision.network import DamageNetwork
from deepnets4eo.damage.decision.order import order_finding, require_order, require_two_pictures
from deepnets4eo.damage.decision.reliability import HALF, Judgement, Opinion, Reliability
from deepnets4eo.damage.decision.site_fit import ShareEstimate, SiteFit
from deepnets4eo.damage.decision.two_views import MEASURED, FoundAgain
from deepnets4eo.damage.images.dates import DatePair
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.phases import Phase
from deepnets4eo.damage.site.site import Evidence, Inputs, Site
from deepnets4eo.damage.site.skill import Score
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.vocabulary import MAJOR, is_damaged
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.segmenters import RunFolder


@dataclass(frozen=True)
class Decision:
    """The decision of a job: grades, share, findings and estimates.

    ungraded : the buildings with their evidence; capped : (N,) buildings whose confidence is bounded; inundation : `Inundation.to_dict()`, empty if water was not looked for."""

    ungraded: Buildings
    grades: Grades
    share: ShareEstimate
    findings: tuple[Finding, ...] = ()
    estimates: dict[str, Any] = field(default_factory=dict)
    capped: Mask | None = None
    inundation: dict[str, Any] = field(default_factory=dict)

    @property
    def buildings(self) -> Buildings:
        """The buildings with their grades."""
        return self.ungraded.with_grades(self.grades)

    def checked_against_grades(self, event: EventInfo) -> Decision:
        """Return the decision that states no number of damaged buildings if its final grades contradict the interval of that number."""
        assessed = int(self.ungraded.assessed.sum())
        share = self.share.against(int(is_damaged(self.grades.numbers[self.grades.known]).sum()), assessed)
        if not share.contradicted or share_findings(self.share, assessed, event):
            return replace(self, share=share)
        return replace(self, share=share, findings=(*share_findings(share, assessed, event), *self.findings))


@dataclass(frozen=True)
class DecisionModel:
    """The weight-free model, the network in addition to it, and the share of damaged buildings if known."""

    model: DamageModel
    network: DamageNetwork = DamageNetwork()
    damaged_share: float | None = None

    name = "model"
    phase = Phase.DATES

    @classmethod
    def load(
        cls, model: str, weight: float = 0.5, damaged_share: float | None = None, *, device: str = "auto",
        precision: str = "auto", runtime: str = "auto",
    ) -> DecisionModel:  # fmt: skip
        """Open a model of models/ or a run. weight : of a run with perfect skill; device, precision, runtime : of the run, precision auto is float32.
        Errors: RunError, InputError."""
        if not 0 <= weight <= 1:
            raise InputError(
                f"the network's weight is {weight}, expected 0 (the network is not used) to 1 (only the network decides)."
            )
        if damaged_share is not None and not 0 < damaged_share < 1:
            raise InputError(
                f"the share of damaged buildings is {damaged_share}, expected more than 0 and less than 1."
            )
        network = DamageNetwork(weight=weight)
        if model == DamageModel.default:
            return cls(DamageModel.load(), network, damaged_share)
        if not RunFolder(folder := run_path(model)).is_run:
            return cls(DamageModel.load(model), network, damaged_share)
        network = DamageNetwork.load(model, folder, weight, device, precision, runtime)
        return cls(DamageModel.load(), network, damaged_share)

    @property
    def evidences(self) -> tuple[Evidence, ...]:
        """The evidences that the decision itself has: its check of the dates, and its network."""
        return self, self.network

    def measure(self, site: Site) -> Site:
        """Return the site whose images were checked for their order, without what only PRE shows if the network does not read it."""
        site = self.check_order(site)
        return site if self.network.reads_pre else replace(site, buildings=site.buildings.without_pre())

    def check_order(self, site: Site) -> Site:
        """Return the site with the finding that the outlines give on the order of the images.

        Refuses copies, and pairs that seem to be swapped. Raises InputError."""
        buildings, fit_after = site.buildings, site.position.fit_after
        if buildings.before is None:
            return site
        if buildings.agreement is not None:
            require_two_pictures(buildings.agreement, site.ground_agreement)
        before, after = (
            self.model.probabilities(buildings.seen_once(columns).frame)[:, MAJOR:].sum(axis=1)
            for columns in (buildings.before, buildings.frame[buildings.before.columns])
        )
        require_order(before, after)
        return site if fit_after is None else site.with_findings([order_finding(before, after, fit_after)])

    def decide(
        self,
        buildings: Buildings,
        scores: Sequence[Score] = (),
        ground: BuildingGround | None = None,
        inundated: InundatedBuildings | None = None,
        *,
        event: EventInfo = EventInfo(),
    ) -> Decision:
        """Decide on a table with the columns of all evidences.

        scores : those that take part.
        event : after an earthquake seen from two sides, a roof that is found again is less likely damaged.

        Buildings in water are left out of the share of damaged ones among the others.
        """
        network, reliability = self.network, self.network.reliability
        outside, unlike = self._unknown_evidence(buildings)
        gradable = reliability.gradable_alone(buildings, network.weights(buildings))
        by_network = gradable & DamageModel.can_be_graded_otherwise(outside)
        full = _with_reasons(buildings, outside, by_network, inundated)
        roofs = FoundAgain.of(full, self.model.probabilities(full.frame))
        judgement = self._pool_judgements(full, by_network, scores, roofs)
        wet = inundated if inundated is not None and inundated.damaged else None
        anchors = roofs.again if roofs.two_views else None
        site = judgement.at_site(self.damaged_share, _apart(len(full), wet, ground), anchors)
        if roofs.two_views and event.is_earthquake and self.damaged_share is None:
            site = replace(site, even=roofs.weigh(site.even))
        named = name_damaged(site, None if wet is None else wet.rows)  # doubt leaves the order as it is
        site = site.with_doubt(unlike, Reliability.unknown_spread[0])
        grades = _grade(site, judgement, unlike, named).cap(unlike | by_network)
        spread = np.where(unlike[:, None], Reliability.unknown_spread, judgement.values(lambda fitted: fitted.spread))
        share, totals = _estimates(site, spread, ground, wet)
        by_structure = np.where(grades.known & (True if wet is None else ~wet.any_water), grades.numbers, -1)
        confusion = confusion_of_grades(site, spread, by_structure)
        findings = (
            *network.findings, *result_findings(full, unlike, network.skill), *(score.finding(full) for score in scores),
            *roofs.findings(full, event, share), *share_findings(share, int(full.assessed.sum()), event), *minor_findings(confusion),
        )  # fmt: skip
        estimates = {**totals, "confusion": confusion} if totals else {}
        return Decision(full, grades, share, findings, estimates, unlike | by_network)

    def _unknown_evidence(self, buildings: Buildings) -> tuple[Texts, Mask]:
        """Return (N,) the reason why each building is out of the model's range, or '' if it is within.

        Also return (N,) whether the whole site is unlike the model's fit."""
        frame, by_both = buildings.frame, buildings.graded_by_network & buildings.compared
        if self.network.weight == 1 and by_both.any():  # it decides alone
            return np.full(len(frame), "", object), np.zeros(len(frame), bool)
        outside = self.model.outside_range(frame)
        return outside, unlike_the_fit(frame, self.model, outside)

    def _pool_judgements(
        self, buildings: Buildings, by_network: Mask, scores: Sequence[Score], roofs: FoundAgain
    ) -> Judgement:
        """Return the joint judgement of model, network, both views and scores. by_network : (N,) buildings graded only by the network."""
        frame = buildings.frame
        weight_free = np.where(by_network[:, None], np.nan, self.model.probabilities(frame))
        judgement = Judgement(weight_free, self.model.variant_names(frame), self.model.reliabilities)
        pooled = self.network.reliability.pool_network(judgement, buildings, self.network.weights(buildings))
        if roofs.two_views:
            pooled = pooled.pooled_with([roofs.opinion(buildings)], MEASURED)
        opinions = [
            Opinion(score.weight, score.log_odds(buildings.values(score.column))) for score in scores if score.weight
        ]
        return pooled.pooled_with(opinions)


def load_model(inputs: Inputs | DatePair, settings: Settings) -> DecisionModel:
    """Return the model of the decision; on radar, only a network decides. Raises InputError, RunError."""
    where = {"device": settings.device, "precision": settings.precision, "runtime": settings.runtime}
    model = DecisionModel.load(settings.model, settings.network_weight, settings.damaged_share, **where)
    network = model.network
    dates = [date for date in (inputs.before, inputs.after) if date is not None]
    radar = [date for date in dates if not date.is_optical(settings.sensor)]
    if radar and network.grader is None:
        raise InputError(
            f"{radar[0].layer.source} looks like radar (speckle); the weight-free model reads optical images only"
            + (f", and the run does not decide: {network.skill.reason}" if network.skill is not None else "")
            + f". Give a run trained on radar with --model RUN{', - for the pre image' if radar[0].role == 'pre' else ''}, or "
            "--set sensor=optical if it is none."
        )
    if radar:
        network = replace(network, weight=1.0)
    elif settings.network:
        network = network.with_shipped(inputs.pre, inputs.post, **where)
    return replace(model, network=network.fitted_to(inputs.pre, inputs.post))


def _with_reasons(
    buildings: Buildings, outside: Texts, by_network: Mask, inundated: InundatedBuildings | None
) -> Buildings:
    """Return the buildings with the reasons of buildings that are not assessed, or graded only by network or water."""
    noted = buildings.leave_out(np.where(by_network, "", outside)).set_by_network(by_network, outside)
    return noted if inundated is None else noted.set_by_water(inundated.rows)


def _grade(site: SiteFit, judgement: Judgement, unlike: Mask, named: Mask) -> Grades:
    """Grades of all buildings by their structure, at this site. named : (N,) with major damage or worse"""
    thresholds = judgement.values(lambda fitted: fitted.thresholds)
    kept = np.where(unlike[:, None], True, judgement.members(site.even))
    return Grades.of_sides(site.probabilities, thresholds, named, kept)


def name_damaged(site: SiteFit, wet: Mask | None = None) -> Mask:
    """Return (N,) buildings that are more probably damaged than not; with a given share, the most probable dry ones by number."""
    p = np.nan_to_num(site.probabilities[:, MAJOR:].sum(axis=1))
    named = p >= HALF
    if site.share_is_given:
        counted = np.isfinite(site.even[:, 0]) & (True if wet is None else ~wet)
        order = np.argsort(-np.where(counted, p, -1.0), kind="stable")
        named &= ~counted
        named[order[: round(p[counted].sum())]] = True
    return named


def _apart(number: int, wet: InundatedBuildings | None, ground: BuildingGround | None) -> Mask:
    """Return (N,) buildings that do not count towards the share of damaged buildings: buildings in water, and repeated buildings."""
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
