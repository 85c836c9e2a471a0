"""The task `self-supervised`: SimCLR (Chen et al. 2020) gives the encoder of any network first weights without labels.

Recipes start from its run with `model.encoder_weights`. Refuses networks without an encoder of one image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from deepnets4eo.cards import Legend
from deepnets4eo.classification.batch_changes import crop, relight, weak
from deepnets4eo.classification.batches import ImageLoader, TrainingImages
from deepnets4eo.classification.images import ImageSplit, measure_pixels, read_pixels
from deepnets4eo.classification.readers import list_unlabelled
from deepnets4eo.classification.recipe import ImageRecipe, ImageTrain
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.lazy import check_extra
from deepnets4eo.options import Section
from deepnets4eo.segmenters import ENCODER, NetworkSegmenter, RunFolder, seal, versions, write_recipe
from deepnets4eo.training import Task, TrainOptions, build_segmenter, fit_segmenter, write_results

COMPARED_IMAGES = 256  # images among which one is to be found again in validation
NO_LABELS = Legend.from_dict(
    {"name": "none", "classes": [{"value": n, "name": f"class {n}", "color": [60 * n, 90, 90]} for n in range(4)]}
)  # of the head that is not trained


class PretextSection(Section):
    """Options of training without labels."""

    temperature: float = Field(default=0.2, gt=0, description="divides the cosines")
    channels: int = Field(default=128, ge=2, description="of the embeddings that are compared")
    least_crop: float = Field(default=0.3, gt=0, le=1, description="smallest share of an image's area in a view")


class PretextTrain(ImageTrain):
    """Optimisation, and how views are relit."""

    batch_size: int = Field(default=64, ge=2, description="images a step, which are compared")
    photometric: float = Field(default=0.3, ge=0, le=1, description="strength of light and contrast changes; 0: none")
    monitor: Literal["agreement"] = Field(
        default="agreement", description="share of validation images whose other view is the nearest of 256"
    )
    keep: Literal["best", "last"] = Field(default="last", description="which epoch's weights become the run's")


class PretextRecipe(ImageRecipe):
    """All that decides a training on unlabelled images; labels of `data` are not read."""

    task: str = "self-supervised"
    train: PretextTrain = PretextTrain()
    pretext: PretextSection = PretextSection()

    @model_validator(mode="after")
    def _no_labels(self) -> PretextRecipe:
        if self.unlabelled.method != "none":
            raise ValueError(f"has unlabelled.method={self.unlabelled.method}, which needs labels. Leave it out")
        return self


def train_encoder(recipe: PretextRecipe, out: Path, options: TrainOptions) -> Path:
    """Train the encoder of the recipe's network on unlabelled images; returns the run folder, which contains only the encoder."""
    check_extra("deep")
    data, train, model = recipe.data, recipe.train, recipe.model
    images = list_unlabelled(data)
    order = np.random.default_rng([data.split_seed, 4]).permutation(len(images))
    withheld = round(data.val_share * len(images))
    split = ImageSplit(np.sort(order[withheld:]), order[:0], np.sort(order[:withheld]), order[:0], images.names)
    if len(split.labelled) < train.batch_size:
        raise InputError(
            f"{len(split.labelled)} images are left to learn from, fewer than train.batch_size={train.batch_size}. Give more images, cut "
            "scenes into tiles with data.tile_px, or lower train.batch_size."
        )
    pixels = read_pixels(images, memory_bytes=data.memory_bytes, folder=out, workers=max(data.num_workers, 1))
    inputs = measure_pixels(pixels, split.labelled, images)
    recipe = recipe.with_images(len(split.labelled))
    material = TrainingImages(recipe, pixels, images.targets, split, inputs)
    side_px = material.side_px
    named = {"name": model.network, "encoder": model.encoder}
    segmenter = build_segmenter(
        recipe, {key: value for key, value in named.items() if value} | _sized(model.options, recipe, side_px), inputs, NO_LABELS
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        segmenter.module = Pretext(segmenter.module, recipe, (inputs.in_channels, side_px))

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        return {train.monitor: agreement(segmenter.module, material) if len(split.val) else float("nan")}

    def step(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        loss: Tensor = network.loss(batch["image"])  # type: ignore[operator]
        return loss

    notes = fit_segmenter(segmenter, ImageLoader(material), step, score, recipe, out, options)
    write_results(out, split=None, scores=score(segmenter), notes=notes)
    return _write_encoder(
        segmenter, recipe, out, notes | {"images": {"train": len(split.labelled), "val": len(split.val)}}
    )


def _sized(options: dict[str, Any], recipe: PretextRecipe, side_px: int) -> dict[str, Any]:
    """Return the options of the network; networks for whole images also get the side of the images."""
    return (
        {"patch_px": side_px, **options} if recipe.model.network in ("image-classifier", "wide-resnet-eca") else options
    )


def _write_encoder(segmenter: NetworkSegmenter, recipe: PretextRecipe, out: Path, notes: dict[str, Any]) -> Path:
    from safetensors.torch import save_file

    module: Any = segmenter.module
    state = {
        f"encoder.{name}": value.detach().cpu().contiguous().clone()
        for name, value in module.encoder.state_dict().items()
    }
    files = RunFolder(out)
    with atomic_write(files.weights) as partial:
        save_file(state, partial)
    card = {
        "kind": ENCODER,
        "network": segmenter.describe()["network"],
        "inputs": segmenter.inputs.to_dict(),
        "recipe_sha256": write_recipe(files.recipe, recipe.to_dict()),
        "seed": recipe.train.seed,
        "versions": versions(),
        "notes": {"task": recipe.task, **notes},
    }
    seal(out, card, [files.weights.name, files.recipe.name])
    return out


class Pretext(nn.Module):
    """A network's `encoder`, (N, C, P, P) → maps or vectors, with a head for what is learnt without labels."""

    def __init__(self, network: nn.Module, recipe: PretextRecipe, size: tuple[int, int]) -> None:
        super().__init__()
        self.pretext, self.train_section = recipe.pretext, recipe.train
        try:
            self.encoder: nn.Module = network.encoder  # type: ignore[assignment]
            with torch.no_grad():
                width = pool(self.encoder.eval()(torch.zeros(1, size[0], size[1], size[1]))).shape[1]
        except (AttributeError, NotImplementedError, TypeError, RuntimeError) as error:
            raise InputError(
                f"the network {recipe.model.network} has no encoder of one image of {size[1]} px ({error}). Set model.network to "
                "image-classifier or unet, with the encoder that is to start from these weights."
            ) from error
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, recipe.pretext.channels))

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings of images (N, C, P, P) → (N, D)"""
        return self.head(pool(self.encoder(images)).float())

    def view(self, images: Tensor) -> Tensor:
        """Another look at images (N, C, P, P): a part of each, turned and mirrored, under another light."""
        train = self.train_section
        images = weak(images, flips=train.flips, rotations=train.rotations, shift=0)
        images = crop(images, self.pretext.least_crop)
        return relight(images, train.photometric) if train.photometric else images

    def loss(self, images: Tensor) -> Tensor:
        """Return the loss of a batch of images (N, C, P, P), () float32."""
        embedded = self(torch.cat([self.view(images), self.view(images)]))
        return nt_xent(embedded[: len(images)], embedded[len(images) :], self.pretext.temperature)


def pool(maps: Any) -> Tensor:
    """Vectors (N, D) of what an encoder returns: vectors, or the mean of its coarsest maps."""
    if isinstance(maps, tuple):  # SegNet: maps, then where they had their maxima
        maps = maps[0]
    coarsest: Tensor = maps[-1] if isinstance(maps, list) else maps
    return coarsest.mean(dim=(2, 3)) if coarsest.ndim == 4 else coarsest


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss () of two views' embeddings (N, D), row i of both of one image, by cosines over the temperature."""
    both = F.normalize(torch.cat([first, second]), dim=1)
    alike = (both @ both.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(both), device=both.device).roll(len(first))
    return F.cross_entropy(alike, partner)


@torch.no_grad()
def agreement(module: nn.Module, material: TrainingImages) -> float:
    """Share of validation images whose other view is the nearest among up to 256."""
    pretext: Any = module
    right, compared = 0, 0
    device = next(module.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for rows in np.array_split(material.split.val, -(-len(material.split.val) // COMPARED_IMAGES)):
            images = torch.from_numpy(material.prepare(rows)).to(device)
            one, other = (F.normalize(pretext(pretext.view(images)), dim=1) for _ in range(2))
            nearest, own = (one @ other.T).argmax(dim=1), torch.arange(len(rows), device=device)
            right, compared = right + int((nearest == own).sum()), compared + len(rows)
    return right / compared


TASK = Task(train_encoder, PretextRecipe)
