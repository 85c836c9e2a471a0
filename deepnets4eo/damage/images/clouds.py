"""Clouds that hide the ground of a damage map: looked for in the images, and shown over them on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepnets4eo.damage.images.dates import mean_gsd
from deepnets4eo.inspection import clouds_in_image
from deepnets4eo.rasters import Layer, LayerLike, cloud_band
from deepnets4eo.read_as import open_cloud_mask
from deepnets4eo.registration import UNMOVED, ImagePair, MotionMatrix, on_post_grid
from deepnets4eo.segmenters import LayerInput, needed_stretch, show

OF_POST = "clouds_post"  # code of the finding on clouds in the post image


@dataclass(frozen=True)
class ShownClouds:
    """A mask of clouds on the post image's grid: not 0 under clouds, no data if unknown."""

    layer: Layer
    name: str = "clouds"
    scale: None = None
    product: None = None

    @classmethod
    def of_mask(cls, mask: Layer, post: Layer) -> ShownClouds:
        """Lay a mask on the grid of the post image."""
        return cls(mask.on(post.grid, "nearest"))

    @classmethod
    def of_map(
        cls, mask: LayerLike | None, pair: ImagePair, registration: Mapping[str, Any], *, is_seen: bool
    ) -> ShownClouds | None:
        """Return the clouds that a finished map was made with; None if there are none.

        mask : files of the mask that was given; is_seen : whether the job saw clouds in the post image. Errors: InputError, GridError."""
        clouds = cloud_band(pair.post) if mask is None else open_cloud_mask(mask, pair.post, "--cloud-mask")
        if clouds is None and is_seen:
            pre = pair.pre if pair.pre is not None and pair.pre.count == pair.post.count else None
            is_usable = registration.get("status") != "failed"
            clouds = seen_clouds(pair.post, pre, registration["matrix"] if is_usable else UNMOVED)
        return None if clouds is None else cls.of_mask(clouds, pair.post)


def seen_clouds(post: Layer, pre: Layer | None, motion: MotionMatrix) -> Layer | None:
    """Return the mask of clouds that an optical image in colour shows; None without clouds.

    pre : optical, of as many bands, or None; motion : 2x3, from post pixels to pre pixels"""
    before, measured = None, post
    if pre is not None:
        before = show(on_post_grid(pre, post.grid, motion), needed_stretch(LayerInput.display_rgb, pre))
        measured = pre if pre.dtype == post.dtype else post  # a stretch by the clouds would hide them
    after = show(post, needed_stretch(LayerInput.display_rgb, measured))
    return clouds_in_image(after, before, mean_gsd(post))
