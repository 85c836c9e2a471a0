"""The mean of a segmenter's probabilities over several views of each tile: mirrored, turned, scaled.

Takes any segmenter; is a `Segmenter` itself. Refuses unknown views, and scales outside 0.25 … 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deepnets4eo.arrays import Batch, FloatImage
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.segmenters.wrapped import WrappedSegmenter
from deepnets4eo.tiling import Tiling

# views → (quarter turns counter-clockwise, mirrored left-right afterwards)
VIEWS: dict[str, tuple[tuple[int, bool], ...]] = {
    "none": ((0, False),),
    "half-turn": ((0, False), (2, False)),
    "flips": ((0, False), (0, True), (2, False), (2, True)),
    "turns": tuple((turns, mirrored) for turns in range(4) for mirrored in (False, True)),
}
SMALLEST_SCALE, LARGEST_SCALE = 0.25, 4.0
REACH_PX = 2  # of bilinear interpolation there and back, in pixels of the smaller image


class TestTimeAugmentation(WrappedSegmenter):
    """The mean of a segmenter's probabilities over views of the same tile, each turned and scaled back first.

    Parameters
    ----------
    segmenter
        Any segmenter.
    views
        "none"; "half-turn": as it is and turned by half, 2 views; "flips": as it is and mirrored along either side or both,
        4 views; "turns": all 8 of the square.
    scales
        Factors on the size of the image, 0.25 … 4, each with all views. A network has more context around each pixel
        in smaller images, so the halo widens by 1 / the smallest scale.
    tiling
        By default that of the segmenter, with the wider halo and as large a core.

    Raises
    ------
    InputError
        Unknown views, no scale, and scales outside 0.25 … 4.

    Examples
    --------
    .. code-block:: python

        segmenter = TestTimeAugmentation(load_run("runs/unet").segmenter, "flips", scales=(0.75, 1.0))
    """

    kind = "augmented"
    saved_arguments = ("views", "scales")

    def __init__(
        self,
        segmenter: Segmenter,
        views: str = "flips",
        *,
        scales: Sequence[float] = (1.0,),
        tiling: Tiling | None = None,
    ) -> None:
        if views not in VIEWS:
            raise InputError(f"views {views!r} are unknown. Choose from {', '.join(VIEWS)}.")
        if not scales or not all(SMALLEST_SCALE <= scale <= LARGEST_SCALE for scale in scales):
            raise InputError(
                f"scales {list(scales)} were given; expected one or more from {SMALLEST_SCALE} to {LARGEST_SCALE:g}."
            )
        self.views, self.scales = views, tuple(float(scale) for scale in scales)
        super().__init__([segmenter], _wider_halo_px(segmenter.halo_px, self.scales), tiling)

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Probabilities, (N, K, h, w) float32, summing to 1 over K."""
        height, width = batch.shape[2] - 2 * margin_px, batch.shape[3] - 2 * margin_px
        total = np.zeros((len(batch), self.legend.num_classes, height, width), np.float32)
        for scale in self.scales:
            image = batch if scale == 1 else resize(batch, _scaled_shape(batch.shape[2:], scale))
            for turns, mirrored in VIEWS[self.views]:
                view = np.rot90(image, turns, axes=(2, 3))
                view = np.ascontiguousarray(view[..., ::-1] if mirrored else view)
                # a margin is cut where pixels are those of the batch: scaled ones do not lie on them
                proba = self.segmenter.predict_proba(view, margin_px=margin_px if scale == 1 else 0)
                back = np.rot90(proba[..., ::-1] if mirrored else proba, -turns, axes=(2, 3))
                total += back if scale == 1 else _cut(resize(back, batch.shape[2:]), margin_px)
        total /= np.float32(len(self.scales) * len(VIEWS[self.views]))
        return total


def _wider_halo_px(halo_px: int, scales: Sequence[float]) -> int:
    """Halo of the views, where the segmenter needs `halo_px` in each of them."""
    smallest = min(scales)
    reach_px = 0 if set(scales) == {1.0} else math.ceil(REACH_PX / min(smallest, 1.0))
    return math.ceil(halo_px / min(smallest, 1.0)) + reach_px


def resize(images: FloatImage, shape: tuple[int, int]) -> FloatImage:
    """(N, C, H, W) float32 bilinearly resampled to another number of pixels over the same ground; on smaller images pixels are averaged.

    >>> resize(np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4), (1, 2)).shape
    (1, 1, 1, 2)
    """
    import torch
    import torch.nn.functional as F

    smaller = shape[0] < images.shape[2]
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    return np.asarray(F.interpolate(tensor, shape, mode="bilinear", align_corners=False, antialias=smaller).numpy())


def _scaled_shape(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    height, width = (max(1, round(side * scale)) for side in shape)
    return height, width


def _cut(images: FloatImage, margin_px: int) -> FloatImage:
    height, width = images.shape[2:]
    return images[:, :, margin_px : height - margin_px, margin_px : width - margin_px]
