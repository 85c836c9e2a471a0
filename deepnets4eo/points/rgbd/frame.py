"""RGB-D frames and their files: colours, depth and labels on one pixel grid, and the camera's intrinsics and pose.

Two kinds of file are read:

frames : posed, laid out as in 7-Scenes: NAME.color.jpg or .png, NAME.depth.png in millimetres, NAME.pose.txt,
    NAME.labels.png. The file camera-intrinsics.txt is in the folder of the frames or of their sequence; scenes of 7-Scenes
    do not need it.
clouds : organised, in .npz files, as from a Kinect: rgb, label, and x, y, z in metres for every pixel. The intrinsics
    follow from x / z and y / z.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, FloatImage, Floats, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.formats import READ_ERRORS, Declared, list_npz, open_npz, open_raster
from deepnets4eo.points.views import Camera, Views

Intrinsics = tuple[float, float, float, float]

NEAR_M, FAR_M = 0.1, 100.0

MM = 1000.0
UNKNOWN_MM = (0, 65535)  # what Kinects store where they measure nothing
LOST_BITS, WORD_BITS = 3, 16  # SUN RGB-D turns each word of 16 bits by three
MAX_CODE = 255
DEPTH, INTRINSICS = ".depth.png", "camera-intrinsics.txt"
COLOURS = (".color.png", ".color.jpg")
SPLIT_LISTS = {"train": "TrainSplit.txt", "test": "TestSplit.txt"}  # of a scene of 7-Scenes, beside its sequences
SEVEN_SCENES: Intrinsics = (585.0, 585.0, 320.0, 240.0)  # its publishers state them for all frames, and no file does
NEEDED = ("rgb", "x", "y", "z")
LABEL = "label"
MIN_FITTED_PX = 100  # pixels that intrinsics are fitted to
LARGEST_PX = 0.5  # error of a pinhole camera
Depth = Callable[[NDArray[np.uint16]], FloatImage]


@dataclass(frozen=True, eq=False)
class Frame:
    """Colours and depth of one moment, registered to each other.

    Parameters
    ----------
    name : the name of the frame, unique within its dataset
    colour : (3, h, w) uint8, red, green, blue
    depth_m : (h, w) float32, metres along the viewing direction; 0, NaN or inf if unknown
    intrinsics : (fx, fy, cx, cy), pixels; the middle of the first pixel is (0, 0)
    pose : (4, 4), from camera (x right, y down, z forward) to coordinates whose z is up; by default level
    labels : (h, w) uint8, codes of a legend

    Raises
    ------
    InputError
        There are no intrinsics, the sizes differ, or no depth is known.

    Examples
    --------
    >>> frame = Frame("wall", np.zeros((3, 4, 6), np.uint8), np.full((4, 6), 2, np.float32), (5, 5, 2.5, 1.5))
    >>> frame.shape, len(frame.views().surface.faces), frame.pivot_m
    ((4, 6), 30, 2.0)
    """

    name: str
    colour: ByteImage
    depth_m: FloatImage
    intrinsics: Intrinsics
    pose: Floats = field(default_factory=lambda: Camera.level)
    labels: ByteImage | None = None

    def __post_init__(self) -> None:
        if self.intrinsics is None or len(self.intrinsics) != 4 or not min(self.intrinsics[:2]) > 0:
            raise InputError(
                f"frame {self.name} has the intrinsics {self.intrinsics}; expected (fx, fy, cx, cy) in pixels, focal lengths "
                "above 0. Depth cannot be turned into points without them; give those of the depth camera."
            )
        height, width = self.depth_m.shape
        sizes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {"colour": (self.colour.shape, (3, height, width))}
        if self.labels is not None:
            sizes["labels"] = (self.labels.shape, (height, width))
        for layer, (shape, expected) in sizes.items():
            if shape != expected:
                raise InputError(
                    f"frame {self.name}: {layer} has the shape {shape}, depth {(height, width)}; expected {expected}. Give "
                    "depth that is registered to the colours, pixel by pixel."
                )
        if not self.known.any():
            raise InputError(
                f"frame {self.name} has no pixel of known depth: all are 0 or not finite. Check the file, or leave it out."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        height, width = self.depth_m.shape
        return height, width

    @property
    def known(self) -> Mask:
        """Return (h, w) bool, where depth is known."""
        return np.isfinite(self.depth_m) & (self.depth_m > 0)

    @property
    def pivot_m(self) -> float:
        """Median depth, metres: the middle of the scene, about which views are turned."""
        return float(np.median(self.depth_m[self.known]))

    @property
    def camera(self) -> Camera:
        """The camera of the frame."""
        height, width = self.shape
        return Camera.from_pose(self.intrinsics, self.pose, width, height, near_m=NEAR_M, far_m=FAR_M)

    def views(self) -> Views:
        """Return views of triangles between the pixels of known depth. Memory: some 400 bytes a pixel."""
        return Views.of_depth(self.depth_m, self.intrinsics, pose=self.pose, colour=self.colour, classes=self.labels)

    def resize(self, height: int, width: int) -> Frame:
        """Resize the frame: colours are averaged, depth and labels are taken from the nearest pixel.

        Raises InputError if no pixel with known depth remains."""
        if (height, width) == self.shape:
            return self
        from skimage.transform import resize

        down, along = height / self.shape[0], width / self.shape[1]
        fx, fy, cx, cy = self.intrinsics
        colour = resize(np.moveaxis(self.colour, 0, -1), (height, width), anti_aliasing=True, preserve_range=True)
        nearest = nearest_pixels(self.shape, (height, width))
        return replace(
            self,
            colour=np.ascontiguousarray(np.moveaxis(np.rint(colour), -1, 0).astype(np.uint8)),
            depth_m=self.depth_m[nearest],
            intrinsics=(fx * along, fy * down, (cx + 0.5) * along - 0.5, (cy + 0.5) * down - 0.5),
            labels=None if self.labels is None else self.labels[nearest],
        )


def nearest_pixels(shape: tuple[int, int], size: tuple[int, int]) -> tuple[NDArray[np.intp], ...]:
    """Return rows and columns that take the nearest pixels of an image of `shape` brought to `size`."""
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(np.intp) for old, new in zip(shape, size, strict=True))
    return np.ix_(rows, columns)


class FrameSource(Protocol):
    """A frame that is read when it is needed."""

    @property
    def name(self) -> str:
        """The name of the frame, unique within its dataset."""

    def read(self) -> Frame:
        """Read the frame. Errors: InputError for files that do not fit together."""


def depth_of_mm(stored: NDArray[np.uint16]) -> FloatImage:
    """Return metres (h, w) of millimetres; 0 and 65535 are unknown and become 0."""
    return np.where(np.isin(stored, UNKNOWN_MM), 0, stored / MM).astype(np.float32)


def depth_of_sun(stored: NDArray[np.uint16]) -> FloatImage:
    """Return metres (h, w) of what SUN RGB-D stores: millimetres, each word of 16 bits turned left by three."""
    turned = (stored >> LOST_BITS) | (stored << (WORD_BITS - LOST_BITS))
    return (turned.astype(np.uint16) / MM).astype(np.float32)


def read_colour(path: Path) -> ByteImage:
    """Return the colours (3, h, w) uint8 of an image. Raises InputError for no image, or other bands or values."""
    values = _read(path)
    if len(values) not in (3, 4) or values.dtype != np.uint8:
        raise InputError(
            f"{path} has {len(values)} bands of {values.dtype}; expected red, green, blue of uint8. Convert it to a PNG."
        )
    return values[:3]


def read_depth(path: Path, metres: Depth = depth_of_mm) -> FloatImage:
    """Return the depth (h, w) in metres of a PNG of 16 bits and one band. Raises InputError for anything else."""
    values = _read(path)
    if len(values) != 1 or values.dtype != np.uint16:
        raise InputError(
            f"{path} has {len(values)} bands of {values.dtype}; expected depth in one band of uint16. A picture of depth "
            "with fewer steps has no metres: take the file that the camera wrote."
        )
    return metres(values[0])


def read_labels(path: Path) -> ByteImage:
    """Return the codes (h, w) uint8 of a label image. Raises InputError for no image, several bands or codes above 255."""
    values = _read(path)
    if len(values) != 1 or values.dtype.kind not in "ui" or values.max(initial=0) > MAX_CODE:
        raise InputError(
            f"{path} has {len(values)} bands of {values.dtype}, up to {values.max(initial=0)}; expected one band of codes "
            "0 to 255. Convert the labels to the classes of a legend first."
        )
    return values[0].astype(np.uint8)


def read_matrix(path: Path, shape: tuple[int, int]) -> Floats:
    """Read a matrix of the given shape from a text file. Raises InputError if it does not contain that many finite numbers."""
    try:
        numbers = np.array(path.read_text(encoding="utf-8").split(), np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a matrix of numbers: {error}. Check the file.") from error
    if numbers.size != shape[0] * shape[1] or not np.isfinite(numbers).all():
        raise InputError(f"{path} has {numbers.size} numbers; expected {shape[0]} x {shape[1]}, all of them finite.")
    return numbers.reshape(shape)


def read_intrinsics(path: Path) -> Intrinsics:
    """Return (fx, fy, cx, cy) from a text file with the 3 x 3 matrix of the camera. Raises InputError without it."""
    if not path.is_file():
        raise InputError(
            f"{path} does not exist: depth without intrinsics cannot be turned into points. Write the camera's 3 x 3 matrix "
            "there: fx 0 cx, 0 fy cy, 0 0 1, in pixels."
        )
    matrix = read_matrix(path, (3, 3))
    return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])


def _read(path: Path) -> NDArray[Any]:
    with open_raster(path) as raster:
        # depth in millimetres has no scale, and intrinsics hold for pixels as stored
        Declared.of_dataset(raster, str(path)).check()
        try:
            values: NDArray[Any] = raster.read()
        except READ_ERRORS as error:
            raise InputError(f"{path} cannot be read: the file is truncated or damaged.") from error
    return values


@dataclass(frozen=True)
class OrganisedFrame:
    """A frame in one .npz file."""

    name: str
    path: Path

    def read(self) -> Frame:
        """Read the frame; labels stay as stored. Errors: InputError for unexpected arrays or a camera that is not a pinhole."""
        names = [array.name for array in list_npz(self.path)]
        missing = [name for name in NEEDED if name not in names]
        if missing:
            raise InputError(f"{self.path} has the arrays {', '.join(names)}; expected {', '.join(NEEDED)} as well.")
        x, y, z = (np.asarray(open_npz(self.path, name), np.float64) for name in ("x", "y", "z"))
        if not x.shape == y.shape == z.shape or z.ndim != 2:
            raise InputError(
                f"{self.path}: x, y and z have the shapes {x.shape}, {y.shape} and {z.shape}; expected one (H, W)."
            )
        known = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & (z > 0)
        if known.sum() < MIN_FITTED_PX:
            raise InputError(
                f"{self.path} has {known.sum()} points; expected {MIN_FITTED_PX} at least, with z above 0."
            )
        rows, columns = np.nonzero(known)
        fx, cx = _fit(x[known] / z[known], columns, self.path)
        fy, cy = _fit(y[known] / z[known], rows, self.path)
        rgb = np.asarray(open_npz(self.path, "rgb"))
        return Frame(
            self.name, np.ascontiguousarray(np.moveaxis(rgb, -1, 0)), np.where(known, z, 0).astype(np.float32),
            (fx, fy, cx, cy), labels=np.asarray(open_npz(self.path, LABEL), np.uint8) if LABEL in names else None,
        )  # fmt: skip


def _fit(slope: Floats, pixel: NDArray[np.intp], path: Path) -> tuple[float, float]:
    """Focal length and principal point of an axis: pixel = focal · slope + middle."""
    if not np.isfinite(slope).all():
        raise InputError(f"{path} has coordinates too large for points of a camera. Check their unit: metres.")
    focal, middle = np.polyfit(slope, pixel, 1)
    worst = float(np.abs(focal * slope + middle - pixel).max())
    if not worst <= LARGEST_PX:
        raise InputError(
            f"{path}: no pinhole camera measured these points; the best one is {worst:.1f} pixels off. Give depth and "
            "intrinsics as files (see posed_frames)."
        )
    return float(focal), float(middle)


def find_organised(folder: Path) -> list[OrganisedFrame]:
    """Return the .npz files of a folder as frames, by name."""
    return [OrganisedFrame(path.stem, path) for path in sorted(folder.glob("*.npz"))]


@dataclass(frozen=True)
class PosedFrame:
    """A frame of files that share a name with its depth image."""

    name: str
    depth: Path

    def read(self) -> Frame:
        """Read the frame. Errors: InputError for files that are missing or do not fit together."""
        stem = self.depth.name.removesuffix(DEPTH)
        folder = self.depth.parent
        colour = next((folder / (stem + end) for end in COLOURS if (folder / (stem + end)).is_file()), None)
        if colour is None:
            raise InputError(
                f"{self.depth} has no colours next to it; expected {' or '.join(stem + end for end in COLOURS)}."
            )
        labels, pose = folder / f"{stem}.labels.png", folder / f"{stem}.pose.txt"
        return Frame(
            self.name, read_colour(colour), read_depth(self.depth), _intrinsics_of(folder),
            Camera.level @ read_matrix(pose, (4, 4)) if pose.is_file() else Camera.level,  # the world is the first camera's, y down
            read_labels(labels) if labels.is_file() else None,
        )  # fmt: skip


def _intrinsics_of(folder: Path) -> Intrinsics:
    """Read the intrinsics from the folder of the frames or its parent; without a file, use 7-Scenes' if its lists are there."""
    path = next(
        (path for home in (folder, folder.parent) if (path := home / INTRINSICS).is_file()), folder / INTRINSICS
    )
    of_seven = any((folder.parent / name).is_file() for name in SPLIT_LISTS.values())
    return SEVEN_SCENES if of_seven and not path.is_file() else read_intrinsics(path)


def find_posed_frames(folder: Path) -> list[PosedFrame]:
    """Return the frames (files *.depth.png) of a folder and those below it, by name."""
    paths = sorted(folder.rglob(f"*{DEPTH}"))
    return [
        PosedFrame(path.relative_to(folder).as_posix().removesuffix(DEPTH).replace("/", "-"), path) for path in paths
    ]
