"""The recipe of a training on whole images: network, optimisation, parts, teacher. Refuses sections that do not go together."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from deepnets4eo.classification.batch_changes import UnlabelledSection
from deepnets4eo.classification.readers import ImageData
from deepnets4eo.options import Section
from deepnets4eo.training import ON_FEATURES, ModelSection, PredictSection, Recipe, TrainSection

FILE_SUFFIX = ".safetensors"
MIN_IMAGES = 512  # of an epoch that follows from the number of labelled images


class ImageModel(ModelSection):
    """A network of whole images."""

    network: str | None = Field(
        default="image-classifier", description="image-classifier, wide-resnet-eca or frozen-images"
    )
    encoder: str | None = Field(
        default=None,
        description="of image-classifier: any name of timm.list_models(); none: resnet18. Of frozen-images: a .safetensors file of others",
    )

    @property
    def encoder_file(self) -> bool:
        """Return whether the encoder is a file of weights, which also states its sizes."""
        return str(self.encoder).endswith(FILE_SUFFIX)


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
    """The drawing of validation and test images if no parts are published."""

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

    @model_validator(mode="before")
    @classmethod
    def _encoder_of_a_file(cls, values: Any) -> Any:
        """Take `encoder=FILE` for `model.encoder=FILE`, whose weights are in the same file."""
        if not isinstance(values, dict):
            return values
        model = dict(values.get("model") or {})
        if "encoder" in values:
            model["encoder"] = values["encoder"]
        if str(model.get("encoder")).endswith(FILE_SUFFIX):
            model["encoder_weights"] = model["encoder"]
        return {name: value for name, value in values.items() if name != "encoder"} | (
            {"model": model} if model else {}
        )

    @model_validator(mode="after")
    def _losses_of_images(self) -> ImageRecipe:
        if self.model.encoder_file and self.model.network != "frozen-images":
            raise ValueError(
                f"has model.encoder={self.model.encoder}, a file, with model.network={self.model.network}. Take the recipe images/frozen, or name "
                "the encoder and give the file as model.encoder_weights"
            )
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

    def with_images(self, labelled: int) -> Self:
        """Return the recipe with the images of an epoch, which follow from the labelled images if `data.windows_per_epoch` is 0."""
        count = self.data.windows_per_epoch or max(labelled, MIN_IMAGES, self.train.batch_size)
        return self.model_copy(update={"data": self.data.model_copy(update={"windows_per_epoch": count})})
