"""One RGB-D frame: colours, depth and labels on one grid of pixels, the camera's intrinsics, and its pose.

Refuses depth without intrinsics, images of different sizes, and depth that is unknown everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, FloatImage, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.points.views import Camera, Surface, surface_of_depth
from deepnets4eo.points.views.grid_surfaces import LEVEL

Intrinsics = tuple[float, float, float, float]

NEAR_M, FAR_M = 0.1, 100.0


@dataclass(frozen=True, eq=False)
class Frame:
    """Colours and depth of one moment, registered to each other.

    Parameters
    ----------
    name
        The name of the frame, unique within its dataset.
    colour
        (3, h, w) uint8, red, green, blue.
    depth_m
        (h, w) float32, metres along the viewing direction; 0, NaN or inf where unknown.
    intrinsics
        (fx, fy, cx, cy), pixels; the middle of the first pixel is (0, 0).
    pose
        (4, 4), from camera (x right, y down, z forward) to coordinates whose z is up; by default the camera is level.
    labels
        (h, w) uint8, codes of a legend; none for frames without.

    Raises
    ------
    InputError
        No intrinsics, sizes that differ, or no pixel of known depth.

    Examples
    --------
    >>> frame = Frame("wall", np.zeros((3, 4, 6), np.uint8), np.full((4, 6), 2, np.float32), (5, 5, 2.5, 1.5))
    >>> frame.shape, len(frame.surface().faces), frame.pivot_m
    ((4, 6), 30, 2.0)
    """

    name: str
    colour: ByteImage
    depth_m: FloatImage
    intrinsics: Intrinsics
    pose: NDArray[np.float64] = field(default_factory=lambda: LEVEL)
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
        """(h, w) bool, where depth is known."""
        return np.isfinite(self.depth_m) & (self.depth_m > 0)

    @property
    def pivot_m(self) -> float:
        """Median depth, metres: how far the middle of the scene is, about which views are turned."""
        return float(np.median(self.depth_m[self.known]))

    @property
    def camera(self) -> Camera:
        """The camera of the frame."""
        height, width = self.shape
        return Camera.from_pose(self.intrinsics, self.pose, width, height, near_m=NEAR_M, far_m=FAR_M)

    def surface(self) -> Surface:
        """Triangles between the pixels of known depth; its classes are the labels, its `point_index` counts pixels.

        Memory: some 400 bytes a pixel.
        """
        return surface_of_depth(self.depth_m, self.intrinsics, pose=self.pose, colour=self.colour, classes=self.labels)

    def resize(self, height: int, width: int) -> Frame:
        """The frame in other pixels: colours are averaged, depth and labels are those of the nearest pixel.

        Parameters
        ----------
        height, width
            Size of the result; the intrinsics change with it, each axis for itself.

        Returns
        -------
        The frame; itself where it has that size.

        Raises
        ------
        InputError
            No pixel of known depth is left.
        """
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
    """Return rows (size[0], 1) and columns (1, size[1]) that take the nearest pixels of an image of a shape when it is
    brought to another size.

    >>> np.arange(4)[nearest_pixels((4, 1), (2, 1))[0].ravel()].tolist()
    [1, 3]
    """
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(np.intp) for old, new in zip(shape, size, strict=True))
    return np.ix_(rows, columns)
