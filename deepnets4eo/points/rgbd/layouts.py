"""The frames of a recipe by layout, and which of them are learnt from and which withheld.

Takes the data section; returns frames that are read when they are needed. Refuses folders without frames, and splits that
leave a part empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.grid import Grid
from deepnets4eo.points.rgbd.frame import Frame
from deepnets4eo.points.rgbd.frame_files import FrameSource, find_organised, find_posed_frames
from deepnets4eo.points.rgbd.public_sets import find_nyu, find_sun_rgbd, number_labels, official_split, read_frame_list
from deepnets4eo.points.rgbd.recipe import FrameSection
from deepnets4eo.training.splits import DataSplit, SplitRule, assign_blocks

WHOLE = "none"  # kind of a split without validation part


@dataclass(frozen=True)
class NamedFrame:
    """A frame of a split, in the pixels that the network sees."""

    source: FrameSource
    height_px: int
    width_px: int

    @property
    def name(self) -> str:
        """The name of the frame."""
        return self.source.name

    @property
    def grid(self) -> Grid:
        """The pixels of the frame, without a place on Earth."""
        return GeoBox((self.height_px, self.width_px), Affine.identity(), None)


def find_frames(data: FrameSection, legend: Legend) -> list[FrameSource]:
    """The frames of a recipe, in the order of their names, or of the lists.

    Parameters
    ----------
    data
        The section data of the recipe; its folders and layout are used.
    legend
        The legend of the labels; for NYUv2 it decides on the mapping of objects to classes: 40 or 13.

    Returns
    -------
    Frames, read when needed.

    Raises
    ------
    InputError
        No folder was given, or there are no frames in one.
    """
    if not data.folders:
        raise InputError("no frames were given. Pass --data FOLDER.")
    frames: list[FrameSource] = []
    for folder in map(Path, data.folders):
        of_folder = _of_folder(folder, data, legend)
        if not of_folder:
            raise InputError(f"{folder} has no frames of the layout {data.layout}. Check the folder and data.layout.")
        frames += of_folder
    return frames


def split_frames(frames: Sequence[FrameSource], data: FrameSection) -> DataSplit[NamedFrame]:
    """Split whole frames; with official lists, frames in neither are left out. Raises InputError where a split would
    stay empty, or the official lists are not given."""

    def with_names(chosen: Sequence[FrameSource]) -> list[NamedFrame]:
        return [NamedFrame(one, data.height_px, data.width_px) for one in chosen]

    if data.split == "official":
        part_of = {name: part for part, names in _official(data).items() for name in names}
        kept = with_names([one for one in frames if one.name in part_of])
        groups = [part_of[one.name] for one in kept]
        rule = SplitRule("official parts", 0, 0, val_names=("test",), names_key="data.test_list")
        return DataSplit(kept, assign_blocks(kept, rule, groups), "official")
    rule = SplitRule("scenes", data.val_share, data.split_seed, val_names=data.val_scenes)
    every = with_names(frames)
    return DataSplit(every, assign_blocks(every, rule), WHOLE if rule.whole else "scenes")


def frame_classes(frame: Frame, legend: Legend, *, unknown_is_void: bool = False) -> ByteImage:
    """Return the labels of a frame as class indices (h, w) uint8, void 255, by the file and void values of the legend.
    Raises LabelError where the frame has no labels, or codes that the legend does not have (void with
    `unknown_is_void`)."""
    if frame.labels is None:
        raise LabelError(f"frame {frame.name} has no labels. Give labelled frames to learn from and to score.")
    table = legend.to_index()
    for stored, value in legend.file_values.items():
        table[stored] = legend.to_index()[value]
    known = [*legend.values, *legend.void_values, *legend.file_values, VOID]
    codes, counts = np.unique(frame.labels, return_counts=True)
    strange = [f"{code} ({count:,} pixels)" for code, count in zip(codes, counts, strict=True) if code not in known]
    if strange and not unknown_is_void:
        raise LabelError(
            f'frame {frame.name} has labels that are not in legend "{legend.name}": {", ".join(strange[:8])}. Expected '
            f"{min(legend.values)} to {max(legend.values)}. Choose the legend that has them, or set data.unknown_labels=void."
        )
    return np.asarray(table[frame.labels])


def _of_folder(folder: Path, data: FrameSection, legend: Legend) -> Sequence[FrameSource]:
    if data.layout == "posed":
        return find_posed_frames(folder)
    if data.layout == "organised":
        return find_organised(folder)
    if data.layout == "nyuv2":
        return find_nyu(folder, legend.num_classes)
    frames = find_sun_rgbd(folder)
    if data.labels is None:
        return frames
    parts = _official(data)
    return number_labels(frames, [*parts["test"], *parts["train"]], Path(data.labels))


def _official(data: FrameSection) -> dict[str, list[str]]:
    if data.layout == "nyuv2" and not (data.train_list or data.test_list):
        return official_split(Path(data.folders[0]))
    if data.train_list is None or data.test_list is None:
        raise InputError(
            "the official split needs its two lists. Set data.train_list and data.test_list to text files of one path a line."
        )
    return {"train": read_frame_list(Path(data.train_list)), "test": read_frame_list(Path(data.test_list))}
