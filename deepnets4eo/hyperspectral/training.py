"""The task `hyperspectral`: its recipe, and a training of patch networks or classical methods on cubes into a run
folder.

The test part is predicted once, after the last epoch: schedules, early stopping and the choice of an epoch see watched
training pixels only."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.baselines import BaselineRecipe, BaselineSection
from deepnets4eo.cards import Legend, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.samples import (
    PatchAugmentation,
    PatchLoader,
    PatchStore,
    Pixels,
    describe_sampling,
    labelled_pixels,
    set_aside,
    unlabelled_pixels,
)
from deepnets4eo.lazy import check_extra
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.options import Section
from deepnets4eo.segmenters import NetworkSegmenter, Segmenter
from deepnets4eo.tiling import Tiling
from deepnets4eo.training import (
    DataSection,
    LabelledScene,
    PredictSection,
    Prepared,
    Task,
    TrainOptions,
    TrainSection,
    build_segmenter,
    fit_segmenter,
    open_labelled,
    prepare_split,
    write_run,
)

if TYPE_CHECKING:
    from torch import Tensor

    from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier

log = logging.getLogger(__name__)

WATCHED = ("overall_accuracy", "kappa", "mean_f1", "mean_iou")
BUFFERED = ("blocks", "components", "folds")  # kinds of splits with a buffer
WATCH_BATCH = 512  # patches that are scored at once
FIT_PX = 128  # side of the windows that reductions of spectra are fitted on
GB = 1 << 30


class HyperspectralData(DataSection):
    """The cubes, and the pixels of them for training, validation and test."""

    tile_px: int = Field(default=64, ge=32, multiple_of=32, description="side of a window that is scored at once")
    scaling: Literal["standard", "unit", "range", "none"] = Field(
        default="range",
        description="range: 0 to 1 over all bands of the training pixels, with spectra.normalise from 0 to the largest; others as for images",
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
    """Processing of each spectrum before the network; fitted on training pixels and kept in the network's weights."""

    normalise: tuple[Literal["l2", "snv", "continuum", "derivative"], ...] = Field(
        default=(), description="one after the other; none: only data.scaling"
    )
    reduce: Literal["none", "pca", "mnf"] = Field(default="none", description="to data of fewer bands")
    components: int = Field(default=30, ge=1, description="reduce: bands that are left")

    @property
    def by_wavelength(self) -> tuple[str, ...]:
        """The normalisations that depend on how far apart bands are."""
        return tuple(step for step in self.normalise if step in ("continuum", "derivative"))

    def to_options(self) -> dict[str, Any]:
        """Return arguments of `SpectralInput`; none if spectra stay unchanged."""
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
        if self.compares_shapes and self.data.scaling == "standard":
            raise ValueError(
                f"has data.scaling=standard, which changes each band by itself, before spectra.normalise={list(self.spectra.normalise)}, which "
                "compares the shapes of spectra; expected range, unit or none"
            )
        return self

    @property
    def compares_shapes(self) -> bool:
        """Return whether spectra are normalised one by one, so that scaling has to keep their shapes."""
        return bool(self.spectra.normalise)


def train_hyperspectral(recipe: HyperspectralRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a patch network or a classical method on labelled cubes; returns the run folder."""
    started = time.perf_counter()
    legend, scenes = open_labelled(recipe)
    if recipe.model.method == "network":
        check_extra("deep")
        spec = _network_spec(recipe, scenes, legend)
        patch_px = _patch_px(spec)
        prepared = prepare_split(with_buffer(recipe, patch_px), legend, scenes)
        segmenter: Segmenter
        segmenter, notes = train_patches(prepared, spec, out, options)
    else:
        from deepnets4eo.baselines import fit_baseline

        prepared = prepare_split(recipe, legend, scenes)
        segmenter = fit_baseline(recipe, prepared)
        patch_px = 2 * segmenter.halo_px + 1
        notes = {"method": recipe.model.method, "seconds": round(time.perf_counter() - started, 3)}
    sampling = describe_sampling(prepared.split, patch_px)
    scores = prepared.score(segmenter, batch_size=1)
    scores["protocol"] = scores["protocol"] | {"name": "test pixels of the training scenes"} | sampling
    notes = prepared.notes(scores) | {"leakage": sampling["leakage"]} | notes
    return write_run(segmenter, recipe, out, split=prepared.split, scores=scores, notes=notes)


def train_patches(
    prepared: Prepared, spec: Mapping[str, Any], out: Path, options: TrainOptions
) -> tuple[NetworkSegmenter, dict[str, Any]]:
    """Train a patch network; returns it, and notes for the card. spec : arguments of `create_model`."""
    from deepnets4eo.training import class_weights

    recipe: Any = prepared.recipe
    data, train, seed = recipe.data, recipe.train, recipe.train.seed
    without_sizes = {key: value for key, value in spec.items() if key not in ("in_channels", "num_classes")}
    segmenter = build_segmenter(recipe, without_sizes, prepared.inputs, prepared.legend)
    module: Any = segmenter.module
    if hasattr(module, "spectra"):
        module.spectra.fit(_training_windows(prepared))
    halo_px = max(module.halo_px, recipe.predict.halo_px)
    segmenter.tiling = Tiling(**recipe.predict.model_dump() | {"halo_px": halo_px})
    learnt = labelled_pixels(prepared.split)
    reconstructs = hasattr(module, "reconstruct") and data.unlabelled_share > 0
    unlabelled = unlabelled_pixels(prepared.split, module.patch_px) if reconstructs else learnt.take(learnt.row < 0)
    store = PatchStore(
        [named.scene for named in prepared.split.scenes], prepared.inputs, Pixels.join([learnt, unlabelled]),
        module.patch_px, memory_bytes=data.memory_gb * GB, folder=out,
    )  # fmt: skip
    learnt, watched = set_aside(store.where_valid(learnt), data.watch_share, seed)
    loader = PatchLoader(
        store, learnt, train.usual_batch_size, seed=seed, workers=data.num_workers,
        augment=PatchAugmentation(train.flips, train.rotations, train.radiation_noise, train.mixture),
        unlabelled=store.where_valid(unlabelled), unlabelled_share=data.unlabelled_share,
    )  # fmt: skip
    criterion = PatchCriterion(train.losses, class_weights(train, prepared.legend, prepared.pixels))
    watch = PatchLoader(store, watched, WATCH_BATCH)

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        return criterion.watch(segmenter.module, prepared.legend.num_classes, watch)

    notes = fit_segmenter(segmenter, loader, criterion.step, score, recipe, out, options)
    return segmenter, {**notes, "patch_px": module.patch_px, "watched_pixels": len(watched)}


def _network_spec(recipe: HyperspectralRecipe, scenes: Sequence[LabelledScene], legend: Legend) -> dict[str, Any]:
    """Return arguments of `create_model` for the recipe's network, after its treatment of spectra if it has one."""
    spectra, name = recipe.spectra.to_options(), str(recipe.model.network)
    bands = sum(scenes[0].scene.layers[layer].count for layer in recipe.model.layers)
    if recipe.spectra.by_wavelength:
        spectra |= _wavelengths_of(scenes, recipe.model.layers, recipe.spectra.by_wavelength)
    if not spectra:
        return {"name": name, "in_channels": bands, "num_classes": legend.num_classes, **recipe.model.options}
    from deepnets4eo.hyperspectral.factory import network_spec

    described: dict[str, Any] = network_spec(name, bands, legend.num_classes, spectra=spectra, **recipe.model.options)
    return described


def _wavelengths_of(
    scenes: Sequence[LabelledScene], layers: Sequence[str], steps: Sequence[str]
) -> dict[str, list[float]]:
    """Return all bands' wavelengths as a `SpectralInput` option; none, with a warning, if no scene has a wavelength for every band."""
    for named in scenes:
        waves = [named.scene.layers[layer].wavelengths_nm for layer in layers]
        known = [wave for wave in waves if wave is not None and np.isfinite(wave).all()]
        if len(known) == len(waves):
            return {"wavelengths_nm": np.concatenate(known).tolist()}
    log.warning(
        "Not every band has a wavelength, so that spectra.normalise=%s takes all bands as one unit apart. Write the wavelengths into the "
        "files, e.g. into the ENVI header, where they are known.", ",".join(steps),
    )  # fmt: skip
    return {}


def _patch_px(spec: Mapping[str, Any]) -> int:
    """Side of the patches of a network. Errors: InputError for a network that labels no patches."""
    import torch

    from deepnets4eo.segmenters import create_from_spec

    with torch.device("meta"):  # shapes without values
        module = create_from_spec(spec)
    if not hasattr(module, "patch_scores"):
        raise InputError(
            f"the network {spec['name']} does not label the middle of patches. Choose one of "
            "`deepnets4eo models 'hyperspectral/*'`, or train it with task=segmentation."
        )
    classifier: PatchClassifier = module  # type: ignore[assignment]
    return classifier.patch_px


def _training_windows(prepared: Prepared) -> Iterator[tuple[FloatImage, Mask]]:
    """Scaled windows (B, h, w) of the training part, and its valid pixels (h, w) bool."""
    split = prepared.split
    for tile in split.windows(SplitPart.train, FIT_PX):
        sample = split.scenes[tile.scene].scene.read(tile.window, prepared.inputs.names)
        yield prepared.inputs.prepare(sample), sample["valid"] & split.mask(tile.scene, SplitPart.train, tile.window)


def with_buffer(recipe: HyperspectralRecipe, patch_px: int) -> HyperspectralRecipe:
    """Return the recipe with a buffer of half a patch if it names no buffer. Errors: InputError for a narrower buffer."""
    data: HyperspectralData = recipe.data
    half_px = patch_px // 2
    if data.split not in BUFFERED:
        return recipe
    if data.buffer_px is None:
        return recipe.model_copy(update={"data": data.model_copy(update={"buffer_px": half_px})})
    if data.buffer_px < half_px:
        raise InputError(
            f"data.buffer_px={data.buffer_px} is less than half a patch of {patch_px} px, so that training would see test "
            f"pixels. Set it to {half_px} or more, or leave it out."
        )
    return recipe


TASK = Task(train_hyperspectral, HyperspectralRecipe)


class PatchCriterion:
    """The loss of a patch network on a batch (losses : name → weight; class_weights : (K,) factors, None: all alike),
    and its scores on watched pixels."""

    def __init__(self, losses: Mapping[Any, float], class_weights: list[float] | None) -> None:
        from deepnets4eo.training import SumOfLosses

        self.loss = SumOfLosses(losses, class_weights)

    def step(self, network: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of one batch, () float32."""
        from torch.nn.functional import mse_loss

        patches: Any = batch["patches"]
        if not hasattr(network, "reconstruct"):
            return self._classify(network.patch_scores(patches), batch["mask"])
        scores, reconstruction = network.reconstruct(patches)
        difference = mse_loss(reconstruction.float(), _middle_spectra(network, patches))
        return self._classify(scores, batch["mask"]) + float(network.reconstruction_weight) * difference

    def watch(self, network: Any, num_classes: int, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
        """Mean loss and overall scores on watched pixels, NaN without any; called without gradients."""
        device = next(network.parameters()).device
        matrix, total, count = ConfusionMatrix(num_classes), 0.0, 0
        for batch in batches:
            scores, mask = network.patch_scores(batch["patches"].to(device)), batch["mask"].to(device)
            total += float(self._classify(scores, mask)) * len(mask)
            count += len(mask)
            matrix.update(batch["mask"].numpy(), scores.argmax(dim=1).byte().cpu().numpy())
        loss = total / count if count else float("nan")
        return {"val_loss": loss} | {name: getattr(matrix, name) for name in WATCHED}

    def _classify(self, scores: Tensor, mask: Tensor) -> Tensor:
        self.loss.to(scores.device)
        loss: Tensor = self.loss(scores[..., None, None], mask.long()[:, None, None])
        return loss


def _middle_spectra(network: Any, patches: Tensor) -> Tensor:
    """Return (N, B) spectra of the middle pixels, as the network takes them: normalised and reduced where its first part does that."""
    middle = patches.shape[-1] // 2
    pixels = patches[:, :, middle : middle + 1, middle : middle + 1]
    spectra: Tensor = network.spectra(pixels) if hasattr(network, "spectra") else pixels
    return spectra[:, :, 0, 0]
