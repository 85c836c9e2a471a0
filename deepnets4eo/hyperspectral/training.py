"""The task `hyperspectral`: cubes and a recipe in, a run folder out; its scores are those of test pixels alone.

Takes patch networks, and classical methods through `baselines`. The test part is predicted once, after the last epoch:
schedules, early stopping and the choice of an epoch see watched training pixels only. Metrics and card have the leakage
of the split. Refuses networks that label no patches, and buffers narrower than half a patch.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.leakage import describe_sampling
from deepnets4eo.hyperspectral.recipe import HyperspectralData, HyperspectralRecipe
from deepnets4eo.lazy import check_extra
from deepnets4eo.segmenters.segmenter import NetworkSegmenter, Segmenter
from deepnets4eo.tiling import Tiling
from deepnets4eo.training.fit import build_segmenter, fit_segmenter, write_run
from deepnets4eo.training.segmentation import (
    Prepared,
    network_spec,
    open_labelled,
    prepare_split,
    run_notes,
    score_segmenter,
)
from deepnets4eo.training.tasks import Task, TrainOptions

if TYPE_CHECKING:
    from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier

log = logging.getLogger(__name__)

CORED = ("blocks", "components", "folds")  # kinds of splits with a buffer
WATCH_BATCH = 512  # patches that are scored at once
GB = 1 << 30


def train_hyperspectral(recipe: HyperspectralRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a patch network or a classical method on labelled cubes; returns the run folder."""
    started = time.perf_counter()
    legend, scenes = open_labelled(recipe)
    if recipe.model.method == "network":
        check_extra("deep")
        bands = sum(scenes[0].scene.layers[name].count for name in recipe.model.layers)
        patch_px = _patch_px(recipe, bands, legend.num_classes)
        prepared = prepare_split(_with_buffer(recipe, patch_px), legend, scenes)
        segmenter: Segmenter
        segmenter, notes = train_patches(prepared, out, options)
    else:
        from deepnets4eo.baselines import fit_baseline

        prepared = prepare_split(recipe, legend, scenes)
        segmenter = fit_baseline(recipe, prepared)
        patch_px = 2 * segmenter.halo_px + 1
        notes = {"method": recipe.model.method, "seconds": round(time.perf_counter() - started, 3)}
    sampling = describe_sampling(prepared.split, patch_px)
    scores = score_segmenter(segmenter, prepared, batch_size=1)
    scores["protocol"] = scores["protocol"] | {"name": "test pixels of the training scenes"} | sampling
    notes = run_notes(prepared, scores) | {"leakage": sampling["leakage"]} | notes
    return write_run(segmenter, recipe, out, split=prepared.split, scores=scores, notes=notes)


def train_patches(prepared: Prepared, out: Path, options: TrainOptions) -> tuple[NetworkSegmenter, dict[str, Any]]:
    """Train the recipe's patch network; returns it, and notes for the card."""
    from deepnets4eo.hyperspectral.criterion import PatchCriterion
    from deepnets4eo.hyperspectral.patch_store import PatchStore
    from deepnets4eo.hyperspectral.pixel_sets import Pixels, labelled_pixels, set_aside, unlabelled_pixels
    from deepnets4eo.hyperspectral.samples import PatchAugmentation, PatchLoader
    from deepnets4eo.training.criterion import class_weights

    recipe: Any = prepared.recipe
    data, train, seed = recipe.data, recipe.train, recipe.train.seed
    segmenter = build_segmenter(recipe, network_spec(prepared), prepared.inputs, prepared.legend)
    module: Any = segmenter.module
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
        store, learnt, train.batch_size, seed=seed, workers=data.num_workers,
        augment=PatchAugmentation(train.flips, train.rotations, train.radiation_noise, train.mixture),
        unlabelled=store.where_valid(unlabelled), unlabelled_share=data.unlabelled_share,
    )  # fmt: skip
    criterion = PatchCriterion(train.losses, class_weights(train, prepared.legend, prepared.pixels))
    watch = PatchLoader(store, watched, WATCH_BATCH)

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        return criterion.watch(segmenter.module, prepared.legend.num_classes, watch)

    notes = fit_segmenter(segmenter, loader, criterion.step, score, recipe, out, options)
    return segmenter, {**notes, "patch_px": module.patch_px, "watched_pixels": len(watched)}


def _patch_px(recipe: HyperspectralRecipe, bands: int, num_classes: int) -> int:
    """Side of the patches of the recipe's network. Errors: InputError for a network that labels no patches."""
    import torch

    from deepnets4eo.segmenters.networks import create_model

    name = str(recipe.model.network)
    with torch.device("meta"):  # shapes without values
        module = create_model(name, in_channels=bands, num_classes=num_classes, **recipe.model.options)
    if not hasattr(module, "patch_scores"):
        raise InputError(
            f"the network {name} does not label the middle of patches. Choose one of `deepnets4eo models 'hyperspectral/*'`, "
            "or train it with task=segmentation."
        )
    classifier: PatchClassifier = module  # type: ignore[assignment]
    return classifier.patch_px


def _with_buffer(recipe: HyperspectralRecipe, patch_px: int) -> HyperspectralRecipe:
    """The recipe with a buffer of half a patch where it names none. Errors: InputError for a narrower one."""
    data: HyperspectralData = recipe.data
    half_px = patch_px // 2
    if data.split not in CORED:
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
