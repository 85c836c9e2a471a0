"""The recipe of the task `hyperspectral`: a patch network or a classical method, and how its pixels are sampled.

Takes the sections of baselines, of which `estimator` concerns the methods pixels and superpixels; raises InputError for
unknown keys, with the nearest.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from deepnets4eo.baselines import BaselineRecipe, BaselineSection
from deepnets4eo.options import Section
from deepnets4eo.training.recipe import DataSection, PredictSection, TrainSection


class HyperspectralData(DataSection):
    """Which cubes, and which of their pixels are learnt from, watched and tested on."""

    tile_px: int = Field(default=64, ge=32, multiple_of=32, description="side of a window that is scored at once")
    scaling: Literal["standard", "unit", "range", "none"] = Field(
        default="range", description="range: 0 to 1 over all bands of the training pixels; others as for images"
    )
    split: Literal["blocks", "scenes", "random", "random_pixels", "per_class", "components", "folds"] = Field(
        default="folds", description="random_pixels and per_class are the published ones, and leaky"
    )
    buffer_px: int | None = Field(
        default=None,
        ge=0,
        description="not learnt from beside test pixels; none: half a patch; a patch less 1: no leakage",
    )
    watch_share: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="of each class's training pixels, not learnt from: scored after each epoch",
    )
    unlabelled_share: float = Field(
        default=1.0,
        ge=0,
        description="networks that reconstruct: unlabelled pixels to each labelled one, none of the test part",
    )
    memory_gb: float = Field(default=4.0, gt=0, description="more spectra than that are kept in a temporary file")
    num_workers: int = Field(default=1, ge=0, description="threads that read batches ahead of the network")


class HyperspectralModel(BaselineSection):
    """A patch network, or a classical method, and the layers it takes."""

    method: Literal["network", "pixels", "superpixels"] = Field(
        default="network",
        description="network: model.network labels the middle of patches; others as in the task baseline",
    )


class SpectraSection(Section):
    """What happens to each spectrum before the network; fitted on training pixels and kept in its weights."""

    normalise: tuple[Literal["l2", "snv", "continuum", "derivative"], ...] = Field(
        default=(), description="one after the other; none: only data.scaling"
    )
    reduce: Literal["none", "pca", "mnf", "nmf"] = Field(default="none", description="to data of fewer bands")
    components: int = Field(default=30, ge=1, description="reduce: bands that are left")

    def to_options(self) -> dict[str, Any]:
        """Arguments of `SpectralInput`; none where spectra stay as they are."""
        options: dict[str, Any] = {"normalisations": list(self.normalise)} if self.normalise else {}
        reduced = {"reduction": self.reduce, "components": self.components}
        return options | (reduced if self.reduce != "none" else {})


class HyperspectralTrain(TrainSection):
    """Optimisation of a network, and the augmentation of its patches."""

    batch_size: int = Field(default=100, ge=1, description="labelled pixels")
    flips: bool = False
    rotations: bool = Field(default=False, description="by quarter turns")
    photometric: float = Field(default=0.0, ge=0, le=0, description="of images; here radiation_noise")
    radiation_noise: float = Field(
        default=0.0, ge=0, le=1, description="share of the patches times 0.9 to 1.1, with noise; published: 0.1"
    )
    mixture: float = Field(
        default=0.0, ge=0, le=1, description="share of the patches mixed with another of their class; published: 0.2"
    )
    keep: Literal["best", "last"] = Field(default="last", description="best: on the watched training pixels")
    monitor: Literal["mean_iou", "mean_f1", "overall_accuracy", "kappa"] = Field(
        default="overall_accuracy", description="on the watched training pixels, never on the test part"
    )


class HyperspectralPredict(PredictSection):
    """Defaults that prediction with this run starts from."""

    tile_px: int = Field(default=128, ge=32, description="side of a tile, its halo included")
    halo_px: int = Field(
        default=0, ge=0, description="context cut off on each side; at least what the network depends on"
    )


class HyperspectralRecipe(BaselineRecipe):  # type: ignore[misc, unused-ignore]
    """All that decides a training on cubes."""

    task: str = "hyperspectral"
    data: HyperspectralData = HyperspectralData()
    model: HyperspectralModel = HyperspectralModel()
    spectra: SpectraSection = SpectraSection()
    train: HyperspectralTrain = HyperspectralTrain()
    predict: HyperspectralPredict = HyperspectralPredict()

    @model_validator(mode="after")
    def _method_and_its_sections(self) -> HyperspectralRecipe:
        if self.model.method == "network" and not self.model.network:
            raise ValueError(
                "has no model.network; expected a name such as hyperspectral/hamida, or model.method=pixels"
            )
        if self.model.method != "network" and self.spectra.to_options():
            raise ValueError(
                f"has a section spectra, which model.method={self.model.method} does not use. Leave it out"
            )
        return self
