"""The one value that goes through a damage job: what is known of its site, which every step returns extended; and what an evidence is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import pandas as pd
import shapely

from deepnets4eo.arrays import Geometries, Texts
from deepnets4eo.damage.images.dates import TwoDates
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.skill import Score
from deepnets4eo.damage.site.work import Work
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import Footprints
from deepnets4eo.grid import apply_affine, transform_shapes
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import Role

if TYPE_CHECKING:
    from deepnets4eo.damage.site.measured_prior import MeasuredPrior
    from deepnets4eo.floods import BuildingWater
    from deepnets4eo.footprints import FootprintAlignment
    from deepnets4eo.registration import Registration


@dataclass(frozen=True)
class Inputs(TwoDates):
    """The inputs of the job: images with only red, green and blue, outlines_px (N,) on post.

    evidences : the given rasters of scores and points; priors : priors that are counted apart; radar : roles of images that look like radar;
    paths : role to file; evidence_files : evidence of another package to the file that the user gave it."""

    pre: Layer | None
    post: Layer
    footprints: Footprints
    outlines_px: Geometries
    dsm_pre: Layer | None = None
    dsm_post: Layer | None = None
    cloud_mask: Layer | None = None
    evidences: tuple[GivenEvidence, ...] = ()
    findings: tuple[Finding, ...] = ()
    radar: tuple[str, ...] = ()
    paths: dict[str, str] = field(default_factory=dict)
    priors: tuple[Evidence, ...] = ()
    evidence_files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OutlinePosition:
    """The required movement of the outlines, and the image that it was measured on.

    known : whether the outlines are on buildings; fit_after : if they follow only the image after, the shares of outlines that agree on one
    offset on the image before and on the image after."""

    FAR_M: ClassVar[float] = 8.0  # footprints seldom lie farther off than that

    alignment: FootprintAlignment | None
    image: Role
    known: bool = True
    findings: tuple[Finding, ...] = ()
    fit_after: tuple[float, float] | None = None

    @property
    def reach_m(self) -> float:
        """Return how far from its outline a building may be, in metres."""
        return 0.0 if self.known else self.FAR_M


@dataclass(frozen=True)
class WaterAround:
    """Water in and around each building, its source and whether it is new.

    since_unknown : number of buildings in water that may be old; reach_m : how far from its outline a building may be; doubt : that
    water is not recognised; unproven : that no water was seen, which does not prove dry ground; rasters : the given map of water, for the page;
    states_dry : whether a mask or depths state which ground is dry, rather than images."""

    around: BuildingWater
    source: str
    is_new: bool
    since_unknown: int = 0
    reach_m: float = 0.0
    doubt: Finding | None = None
    unproven: Finding | None = None
    rasters: tuple[ShownRaster, ...] = ()
    states_dry: bool = False


@dataclass(frozen=True)
class Site:
    """The site of a job, with the results so far.

    Parameters
    ----------
    inputs : images, footprints and other layers
    settings, event, work : how the job is done, what the map is of, and how the long work is done
    evidences : those whose scores take part in the decision
    registration : how the image before lies on POST; None without one
    position : whether and how the outlines lie on buildings
    buildings : with the evidence that was measured; those without a reason are assessed
    outlines : (N,) where POST shows the buildings, in its CRS; none before the structure is measured
    looked_for_unbuilt : whether outlines without a building were searched for, or a finding states why not
    water : in and around each building; None if it is not sought, or POST cannot show it
    priors : intensities of the event at the buildings, which are counted apart from the decision
    findings : what the steps say
    """

    inputs: Inputs
    settings: Settings = Settings()
    event: EventInfo = EventInfo()
    work: Work = field(default_factory=Work)
    evidences: tuple[ScoreEvidence, ...] = ()
    registration: Registration | None = None
    position: OutlinePosition = OutlinePosition(None, "pre")
    buildings: Buildings = field(default_factory=lambda: Buildings.not_assessed(np.zeros(0, object), ""))
    outlines: Geometries = field(default_factory=lambda: np.zeros(0, object))
    looked_for_unbuilt: bool = False
    water: WaterAround | None = None
    priors: tuple[MeasuredPrior, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def pre(self) -> Layer | None:
        """The image before the event; None if there is none."""
        return self.inputs.pre

    @property
    def registered_pre(self) -> Layer | None:
        """The image before the event; None if it could not be registered to the image after."""
        return self.pre if self.registration is not None and self.registration.usable else None

    @property
    def ground_agreement(self) -> float:
        """Agreement of the ground in both images (`Registration.ground_agreement`); NaN if nothing was registered or measured."""
        return float("nan") if self.registration is None else self.registration.ground_agreement

    @property
    def post(self) -> Layer:
        """The image after the event."""
        return self.inputs.post

    @property
    def scores(self) -> tuple[ScoreEvidence, ...]:
        """Return the evidences whose scores take part: none if the outlines may be next to the buildings."""
        return self.evidences if self.position.known else ()

    def with_structure(self, buildings: Buildings) -> Site:
        """Return the site with the evidence of its structure, which moves the outlines to the buildings in POST."""
        outlines_px, shift_px = self.inputs.outlines_px, buildings.frame[["dx_px", "dy_px"]].to_numpy(float)
        coordinates, owner = shapely.get_coordinates(outlines_px, return_index=True)
        moved = apply_affine(self.post.grid.affine, coordinates + shift_px[owner])
        return replace(self, buildings=buildings, outlines=shapely.set_coordinates(outlines_px.copy(), moved))

    @property
    def roofs_px(self) -> Geometries:
        """Return `outlines` in pixels of POST."""
        return transform_shapes(~self.post.grid.affine, self.outlines)

    def with_columns(self, columns: pd.DataFrame, meaning: Mapping[str, str], name: str) -> Site:
        """Return the site with further columns of all N buildings, blank for buildings that are not assessed.

        columns : in the order of the buildings (index 0 to N−1), or in any order with their ids as index
        name : of the evidence. Raises InputError."""
        if len(columns) != len(self.buildings) or not {*meaning} <= {*columns.columns}:
            raise InputError(
                f"the evidence {name} measured {len(columns)} rows of {', '.join(map(str, columns.columns))}; expected "
                f"{len(self.buildings)} of {', '.join(meaning)}. Its plugin does not fit this version."
            )
        columns = self._in_order(columns, name)
        return replace(self, buildings=self.buildings.with_columns({name: columns[name] for name in meaning}, meaning))

    def _in_order(self, columns: pd.DataFrame, name: str) -> pd.DataFrame:
        """Return columns of an evidence in the order of the buildings. Raises InputError for an index that is neither ids nor positions."""
        frame = self.buildings.frame
        if columns.index.equals(pd.RangeIndex(len(frame))) or columns.index.equals(frame.index):
            return columns
        ids, labels = frame["id"].astype(str), columns.index.astype(str)
        if labels.is_unique and ids.is_unique and {*labels} == {*ids}:
            return columns.set_axis(labels).loc[ids.tolist()]
        raise InputError(
            f"the evidence {name} has rows of {', '.join(labels[:3])} …; expected an index of 0 to {len(frame) - 1} in the order of the "
            "outlines, or the ids of all buildings, each once. Its plugin must set one of them."
        )

    def leave_out(self, reasons: Texts) -> Site:
        """Return the site with assessed buildings that have a reason (N,), else '', set to not assessed."""
        return replace(self, buildings=self.buildings.leave_out(reasons))

    def with_findings(self, findings: Sequence[Finding]) -> Site:
        """Return the site with the findings of a step."""
        return replace(self, findings=(*self.findings, *findings))


class Evidence(Protocol):
    """A measurement of the buildings of a site, one file each; it is opened, and refuses what it cannot use, before long work."""

    @property
    def name(self) -> str:
        """Name of the evidence."""

    def measure(self, site: Site) -> Site:
        """Return the site with its columns, or without the buildings that it leaves out. Raises InputError, GridError."""


class ScoreEvidence(Score, Evidence, Protocol):
    """An evidence whose score, one of its columns, takes part in the decision."""


class GivenEvidence(ScoreEvidence, Protocol):
    """An evidence that was given with the inputs."""

    @property
    def identity(self) -> Any:
        """Return the values that shape the columns, so that a journal recognises the job."""

    @property
    def paths(self) -> dict[str, str]:
        """Role to file."""

    @property
    def rasters(self) -> Sequence[ShownRaster]:
        """Return the rasters that the page of the map shows over the images."""


class EvidenceSource(Protocol):
    """An evidence as a user gives it: files and a weight."""

    def open(self, post: Layer, footprints: Footprints) -> GivenEvidence:
        """Open and check it before long work. Errors: InputError, GridError."""


class ShownRaster(Protocol):
    """A raster that the page shows over the images. scale : of its scores; None for a mask of water."""

    @property
    def name(self) -> str:
        """Name of the evidence."""

    @property
    def layer(self) -> Layer:
        """The raster on the post image."""

    @property
    def scale(self) -> float | None:
        """Return the factor of its values; None for a mask."""

    @property
    def product(self) -> Path | None:
        """Return the file that becomes a product of the map; None for a raster that the user gave."""
