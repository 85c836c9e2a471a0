"""A scikit-learn classifier over features of pixels, or of sites a few pixels apart, as a `Segmenter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.feature_classifier import FeatureClassifier
from deepnets4eo.baselines.features import Feature, as_features, halo_px, stack
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Scene
from deepnets4eo.read_as import assess_scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.tiling import Tiling, sample_pixels

CORE_PX = 512
LARGE_PX = 1024  # of cores with a wide halo, so that most of the work is not on halos
WIDE_PX = 128  # from this halo on
MIN_PX = 128  # of cores with many bands
CORE_BYTES = 8 << 20  # of a core's bands: what stays in the processor's cache from one step to the next
WINDOW_PX = 256  # side of the windows from which samples are drawn


class PixelClassifier(FeatureClassifier):
    """Features by name and a scikit-learn classifier with `predict_proba`.

    Parameters
    ----------
    estimator : a classifier of scikit-learn's interface, fitted or not
    inputs, legend : layers and bands of the images, and the classes
    features : names as in `baselines.features.HOMES`, or features
    bands : layer → names of its bands, for files without names
    stride_px
        1, or a power of two up to 512: classify one site in the middle of every s × s pixels and use its probabilities
        for all of them (dense HOG and deep features change slowly and cost much).
    shares : (K,) shares of the classes on the ground
        Probabilities are adjusted to them; see `FeatureClassifier`.
    tiling : how scenes are cut for prediction, by default with a halo that suffices for the features

    Raises
    ------
    InputError
        For a stride that does not divide 512, an unknown feature, and a feature whose band is missing.

    Examples
    --------
    ::

        segmenter = PixelClassifier(build_estimator(EstimatorOptions()), inputs, legend, features=["pixels", "hsv"])
        segmenter.fit([scene])
    """

    kind = "pixel-classifier"

    def __init__(
        self,
        estimator: Any,
        inputs: InputSpec,
        legend: Legend,
        *,
        features: Sequence[str | Feature] = ("pixels",),
        bands: Mapping[str, Sequence[str]] | None = None,
        stride_px: int = 1,
        shares: Sequence[float] | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        if stride_px < 1 or CORE_PX % stride_px:
            raise InputError(f"stride_px={stride_px} does not divide {CORE_PX}; choose a power of two up to {CORE_PX}.")
        built = as_features(features)
        self.stride_px, self.any_tile = stride_px, stride_px == 1
        self.context_px = -(-halo_px(built) // stride_px) * stride_px  # sites of neighbouring tiles lie on one grid
        core_px = _core_side(self.context_px, stride_px, inputs.in_channels)
        own = Tiling(core_px + 2 * self.context_px, self.context_px)
        super().__init__(
            estimator, inputs, legend, features=built, bands=bands, shares=shares,
            tiling=tiling if tiling is not None else own,
        )  # fmt: skip

    def fit(
        self,
        scenes: Sequence[Scene],
        *,
        max_pixels: int = 100_000,
        seed: int = 0,
        balanced: bool = True,
        max_share: float = 1.0,
    ) -> PixelClassifier:
        """Fit to at most `max_pixels` pixels of the scenes' `labels`; returns itself.

        balanced : equally many pixels of each class; else at random, at most `max_share` of the labelled pixels (2,000
        may always be). Errors: InputError where fewer than two classes are labelled."""
        scenes = [assess_scene(scene, on_ground=False, legend=self.legend) for scene in scenes]
        self.fit_features(scenes, seed)
        samples = sample_pixels(
            scenes,
            self.legend,
            lambda sample: stack(self.features, self.to_physical_units(self.inputs.prepare(sample)), self.stride_px),
            max_pixels=max_pixels, halo_px=self.context_px, stride_px=self.stride_px, names=self.inputs.names, seed=seed,
            window_px=LARGE_PX if self.context_px > WIDE_PX else WINDOW_PX, balanced=balanced, max_share=max_share,
        )  # fmt: skip
        self.fit_samples(samples.vectors, samples.class_indices, samples.blocks)
        return self

    def label(self, image: FloatImage, margin_px: int) -> FloatImage:
        """Return probabilities (K, h − 2 margin, w − 2 margin) of a prepared image."""
        sites = stack(self.features, self.to_physical_units(image), self.stride_px)
        rows, cols = (
            np.minimum(np.arange(margin_px, side - margin_px) // self.stride_px, number - 1)
            for side, number in zip(image.shape[1:], sites.shape[1:], strict=True)
        )
        sites = sites[:, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]  # those in the margin need no estimator
        count, down, across = sites.shape
        scores = self.predict_vectors(sites.reshape(count, -1).T).T.reshape(-1, down, across)
        return scores if self.stride_px == 1 else scores[:, rows[:, None] - rows[0], cols - cols[0]]

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs to rebuild the same segmenter."""
        return super().describe() | {"stride_px": self.stride_px}

    @classmethod
    def extra_init_kwargs(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stride."""
        return {"stride_px": description["stride_px"]}


def _core_side(halo_px: int, stride_px: int, bands: int) -> int:
    """Return the side of a tile's core: large for few bands and wide halos, for hundreds of bands down to 128 pixels.

    >>> _core_side(0, 1, 4), _core_side(0, 1, 103), _core_side(64, 1, 103), _core_side(200, 1, 4)
    (512, 128, 256, 1024)
    """
    wide = halo_px > WIDE_PX
    core_px, most_bytes = (LARGE_PX, 4 * CORE_BYTES) if wide else (CORE_PX, CORE_BYTES)
    least_px = max(MIN_PX, 4 * halo_px, stride_px)
    while core_px // 2 >= least_px and 4 * bands * core_px**2 > most_bytes:
        core_px //= 2
    return core_px
