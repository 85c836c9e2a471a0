"""A surface and what cameras see of it: faces, layers, and scores for the points that it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage, Mask, Vectors
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.views.camera import Camera, FaceView, ZBuffer
from deepnets4eo.points.views.labeller import ViewLabeller, to_points
from deepnets4eo.points.views.snapshots import Third, inverted_depth, snapshot
from deepnets4eo.points.views.surface import Surface, SurfaceOptions
from deepnets4eo.points.views.surface_construction import make_surface, surface_of_depth
from deepnets4eo.prefetch import in_order


class Views:
    """Views of a surface, cast by one depth buffer.

    Parameters
    ----------
    surface : the surface

    Raises
    ------
    MissingExtraError
        numba is not installed (when a camera looks).

    Examples
    --------
    >>> cloud = PointCloud(np.random.default_rng(0).uniform(0, 9, (5000, 3)) * (1, 1, 0))
    >>> views = Views.of_cloud(cloud, SurfaceOptions(voxel_m=0.5))
    >>> views.see(Camera.above(views.surface)[0]).seen.shape
    (224, 224)
    """

    def __init__(self, surface: Surface) -> None:
        self.surface = surface

    @classmethod
    def of_cloud(cls, cloud: PointCloud, options: SurfaceOptions) -> Views:
        """Return views of the surface of a cloud, as `make_surface` makes it."""
        return cls(make_surface(cloud, options))

    @classmethod
    def of_depth(
        cls,
        depth_m: NDArray[np.floating],
        intrinsics: tuple[float, float, float, float],
        *,
        pose: NDArray[np.floating],
        colour: NDArray[np.uint8] | None = None,
        classes: NDArray[np.uint8] | None = None,
    ) -> Views:
        """Return views of the triangles between the known pixels of a depth image, as `surface_of_depth` makes them."""
        return cls(surface_of_depth(depth_m, intrinsics, pose=pose, colour=colour, classes=classes))

    @cached_property
    def _caster(self) -> ZBuffer:
        return ZBuffer(self.surface)

    def see(self, camera: Camera) -> FaceView:
        """Return the face and the depth of each pixel that a camera sees."""
        return self._caster.view(camera)

    def layers(self, view: FaceView, third: Third = "depth") -> dict[str, NDArray[Any]]:
        """Return the layers of a view, see `snapshot`."""
        return snapshot(self.surface, view, third=third)

    def render(
        self, cameras: Sequence[Camera], *, third: Third = "depth", ahead: int = ViewLabeller.at_once
    ) -> Iterator[tuple[FaceView, dict[str, NDArray[Any]]]]:
        """Yield the faces of each view and its layers with "valid" (H, W), `ahead` of their use; views that show nothing
        are left out."""
        for view in in_order(self.see, cameras, 1, ahead):
            if view.seen.any():
                yield view, self.layers(view, third) | {"valid": view.seen}

    def to_points(self, vertex_scores: NDArray[np.floating], cloud: PointCloud) -> tuple[Vectors, Mask]:
        """Return the scores (N, K) of the points of a cloud, and whether their nearest vertex is seen (N,), see `to_points`."""
        return to_points(self.surface, vertex_scores, cloud)

    @staticmethod
    def depth_band(depth_m: NDArray[np.floating], known: Mask, camera: Camera) -> ByteImage:
        """Return the depth (H, W) of a camera's image as the third band of its composite; 0 where unknown."""
        face = np.where(known, np.int32(0), np.int32(-1))
        return inverted_depth(FaceView(face, np.where(known, depth_m, np.float32(np.inf)), camera), "depth")
