"""SUN RGB-D as it is unpacked: a folder a frame with image, depth_bfx (holes filled) or depth, and intrinsics.txt.

The official split is two lists of paths, test and train; label images of the 37 classes are numbered in the order of both:
img-000001.png … of the 5,050 test frames first, then of the 5,285 to train on (the lists and labels that the repository
ankurhanda/sunrgbd-meta-data gives out). Cameras are taken as level: extrinsics are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deepnets4eo.errors import InputError
from deepnets4eo.points.rgbd.frame import Frame
from deepnets4eo.points.rgbd.frame_files import (
    depth_of_sun,
    read_colour,
    read_depth,
    read_intrinsics,
    read_labels,
)

INTRINSICS = "intrinsics.txt"
COLOURS, DEPTHS = "image", ("depth_bfx", "depth")
OWN_LABELS = "labels37.png"
FRAME_DEPTH = 2  # folders between the path of an image in a list and its frame


@dataclass(frozen=True)
class SunFrame:
    """A frame in a folder of its own, named by its path below the root, with its label image of codes 1 to 37 (0 void)
    where it has one."""

    name: str
    folder: Path
    labels: Path | None = None

    def read(self) -> Frame:
        """The frame. Errors: InputError for files that are missing or do not fit together."""
        depth = next((image for kind in DEPTHS if (image := _only(self.folder / kind)) is not None), None)
        colour = _only(self.folder / COLOURS)
        if colour is None or depth is None:
            raise InputError(
                f"{self.folder} has no {'image' if colour is None else 'depth'}; expected one file in {COLOURS}/ and one in "
                f"{' or '.join(DEPTHS)}/. Unpack SUNRGBD.zip again."
            )
        return Frame(
            self.name, read_colour(colour), read_depth(depth, depth_of_sun), read_intrinsics(self.folder / INTRINSICS),
            labels=None if self.labels is None else read_labels(self.labels),
        )  # fmt: skip


def find_sun_rgbd(root: Path) -> list[SunFrame]:
    """Return the frames below the folder SUNRGBD or a part of it, with labels37.png where there is one."""
    folders = sorted(path.parent for path in root.rglob(INTRINSICS))
    return [
        SunFrame(folder.relative_to(root).as_posix(), folder, own if (own := folder / OWN_LABELS).is_file() else None)
        for folder in folders
        if (folder / COLOURS).is_dir()
    ]


def read_frame_list(path: Path) -> list[str]:
    """Return the names of the frames that a list of the split has, one path of an image or a folder a line. Raises
    InputError where it is missing or empty."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{path} cannot be read as a list of frames: {error}. Give a text file of one path a line."
        ) from error
    if not lines:
        raise InputError(f"{path} is empty; expected one path of a frame a line.")
    return [_frame_name(PurePosixPath(line)) for line in lines]


def number_labels(frames: Sequence[SunFrame], order: Sequence[str], folder: Path) -> list[SunFrame]:
    """Return the frames of the lists (test frames first) with their label images img-000001.png … in that order; others
    are left out. Raises InputError where a frame or its label image is missing."""
    by_name = {frame.name: frame for frame in frames}
    numbered = []
    for number, name in enumerate(order, start=1):
        labels = folder / f"img-{number:06d}.png"
        if name not in by_name or not labels.is_file():
            missing = f"the frame {name}" if name not in by_name else f"the label image {labels}"
            raise InputError(
                f"the lists name {len(order):,} frames, but {missing} is missing. Give the whole dataset, with the lists "
                "that its labels are numbered by."
            )
        numbered.append(SunFrame(name, by_name[name].folder, labels))
    return numbered


def _frame_name(path: PurePosixPath) -> str:
    parts = path.parts[:-FRAME_DEPTH] if path.suffix else path.parts
    return "/".join(parts[parts.index("SUNRGBD") + 1 :] if "SUNRGBD" in parts else parts)


def _only(folder: Path) -> Path | None:
    """The first image of a folder; None without one."""
    return next(iter(sorted(path for path in folder.glob("*") if path.suffix.lower() in (".png", ".jpg"))), None)
