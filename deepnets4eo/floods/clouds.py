"""Clouds over the dates of a flood: ground under clouds is unknown, by masks, by cloud bands, or by the look of POST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from deepnets4eo.floods.date_images import DateImage
from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.inspection import cloud_finding, clouds_in_image
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, cloud_share
from deepnets4eo.read_as import open_cloud_mask
from deepnets4eo.registration import UNMOVED

MUCH_HIDDEN_SHARE = 0.5  # share of POST from which the flooded area is reported as unknown


class HiddenByClouds(NamedTuple):
    """Ground hidden by clouds and their shadows.

    Parameters
    ----------
    findings : one for each date whose own clouds are recognised
    post_share : share of the image of POST that is hidden, 0–1
    """

    findings: list[Finding]
    post_share: float

    @property
    def is_much(self) -> bool:
        """Return True if at least half of POST is hidden: most of the flood may be."""
        return self.post_share >= MUCH_HIDDEN_SHARE


def hide_clouds_of_dates(
    layers: dict[str, Layer], images: Mapping[str, DateImage], options: FloodOptions
) -> HiddenByClouds:
    """Mark ground under clouds as not valid, by given masks, by bands of the images or a network, or by the brightness of POST."""
    cloud_masks = {
        FIRST: (options.cloud_mask_pre, "--set cloud_mask_pre"),
        POST: (options.cloud_mask_post, "--set cloud_mask_post"),
    }
    findings, post, post_share = [], layers[POST], 0.0
    for name, opened in images.items():
        source, flag = cloud_masks.get(name, (None, ""))
        cloud_layer = None if source is not None else opened.clouds.mask
        by_brightness = name == POST and not opened.clouds.is_conclusive and opened.date.optical
        if source is None and cloud_layer is None and by_brightness:
            before = layers.get(FIRST) if FIRST in images and images[FIRST].date.is_same_kind(opened.date) else None
            cloud_layer = clouds_in_image(post, before, 1.0 if post.grid.crs is None else post.gsd_m)
        if source is not None:
            cloud_layer = open_cloud_mask(source, opened.image, flag)
        elif cloud_layer is not None:
            findings.append(cloud_finding(cloud_layer, opened.image, name, "give_radar_or_mask"))
        if cloud_layer is not None:
            from deepnets4eo.change import hide_clouds  # maps without clouds start a quarter of a second sooner

            motion = UNMOVED if cloud_layer.grid is post.grid else opened.motion
            layers[name] = hide_clouds(layers[name], cloud_layer, post.grid, motion)
            post_share = cloud_share(cloud_layer) if name == POST else post_share
    return HiddenByClouds([finding for finding in findings if finding is not None], post_share)
