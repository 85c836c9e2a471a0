"""A scikit-learn classifier over features of superpixels: each region gets one label.

Takes features by name, a way to cut superpixels and any classifier with `predict_proba`; gives a `Segmenter`.
Refuses scenes without labels, labels of fewer than two classes, features whose bands are missing, and runs whose
columns are not ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.feature_classifier import FeatureClassifier
from deepnets4eo.baselines.features import Feature, as_features, halo_px
from deepnets4eo.baselines.superpixels import Superpixels, majority, pool_stack, pooled_columns, region_means
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import LABELS, Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.segmenter import value_to_index
from deepnets4eo.tiling import Tiling
from deepnets4eo.tiling.sampling import shuffle_windows

CORE_PX = 512
WINDOW_PX = 256  # that regions are drawn from at once


class SuperpixelClassifier(FeatureClassifier):
    """Features by name, pooled over superpixels, and a scikit-learn classifier with `predict_proba`.

    estimator : unfitted or fitted. features : names of `baselines.features.HOMES`, or features; each pools over
    regions as it says itself, else by the mean. superpixels : how regions are cut, of each tile with its halo, which
    holds most of them whole. bands : layer → names, for files whose bands have none. shares : see `FeatureClassifier`.
    Source: the superpixel baselines of Lagrange et al., IGARSS 2015.
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
        self.looks_px = halo_px(built) + self.superpixels.reach_px(inputs.gsd_m)
        own = Tiling(CORE_PX + 2 * self.looks_px, self.looks_px)
        super().__init__(
            estimator, inputs, legend, features=built, bands=bands, shares=shares,
            tiling=tiling if tiling is not None else own,
        )  # fmt: skip

    def columns_of(self, blank: Bands) -> list[str]:
        """Names of the columns of pooled features. Errors: InputError where a band is missing, the height too."""
        self.superpixels.check(blank)
        return pooled_columns(self.features, blank)

    def fit(self, scenes: Sequence[Scene], *, max_regions: int = 20_000, seed: int = 0) -> SuperpixelClassifier:
        """Learn from superpixels of windows at random, at most `max_regions`, equally many of each class; returns itself.

        A region's label is that of most of its labelled pixels, where at least half of it is labelled.
        Errors: InputError where no region is labelled, or fewer than two classes are.
        """
        rng = np.random.default_rng(seed)
        quota = np.full(self.legend.num_classes, max(1, max_regions // self.legend.num_classes))
        vectors, places, origins = [], [], []
        for number, scene, window in shuffle_windows(scenes, WINDOW_PX, rng):
            found = self._regions(scene, window, quota)
            if found is None:
                continue
            picked = _pick(found[1], quota, rng)
            if not picked.size:
                continue
            vectors.append(found[0][picked])
            places.append(found[1][picked])
            origins.append(np.full(picked.size, number))
            if not quota.any():
                break
        if not vectors:
            raise InputError(
                "the scenes show no superpixel of which half is valid and labelled. Check the labels layer and the "
                "legend, or make smaller superpixels."
            )
        self.fit_samples(np.concatenate(vectors), np.concatenate(places), np.concatenate(origins))
        return self

    def label(self, image: FloatImage, margin_px: int) -> FloatImage:
        """Probabilities (K, h − 2 margin, w − 2 margin) of a prepared image: those of the regions, painted."""
        bands = self.to_physical_units(image)
        ids = self.superpixels.segment(bands)
        proba = self.predict_vectors(pool_stack(self.features, bands, ids, int(ids.max()) + 1))
        height, width = ids.shape
        inner = ids[margin_px : height - margin_px, margin_px : width - margin_px]
        return np.ascontiguousarray(proba.T)[:, inner]

    def describe(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same segmenter again."""
        return super().describe() | {"superpixels": self.superpixels.to_dict()}

    @classmethod
    def extra_init_kwargs(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        """The superpixels."""
        return {"superpixels": Superpixels.from_dict(description["superpixels"])}

    def _regions(
        self, scene: Scene, window: Window, quota: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
        """Vectors and places of the labelled regions that lie mostly in a window; None where no class is wanted."""
        seen = window.grown(self.looks_px).clipped(scene.shape)
        sample = scene.read(seen, [*self.inputs.names, LABELS])
        labels = np.where(sample["valid"], value_to_index(self.legend)[sample[LABELS]], VOID)
        inner = window.within(seen).slices
        shown = np.bincount(labels[inner].ravel(), minlength=VOID + 1)[: quota.size]
        if not (shown * quota).any():  # cutting superpixels takes far longer than looking at labels
            return None
        bands = self.to_physical_units(self.inputs.prepare(sample))
        ids = self.superpixels.segment(bands)
        count = int(ids.max()) + 1
        inside = np.zeros((1, *ids.shape), np.float32)
        inside[0][inner] = 1
        places = majority(labels, ids, count, self.legend.num_classes)
        taken = (places != VOID) & (region_means(inside, ids, count)[:, 0] > 0.5)
        return pool_stack(self.features, bands, ids, count)[taken], places[taken]


def _pick(places: NDArray[np.uint8], quota: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Regions taken from a window; lowers `quota` by what was taken."""
    taken = []
    for place in range(quota.size):
        found = np.flatnonzero(places == place)
        wanted = min(found.size, int(quota[place]))
        taken.append(rng.choice(found, wanted, replace=False))
        quota[place] -= wanted
    return np.sort(np.concatenate(taken))
