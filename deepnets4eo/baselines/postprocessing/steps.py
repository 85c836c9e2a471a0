"""Steps of post-processing as recipes list them: [{majority: {radius_px: 2}}, {minimum_area: {area_m2: 4}}].

Takes plain values; gives checked steps, each a function of probabilities and bands that says how far it looks around.
Refuses unknown steps and keys, naming the step's number and the nearest key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import Field, ValidationError, model_validator

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.postprocessing.crf import CrfSettings, mean_field
from deepnets4eo.baselines.postprocessing.majority import argmax_class, majority_filter, vote_shares
from deepnets4eo.baselines.postprocessing.minimum_area import Connectivity, area_in_px, minimum_area
from deepnets4eo.baselines.postprocessing.superpixel_vote import region_shares, superpixel_vote
from deepnets4eo.baselines.superpixels.segmenting import Superpixels
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.training.recipe import Section

Votes = Literal["labels", "probabilities"]

FARTHEST_AREA_PX = 64  # that regions are followed; thin ones beyond are judged by the part that is seen
SURELY = np.float32(1 + 1e-6)  # a label that was given wins a tie


class Step(Protocol):
    """One step of post-processing."""

    def halo_px(self, gsd_m: float | None) -> int:
        """How far it looks around a pixel, in pixels of this ground size."""

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """Probabilities (K, h, w) from those before, and the bands of the same pixels."""


class Majority(Section):
    """The vote of a square window."""

    radius_px: int = Field(default=2, ge=1, le=1000, description="half side of the window")
    votes: Votes = Field(default="labels", description="what pixels vote with: their best label or all probabilities")

    def halo_px(self, gsd_m: float | None) -> int:
        """The window's radius."""
        return self.radius_px

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """Shares of votes, or mean probabilities."""
        if self.votes == "probabilities":
            return np.asarray(majority_filter(proba, self.radius_px), np.float32)
        return vote_shares(argmax_class(proba), len(proba), self.radius_px)


class MinimumArea(Section):
    """Smaller regions take the label around them; the probabilities of both labels are swapped.

    Regions are judged by what is seen of them, `FARTHEST_AREA_PX` beyond what is kept of a tile: compact ones wholly.
    """

    area_px: int | None = Field(default=None, ge=1, description="this or area_m2")
    area_m2: float | None = Field(default=None, gt=0, description="in square metres, for inputs with a CRS")
    connectivity: Connectivity = Field(default=4, description="8: pixels are connected by corners, too")

    @model_validator(mode="after")
    def _one_area(self) -> MinimumArea:
        if (self.area_px is None) == (self.area_m2 is None):
            raise ValueError("needs one of area_px and area_m2. Give one")
        return self

    def pixels(self, gsd_m: float | None) -> int:
        """The area in pixels."""
        return self.area_px if self.area_px is not None else area_in_px(float(self.area_m2 or 0), gsd_m)

    def halo_px(self, gsd_m: float | None) -> int:
        """Far enough for any region below the area and its neighbours, up to a limit."""
        return min(2 * self.pixels(gsd_m) + 1, FARTHEST_AREA_PX)

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """The same probabilities but in small regions."""
        before = argmax_class(proba)
        after = minimum_area(before, self.pixels(bands.gsd_m), connectivity=self.connectivity)
        rows, cols = np.nonzero(before != after)
        old, new = before[rows, cols], after[rows, cols]
        result = proba.copy()
        result[old, rows, cols] = proba[new, rows, cols]
        result[new, rows, cols] = proba[old, rows, cols] * SURELY
        return result


class SuperpixelVote(Section):
    """The vote of a superpixel; superpixels are made anew in each tile, so that those at its border are cut there."""

    method: Literal["felzenszwalb", "slic", "quickshift"] = "slic"
    area_px: int = Field(default=256, ge=1, description="wanted area of a superpixel")
    area_m2: float | None = Field(default=None, gt=0, description="the same in square metres, instead")
    scale: float = Field(default=100.0, gt=0, description="of felzenszwalb")
    compactness: float = Field(default=10.0, gt=0, description="of slic")
    colour_weight: float = Field(default=0.5, gt=0, le=1, description="of quickshift")
    sigma_px: float = Field(default=0.8, ge=0)
    height_weight: float = Field(default=0.0, ge=0)
    votes: Votes = Field(default="probabilities", description="what pixels vote with")

    @property
    def superpixels(self) -> Superpixels:
        """How the image is cut."""
        return Superpixels(**self.model_dump(exclude={"votes"}))

    def halo_px(self, gsd_m: float | None) -> int:
        """Enough for most superpixels to be whole."""
        return self.superpixels.reach_px(gsd_m)

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """Each superpixel's mean probabilities, or shares of votes."""
        ids = self.superpixels.segment(bands)
        if self.votes == "probabilities":
            return np.asarray(superpixel_vote(proba, ids), np.float32)
        return region_shares(argmax_class(proba), ids, len(proba))


class DenseCrfStep(CrfSettings):
    """Mean field with the image as guide."""

    guide: tuple[str, ...] = Field(
        default=(), description="band roles, as in [red, nir, height]; none: the whole image"
    )

    def halo_px(self, gsd_m: float | None) -> int:
        """How far all iterations reach together."""
        return self.reach_px

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """Probabilities after all iterations."""
        return mean_field(proba, bands.unit(*self.guide) if self.guide else bands.spectral_unit(), self)


STEPS: dict[str, type[Majority] | type[MinimumArea] | type[SuperpixelVote] | type[DenseCrfStep]] = {
    "majority": Majority,
    "minimum_area": MinimumArea,
    "superpixel_vote": SuperpixelVote,
    "crf": DenseCrfStep,
}


def build_steps(listed: Sequence[Mapping[str, Any] | str]) -> tuple[Step, ...]:
    """Checked steps from a list of {name: settings}, or of names alone for the defaults.

    >>> build_steps([{"majority": {"radius_px": 3}}, "crf"])[0].radius_px
    3

    Errors: InputError naming the step's number, the key and the nearest one.
    """
    if not listed or isinstance(listed, (str, Mapping)):
        raise InputError(
            f"steps are {listed!r}; expected a list of {{name: settings}}, names being {', '.join(STEPS)}."
        )
    return tuple(_build(number, one) for number, one in enumerate(listed, start=1))


def listed_steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The plain list from which `build_steps` makes the same steps."""
    names = {kind: name for name, kind in STEPS.items()}
    return [{names[type(step)]: step.model_dump(mode="json", exclude_none=True)} for step in steps]  # type: ignore[index,attr-defined]


def _build(number: int, one: Mapping[str, Any] | str) -> Step:
    plain = {one: None} if isinstance(one, str) else one
    if not isinstance(plain, Mapping) or len(plain) != 1:
        raise InputError(
            f"step {number} is {one!r}; expected one name with its settings, as in {{majority: {{radius_px: 2}}}}."
        )
    name, settings = next(iter(plain.items()))
    if name not in STEPS:
        raise InputError(f"step {number}: {name!r} is unknown. {name_hint(str(name), list(STEPS))}")
    kind = STEPS[name]
    try:
        return kind.model_validate({} if settings is None else settings)
    except ValidationError as error:
        lines = [f"step {number} ({name}): {_explain(detail, kind)}" for detail in error.errors()]
        raise InputError("\n".join(lines)) from error


def _explain(detail: Any, kind: type[Section]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key!r}. {name_hint(key, list(kind.model_fields))}"
    if detail["type"] == "value_error":
        return str(detail["msg"]).removeprefix("Value error, ") + "."
    return f"{key or 'its settings'}: {detail['input']!r} will not do. {detail['msg']}."
