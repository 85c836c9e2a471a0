"""Two images of one site as one value: opened, checked, registered, and the pre image seen as the post image shows the site.

Refuses images whose numbers stand for colours, and one image given twice.
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
from deepnets4eo.inspection.images import check_no_colour_table, check_two_images, declare_nodata
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.registration.align import ModelChoice, assume_registered, register
from deepnets4eo.registration.result import Registration

MotionMatrix = Floats | Sequence[Sequence[float]]
UNMOVED: MotionMatrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]

logger = logging.getLogger(__name__)

Role: TypeAlias = Literal["pre", "post"]


class MotionLimits(Protocol):
    """How the pre image may lie, as the options of a job say; see `register`."""

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
    """Two images of one site and what was seen of them; `register` says how they lie against each other.

    Parameters
    ----------
    pre : Image before; None where there is the post image alone.
    post : Image after; its grid is that of all results.
    findings : What was seen of the images that limits results.

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
        cls, pre: LayerLike | None, post: LayerLike, *, gsd_m: float | None = None, as_shown: bool = False
    ) -> ImagePair:
        """Open both images, or the post image alone.

        gsd_m : size of a pixel of images without CRS, metres
        as_shown : for numbers of 8 bits as brightness (`Layer.as_shown`)

        Errors: InputError for an image whose numbers stand for colours, or that cannot be read.
        """
        opened = []
        for role, source in (("post", post), ("pre", pre)):
            layer = None if source is None else Layer.open(source)
            if layer is not None:
                layer = (layer.as_shown() if as_shown else layer).with_gsd(gsd_m)
                check_no_colour_table(layer, role)
            opened.append(layer)
        after, before = opened
        assert after is not None
        return cls(before, after)

    @property
    def images(self) -> tuple[Layer, Layer]:
        """The image before and the one after. Errors: InputError where there is none before."""
        if self.pre is None:
            raise InputError(f"{self.post.source} has no image before it. Give both images of the pair.")
        return self.pre, self.post

    def check_two_images(self, otherwise: str = "") -> ImagePair:
        """The pair, where it is not one image given twice. otherwise : what else the user can do. Errors: InputError."""
        if self.pre is not None:
            check_two_images(self.pre, self.post, otherwise)
        return self

    def declare_nodata(self, role: Role, *, hides_collars: bool = True) -> ImagePair:
        """The pair with the nodata value that the file of an image holds and does not declare, and the finding of it.
        hides_collars : whether the job hides wide parts of several values, as lossy compression leaves."""
        findings = list(self.findings)
        layer = self.pre if role == "pre" else self.post
        if layer is None:
            return self
        declared = declare_nodata(layer, role, findings, hides_collars=hides_collars)
        return replace(self, findings=tuple(findings), **{role: declared})

    def pair_by_pixels(self) -> ImagePair:
        """The pair in which an image without CRS has the grid of the other. Errors: GridError where their sizes differ."""
        if self.pre is None or (self.pre.grid.crs is None) == (self.post.grid.crs is None):
            return self
        if self.pre.grid.crs is None:
            return replace(self, pre=self.pre.on(self.post.grid))
        return replace(self, post=self.post.on(self.pre.grid))

    def register(self, limits: MotionLimits) -> RegisteredPair:
        """The pair with how its images lie, also where that cannot be trusted: see the registration's status. Errors: GridError."""
        registration = register(
            *self.images, model=limits.motion, max_shift_m=limits.max_shift_m, max_rotation_deg=limits.max_rotation_deg,
            seed=limits.seed,
        )  # fmt: skip
        return RegisteredPair(*self.images, registration, self.findings)

    def assume_registered(self) -> RegisteredPair:
        """The pair, whose images are taken as lying on each other; nothing is measured. Errors: GridError."""
        return RegisteredPair(*self.images, assume_registered(*self.images), self.findings)


@dataclass(frozen=True)
class RegisteredPair:
    """Two images, and how the pre image lies against the post image."""

    pre: Layer
    post: Layer
    registration: Registration
    findings: tuple[Finding, ...] = ()

    @property
    def pre_on_post(self) -> Layer:
        """The pre image on the grid of the post image, as the registration says."""
        return on_post_grid(self.pre, self.post.grid, self.registration.matrix)

    def log_registration(self) -> RegisteredPair:
        """The same pair, after a line in the log with how it lies."""
        result = self.registration
        logger.info("registration %s: %s, shift %.2f m, residual %.2f m. %s", result.status, result.model, result.shift_m,
                    result.residual_m, result.reason)  # fmt: skip
        return self


def grid_in_pre(
    post_grid: Grid, matrix: MotionMatrix, *, shape: tuple[int, int] | None = None, scale: Affine | None = None
) -> Grid:
    """The grid on which the pre image, by its own coordinates, shows what the post image shows on its grid.

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
    """The pre image on the pixels of the post image, moved as a registration says; read window by window.

    matrix : (2, 3), as in `Registration`; by default nothing moves
    resampling : as in `Layer.on`

    Where only one of both images has a place, they are paired pixel by pixel, and then moved. Errors: GridError where
    their sizes differ then.
    """
    if only_one_placed(pre.grid, post_grid):
        pre = pre.on(post_grid)
    return pre.on(grid_in_pre(post_grid, matrix), resampling).with_grid(post_grid)
