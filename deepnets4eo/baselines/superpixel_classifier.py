"""A scikit-learn classifier over features of superpixels, as a `Segmenter`: each region has one label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.feature_classifier import FeatureClassifier
from deepnets4eo.baselines.features import Feature, as_features, halo_px
from deepnets4eo.baselines.superpixels import Superpixels, majority, pool_stack, pooled_columns, region_means
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Scene
from deepnets4eo.read_as import assess_scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.tiling import Tiling, shuffle_windows

CORE_PX = 512
WINDOW_PX = 256  # side of the windows from which regions are drawn
FEW_REGIONS = 250  # at random from one window where there are many windows, so that many are used


class SuperpixelClassifier(FeatureClassifier):
    """Features by name, pooled over superpixels, and a scikit-learn classifier with `predict_proba`.

    Source: the superpixel baselines of Lagrange et al., IGARSS 2015.

    Parameters
    ----------
    estimator : a classifier of scikit-learn's interface, fitted or not
    inputs, legend : layers and bands of the images, and the classes
    features : names as in `baselines.features.HOMES`, or features; each has its own pooling over regions, else the mean
    superpixels : how regions are cut, of each tile with its halo; most regions are whole within it
    bands : layer → names of its bands, for files without names
    shares : (K,) shares of the classes on the ground
        Probabilities are adjusted to them; see `FeatureClassifier`.
    tiling : how scenes are cut for prediction, by default with a halo that suffices for features and superpixels

    Raises
    ------
    InputError
        For an unknown feature, and a feature or superpixels whose band is missing.

    Examples
    --------
    ::

        segmenter = SuperpixelClassifier(estimator, inputs, legend, features=["hsv_histogram", "hog16"])
    """

    kind = "superpixel-classifier"

    def __init__(
        self,
        estimator: Any,
        inputs: InputSpec,
        legend: Legend,
        *,
        features: Sequence[str | Feature] = ("pixels",),
        superpixels: Superpixels | None = None,
        bands: Mapping[str, Sequence[str]] | None = None,
        shares: Sequence[float] | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        built = as_features(features)
        self.superpixels = superpixels or Superpixels()
        self.context_px = halo_px(built) + self.superpixels.reach_px(inputs.gsd_m)
        own = Tiling(CORE_PX + 2 * self.context_px, self.context_px)
        super().__init__(
            estimator, inputs, legend, features=built, bands=bands, shares=shares,
            tiling=tiling if tiling is not None else own,
        )  # fmt: skip

    def columns_of(self, blank: Bands) -> list[str]:
        """Return names of the columns of pooled features. Errors: InputError where a band is missing, the height too."""
        self.superpixels.check_bands(blank)
        return pooled_columns(self.features, blank)

    def fit(
        self, scenes: Sequence[Scene], *, max_regions: int = 20_000, seed: int = 0, balanced: bool = True
    ) -> SuperpixelClassifier:
        """Fit to at most `max_regions` superpixels of random windows; returns itself.

        Superpixels are drawn equally from each class, or as they occur. A region's label is the label of the majority
        of its labelled pixels if at least half of the region is labelled. Raises InputError if no region is labelled, or
        if fewer than two classes are."""
        scenes = [assess_scene(scene, on_ground=False, legend=self.legend) for scene in scenes]
        self.fit_features(scenes, seed)
        rng = np.random.default_rng(seed)
        quota = np.full(self.legend.num_classes, max(1, max_regions // (self.legend.num_classes if balanced else 1)))
        vectors, classes, origins = [], [], []
        windows = list(shuffle_windows(scenes, WINDOW_PX, rng))
        most = max(FEW_REGIONS, math.ceil(max_regions / len(windows)))
        for number, scene, window in windows:
            regions = self._labelled_regions(scene, window, quota)
            if regions is None:
                continue
            if balanced:
                chosen = _choose_regions(regions[1], quota, rng)
            else:
                chosen = np.sort(rng.permutation(len(regions[1]))[: min(most, int(quota[0]))])
                quota -= chosen.size
            if not chosen.size:
                continue
            vectors.append(regions[0][chosen])
            classes.append(regions[1][chosen])
            origins.append(np.full(chosen.size, number))
            if not quota.any():
                break
        if not vectors:
            raise InputError(
                "the scenes have no superpixel of which half is valid and labelled. Check the labels layer and the "
                "legend, or make smaller superpixels."
            )
        self.fit_samples(np.concatenate(vectors), np.concatenate(classes), np.concatenate(origins))
        return self

    def label(self, image: FloatImage, margin_px: int) -> FloatImage:
        """Return probabilities (K, h − 2 margin, w − 2 margin) of a prepared image, the same for all pixels of a region."""
        bands = self.to_physical_units(image)
        ids = self.superpixels.segment(bands)
        proba = self.predict_vectors(pool_stack(self.features, bands, ids, int(ids.max()) + 1))
        height, width = ids.shape
        inner = ids[margin_px : height - margin_px, margin_px : width - margin_px]
        return np.ascontiguousarray(proba.T)[:, inner]

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs to rebuild the same segmenter."""
        return super().describe() | {"superpixels": self.superpixels.to_dict()}

    @classmethod
    def extra_init_kwargs(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        """Return the superpixels; superpixels of earlier versions also have a weight of quickshift, which is dropped."""
        values = {key: value for key, value in description["superpixels"].items() if key != "colour_weight"}
        return {"superpixels": Superpixels.from_dict(values)}

    def _labelled_regions(
        self, scene: Scene, window: Window, quota: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
        """Return vectors and class indices of the labelled regions that are mostly in a window; None if no class is needed."""
        with_halo = window.grow(self.context_px).clip(scene.shape)
        sample = scene.read(with_halo, [*self.inputs.names, Scene.label_layer])
        labels = np.where(sample["valid"], self.legend.to_index()[sample[Scene.label_layer]], VOID)
        inner = window.within(with_halo).slices
        class_pixels = np.bincount(labels[inner].ravel(), minlength=VOID + 1)[: quota.size]
        if not (class_pixels * quota).any():  # cutting superpixels takes far longer than reading labels
            return None
        bands = self.to_physical_units(self.inputs.prepare(sample))
        ids = self.superpixels.segment(bands)
        count = int(ids.max()) + 1
        inside = np.zeros((1, *ids.shape), np.float32)
        inside[0][inner] = 1
        region_classes = majority(labels, ids, count, self.legend.num_classes)
        usable = (region_classes != VOID) & (region_means(inside, ids, count)[:, 0] > 0.5)
        return pool_stack(self.features, bands, ids, count)[usable], region_classes[usable]


def _choose_regions(
    region_classes: NDArray[np.uint8], quota: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Choose regions of a window; lowers `quota` by their number."""
    chosen = []
    for class_index in range(quota.size):
        candidates = np.flatnonzero(region_classes == class_index)
        number = min(candidates.size, int(quota[class_index]))
        chosen.append(rng.choice(candidates, number, replace=False))
        quota[class_index] -= number
    return np.sort(np.concatenate(chosen))
