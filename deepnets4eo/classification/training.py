"""The task `images`: images with labels and a recipe in, a run folder out, whose network also slides over scenes.

Validation chooses the epoch and the temperature; the test part is scored once, after that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from deepnets4eo.arrays import Indices, Mask
from deepnets4eo.cards import TEST, TRAIN, VAL, Legend
from deepnets4eo.classification.batch_changes import Consistency, UnlabelledSection
from deepnets4eo.classification.images import (
    ImageList,
    ImageSplit,
    check_learnable,
    measure_pixels,
    prepare_images,
    read_pixels,
    split_images,
)
from deepnets4eo.classification.labelling import AT_ONCE, embed_images, image_outputs
from deepnets4eo.classification.places import digests_of, keep_together, place_blocks, shared_between, shared_ground
from deepnets4eo.classification.readers import ImageData, list_images
from deepnets4eo.classification.scores import fit_temperature, score_images
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra
from deepnets4eo.options import Section
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, Run, load_run
from deepnets4eo.training import (
    ON_FEATURES,
    ModelSection,
    PredictSection,
    Recipe,
    RecipeType,
    Task,
    TrainOptions,
    TrainSection,
    build_segmenter,
    fit_segmenter,
    load_legend,
    read_ahead,
    to_tensors,
    write_run,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

log = logging.getLogger(__name__)

GB = 1 << 30
LEAST_IMAGES = 512  # of an epoch that follows from the number of labelled images
WATCHED = ("overall_accuracy", "macro_f1", "micro_f1", "macro_ap", "micro_ap", "ece")


class ImageModel(ModelSection):
    """A network of whole images."""

    network: str | None = Field(
        default="image-classifier", description="image-classifier, wide-resnet-eca or frozen-images"
    )
    encoder: str | None = Field(
        default=None, description="of image-classifier: any name of timm.list_models(); none: resnet18"
    )


class ImageTrain(TrainSection):
    """Optimisation of a network, and how labelled images are changed."""

    batch_size: int = Field(default=32, ge=1, description="labelled images a step")
    monitor: str = Field(
        default="macro_f1",
        pattern=r"^(overall_accuracy|macro_f1|micro_f1|macro_ap|micro_ap)$",
        description="score of the validation part that decides which epoch is best; never of the test part",
    )
    calibrate: bool = Field(
        default=True,
        description="divide the scores by the temperature that suits the validation part, once, at the end",
    )


class ImageSplitSection(Section):
    """How validated and tested images are drawn where no part is published."""

    by: Literal["image", "place"] = Field(
        default="image",
        description="image: in equal shares of each class; place: in whole blocks, by longitude_latitude in the names of files",
    )
    block_deg: float = Field(default=0.02, gt=0, description="side of a block of places, degrees")


class TeacherSection(Section):
    """A run of another sensor whose embeddings of the same places the network learns to have, behind the same last layer."""

    run: str | None = Field(default=None, description="run of the task images, whose bands the images have, too")
    label_weight: float = Field(
        default=0.05, ge=0, description="on the loss of the labels through the teacher's last layer, which stays"
    )


class ImagePredict(PredictSection):
    """Defaults that prediction with this run starts from."""

    tile_px: int = Field(default=512, ge=32, description="side of a tile without the context of its patches")
    halo_px: int = Field(default=0, ge=0, description="context cut off on each side; at least what a patch reaches")


class ImageRecipe(Recipe):
    """All that decides a training on labelled images."""

    task: str = "images"
    data: ImageData = ImageData()  # type: ignore[assignment]
    model: ImageModel = ImageModel()
    train: ImageTrain = ImageTrain()
    unlabelled: UnlabelledSection = UnlabelledSection()
    teacher: TeacherSection = TeacherSection()
    split: ImageSplitSection = ImageSplitSection()
    predict: ImagePredict = ImagePredict()

    @model_validator(mode="after")
    def _losses_of_images(self) -> ImageRecipe:
        if self.data.labels == "several" and self.unlabelled.method != "none":
            raise ValueError(
                f"has unlabelled.method={self.unlabelled.method}, which chooses one class an image, with data.labels=several. Set one "
                "of them to its default"
            )
        if self.data.labels == "several" and (
            set(self.train.losses) != {"cross_entropy"} or "head" in self.model.options
        ):
            raise ValueError(
                f"has data.labels=several, train.losses={self.train.losses} and model.options={self.model.options}; several labels are learnt by cross_entropy of each alone, without heteroscedastic head. "
                "Leave the others out"
            )
        if self.teacher.run and self.unlabelled.method != "none":
            raise ValueError(
                f"has teacher.run={self.teacher.run} and unlabelled.method={self.unlabelled.method}; both learn from images without "
                "labels. Leave one out"
            )
        if ON_FEATURES in self.train.losses:
            raise ValueError(f"has train.losses={self.train.losses}; {ON_FEATURES} compares two dates. Leave it out")
        return self


def train_images(recipe: ImageRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a network on labelled images; returns the run folder."""
    check_extra("deep")
    images, legend = list_images(recipe.data, load_legend(recipe) if recipe.legend else None)
    several, data = recipe.data.labels == "several", recipe.data
    check_learnable(images, legend, several=several)
    split = split_images(
        images, val_share=data.val_share, test_share=data.test_share, labels_per_class=data.labels_per_class, seed=data.split_seed,
        groups=place_blocks(images.names, recipe.split.block_deg) if recipe.split.by == "place" else None,
    )  # fmt: skip
    if recipe.unlabelled.method != "none" and not len(split.unlabelled):
        raise InputError(
            f"unlabelled.method={recipe.unlabelled.method} needs images without labels. Set data.labels_per_class or "
            "data.unlabelled."
        )
    _warn_of_lacking(images.targets[split.labelled], legend.names)
    pixels = read_pixels(images, memory_bytes=data.memory_gb * GB, folder=out, workers=max(data.num_workers, 1))
    split, shared = _apart(split, images, pixels, by_place=recipe.split.by == "place")
    recipe = with_images(recipe, len(split.labelled))
    inputs = measure_pixels(pixels, np.union1d(split.labelled, split.unlabelled), images)
    teacher = load_run(recipe.teacher.run) if recipe.teacher.run else None
    taught = None if teacher is None else _taught(teacher, recipe, legend)
    material = TrainingImages(recipe, pixels, images.targets, split, inputs, taught)
    network = {"name": recipe.model.network, "patch_px": square_side_px(pixels)} | recipe.model.options
    if recipe.model.encoder:
        network["encoder"] = recipe.model.encoder
    segmenter = build_segmenter(recipe, network, inputs, legend)
    if teacher is not None:
        _take_head(segmenter, teacher)
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
        notes["temperature"] = _calibrate(segmenter, material)
    scores = material.scores(segmenter, split.val) | {"legend": legend.name}
    if len(split.test):
        scores = material.scores(segmenter, split.test) | {"legend": legend.name, "validation": scores}
    scores["protocol"] = {"name": "test images" if len(split.test) else "validation images", "split": split.describe()}
    scores["protocol"] |= {"shared": shared} if shared else {}
    notes |= {"images": split.describe(), "labels": data.labels}
    return write_run(segmenter, recipe, out, split=split, scores=scores, notes=notes)


def with_images(recipe: RecipeType, labelled: int) -> RecipeType:
    """The recipe with the images of an epoch, which follow from the labelled ones where `data.windows_per_epoch` is 0."""
    count = recipe.data.windows_per_epoch or max(labelled, LEAST_IMAGES, recipe.train.batch_size)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"windows_per_epoch": count})})


def _apart(
    split: ImageSplit, images: ImageList, pixels: NDArray[Any], *, by_place: bool
) -> tuple[ImageSplit, list[str]]:
    """The split without images that stand in two parts, as far as these were drawn, and sentences about those that still do."""
    digests = digests_of(pixels)
    if not by_place:
        split, moved = keep_together(split, images.parts, digests)
        if moved:
            log.warning("%d images are byte for byte others; each is in the part of the first of them.", moved)
    learnt = np.union1d(split.labelled, split.unlabelled)
    rows = {TRAIN: learnt, VAL: split.val, TEST: split.test}
    shared = shared_between({name: [(images.names[row], digests[row]) for row in each] for name, each in rows.items()})
    shared += shared_ground({name: [images.names[row] for row in each] for name, each in rows.items()}, images.grids)
    for line in shared:
        log.warning("%s", line)
    return split, shared


@dataclass(frozen=True)
class TrainingImages:
    """What is learnt from: pixels (N, C, P, P), labels (N, K), parts, scaling, and embeddings (N, D) of a teacher."""

    recipe: ImageRecipe
    pixels: NDArray[Any]
    targets: Mask
    split: ImageSplit
    inputs: InputSpec
    taught: NDArray[np.float32] | None = None

    @property
    def learnt(self) -> Indices:
        """Rows that are learnt from in turn: the labelled ones, with a teacher all others of the training part as well."""
        return self.split.labelled if self.taught is None else self.unlabelled

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.recipe.data.labels == "several"

    @property
    def unlabelled(self) -> Indices:
        """Rows that are learnt from without their labels; labelled ones are among them, as published."""
        return np.concatenate([self.split.unlabelled, self.split.labelled])

    def prepare(self, rows: Indices) -> NDArray[np.float32]:
        """(n, C, P, P) as the network takes them."""
        return prepare_images(self.pixels[rows], self.inputs)

    def outputs(self, segmenter: NetworkSegmenter, rows: Indices, method: str = "patch_scores") -> NDArray[np.float64]:
        """(n, K) logits of the images at these rows, or what another method of the network makes of them."""
        if not len(rows):
            return np.zeros((0, self.targets.shape[1]))
        parts = np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
        outputs = [image_outputs(segmenter, self.prepare(part), method) for part in parts]
        return np.concatenate(outputs).astype(np.float64)

    def scores(self, segmenter: NetworkSegmenter, rows: Indices) -> dict[str, Any]:
        """All scores of the images at these rows."""
        logits = self.outputs(segmenter, rows)
        return score_images(logits, self.targets[rows], segmenter.legend.names, several=self.several)


class ImageLoader:
    """Batches of labelled images in random order, each with `unlabelled.ratio` unlabelled ones; the epoch alone decides which."""

    def __init__(self, material: TrainingImages) -> None:
        self.material, self.epoch, self.first_batch = material, 0, 0
        section = material.recipe.unlabelled
        self.ratio = section.ratio if section.method != "none" else 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose images come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return int(self.material.recipe.data.windows_per_epoch) // self.material.recipe.train.batch_size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        recipe, learnt, size = self.material.recipe, self.material.learnt, self.material.recipe.train.batch_size
        rng = np.random.default_rng([recipe.train.seed, self.epoch])
        labelled = _in_turn(len(learnt), len(self) * size, rng)
        unlabelled = self.material.unlabelled
        others = _in_turn(len(unlabelled), len(self) * size * self.ratio, rng)

        def batch(number: int) -> dict[str, Tensor]:
            rows = learnt[labelled[number * size : (number + 1) * size]]
            arrays = {"image": self.material.prepare(rows), "target": self.material.targets[rows]}
            if self.material.taught is not None:
                arrays |= {"taught": self.material.taught[rows], "known": np.isin(rows, self.material.split.labelled)}
            if self.ratio:
                at = others[number * size * self.ratio : (number + 1) * size * self.ratio]
                arrays |= {"unlabelled": self.material.prepare(unlabelled[at]), "rows": at}
            return to_tensors(arrays)

        return read_ahead(batch, range(self.first_batch, len(self)), recipe.data.num_workers)


def _in_turn(count: int, wanted: int, rng: np.random.Generator) -> Indices:
    """`wanted` numbers below `count`, each as often as the others, in random order."""
    if not wanted:
        return np.zeros(0, np.int64)
    return np.concatenate([rng.permutation(count) for _ in range(-(-wanted // count))])[:wanted]


class ImageCriterion:
    """The loss of a batch: of its labelled images and, with `unlabelled.method`, of the others."""

    def __init__(self, material: TrainingImages, legend: Legend, network: nn.Module) -> None:
        import torch

        from deepnets4eo.training import SumOfLosses, class_weights

        recipe, split = material.recipe, material.split
        self.train, self.several, self.label_weight = recipe.train, material.several, recipe.teacher.label_weight
        counts = material.targets[split.labelled].sum(axis=0)
        weights = class_weights(recipe.train, legend, counts)
        self.weights = None if weights is None else torch.tensor(weights)
        self.loss = SumOfLosses(recipe.train.losses, weights)
        self.consistency = recipe.unlabelled.method != "none"
        if self.consistency:
            number = material.targets.shape[1]
            network.consistency = Consistency(recipe.unlabelled, number, len(material.unlabelled))

    def step(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of one batch, () float32."""
        import torch

        from deepnets4eo.classification.batch_changes import relight, strong

        net: Any = network
        images = self._weak(batch["image"])
        if self.train.photometric:
            images = relight(images, self.train.photometric)
        images = images.contiguous(memory_format=torch.channels_last)  # 1.2 times as fast on CPUs
        if "taught" in batch:
            return self._follow(net, images, batch)
        if not self.consistency:
            return self._supervised(network, net.patch_scores(images), batch["target"])
        keeper: Consistency = net.consistency
        first = self._weak(batch["unlabelled"])
        second = self._weak(batch["unlabelled"])
        together = [images, first, strong(second)]
        seen = torch.cat(together).contiguous(memory_format=torch.channels_last)
        logits = net.patch_scores(seen).float().split([len(part) for part in together])
        q = logits[1].detach().softmax(dim=1)
        return self._supervised(network, logits[0], batch["target"]) + keeper.loss(logits[-1], q, batch["rows"])

    def _follow(self, network: Any, images: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Squared distance to the teacher's embeddings, and the loss of the labels through its last layer."""
        import torch.nn.functional as F

        features, known = network.features(images).float(), batch["known"]
        apart = (F.normalize(features, dim=1) - batch["taught"]).square().sum(dim=1).mean()
        if not bool(known.any()):
            return apart
        logits = network.head(features[known])
        return apart + self.label_weight * self._supervised(network, logits, batch["target"][known])

    def detach(self, network: nn.Module) -> None:
        """Take what only training needs out of the network."""
        if self.consistency:
            del network.consistency

    def _weak(self, images: Tensor) -> Tensor:
        from deepnets4eo.classification.batch_changes import SHIFT, weak

        train = self.train
        return weak(images, flips=train.flips, rotations=train.rotations, shift=SHIFT if self.consistency else 0.0)

    def _supervised(self, network: nn.Module, logits: Any, target: Tensor) -> Tensor:
        """The loss of labelled images: logits (N, K), or several of them; target (N, K) bool."""
        import torch.nn.functional as F

        from deepnets4eo.training import loss_of_scores

        if self.several:
            weights = None if self.weights is None else self.weights.to(logits.device)
            return F.binary_cross_entropy_with_logits(logits.float(), target.float(), weight=weights)
        return loss_of_scores(network, self.loss, logits, target.byte().argmax(dim=1))


def _calibrate(segmenter: NetworkSegmenter, material: TrainingImages) -> float:
    """Divide the network's scores by the temperature of the validation part, and return it."""
    rows, module = material.split.val, segmenter.module
    logits = material.outputs(segmenter, rows)
    divisor = fit_temperature(logits, material.targets[rows], several=material.several)
    module.divide_scores(divisor)  # type: ignore[operator]
    return divisor


def _taught(teacher: Run, recipe: ImageRecipe, legend: Legend) -> NDArray[np.float32]:
    """(N, D) embeddings of all images by the teacher, which sees its own bands of them. Errors: InputError for another legend."""
    if teacher.legend.names != legend.names:
        raise InputError(
            f"the teacher {teacher.folder} has the classes {', '.join(teacher.legend.names)}, the images {', '.join(legend.names)}. Its "
            "last layer is kept, so train both with one legend."
        )
    bands = teacher.inputs.layers["image"].bands
    seen, _ = list_images(recipe.data.model_copy(update={"bands": bands}), legend)
    return embed_images(teacher, seen, num_workers=max(recipe.data.num_workers, 1))


def _take_head(segmenter: NetworkSegmenter, teacher: Run) -> None:
    """Put the teacher's last layer into a network, where it stays as it is. Errors: InputError for embeddings of another size."""
    networks: list[Any] = [segmenter, teacher.segmenter]
    own, theirs = (network.module.head for network in networks)
    sizes = [getattr(head, "in_features", None) for head in (own, theirs)]  # a linear layer's alone
    if None in sizes or sizes[0] != sizes[1]:
        raise InputError(
            f"the teacher {teacher.folder} has embeddings of {sizes[1]} numbers before a linear last layer, the network of {sizes[0]}. Take "
            "the same model.encoder, or one as wide."
        )
    own.load_state_dict(theirs.state_dict())
    own.requires_grad_(requires_grad=False)


def square_side_px(pixels: NDArray[Any]) -> int:
    """Side of images (N, C, P, P) in pixels. Errors: InputError for images that are no squares."""
    height, width = pixels.shape[2:]
    if height != width:
        raise InputError(f"the images are {height} × {width} px; quarter turns need squares. Crop them.")
    return int(height)


def _warn_of_lacking(targets: Mask, names: tuple[str, ...]) -> None:
    lacking = [name for name, count in zip(names, targets.sum(axis=0), strict=True) if not count]
    if lacking:
        log.warning(
            "No training image shows %s: never learnt, and not reliable where it is predicted.", ", ".join(lacking)
        )


TASK = Task(train_images, ImageRecipe)
