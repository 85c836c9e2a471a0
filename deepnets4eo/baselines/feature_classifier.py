"""The common base of classifiers of pixels and of superpixels: a scikit-learn estimator over named columns."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.estimator_file import check_sizes, load_estimator, save_estimator
from deepnets4eo.baselines.estimators import fit_estimator
from deepnets4eo.baselines.features import Feature, as_features, build_features, column_names
from deepnets4eo.baselines.features.feature import FittedFeature
from deepnets4eo.baselines.tile_segmenter import TileSegmenter
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.tiling import Tiling, sample_pixels

ESTIMATOR = "estimator.skops"  # name of the file in a run's folder

LEARNED = {  # kind → class
    "deep": "deepnets4eo.baselines.features.deep:DeepFeatures",
    "extended_profile": "deepnets4eo.baselines.features.profiles:ExtendedProfile",
}

log = logging.getLogger(__name__)

FEATURE_PIXELS = 20_000  # that features learn from, at most
CHUNK_PIXELS = 1 << 15  # that an estimator gets at once


class FeatureClassifier(TileSegmenter):
    """An estimator with `predict_proba` over columns of features.

    shares : (K,) of the classes on the ground

    Samples, and so probabilities, have equal shares of all classes; given shares, probabilities are adjusted to them by
    Bayes' rule, and rare classes are predicted less often.
    """

    def __init__(
        self,
        estimator: Any,
        inputs: InputSpec,
        legend: Legend,
        *,
        features: Sequence[str | Feature],
        bands: Mapping[str, Sequence[str]] | None = None,
        shares: Sequence[float] | None = None,
        tiling: Tiling,
    ) -> None:
        super().__init__(inputs, legend, bands=bands, tiling=tiling)
        self.shares = None if shares is None else [float(share) for share in shares]
        self.estimator, self.features = estimator, as_features(features)
        blank = self.to_physical_units(np.zeros((inputs.in_channels, 1, 1), np.float32))
        self.columns = self.columns_of(blank)

    def columns_of(self, blank: Bands) -> list[str]:
        """Return names of the columns that the estimator uses."""
        return column_names(self.features, blank)

    def fit_features(self, scenes: Sequence[Scene], seed: int) -> None:
        """Fit the features that learn, to at most `FEATURE_PIXELS` labelled pixels at random. Errors: InputError where
        no pixel is labelled, or too few for a feature."""
        if not any(isinstance(feature, FittedFeature) for feature in self.features):
            return
        samples = sample_pixels(
            scenes,
            self.legend,
            lambda sample: self.to_physical_units(self.inputs.prepare(sample)).values,
            max_pixels=FEATURE_PIXELS, names=self.inputs.names, seed=seed, balanced=False,
        )  # fmt: skip
        pixels = Bands(samples.vectors.T[:, :, None], self.band_names, self.inputs.gsd_m)
        self.features = tuple(
            feature.fit(pixels) if isinstance(feature, FittedFeature) else feature for feature in self.features
        )

    def fit_samples(self, vectors: NDArray[np.float32], classes: NDArray[np.uint8], blocks: NDArray[np.int64]) -> None:
        """Fit the estimator to samples; the log names classes without samples. Errors: InputError for fewer than two
        classes."""
        present = np.unique(classes)
        if present.size < 2:
            raise InputError(
                f"the scenes' labels have {present.size} classes of legend {self.legend.name!r}; at least 2 are needed. "
                "Check the labels layer."
            )
        absent = [name for index, name in enumerate(self.legend.names) if index not in present]
        if absent:
            log.warning(
                "no sample is of %s: never predicted, and its scores are NaN where the reference lacks it.",
                ", ".join(absent),
            )
        if len(vectors) < vectors.shape[1]:
            log.warning(
                "%d samples for %d features: results will be poor; label more, or use fewer features.", *vectors.shape
            )
        self.estimator = fit_estimator(self.estimator, vectors, classes, blocks)
        # one thread: a forest sums its trees in the order in which threads end, which changes the last bits
        parallel = [key for key, value in self.estimator.get_params().items() if key.endswith("n_jobs") and value]
        self.estimator.set_params(**dict.fromkeys(parallel, 1))

    def predict_vectors(self, vectors: NDArray[np.float32], *, chunk_pixels: int = CHUNK_PIXELS) -> NDArray[np.float32]:
        """Return probabilities (n, K) of vectors (n, F), the same whatever the number of threads; chunk_pixels :
        vectors at once."""
        parts = [vectors[start : start + chunk_pixels] for start in range(0, len(vectors), chunk_pixels)]
        probabilities = np.concatenate(list(in_order(self.estimator.predict_proba, parts, self.threads)))
        scores = np.zeros((len(vectors), self.legend.num_classes), np.float32)
        scores[:, np.asarray(self.estimator.classes_, int)] = probabilities
        return scores if self.shares is None else adjust_to_priors(scores, self.shares)

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs to rebuild the same segmenter."""
        return super().describe() | {
            "features": [
                {"kind": feature.kind} | feature.describe() if isinstance(feature, LearnedFeature) else feature.name
                for feature in self.features
            ],
            "columns": self.columns,
            "shares": self.shares,
        }

    def save(self, folder: str | Path) -> list[str]:
        """Write the estimator through skops, and features with learned weights; returns the files' names."""
        save_estimator(self.estimator, Path(folder) / ESTIMATOR)
        learned = [feature for feature in self.features if isinstance(feature, LearnedFeature)]
        return [ESTIMATOR, *(name for feature in learned for name in feature.save(Path(folder)))]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> FeatureClassifier:
        """Make the segmenter that `save` wrote. Errors: RunError for a file, types or columns that this version does not have."""
        estimator = load_estimator(folder / ESTIMATOR)
        features = [_restore(entry, folder) for entry in description["features"]]
        made = cls(
            estimator, inputs, legend, features=features, bands=description["bands"], shares=description["shares"],
            tiling=tiling, **cls.extra_init_kwargs(description),
        )  # fmt: skip
        check_sizes(estimator, folder / ESTIMATOR, legend.num_classes, len(made.columns))
        if made.columns != description["columns"]:
            lost = [name for name in description["columns"] if name not in made.columns]
            raise RunError(
                f"{folder} was trained on the columns {', '.join(lost[:5]) or 'in another order'}, which this version "
                "computes differently. Train it again."
            )
        return made

    @classmethod
    def extra_init_kwargs(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that only the subclass has, from its description."""
        return {}


def adjust_to_priors(proba: NDArray[np.float32], shares: Sequence[float]) -> NDArray[np.float32]:
    """Return probabilities of classes in equal shares, adjusted to classes in other shares by Bayes' rule.

    Parameters
    ----------
    proba : (n, K) float32
    shares : K shares of the classes on the ground

    Returns
    -------
    (n, K) float32
        Rows sum to 1; rows without any class of a share above 0 stay as they are.
    """
    weighted = proba * np.asarray(shares, np.float32)
    total = weighted.sum(axis=1, keepdims=True)
    return np.where(total > 0, weighted / np.maximum(total, np.finfo(np.float32).tiny), proba)


@runtime_checkable
class LearnedFeature(Feature, Protocol):
    """A feature whose values depend on its name and on weights, e.g. the weights of a frozen network."""

    kind: str

    def describe(self) -> dict[str, Any]:
        """Return plain values that the class method `restore(folder, description)` turns into the same feature again."""

    def save(self, folder: Path) -> list[str]:
        """Write the weights; returns the files' names."""


def _restore(described: str | Mapping[str, Any], folder: Path) -> Feature:
    """Make a feature that was described and saved. Errors: RunError for a kind that this version does not have."""
    if isinstance(described, str):
        return build_features([described])[0]
    description = dict(described)
    kind = description.pop("kind")
    if kind not in LEARNED:
        raise RunError(f"{folder} needs features of kind {kind!r}; this version knows {sorted(LEARNED)}. Update it.")
    module, name = LEARNED[kind].split(":")
    feature: Feature = getattr(import_module(module), name).restore(folder, description)
    return feature
