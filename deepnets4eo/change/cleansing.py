"""The task `change-cleansing`: a change network that corrects its own training labels (Daudt et al., EarthVision 2019).

Each hyperepoch trains, predicts the training scenes, and fits the scores to image edges by guided anisotropic
diffusion. The result is merged with the ORIGINAL labels.

A label counts as wrong if the network is at least as sure of the other class as it is, on average, at pixels labelled
with that class.

This is confident learning (Northcutt, Jiang and Chuang, JAIR 70, 2021).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.cards import VOID, SplitPart
from deepnets4eo.change.change_scores import check_two_classes
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.diffusion import Diffusion, guided_anisotropic_diffusion
from deepnets4eo.change.refinement import Refinement
from deepnets4eo.errors import InputError, check_choice
from deepnets4eo.evaluation import Keep, LabelReader, LegendLabels, class_thresholds, suspects
from deepnets4eo.grid import Window
from deepnets4eo.lazy import check_extra
from deepnets4eo.options import Section
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import LayerInput, NetworkSegmenter
from deepnets4eo.tiling import Packed
from deepnets4eo.training import (
    Checkpoint,
    LabelledScene,
    Prepared,
    Recipe,
    Task,
    TrainOptions,
    checkpoint,
    class_cells,
    prepare,
)

LEVELS = 256  # of packed probabilities

log = logging.getLogger(__name__)

Merge = Literal["intersection", "ignore-missed", "ignore-differing", "ignore-confident"]
NO_CHANGE, CHANGE = 0, 1
MORE_PROBABLE = (np.arange(LEVELS) > Packed.one / 2).astype(np.uint8)  # by packed probability of change
MIN_NOISE = 0.1  # of clean labels of the miniature city 10 % seem wrong, 24 % where 15 % are (SYNTHETIC, one seed)
ESTIMATED_SCENES = 16  # at most, evenly spread, that the share of wrong labels is estimated on
TILE_PX = 512  # of the diffusion, without its halo
GREY_LEVELS = (
    255.0  # of the guides, from the 1st to the 99th percentile of the training scenes where they are not bytes
)


class CleansingSection(Section):
    """Options of the cleansing of labels."""

    hyperepochs: int = Field(default=5, ge=1, description="trainings; labels are cleansed between them")
    merge: Merge = Field(
        default="ignore-confident",
        description="where network and label differ: intersection: no change; ignore-missed: labelled change that the "
        "network misses is void, else no change; ignore-differing: void; ignore-confident: void where the network is as sure as, on "
        "average, where its class is labelled, else as labelled",
    )
    least_noise: float = Field(
        default=MIN_NOISE, ge=0, le=1,
        description="labels stay as they are where the network is sure that less than this share of the labelled change is wrong; "
        "0: they are always cleansed, as published",
    )  # fmt: skip
    steps: int = Field(default=Diffusion.few_steps, ge=0, description="of the diffusion, 2,500 as published; 0: none")
    edge_level: float = Field(default=Diffusion.edge_level, gt=0, description="K, in grey levels of 0 to 255")
    rate: float = Field(
        default=Diffusion.rate, gt=0, lt=0.25, description="share of a difference that one step evens out"
    )


class CleansingRecipe(Recipe):
    """The recipe of a change network whose labels are cleansed: all options that determine its training.

    `train` applies to each hyperepoch. The other sections are the sections of the task segmentation with the layers
    image_pre and image_post.
    """

    cleansing: CleansingSection = CleansingSection()


def merge_labels(original: ByteImage, predicted: ByteImage, rule: Merge) -> ByteImage:
    """Keep labels where a network agrees with the original labels; void stays void.

    Source: Daudt et al., EarthVision 2019, section 3.2, but for "ignore-confident" (see `confident_classes`).

    Parameters
    ----------
    original : class indices as they were labelled: 0 no change, 1 change, void 255; never merged ones
    predicted : class indices of the network, of the same shape; where 255, the original label stays
    rule : "intersection", "ignore-missed", "ignore-differing", or "ignore-confident", which does the same as the last one

    Returns
    -------
    ByteImage
        Class indices, void 255.

    Raises
    ------
    InputError
        Unknown rule.

    Examples
    --------
    >>> original, predicted = np.array([0, 0, 1, 1], np.uint8), np.array([0, 1, 0, 1], np.uint8)
    >>> [merge_labels(original, predicted, rule).tolist() for rule in ("intersection", "ignore-missed", "ignore-differing")]
    [[0, 0, 0, 1], [0, 0, 255, 1], [0, 255, 255, 1]]
    """
    check_choice("rule", rule, get_args(Merge))
    merged = original.copy()
    false_alarm = (original == NO_CHANGE) & (predicted == CHANGE)
    missed = (original == CHANGE) & (predicted == NO_CHANGE)
    merged[false_alarm] = VOID if rule in ("ignore-differing", "ignore-confident") else NO_CHANGE
    merged[missed] = NO_CHANGE if rule == "intersection" else VOID
    return merged


@dataclass(frozen=True)
class _Predicted:
    """A scene with its original labels, and packed probabilities that a network predicts on it; `learnt` maps a window
    to (h, w) bool, what is learnt from."""

    original: LabelledScene
    images: Scene
    scores: Layer
    folder: Path
    learnt: Keep

    def count(self) -> NDArray[np.int64]:
        """Count the training pixels by original label and packed probability of change, (2, 256)."""
        to_index = self.original.labels.legend.to_index()
        counts = np.zeros((2, LEVELS), np.int64)
        for window in self._windows():
            packed, known = self.scores.read(window)
            counts += count_packed(to_index[self._labels(window)], packed[CHANGE], known & self.learnt(window))
        return counts

    def diffuse(self, segmenter: NetworkSegmenter, diffusion: Diffusion) -> _Predicted:
        """Return the prediction with scores diffused along the edges of the images."""
        if not diffusion.steps:
            return self
        path = self._path("diffused")
        with CogWriter(path, self.images.grid, count=2, nodata=Packed.nodata) as writer:
            for window in self._windows():
                writer.write(window, _diffused_scores(segmenter, self.images, self.scores, window, diffusion))
        return replace(self, scores=Layer.open(path))

    def merge(self, rule: Merge, classes: NDArray[np.uint8]) -> LabelledScene:
        """Return the images with labels merged from the original labels and the scores. classes : by packed probability, (256,)."""
        scene, legend = self.original.scene, self.original.labels.legend
        path = self._path(Scene.label_layer)
        to_index, from_index = legend.to_index(), legend.from_index()
        with CogWriter(path, scene.grid, legend=legend, nodata=VOID) as writer:
            for window in self._windows():
                packed, known = self.scores.read(window)
                predicted = np.where(known, classes[packed[CHANGE]], VOID).astype(np.uint8)
                merged = merge_labels(to_index[self._labels(window)], predicted, rule)
                writer.write(window, from_index[merged][None])
        source = LegendLabels(LabelReader(Layer.open(path), legend), legend)
        with_labels = Scene({**self.images.layers, Scene.label_layer: Layer(source)}, scene.grid)
        return replace(self.original, scene=with_labels, labels=source)

    def _path(self, kind: str) -> Path:
        return _scene_file(self.folder, kind, self.original)

    def _windows(self) -> list[Window]:
        return self.original.scene.blocks(TILE_PX)

    def _labels(self, window: Window) -> ByteImage:
        labels: ByteImage = self.original.scene.read(window, [Scene.label_layer])[Scene.label_layer]
        return labels


def _scene_file(folder: Path, kind: str, scene: LabelledScene) -> Path:
    return folder / f"{kind}-{scene.name.replace('/', '-')}.tif"


def _predict_scene(
    segmenter: NetworkSegmenter, original: LabelledScene, folder: Path, device: str, learnt: Keep
) -> _Predicted:
    """Predict the labels and scores of a scene. Peak memory: the peak memory of `predict`."""
    scene = original.scene
    labels, scores = (_scene_file(folder, kind, original) for kind in ("predicted", "scores"))
    images = Scene({layer: scene.layers[layer] for layer in segmenter.inputs.names}, scene.grid)
    predict(
        segmenter, images, labels,
        PredictOptions(probabilities=scores, device=device, precision="float32", overwrite=True, scratch=True),
    )  # fmt: skip
    return _Predicted(original, images, Layer.open(scores), folder, learnt)


def train_with_cleansing(recipe: CleansingRecipe, out: Path, options: TrainOptions) -> Path:
    """Train in hyperepochs with cleansing between them; validated on original labels. Returns the run folder."""
    check_extra("deep")
    original = prepare(recipe)
    check_two_classes(original.legend, f"cleansing got the legend {original.legend.name!r}, which")
    if set(recipe.model.layers) != {DateLayers.pre, DateLayers.post}:
        raise InputError(
            f"cleansing got the layers {list(recipe.model.layers)}; expected {DateLayers.pre} and {DateLayers.post}. Use the task segmentation."
        )
    segmenter, prepared, notes = original.initial_segmenter(), original, dict[str, Any]()
    cleansed: list[dict[str, Any]] = []
    hyperepochs = recipe.cleansing.hyperepochs
    folders = [out / Checkpoint.folder / f"hyperepoch-{number}" for number in range(1, hyperepochs)] + [out]
    begun = [folder for folder in folders if not options.finish or checkpoint(folder).exists()]
    for number, folder in enumerate(begun, start=1):
        log.info("hyperepoch %d of %d", number, hyperepochs)
        notes = _train_once(segmenter, prepared, original, number, folder, options)
        if number < len(begun):
            prepared, noise = _cleanse(
                segmenter, original, recipe.cleansing, folder / Scene.label_layer, options.device
            )
            cleansed.append({"kept": _shares(original, prepared), "wrong": noise.to_dict()})
            log.info("labels after hyperepoch %d: %s", number, cleansed[-1])
    if len(begun) < hyperepochs:
        notes["finished_after"] = f"{len(begun)} of {hyperepochs} hyperepochs"
    return original.score_and_write(segmenter, out, notes | {"cleansing": cleansed})


def _cleanse(
    segmenter: NetworkSegmenter, original: Prepared, settings: CleansingSection, folder: Path, device: str
) -> tuple[Prepared, LabelNoise]:
    """Return the training data of the next hyperepoch; if the labels stay unchanged, only few scenes are predicted."""
    split = original.split
    every = [number for number, scene_split in enumerate(split.splits) if SplitPart.train in scene_split.parts]

    def predicted_scene(number: int) -> _Predicted:
        return _predict_scene(segmenter, split.scenes[number], folder, device, split.usable(number, SplitPart.train))

    few = every[:: math.ceil(len(every) / ESTIMATED_SCENES)]
    predicted = {number: predicted_scene(number) for number in few}
    noise = estimate_label_noise(_count(list(predicted.values())))
    if noise.change < settings.least_noise:
        log.info("%s seem wrong: the labels stay as they are", noise)
        return original, noise
    scenes = [predicted.get(number) or predicted_scene(number) for number in every]
    diffused = _diffuse(scenes, segmenter, Diffusion(settings.steps, settings.edge_level, settings.rate))
    classes = confident_classes(_count(diffused)) if settings.merge == "ignore-confident" else MORE_PROBABLE
    merged = {number: scene.merge(settings.merge, classes) for number, scene in zip(every, diffused, strict=True)}
    return _with_scenes(original, [merged.get(number, scene) for number, scene in enumerate(split.scenes)]), noise


def _train_once(
    segmenter: NetworkSegmenter, prepared: Prepared, original: Prepared, number: int, out: Path, options: TrainOptions
) -> dict[str, Any]:
    """One hyperepoch from the weights as they are; class weights follow the labels, windows the number."""
    recipe = prepared.recipe
    of_number = recipe.train.model_copy(update={"seed": recipe.train.seed + number - 1})
    recipe = recipe.model_copy(update={"train": of_number})
    return replace(prepared, recipe=recipe).fit(segmenter, original, out, options)


def _diffuse(scenes: Sequence[_Predicted], segmenter: NetworkSegmenter, diffusion: Diffusion) -> Sequence[_Predicted]:
    """Scenes with scores that flowed along edges; as they are where small objects leak away, and change would be unlearnt."""
    diffused = [scene.diffuse(segmenter, diffusion) for scene in scenes]
    before, after = (int(_count(group)[:, MORE_PROBABLE == CHANGE].sum()) for group in (scenes, diffused))
    if after >= Refinement.min_left * before:
        return diffused
    log.warning(
        "Diffusion leaves %d of %d pixels of predicted change: objects leak away, and scores are merged without it. Take fewer "
        "cleansing.steps or a smaller cleansing.edge_level.", after, before,
    )  # fmt: skip
    return scenes


def _count(scenes: Sequence[_Predicted]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.sum([scene.count() for scene in scenes], axis=0)
    return counts


def _with_scenes(original: Prepared, scenes: Sequence[LabelledScene]) -> Prepared:
    split = replace(original.split, scenes=list(scenes))
    return replace(original, split=split, cells=class_cells(split))


def _shares(original: Prepared, merged: Prepared) -> dict[str, float]:
    """Training pixels of each class as a share of those that were labelled so."""
    pairs = zip(original.legend.names, merged.pixels, original.pixels, strict=True)
    return {name: round(now / max(before, 1), 4) for name, now, before in pairs}


def _diffused_scores(
    segmenter: NetworkSegmenter, images: Scene, scores: Layer, window: Window, diffusion: Diffusion
) -> ByteImage:
    """Packed probabilities (2, h, w) in a window after the diffusion of those around it; nodata where not valid."""
    around = window.grow(diffusion.reach_px).clip((int(images.shape[0]), int(images.shape[1])))
    packed, known = scores.read(around)
    sample = images.read(around, segmenter.inputs.names)
    valid = known & sample["valid"]
    guides = [to_grey_levels(sample[name], segmenter.inputs.layers[name]) for name in segmenter.inputs.names]
    probabilities = packed.astype(np.float32) / np.float32(Packed.one)
    diffused = guided_anisotropic_diffusion(probabilities, guides, diffusion=diffusion, valid=valid)
    inner = (slice(None), *window.within(around).slices)
    return np.where(valid[inner[1:]], Packed.pack(diffused[inner]), np.uint8(Packed.nodata))


def to_grey_levels(image: FloatImage, layer: LayerInput) -> FloatImage:
    """Return an image (B, H, W) in grey levels of 0 to 255, the unit of the edge levels of the diffusion.

    Bytes stay as they are; other types are scaled by the range of the training.
    """
    if layer.dtype == "uint8":
        return image
    span = max(layer.high - layer.low, float(np.finfo(np.float32).tiny))
    return np.clip((image - layer.low) * (GREY_LEVELS / span), 0, GREY_LEVELS).astype(np.float32)


TASK = Task(train_with_cleansing, CleansingRecipe)


@dataclass(frozen=True)
class LabelNoise:
    """Shares 0 to 1 of wrong labels among the labels of no change and of change.

    NaN if the network is sure of none of these labels, or if one class is not labelled."""

    no_change: float
    change: float

    def to_dict(self) -> dict[str, float]:
        """Return the rounded shares for the card of a run."""
        return {"no change": round(self.no_change, 4), "change": round(self.change, 4)}

    def __str__(self) -> str:
        return f"{self.change:.0%} of labelled change and {self.no_change:.0%} of labelled no change"


def count_packed(labels: ByteImage, packed: ByteImage, known: Mask) -> NDArray[np.int64]:
    """Count known pixels by label (0 no change, 1 change) and packed probability (value / 254): (2, 256), to be summed
    over scenes."""
    counted = known & (labels < 2)
    flat = labels[counted].astype(np.int64) * LEVELS + packed[counted]
    return np.bincount(flat, minlength=2 * LEVELS).reshape(2, LEVELS)


def confident_classes(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the class (256,) that a network is sure of at each packed probability.

    The class is 1 from the mean of labelled change upwards, 0 up to the mean of labelled no change, and 255 in between,
    or everywhere if one class is not labelled.

    >>> counts = np.zeros((2, 256), np.int64)
    >>> counts[0, 20], counts[1, 240] = 100, 16
    >>> confident_classes(counts)[[10, 20, 130, 240, 250]].tolist()
    [0, 0, 255, 1, 1]
    """
    if not counts.sum(axis=1).all():
        return np.full(LEVELS, VOID, np.uint8)
    of_change = np.arange(LEVELS) / Packed.one
    both = np.stack([1 - of_change, of_change])
    return suspects.confident_classes(both, class_thresholds((counts * both).sum(axis=1), counts.sum(axis=1)))


def estimate_label_noise(counts: NDArray[np.int64]) -> LabelNoise:
    """Return the shares of wrong labels from counts (2, 256) of `count_packed`.

    Errors of the network also count as wrong labels if the network is sure of them.

    >>> counts = np.zeros((2, 256), np.int64)
    >>> counts[0, 20], counts[1, 240], counts[1, 10] = 100, 16, 4
    >>> print(estimate_label_noise(counts))
    20% of labelled change and 0% of labelled no change
    """
    classes = confident_classes(counts)
    joint = np.stack([counts[:, classes == index].sum(axis=1) for index in (0, 1)], axis=1)
    wrong = np.array([joint[0, 1], joint[1, 0]]) / np.where(joint.sum(axis=1), joint.sum(axis=1), np.nan)
    return LabelNoise(float(wrong[0]), float(wrong[1]))
