"""Steps of post-processing as recipes list them, and the segmenter that applies them after another segmenter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import Field, model_validator

from deepnets4eo.arrays import Batch, FloatImage, Mask
from deepnets4eo.baselines.bands import Bands, band_names, unstandardise
from deepnets4eo.baselines.postprocessing.crf import CrfSettings, mean_field
from deepnets4eo.baselines.postprocessing.votes import (
    Connectivity,
    area_in_px,
    argmax_class,
    majority_filter,
    minimum_area,
    region_shares,
    superpixel_vote,
    vote_shares,
)
from deepnets4eo.baselines.superpixels import Superpixels
from deepnets4eo.baselines.superpixels.segmenting import Method
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.grid import Window
from deepnets4eo.options import option_group, options_from, plain_options
from deepnets4eo.segmenters import Segmenter, WrappedSegmenter
from deepnets4eo.tiling import Tiling

Votes = Literal["labels", "probabilities"]
MAX_HALO_PX = 64  # that regions are followed; of longer ones only this part counts
TIE_FACTOR = np.float32(1 + 1e-6)  # the new label wins a tie
TRIAL_PX = 8  # side of the image on which steps are tried beforehand


class Step(Protocol):
    """One step of post-processing."""

    def halo_px(self, gsd_m: float | None) -> int:
        """Return the number of pixels around a pixel that affect a result, in pixels of this ground size."""

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """Return probabilities (K, h, w) from those before, and the bands of the same pixels."""


@option_group
class Majority:
    """The vote of a square window."""

    radius_px: int = Field(default=2, ge=1, le=1000, description="half side of the window")
    votes: Votes = Field(default="labels", description="what pixels vote with: their best label or all probabilities")

    def halo_px(self, gsd_m: float | None) -> int:
        """Return the window's radius."""
        return self.radius_px

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """Return shares of votes, or mean probabilities."""
        if self.votes == "probabilities":
            return np.asarray(majority_filter(proba, self.radius_px), np.float32)
        return vote_shares(argmax_class(proba), len(proba), self.radius_px)


@option_group
class MinimumArea:
    """Smaller regions take the label around them; the probabilities of both labels are swapped. Regions are followed up
    to `MAX_HALO_PX` beyond the core of a tile: compact ones completely."""

    area_px: int | None = Field(default=None, ge=1, description="this or area_m2")
    area_m2: float | None = Field(default=None, gt=0, description="in square metres, for inputs with a CRS")
    connectivity: Connectivity = Field(default=4, description="8: pixels are connected by corners, too")

    @model_validator(mode="after")
    def _one_area(self) -> MinimumArea:
        if (self.area_px is None) == (self.area_m2 is None):
            raise ValueError("needs one of area_px and area_m2. Give one")
        return self

    def pixels(self, gsd_m: float | None) -> int:
        """Return the area in pixels."""
        return self.area_px if self.area_px is not None else area_in_px(float(self.area_m2 or 0), gsd_m)

    def halo_px(self, gsd_m: float | None) -> int:
        """Return a halo for any region below the area and its neighbours, up to a limit."""
        return min(2 * self.pixels(gsd_m) + 1, MAX_HALO_PX)

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """Return the same probabilities except in small regions."""
        before = argmax_class(proba)
        after = minimum_area(before, self.pixels(bands.gsd_m), connectivity=self.connectivity)
        rows, cols = np.nonzero(before != after)
        old, new = before[rows, cols], after[rows, cols]
        result = proba.copy()
        result[old, rows, cols] = proba[new, rows, cols]
        result[new, rows, cols] = proba[old, rows, cols] * TIE_FACTOR
        return result


@option_group
class SuperpixelVote(Superpixels):
    """The vote of a superpixel; superpixels are computed separately in each tile, so superpixels at the border of a tile are cut there."""

    method: Method = "slic"
    votes: Votes = Field(default="probabilities", description="what pixels vote with")

    def halo_px(self, gsd_m: float | None) -> int:
        """Return a halo that contains most superpixels whole."""
        return self.reach_px(gsd_m)

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """Return each superpixel's mean probabilities, or shares of votes."""
        ids = self.segment(bands)
        if self.votes == "probabilities":
            return np.asarray(superpixel_vote(proba, ids), np.float32)
        return region_shares(argmax_class(proba), ids, len(proba))


@option_group
class DenseCrfStep(CrfSettings):
    """Mean field with the image as guide."""

    guide: tuple[str, ...] = Field(
        default=(), description="band roles, as in [red, nir, height]; none: the whole image"
    )

    def halo_px(self, gsd_m: float | None) -> int:
        """Return the reach of all iterations together."""
        return self.reach_px

    def apply(self, proba: FloatImage, bands: Bands) -> FloatImage:
        """Return probabilities after all iterations."""
        return mean_field(proba, bands.unit(*self.guide) if self.guide else bands.spectral_unit(), self)


STEPS: dict[str, type[Majority] | type[MinimumArea] | type[SuperpixelVote] | type[DenseCrfStep]] = {
    "majority": Majority,
    "minimum_area": MinimumArea,
    "superpixel_vote": SuperpixelVote,
    "crf": DenseCrfStep,
}


def build_steps(listed: Sequence[Mapping[str, Any] | str]) -> tuple[Step, ...]:
    """Make checked steps from a list of {name: settings}, or of only the names of `STEPS` for the defaults.

    Raises InputError naming the step's number, the wrong key and the nearest valid one.

    >>> build_steps([{"majority": {"radius_px": 3}}, "crf"])[0].radius_px
    3
    """
    if not listed or isinstance(listed, (str, Mapping)):
        raise InputError(
            f"steps are {listed!r}; expected a list of {{name: settings}}, names being {', '.join(STEPS)}."
        )
    return tuple(_build(number, step) for number, step in enumerate(listed, start=1))


def plain_steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return the plain list that `build_steps` needs to rebuild the same steps."""
    names = {kind: name for name, kind in STEPS.items()}
    return [{names[type(step)]: plain_options(step, exclude_none=True)} for step in steps]  # type: ignore[index]


def _build(number: int, one: Mapping[str, Any] | str) -> Step:
    plain = {one: None} if isinstance(one, str) else one
    if not isinstance(plain, Mapping) or len(plain) != 1:
        raise InputError(
            f"step {number} is {one!r}; expected one name with its settings, as in {{majority: {{radius_px: 2}}}}."
        )
    name, settings = next(iter(plain.items()))
    if name not in STEPS:
        raise InputError(f"step {number}: {name!r} is unknown. {name_hint(str(name), list(STEPS))}")
    return options_from(STEPS[name], {} if settings is None else settings, f"step {number} ({name})")


class PostProcessed(WrappedSegmenter):
    """Probabilities of a segmenter after steps in their order: majority, minimum_area, superpixel_vote, crf.

    Each tile is processed by itself. The results of majority and CRF are bit-identical however a scene is tiled.

    Superpixels are computed per tile; regions for `minimum_area` are followed for 64 pixels beyond the core.

    Parameters
    ----------
    segmenter : the segmenter whose probabilities are post-processed
    steps : [{name: settings}, …], see `STEPS`
    bands : layer → names of its bands, for files without names
    tiling : by default the segmenter's tiling with a halo wider by the reach of the steps; the core keeps its size

    Raises
    ------
    InputError
        Naming the step that is unknown, or that does not suit the inputs.

    Examples
    --------
    ::

        smooth = PostProcessed(load_run("run").segmenter, [{"majority": {"radius_px": 3}}, "crf"])
    """

    kind = "post-processed"
    saved_arguments = ("steps", "bands")

    def __init__(
        self,
        segmenter: Segmenter,
        steps: Sequence[Mapping[str, Any] | str],
        bands: Mapping[str, Sequence[str]] | None = None,
        *,
        tiling: Tiling | None = None,
    ) -> None:
        self._steps = build_steps(steps)
        self.steps = plain_steps(self._steps)
        self.bands = {layer: list(names) for layer, names in (bands or {}).items()}
        self.band_names = band_names(segmenter.inputs, self.bands)
        self.reach_px = self._check_steps(segmenter)
        super().__init__([segmenter], segmenter.halo_px + self.reach_px, tiling)

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Return probabilities, (N, K, h, w) float32, summing to 1 over K."""
        inner_px = max(margin_px - self.reach_px, 0)  # pixels that the steps use stay until they are done
        probabilities = self.segmenter.predict_proba(batch, margin_px=inner_px)
        height, width = probabilities.shape[2:]
        rows, cols = Window(inner_px, inner_px, height, width).slices
        cut_px = margin_px - inner_px
        done = []
        for proba, image in zip(probabilities, batch, strict=True):
            bands = unstandardise(image[:, rows, cols], self.inputs, self.band_names)
            smooth = self._apply_steps(proba, bands, self._known(image[:, rows, cols]))
            done.append(smooth[:, cut_px : height - cut_px, cut_px : width - cut_px])
        return np.stack(done)

    def _apply_steps(self, proba: FloatImage, bands: Bands, known: Mask) -> FloatImage:
        """Probabilities after all steps; pixels without data have no vote in them, and keep theirs."""
        result = np.where(known, proba, np.float32(np.nan))
        for step in self._steps:
            result = step.apply(result, bands)
        return np.where(known, result, proba)

    def _known(self, image: FloatImage) -> Mask:
        """Return (h, w) where an image has data: what has none is the mean, 0, in every band. Black counts as data where the mean is 0."""
        if not any(mean for layer in self.inputs.layers.values() for mean in layer.mean):
            return np.ones(image.shape[1:], bool)
        return np.asarray((image != 0).any(axis=0))

    def _check_steps(self, segmenter: Segmenter) -> int:
        """Check before long work starts that the inputs have what the steps need; returns the pixels around that they use."""
        inputs, num_classes, reach_px = segmenter.inputs, segmenter.legend.num_classes, 0
        nothing = np.zeros((inputs.in_channels, TRIAL_PX, TRIAL_PX), np.float32)
        bands = unstandardise(nothing, inputs, self.band_names)
        even = np.full((num_classes, TRIAL_PX, TRIAL_PX), 1 / num_classes, np.float32)
        for number, (step, listed) in enumerate(zip(self._steps, self.steps, strict=True), start=1):
            try:
                reach_px += step.halo_px(inputs.gsd_m)
                step.apply(even, bands)
            except InputError as error:
                raise InputError(f"step {number} ({next(iter(listed))}): {error}") from error
        return reach_px
