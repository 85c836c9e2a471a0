"""A recipe: all that decides how a model is trained, as one flat YAML of six sections.

Takes YAML (`task / data / legend / model / train / predict`) and `section.key=value` overrides; returns a frozen value.

Refuses unknown keys and bad values, naming the key and the nearest one that exists.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Field, ValidationError, model_validator

from deepnets4eo.errors import InputError, nearest_name
from deepnets4eo.files import parse_yaml, plain, read_yaml
from deepnets4eo.options import Section, is_unknown_name, refused_value
from deepnets4eo.segmenters import write_recipe
from deepnets4eo.segmenters.checksums import hash_of, stored_recipe
from deepnets4eo.training.other_words import hint_of_near_word, hint_of_other_word

log = logging.getLogger(__name__)

LossName = Literal["cross_entropy", "dice", "lovasz", "focal", "uniform", "entropy", "contrastive"]
Processes: TypeAlias = Annotated[
    int,
    Field(ge=0, description="that make the pairs ahead of the threads, for a GPU as many as cores; 0: the threads do"),
]  # of trainings on places that are made while the network learns
ON_FEATURES = "contrastive"  # a loss of features, not of scores
USUAL_BATCH = 8  # windows
REFITTED = ("segmentation", "baseline")  # tasks that can train once more on everything
LEFT = {  # keys that are gone, and the values with which recipes of earlier versions stay what they were
    "unlabelled": {"method": "none", "ratio": 1, "weight": 1.0, "threshold": 0.95},
    "data.unlabelled": [],
    "estimator.components": 500,
    "views.holes": "void",
    "views.third": "depth",
}


class DataSection(Section):
    """Selection of scenes, and of their windows for training and validation."""

    folders: tuple[str, ...] = Field(
        default=(), description="where the patterns of `layers` are looked up; --data sets it"
    )
    layers: dict[str, str] = Field(
        default={"image": "*/image.tif", "labels": "*/labels.tif"},
        description="layer -> glob pattern; files whose wildcards match alike make one scene",
    )
    scenes: tuple[dict[str, str], ...] = Field(
        default=(), description="layer -> path, one mapping a scene; instead of layers"
    )
    dataset: str | None = Field(
        default=None, description="dataset card whose layout pairs the files of folders[0]; layers given replace it"
    )
    dataset_split: str | None = Field(
        default=None, description="split of that card: its train part alone is learnt from; none: the first"
    )
    bands: dict[str, tuple[int, ...]] = Field(
        default={}, description="layer -> bands to use, counted from 1; others: all"
    )
    nodata: dict[str, Annotated[float, Field(allow_inf_nan=True)]] = Field(
        default={}, description="layer -> value without data, instead of the file's own"
    )
    labels_legend: str | None = Field(default=None, description="legend the label files are stored in, if another")
    unknown_labels: Literal["error", "void"] = Field(default="error", description="values that the legend lacks")
    tile_px: int = Field(default=256, ge=32, multiple_of=32, description="side of a training window")
    windows_per_epoch: int = Field(
        default=1000, ge=0,
        description="an epoch has as many whole batches of them; 0: so many that each training pixel is in 16 of them, 1000 at most",
    )  # fmt: skip
    sampling: Literal["random", "scenes", "balanced"] = Field(
        default="balanced",
        description="random: by area; scenes: each scene as often, whatever its size; balanced: a window per class in turn",
    )
    scaling: Literal["standard", "unit", "range", "none"] = Field(
        default="standard",
        description="standard: mean 0, deviation 1 of each band; unit: 0 to 1, bytes divided by 255, floats by their range; "
        "range: 0 to 1 from the lowest to the highest training value of all bands; none: values as they are",
    )
    split: Literal["blocks", "scenes", "random", "random_pixels", "per_class", "components", "folds"] = Field(
        default="blocks",
        description="random: blocks without buffer; random_pixels, per_class: single pixels; these are leaky, and stamped so; "
        "components: connected ones of each class; folds: blocks, for cross-validation",
    )
    val_share: float = Field(
        default=0.2, ge=0, lt=1,
        description="share of the blocks, scenes or pixels that are validated on; 0: none, the last weights are kept",
    )  # fmt: skip
    pixels_per_class: int = Field(
        default=50, ge=1, description="per_class: so many are learnt from, all others validated on"
    )
    folds: int = Field(default=5, ge=2, description="folds: number of them; each class is in as many as it can be")
    fold: int = Field(default=0, ge=0, description="folds: the one that is validated on, counted from 0")
    val_scenes: tuple[str, ...] = Field(default=(), description="with split: scenes; names or patterns of scenes")
    split_seed: int = Field(default=0, ge=0, description="apart from train.seed: other weights, same validation part")
    block_px: int | None = Field(default=None, ge=16, description="side of a block of the split; none: by the scene")
    buffer_px: int | None = Field(default=None, ge=0, description="not learnt from beside validation; none: 32")
    num_workers: int = Field(default=2, ge=0, description="threads that read windows ahead of the network")

    @model_validator(mode="after")
    def _known_fold(self) -> DataSection:
        if self.fold >= self.folds:
            raise ValueError(f"has fold={self.fold} of {self.folds} folds; expected 0 to {self.folds - 1}")
        return self


class ModelSection(Section):
    """A network by name, and the layers it takes."""

    network: str | None = Field(default=None, description="a name of list_models()")
    encoder: str | None = Field(default=None, description="encoder of an smp network, or efficientnet-lite0")
    encoder_weights: str | None = Field(
        default=None,
        description="efficientnet-lite0: in the box; a file or run, several by commas; imagenet: downloaded on demand only",
    )
    options: dict[str, Any] = Field(default={}, description="further arguments of the network, e.g. {patch_px: 64}")
    layers: tuple[str, ...] = Field(default=("image",), min_length=1, description="inputs, concatenated in this order")

    @property
    def first_weights(self) -> list[str]:
        """Return the sources in `encoder_weights`: files, runs or "imagenet"; one per stream if there are several."""
        return [source.strip() for source in (self.encoder_weights or "").split(",") if source.strip()]


class TrainSection(Section):
    """Optimisation of a network, and its augmentation."""

    epochs: int = Field(default=50, ge=1, description="passes over the training windows at most")
    batch_size: int = Field(
        default=USUAL_BATCH, ge=0, description="windows a step; 0: on a GPU as many as half of its memory takes, else 8"
    )
    optimizer: Literal["adamw", "sgd", "adam", "adagrad", "adadelta"] = Field(
        default="adamw", description="adam: weight_decay is part of the gradient, not apart from it"
    )
    lr: float = Field(default=5e-4, gt=0, description="highest learning rate")
    encoder_lr_factor: float = Field(default=1.0, ge=0, description="on lr, for the weights of the encoder")
    pull_to_start: float = Field(
        default=0.0, ge=0,
        description="pull of the encoder's weights to those it starts with, in place of their weight_decay (L2-SP): "
        "the gradient of half their squared distance, times this; 0: none",
    )  # fmt: skip
    keep_statistics: bool = Field(
        default=False, description="batch normalisation of the encoder keeps the means and variances it starts with"
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(default=1e-2, ge=0, description="pull of the weights to 0")
    decay: Literal["weights", "all"] = Field(default="weights", description="all: biases and normalisation as well")
    schedule: Literal["constant", "step", "exponential", "poly", "one_cycle", "cosine", "plateau"] = Field(
        default="poly", description="cosine: of FixMatch, down to a fifth; one_cycle: a cosine down to nothing"
    )
    step_epochs: tuple[int, ...] = Field(default=(), description="step: epochs where lr falls; none: at 60 % and 85 %")
    step_factor: float = Field(
        default=0.1, gt=0, le=1, description="on lr: step and plateau at each fall, exponential after each epoch"
    )
    plateau_epochs: int | None = Field(
        default=None,
        ge=0,
        description="plateau: lr falls after more epochs without a better score; none: a quarter of all",
    )
    poly_power: float = Field(default=0.9, gt=0, description="poly: exponent of the share of steps that is left")
    warmup_share: float = Field(
        default=0.05, ge=0, lt=1,
        description="share of the steps in which lr rises; not for step, exponential and plateau",
    )  # fmt: skip
    losses: dict[LossName, float] = Field(
        default={"cross_entropy": 1.0}, min_length=1,
        description="loss -> weight; uniform beside cross_entropy: label smoothing; entropy: bootstrapping; contrastive: of the features "
        "of two dates, for Siamese networks, beside another",
    )  # fmt: skip
    contrastive_margin: float = Field(
        default=2.0, gt=0, description="contrastive: distance that is enough between features of changed pixels"
    )
    class_weighting: Literal["none", "median_frequency"] = Field(
        default="none", description="median_frequency: rare classes count more in the loss, as in SegNet"
    )
    class_weights: dict[str, float] = Field(default={}, description="class name -> factor, on top of class_weighting")
    flips: bool | Literal["left-right"] = Field(
        default=True, description="along either side; left-right: of rooms and streets, which are never upside down"
    )
    rotations: bool = Field(default=True, description="by quarter turns")
    photometric: float = Field(default=0.1, ge=0, le=1, description="strength of light and contrast changes; 0: none")
    modality_dropout: dict[str, float] = Field(
        default={}, description="layer -> share of windows shown without it; the run then predicts without it, too"
    )
    clicks: int = Field(
        default=0, ge=0,
        description="most clicks that a window shows, each a disc in a channel of its class; the run then takes a person's; 0: none",
    )  # fmt: skip
    clip_norm: float = Field(default=0.0, ge=0, description="largest norm of the gradient; 0: not clipped")
    average: float = Field(
        default=0.0, ge=0, lt=1,
        description="validate and keep a running mean of the weights; share of it kept at each step, e.g. 0.998; 0: none",
    )  # fmt: skip
    patience: int = Field(default=0, ge=0, description="epochs without a better score before stopping; 0: never")
    monitor: str = Field(
        default="mean_iou",
        pattern=r"^(mean_iou|mean_f1|overall_accuracy|kappa|f1\..+)$",
        description="score that decides which epoch is best: mean_iou, mean_f1, overall_accuracy, kappa, or f1.CLASS",
    )
    keep: Literal["best", "last"] = Field(default="best", description="which epoch's weights become the run's")
    refit: bool = Field(
        default=False,
        description="after validating, train once more on everything, up to the kept epoch: scores of the first training, "
        "weights of the second",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="float32", description="bfloat16, float16 (on a GPU): mixed"
    )
    deterministic: bool = Field(
        default=True, description="on a GPU: convolutions with the same bits again; false: faster ones"
    )
    compile: bool = Field(default=False, description="fuse operations first, some minutes: for long trainings on a GPU")
    logger: Literal["csv", "tensorboard", "mlflow", "wandb-offline"] = Field(
        default="csv", description="csv: log.csv alone; the others keep the same rows, too, in a folder of the run"
    )
    seed: int = Field(default=0, ge=0, description="of weights, order and augmentation")

    @property
    def usual_batch_size(self) -> int:
        """Return the windows per step before a GPU is measured: `batch_size`, or 8 if that is 0."""
        return self.batch_size or USUAL_BATCH

    @model_validator(mode="after")
    def _positive_losses(self) -> TrainSection:
        if min(self.losses.values()) < 0 or max(self.losses.values()) <= 0:
            raise ValueError(f"has losses {self.losses}; expected weights of at least 0, one of them above")
        if not any(weight > 0 for name, weight in self.losses.items() if name != ON_FEATURES):
            raise ValueError(
                f"has losses {self.losses}; contrastive trains features alone. Add a loss of the scores, e.g. cross_entropy: 1"
            )
        return self


class PredictSection(Section):
    """Defaults that prediction with this run starts from."""

    tile_px: int = Field(default=576, ge=32, description="side of a tile, its halo included")
    halo_px: int = Field(default=32, ge=0, description="context cut off on each side; multiples of 32 suit poolings")
    overlap_px: int = Field(default=0, ge=0, description="overlap of what is kept, blended there")
    scores: Literal["probabilities", "log-probabilities", "raw"] = Field(
        default="probabilities", description="what is summed where tiles overlap"
    )
    blending: Literal["hann", "uniform"] = Field(
        default="hann", description="hann fades tiles out towards their edges; uniform weighs them alike, as published"
    )


class Recipe(Section):
    """All that decides a training. Branches add tasks with their own sections by subclassing."""

    task: str = Field(default="segmentation", description="what is learnt, which decides the sections")
    data: DataSection = DataSection()
    legend: str | dict[str, Any] = Field(default="", description="a name, a YAML file, or the classes themselves")
    model: ModelSection = ModelSection()
    train: TrainSection = TrainSection()
    predict: PredictSection = PredictSection()

    @model_validator(mode="after")
    def _full_batch(self) -> Recipe:
        if self.model.network and 0 < self.data.windows_per_epoch < self.train.batch_size:
            raise ValueError(
                f"has data.windows_per_epoch={self.data.windows_per_epoch}, which does not fill one batch of "
                f"train.batch_size={self.train.batch_size}. Raise the first or lower the second"
            )
        return self

    @model_validator(mode="after")
    def _droppable(self) -> Recipe:
        dropped = self.train.modality_dropout
        if not dropped:
            return self
        if self.task != "segmentation" or not self.model.network:
            raise ValueError("has train.modality_dropout, which only networks of the task segmentation learn with")
        layers = self.model.layers
        if not dropped.keys() <= set(layers) or not all(0 < share < 1 for share in dropped.values()):
            raise ValueError(
                f"has train.modality_dropout={dropped}; expected shares between 0 and 1 of layers in "
                f"model.layers={list(layers)}, e.g. {{{layers[-1]}: 0.3}}"
            )
        if len(layers) < 2:
            raise ValueError(f"has train.modality_dropout={dropped}, but {layers[0]} is the only layer of the network")
        return self

    @model_validator(mode="after")
    def _clickable(self) -> Recipe:
        if self.train.clicks and (self.task != "segmentation" or not self.model.network):
            raise ValueError("has train.clicks, which only networks of the task segmentation learn with")
        return self

    @model_validator(mode="after")
    def _has_start(self) -> Recipe:
        held = [key for key in ("pull_to_start", "keep_statistics") if getattr(self.train, key)]
        if held and not (self.model.encoder_weights or getattr(self.data, "start", None)):
            raise ValueError(
                f"has train.{held[0]}={getattr(self.train, held[0])}, but the encoder starts with random weights. Set "
                f"model.encoder_weights, or leave out train.{held[0]}"
            )
        return self

    @model_validator(mode="after")
    def _refittable(self) -> Recipe:
        if not self.train.refit:
            return self
        if self.task not in REFITTED:
            raise ValueError(
                f"has train.refit, which the task {self.task} does not do; expected {' or '.join(REFITTED)}"
            )
        if self.train.schedule == "plateau":
            raise ValueError(
                "has train.refit with train.schedule=plateau, but a training on everything has no score by which the rate falls. "
                "Choose another schedule, or train.refit=false"
            )
        if self.train.patience:
            raise ValueError(
                f"has train.refit with train.patience={self.train.patience}, but a training on everything has no score to "
                "stop by. Set one of them to its default"
            )
        return self

    @property
    def compares_shapes(self) -> bool:
        """Return whether the method compares the shapes of spectra, so that scaling may multiply them by only one factor."""
        return False

    def without_validation(self) -> Recipe:
        """Return the recipe learning from everything: nothing is withheld, and the last weights are kept."""
        return self.model_copy(update={"data": self.data.model_copy(update={"val_share": 0.0, "val_scenes": ()})})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the sections."""
        return plain(self.model_dump(mode="json"))

    @property
    def hash(self) -> str:
        """SHA-256 of the resolved recipe; equal recipes have equal hashes whatever the order of their keys and who signed their addresses."""
        return hash_of(stored_recipe(self.to_dict()))

    def save(self, path: str | Path) -> Path:
        """Write the resolved recipe, its hash in the first line; it loads again as a recipe, without users and queries of addresses."""
        write_recipe(path, self.to_dict())
        return Path(path)


RecipeType = TypeVar("RecipeType", bound=Recipe)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read the mapping in a recipe file, unchecked, without `LEFT`. Errors: InputError when the file contains anything else."""
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}, expected the sections of a recipe: {_keys(Recipe)}.")
    return without_left(values)


def without_left(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of a recipe of an earlier version without the keys of `LEFT` that have their usual values."""
    kept = {name: dict(section) if isinstance(section, dict) else section for name, section in values.items()}
    for name, usual in LEFT.items():
        section, _, key = name.rpartition(".")
        target = kept.get(section) if section else kept
        if isinstance(target, dict) and target.get(key) == usual:
            del target[key]
    return kept


def resolve(
    values: Mapping[str, Any], overrides: Sequence[str] = (), *, kind: type[RecipeType], where: str = "recipe"
) -> RecipeType:
    """Check a mapping with its `section.key=value` overrides (`section.key.name=value` sets one name) and return the recipe.
    Errors: InputError naming the key, its value and what was expected."""
    merged = {key: deepcopy(dict(value)) if isinstance(value, Mapping) else value for key, value in values.items()}
    for override in overrides:
        _apply(merged, override)
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        raise InputError("\n".join(_explain(detail, kind, where) for detail in error.errors())) from error


def _apply(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys) or len(keys) > 3:
        raise InputError(
            f"--set {override} is not of the form section.key=value, as in --set train.epochs=20, or section.key.name=value, "
            "as in --set model.options.width=8."
        )
    try:
        value = parse_yaml(text, f"{text!r}")
    except InputError as error:
        raise InputError(f"--set {override}: {text!r} is not a YAML value ({error}). Quote it.") from error
    target = values
    for key in keys[:-1]:
        if target.get(key) is None:
            target[key] = {}
        target = target[key]
        if not isinstance(target, dict):
            raise InputError(f"--set {override}: {key} is {target!r}, a single value without keys. Set {key} itself.")
    _warn_of_lost_names(name.strip(), target.get(keys[-1]), value)
    target[keys[-1]] = value


def _warn_of_lost_names(name: str, before: Any, after: Any) -> None:
    """Warn where a mapping is set as a whole and loses names that the recipe has in it, such as a network's head."""
    if isinstance(before, dict) and isinstance(after, dict) and (lost := [key for key in before if key not in after]):
        one = f"{name}.{next(iter(after), lost[0])}=VALUE"
        log.warning(
            "--set %s replaces all of it; no longer set: %s. To keep the rest, set one name: --set %s.",
            name, ", ".join(f"{key}={before[key]!r}" for key in lost), one,
        )  # fmt: skip


def _explain(detail: Any, kind: type[Recipe], where: str) -> str:
    location = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    if is_unknown_name(detail):
        hint = hint_of_other_word(detail["loc"][-1]) or _nearest(detail["loc"], kind)
        return f"{where}: unknown key {location!r}. {hint}"
    return refused_value(detail, location, where)


def _nearest(location: Sequence[Any], kind: type[Recipe]) -> str:
    section: Any = kind
    for part in location[:-1]:
        section = _fields(section)[part].annotation
    names = {name: ".".join([*map(str, location[:-1]), name]) for name in _fields(section)}
    if nearest_name(location[-1], names) is None:
        if (hint := hint_of_near_word(location[-1])) is not None:
            return hint
        for name, field in kind.model_fields.items():  # right key, wrong section
            names |= {key: f"{name}.{key}" for key in _fields(field.annotation) if key not in names}
    near = nearest_name(location[-1], names)
    return f"Choose from {_keys(section)}." if near is None else f"Did you mean {names[near]!r}?"


def _keys(section: Any) -> str:
    return ", ".join(_fields(section))


def _fields(section: Any) -> Mapping[str, Any]:
    """Return the fields of a section, which is a model or an option group, by name; a plain type has none."""
    return getattr(section, "model_fields", None) or getattr(section, "__pydantic_fields__", {})
