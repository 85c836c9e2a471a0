"""Masks of clouds over the images of a pair: what lies under them is not looked at, and its area is counted.

Takes masks as `rasters.cloud_mask.open_cloud_mask` opens them, one for each date. Memory: what one window needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.change.areas import hectares_by_window
from deepnets4eo.grid import Grid, blocks
from deepnets4eo.rasters.layer import Layer
from deepnets4eo.rasters.layer_view import LayerView
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.registration import on_post_grid
from deepnets4eo.registration.view import UNMOVED, Motion

BLOCK_PX = 1024
COARSE_CLOUDS = 0.5  # share of a pixel of a preview under clouds from which it is not visible


@dataclass(frozen=True)
class CloudedArea:
    """Hectares of the grid of the post image that clouds hide by layer name, under a cloud at one date at least
    (`either_ha`), and valid at both dates except for clouds (`visible_ha`)."""

    by_layer: dict[str, float]
    either_ha: float
    visible_ha: float

    @property
    def share(self) -> float:
        """Share of what both images show but for clouds; NaN where that is nothing."""
        return self.either_ha / self.visible_ha if self.visible_ha else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"by_layer_ha": self.by_layer, "either_ha": self.either_ha, "share": self.share}


def hide_clouds(image: Layer, mask: Layer, grid: Grid, motion: Motion = UNMOVED) -> Layer:
    """Return an image on the grid of the post image that is not valid under the clouds of its mask.

    Parameters
    ----------
    image : Layer
        On the grid of the post image.
    mask : Layer
        0 where the image is clear; on any grid.
    grid : Grid
        That of the post image.
    motion : (2, 3)
        How the mask moves, as in `Registration`; by default not at all.

    Returns
    -------
    Layer
        The image, valid where its mask is 0.
    """
    return Layer(CloudMaskedSource(image, on_post_grid(mask, grid, motion, resampling="nearest")))


def clouded_area(scene: Scene, names: Sequence[str]) -> CloudedArea | None:
    """Count what clouds hide of the layers of a scene; None where no layer has a mask. Memory: one window."""
    layers = {name: scene.layers[name].reader for name in names}
    if not any(isinstance(source, CloudMaskedSource) for source in layers.values()):
        return None
    covered, either, visible = dict.fromkeys(names, 0.0), 0.0, 0.0
    windows = blocks(scene.shape, BLOCK_PX)
    for window, pixel_ha in zip(windows, hectares_by_window(scene.grid, windows).tolist(), strict=True):
        valid, hidden = np.ones((window.height, window.width), bool), np.zeros((window.height, window.width), bool)
        for name, source in layers.items():
            if isinstance(source, CloudMaskedSource):
                image_valid, clouds = source.read_parts(window)
                covered[name] += int((image_valid & clouds).sum()) * pixel_ha
                hidden |= clouds
            else:
                image_valid = scene.layers[name].read(window)[1]
            valid &= image_valid
        either += int((valid & hidden).sum()) * pixel_ha
        visible += int(valid.sum()) * pixel_ha
    return CloudedArea(covered, either, visible)


class CloudMaskedSource(LayerView):
    """A layer that is not valid under clouds; it is read by window, and not warped any more."""

    def __init__(self, layer: Layer, mask: Layer) -> None:
        numbers = layer.as_stored()
        super().__init__(numbers, numbers.dtype, layer.nodata)
        self.mask, self.stored_values = mask, layer.scaling

    def read(self, window: Any, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self._chosen(bands).read(window)
        return data, valid & ~self._clouds(window)

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self._chosen(bands).read_coarse(shape)
        values, inside = self.mask.read_coarse(shape)
        return data, valid & inside & (values[0] < COARSE_CLOUDS)

    def read_parts(self, window: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the image itself is valid, and where clouds hide it, (h, w) each."""
        return self.layer.read(window)[1], self._clouds(window)

    def _chosen(self, bands: Sequence[int]) -> Layer:
        return self.layer.subset([self.layer.bands[band - 1] for band in bands])

    def _clouds(self, window: Any) -> NDArray[np.bool_]:
        values, inside = self.mask.read(window)
        clouds: NDArray[np.bool_] = (values[0] != 0) | ~inside
        return clouds
