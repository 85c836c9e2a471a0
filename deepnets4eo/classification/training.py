"""The task `images`: images with labels and a recipe in, a run folder out, whose network also slides over scenes.

Validation chooses the epoch and the temperature; the test part is scored once, after that.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.arrays import Mask
from deepnets4eo.classification.batches import ImageLoader, TrainingImages
from deepnets4eo.classification.images import check_learnable, measure_pixels, read_pixels
from deepnets4eo.classification.loss import ImageCriterion
from deepnets4eo.classification.parts import draw_parts, take_shared_apart
from deepnets4eo.classification.readers import list_images
from deepnets4eo.classification.recipe import ImageRecipe
from deepnets4eo.classification.teacher import Teacher
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, TransformerSizes, published_change
from deepnets4eo.training import Task, TrainOptions, build_segmenter, fit_segmenter, load_legend, write_run

log = logging.getLogger(__name__)

WATCHED = ("overall_accuracy", "macro_f1", "micro_f1", "macro_ap", "micro_ap", "ece")


def train_images(recipe: ImageRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a network on labelled images; returns the run folder."""
    check_extra("deep")
    images, legend = list_images(recipe.data, load_legend(recipe) if recipe.legend else None)
    several, data = recipe.data.labels == "several", recipe.data
    check_learnable(images, legend, several=several)
    split = draw_parts(images, recipe)
    if recipe.unlabelled.method != "none" and not len(split.unlabelled):
        raise InputError(
            f"unlabelled.method={recipe.unlabelled.method} needs images without labels. Set data.labels_per_class or "
            "data.unlabelled."
        )
    _warn_of_lacking(images.targets[split.labelled], legend.names)
    pixels = read_pixels(images, memory_bytes=data.memory_bytes, folder=out, workers=max(data.num_workers, 1))
    split, shared = take_shared_apart(split, images, pixels, by_place=recipe.split.by == "place")
    recipe = recipe.with_images(len(split.labelled))
    inputs = measure_pixels(pixels, np.union1d(split.labelled, split.unlabelled), images)
    teacher = Teacher.of_recipe(recipe, legend)
    taught = None if teacher is None else teacher.embeddings
    material = TrainingImages(recipe, pixels, images.targets, split, inputs, taught)
    network = {"name": recipe.model.network, "patch_px": material.side_px} | recipe.model.options
    if recipe.model.encoder_file:
        network |= _encoder_of_file(recipe, inputs, images.bands)
    elif recipe.model.encoder:
        network["encoder"] = recipe.model.encoder
    segmenter = build_segmenter(recipe, network, inputs, legend)
    if teacher is not None:
        teacher.give_last_layer(segmenter)
    if (fit_head := getattr(segmenter.module, "fit_head", None)) is not None:  # nothing else of it learns
        fit_head(
            material.outputs(segmenter, split.labelled, "features"), images.targets[split.labelled], several=several
        )
    loader = ImageLoader(material)
    criterion = ImageCriterion(material, legend, segmenter.module)

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        scores = material.scores(segmenter, split.val)
        return {name: scores[name] for name in WATCHED} if len(split.val) else {recipe.train.monitor: float("nan")}

    notes = fit_segmenter(segmenter, loader, criterion.step, score, recipe, out, options)
    criterion.detach(segmenter.module)
    if recipe.train.calibrate and len(split.val):
        notes["temperature"] = material.calibrate(segmenter)
    scores = material.scores(segmenter, split.val) | {"legend": legend.name}
    if len(split.test):
        scores = material.scores(segmenter, split.test) | {"legend": legend.name, "validation": scores}
    scores["protocol"] = {"name": "test images" if len(split.test) else "validation images", "split": split.describe()}
    scores["protocol"] |= {"shared": shared} if shared else {}
    notes |= {"images": split.describe(), "labels": data.labels}
    return write_run(segmenter, recipe, out, split=split, scores=scores, notes=notes)


def _encoder_of_file(recipe: ImageRecipe, inputs: InputSpec, bands: Sequence[str]) -> dict[str, Any]:
    """Return the sizes of the encoder in the file and, for one that knows reflectance, the way back to published values."""
    sizes = TransformerSizes.of_file(str(recipe.model.encoder), bands)
    (layer,) = inputs.layers.values()
    change = None
    if sizes.is_dated and layer.band_high and layer.dtype != "uint8":
        change = published_change(bands, np.array(layer.mean), np.array(layer.std), np.array(layer.band_high))
    published = {} if change is None else {"published": [part.tolist() for part in change]}
    return {"transformer": sizes.to_dict()} | published


def _warn_of_lacking(targets: Mask, names: tuple[str, ...]) -> None:
    lacking = [name for name, count in zip(names, targets.sum(axis=0), strict=True) if not count]
    if lacking:
        log.warning(
            "No training image shows %s: never learnt, and not reliable where it is predicted.", ", ".join(lacking)
        )


TASK = Task(train_images, ImageRecipe)
