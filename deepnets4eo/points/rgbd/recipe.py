"""The recipe of the task `snapnet-r`: RGB-D frames instead of clouds, views around each frame's camera."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from deepnets4eo.options import Section
from deepnets4eo.points.snapnet.recipe import SnapNetModel, SnapNetTrain
from deepnets4eo.points.views.snapshots import ViewLayer
from deepnets4eo.training import Recipe

Layout = Literal["posed", "organised", "sun-rgbd", "nyuv2"]


class FrameSection(Section):
    """Selection of frames, their pixels, and the split into training and validation frames."""

    folders: tuple[str, ...] = Field(default=(), description="where the frames are; --data sets it")
    layout: Layout = Field(
        default="posed",
        description="posed: NAME.color.png, NAME.depth.png in mm, NAME.labels.png, camera-intrinsics.txt, as in 7-Scenes; "
        "organised: .npz of rgb, x, y, z, label; sun-rgbd; nyuv2",
    )
    labels: str | None = Field(
        default=None,
        description="sun-rgbd: folder of the label images, numbered by the lists: test_list, then train_list",
    )
    train_list: str | None = Field(default=None, description="text file: frames to learn from, one path a line")
    test_list: str | None = Field(default=None, description="text file: frames to score, one path a line")
    unknown_labels: Literal["error", "void"] = Field(default="error", description="codes that the legend lacks")
    height_px: int = Field(default=288, ge=32, multiple_of=32, description="of the images that the network sees")
    width_px: int = Field(default=384, ge=32, multiple_of=32, description="of the images that the network sees")
    windows_per_epoch: int = Field(default=1000, ge=1, description="views; an epoch has as many whole batches of them")
    split: Literal["scenes", "official"] = Field(
        default="scenes", description="scenes: frames by val_share or val_scenes; official: the lists, or splits.mat"
    )
    val_share: float = Field(default=0.2, ge=0, lt=1, description="share of the frames that are validated on; 0: none")
    val_scenes: tuple[str, ...] = Field(default=(), description="names or patterns of frames that are validated on")
    split_seed: int = Field(default=0, ge=0, description="apart from train.seed: other weights, same validation part")
    num_workers: int = Field(default=2, ge=0, description="threads that read views ahead of the network")


class ResampledViewSection(Section):
    """Views around the camera of a frame, to learn from and to vote with, and what they show."""

    train: int = Field(default=4, ge=0, description="views around each frame that is learnt from; 0: the frame alone")
    test: int = Field(
        default=4, ge=0, description="views around each frame that vote for its pixels; 0: the frame alone"
    )
    render_train: bool = Field(
        default=False,
        description="whether the image of a frame itself is rendered from its surface, as views around it are, where it is "
        "learnt from; false: as the camera took it",
    )
    render_test: bool = Field(default=False, description="the same where a frame is labelled")
    turn_deg: float = Field(default=15.0, ge=0, lt=90, description="largest turn about the middle of the scene")
    shift: float = Field(default=0.1, ge=0, lt=1, description="largest change of the distance to it, as a share")
    votes: Literal["probabilities", "logits"] = Field(
        default="probabilities", description="what is averaged over pixels and views"
    )
    seed: int = Field(default=0, ge=0, description="of the cameras")


class RgbdRecipe(Recipe):
    """All that decides a training of SnapNet-R; `predict` is not used, as frames are predicted whole."""

    task: str = "snapnet-r"
    data: FrameSection = FrameSection()  # type: ignore[assignment]
    views: ResampledViewSection = ResampledViewSection()
    model: SnapNetModel = SnapNetModel()
    train: SnapNetTrain = SnapNetTrain()

    @model_validator(mode="after")
    def _layers_of_frames(self) -> RgbdRecipe:
        layers = list(self.model.layers)
        if ViewLayer.intensity in layers or len(set(layers)) < len(layers):
            raise ValueError(
                f"has model.layers={layers}; expected image and composite, each once: frames have no intensity"
            )
        return self
