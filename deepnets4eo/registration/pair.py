"""Two images of one site as one value: opened, checked, registered, and the pre image resampled to the post image.

Refuses images whose numbers represent colours, and one image given twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, only_one_placed
from deepnets4eo.outputs import Finding, image_of
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.read_as import IMAGE, Door, check_any_valid, check_two_images
from deepnets4eo.registration.align import assume_registered, register
from deepnets4eo.registration.attempts import ModelChoice
from deepnets4eo.registration.result import Registration

MotionMatrix = Floats | Sequence[Sequence[float]]
UNMOVED: MotionMatrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]

logger = logging.getLogger(__name__)

Role: TypeAlias = Literal["pre", "post"]


class MotionLimits(Protocol):
    """Limits on the motion of the pre image, from the options of a job; see `register`."""

    @property
    def motion(self) -> ModelChoice: ...
    @property
    def max_shift_m(self) -> float: ...
    @property
    def max_rotation_deg(self) -> float: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class ImagePair:
    """Two images of one site and the findings on them; `register` measures their offset.

    Parameters
    ----------
    pre : Image before; None if there is only the post image.
    post : Image after; its grid is the grid of all results.
    findings : Findings on the images that limit results.

    Examples
    --------
    >>> from deepnets4eo.synthetic import City
    >>> city = City(seed=1, size_px=256)
    >>> images = (Layer.open(date.image, grid=date.grid) for date in (city.pre, city.post))
    >>> pair = ImagePair.open(*images).check_two_images().declare_nodata("pre").declare_nodata("post")
    >>> pair.assume_registered().pre_on_post.grid == pair.post.grid
    True
    """

    pre: Layer | None
    post: Layer
    findings: tuple[Finding, ...] = ()

    @classmethod
    def open(
        cls,
        pre: LayerLike | None,
        post: LayerLike,
        *,
        gsd_m: float | None = None,
        as_shown: bool = False,
        by_camera: bool = False,
    ) -> ImagePair:
        """Open both images, or only the post image.

        gsd_m : size of a pixel of images without CRS, metres
        as_shown : numbers of 8 bits as brightness (`Layer.as_shown`)
        by_camera : whether only images that a camera or a radar took are expected, so that heights are refused

        Errors: InputError for an image whose numbers represent colours, or that cannot be read.
        """
        opened, findings = [], list[Finding]()
        for role, source in (("post", post), ("pre", pre)):
            layer = None if source is None else Layer.open(source)
            if layer is not None:
                layer = (layer.as_shown() if as_shown else layer).with_gsd(gsd_m)
                assessed = IMAGE.check(layer, Door.of_image(role, by_camera=by_camera))
                layer, findings = assessed.layer, [*findings, *assessed.findings]
            opened.append(layer)
        after, before = opened
        assert after is not None
        return cls(before, after, tuple(findings))

    @property
    def images(self) -> tuple[Layer, Layer]:
        """Return the image before and the image after. Errors: InputError if there is no image before."""
        if self.pre is None:
            raise InputError(f"{self.post.source} has no image before it. Give both images of the pair.")
        return self.pre, self.post

    def check_two_images(self, otherwise: str = "") -> ImagePair:
        """Return the pair if it is not one image given twice. otherwise : what else the user can do. Errors: InputError."""
        if self.pre is not None:
            check_two_images(self.pre, self.post, otherwise)
        return self

    def declare_nodata(self, role: Role, *, hides_collars: bool = True, by_camera: bool = False) -> ImagePair:
        """Declare the nodata value that an image's file contains but does not declare; return the pair with the finding.

        hides_collars : whether the job hides wide parts of several values, as lossy compression leaves; by_camera : see `Door`."""
        layer = self.pre if role == "pre" else self.post
        if layer is None:
            return self
        door = Door.of_image(role, collars="by_job" if hides_collars else "data", by_camera=by_camera)
        assessed = IMAGE.look(layer, door)
        return replace(self, findings=(*self.findings, *assessed.findings), **{role: assessed.layer})

    def pair_by_pixels(self) -> ImagePair:
        """Return the pair after giving an image without CRS the grid of the other, with the finding. Errors: GridError if their sizes differ."""
        if self.pre is None or (self.pre.grid.crs is None) == (self.post.grid.crs is None):
            return self
        if self.pre.grid.crs is None:
            pair = replace(self, pre=self.pre.on(self.post.grid))
            images = {"image": image_of("pre"), "other": image_of("post")}
        else:
            pair = replace(self, post=self.post.on(self.pre.grid))
            images = {"image": image_of("post"), "other": image_of("pre")}
        return replace(pair, findings=(*self.findings, Finding("laid_by_pixels", "caution", images)))

    def register(self, limits: MotionLimits) -> RegisteredPair:
        """Register the pair, also if the result cannot be trusted: see the registration's status. Errors: GridError; InputError for an image without a valid pixel."""
        for role, layer in zip(("pre", "post"), self.images, strict=True):
            check_any_valid(layer, f"the {role} image")
        registration = register(
            *self.images, model=limits.motion, max_shift_m=limits.max_shift_m, max_rotation_deg=limits.max_rotation_deg,
            seed=limits.seed,
        )  # fmt: skip
        return RegisteredPair(*self.images, registration, self.findings)

    def assume_registered(self) -> RegisteredPair:
        """Return the pair with its images assumed to be registered; nothing is measured. Errors: GridError."""
        return RegisteredPair(*self.images, assume_registered(*self.images), self.findings)


@dataclass(frozen=True)
class RegisteredPair:
    """Two images, and the registration of the pre image to the post image."""

    pre: Layer
    post: Layer
    registration: Registration
    findings: tuple[Finding, ...] = ()

    @property
    def pre_on_post(self) -> Layer:
        """Return the pre image on the grid of the post image, according to the registration."""
        return on_post_grid(self.pre, self.post.grid, self.registration.matrix)

    def log_registration(self) -> RegisteredPair:
        """Log the registration in one line, and return the pair."""
        result = self.registration
        lengths = f"shift {result.shift_m:.2f} {result.unit}, residual {result.residual_m:.2f} {result.unit}"
        measured = f": {result.model}, {lengths}" if result.usable else ""
        logger.info("registration %s%s%s", result.status, measured, f". {result.reason}" if result.reason else "")
        return self


def grid_in_pre(
    post_grid: Grid, matrix: MotionMatrix, *, shape: tuple[int, int] | None = None, scale: Affine | None = None
) -> Grid:
    """Return the grid that shows in the pre image, by its own coordinates, what the post image shows on its grid.

    Parameters
    ----------
    post_grid : Grid of the post image.
    matrix : (2, 3), as in `Registration`.
    shape, scale : of a grid in other pixels over the same ground, and the map from post pixels to these
    """
    moved = post_grid.affine * Affine(*np.asarray(matrix, float).ravel())
    return GeoBox(
        post_grid.shape if shape is None else shape, moved if scale is None else moved * ~scale, post_grid.crs
    )


def on_post_grid(pre: Layer, post_grid: Grid, matrix: MotionMatrix = UNMOVED, *, resampling: str = "bilinear") -> Layer:
    """Return the pre image on the pixels of the post image, moved according to a registration; read window by window.

    matrix : (2, 3), as in `Registration`; by default nothing moves
    resampling : as in `Layer.on`

    If only one of both images is georeferenced, they are paired pixel by pixel, and then moved. Errors: GridError if their
    sizes then differ.
    """
    if only_one_placed(pre.grid, post_grid):
        pre = pre.on(post_grid)
    return pre.on(grid_in_pre(post_grid, matrix), resampling).with_grid(post_grid)
