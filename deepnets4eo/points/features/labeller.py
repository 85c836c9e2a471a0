"""A scikit-learn classifier over features of points; it is a `PointLabeller`. And the labelled points that it learns from.

Memory: some 500 bytes a point. Samples are drawn at random, equally many of each class, from clouds that are seen one after the
other.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Vectors
from deepnets4eo.baselines import adjust_to_priors, fit_estimator, load_estimator, save_estimator
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import read_yaml, write_yaml
from deepnets4eo.options import options_from, plain_options
from deepnets4eo.points.cloud import PointCloud, at_counted
from deepnets4eo.points.features.eigenfeatures import point_features
from deepnets4eo.points.features.measured import check_values, with_constants
from deepnets4eo.points.features.neighbourhoods import smooth_scores
from deepnets4eo.points.features.options import FeatureOptions, feature_names
from deepnets4eo.points.files import CloudFile
from deepnets4eo.prefetch import in_order
from deepnets4eo.segmenters import UNFIT, InputSpec, LayerInput, RunFolder, open_sealed, seal, versions
from deepnets4eo.training import Recipe

log = logging.getLogger(__name__)

ESTIMATOR, MEASURED = "estimator.skops", "points"
CHUNK_POINTS = 1 << 15  # that an estimator gets at once
GROUND_HALO_M = 50.0  # width of the largest building for the ground filter: further away, ground hardly matters


class FeatureLabeller:
    """Features of neighbourhoods and a classifier with `predict_proba`.

    Parameters
    ----------
    estimator : fitted or not, as `baselines.build_estimator` makes it
    legend : the classes
    features : scales and measurements
    shares : (K,) shares of the classes on the ground, which probabilities are adjusted to
    smooth_m : radius of the averaging of scores, metres; 0: no averaging
    workers : threads, by default one per core
    """

    kind = "points-features"

    def __init__(
        self,
        estimator: Any,
        legend: Legend,
        features: FeatureOptions | None = None,
        *,
        shares: Sequence[float] | None = None,
        smooth_m: float = 0.0,
        workers: int | None = None,
    ) -> None:
        self.estimator, self.legend, self.features = estimator, legend, features or FeatureOptions()
        self.shares = None if shares is None else [float(share) for share in shares]
        self.smooth_m, self.workers = smooth_m, workers
        self.measured: LayerInput | None = None  # between which values the points of training lay

    @property
    def halo_m(self) -> float:
        """Return the distance around a tile within which points matter, in metres."""
        reach_m = self.features.reach_m + self.smooth_m
        return max(reach_m, GROUND_HALO_M) if self.features.above_ground else reach_m

    @property
    def needs(self) -> tuple[str, ...]:
        """Measurements that the features are made of."""
        return self.features.needs

    def vectors(self, cloud: PointCloud) -> Vectors:
        """Return the features (N, F) float32 of a cloud's points. Errors: InputError for missing measurements."""
        return point_features(cloud, self.features, workers=self.workers)

    def fit(self, samples: PointSamples) -> FeatureLabeller:
        """Fit the classifier; the log names classes without samples. Raises InputError for fewer than two classes."""
        present = np.flatnonzero(samples.counts)
        if present.size < 2:
            raise InputError(
                f"the clouds' points have {present.size} classes of legend {self.legend.name!r}; at least 2 are needed. Check "
                "the codes of the files, and legend."
            )
        absent = [name for name, count in zip(self.legend.names, samples.counts, strict=True) if not count]
        if absent:
            log.warning("no point is of %s: never predicted.", ", ".join(absent))
        self.estimator = fit_estimator(self.estimator, samples.vectors, samples.classes, samples.blocks)
        return self

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """Return probabilities (N, K) float32: 0 for classes without samples, NaN at points that do not count. Raises
        InputError where a measurement of `needs` is missing or not finite."""
        return at_counted(cloud, self._scores, np.nan)

    def check_values(self, file: CloudFile) -> None:
        """Say where the values of a file are of another kind than in training."""
        check_values(file, self.measured, self.features)

    def _scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        vectors = self.vectors(with_constants(cloud, self.measured))
        chunks = [vectors[start : start + CHUNK_POINTS] for start in range(0, len(vectors), CHUNK_POINTS)]
        probabilities = np.concatenate(list(in_order(self.estimator.predict_proba, chunks, self.workers)))
        scores = np.zeros((len(vectors), self.legend.num_classes), np.float32)
        scores[:, np.asarray(self.estimator.classes_, int)] = probabilities
        if self.shares is not None:
            scores = adjust_to_priors(scores, self.shares)
        return smooth_scores(cloud.xyz, scores, self.smooth_m, workers=self.workers) if self.smooth_m else scores

    def describe(self) -> dict[str, Any]:
        """Return plain values for `restore`."""
        return {
            "features": plain_options(self.features),
            "columns": feature_names(self.features),
            "shares": self.shares,
            "smooth_m": self.smooth_m,
            **({} if self.measured is None else {"measured": InputSpec({MEASURED: self.measured}).to_dict()}),
        }

    def save(self, folder: str | Path) -> list[str]:
        """Write the classifier through skops, without pickle; returns the names of the files."""
        save_estimator(self.estimator, Path(folder) / ESTIMATOR)
        return [ESTIMATOR]

    @classmethod
    def restore(cls, folder: Path, description: Mapping[str, Any], legend: Legend) -> FeatureLabeller:
        """Make the labeller that `save` wrote. Errors: RunError for a file or columns that this version does not have."""
        features = options_from(FeatureOptions, description["features"], str(folder))
        if feature_names(features) != description["columns"]:
            raise RunError(f"{folder} was trained on features that this version computes differently. Train it again.")
        estimator = load_estimator(folder / ESTIMATOR, (legend.num_classes, len(description["columns"])))
        labeller = cls(estimator, legend, features, shares=description["shares"], smooth_m=description["smooth_m"])
        if "measured" in description:
            labeller.measured = InputSpec.from_dict(description["measured"]).layers[MEASURED]
        return labeller


def save_feature_labeller(labeller: FeatureLabeller, folder: Path, recipe: Recipe, notes: Mapping[str, Any]) -> Path:
    """Write a fitted labeller with its recipe and notes for the card into a folder; the card is written last."""
    folder.mkdir(parents=True, exist_ok=True)
    files = RunFolder(folder)
    write_yaml(files.legend, labeller.legend.to_dict())
    recipe.save(files.recipe)
    card = {
        "kind": labeller.kind,
        "labeller": labeller.describe(),
        "legend": labeller.legend.name,
        "recipe_sha256": recipe.hash,
        "seed": recipe.train.seed,
        "versions": versions(),
        "notes": {"task": recipe.task, **notes},
    }
    seal(folder, card, [*labeller.save(folder), files.legend.name, files.recipe.name])
    return folder


def load_feature_labeller(folder: Path) -> FeatureLabeller:
    """Read the labeller of a run. Raises RunError where the folder is no such run, or is truncated or changed."""
    card = open_sealed(folder)
    if (
        card.get("kind") != FeatureLabeller.kind
        or "labeller" not in card
        or RunFolder(folder).legend.name not in card["files"]
    ):
        raise RunError(
            f"{folder} holds a run of the kind {card.get('kind')}, expected {FeatureLabeller.kind} with a legend. "
            "Give a run that was trained on features of points."
        )
    try:
        return FeatureLabeller.restore(folder, card["labeller"], Legend.from_dict(read_yaml(RunFolder(folder).legend)))
    except RunError:
        raise
    except UNFIT as error:
        raise RunError(
            f"{folder} cannot be rebuilt: {error if isinstance(error, InputError) else repr(error)}"
        ) from error


class PointSamples:
    """The points with the lowest random numbers of each class that occurs, an equal part of `most_samples` or all of them;
    `counts` (K,) are the points seen."""

    def __init__(self, num_classes: int, most_samples: int, seed: int = 0) -> None:
        self.counts = np.zeros(num_classes, np.int64)
        self._most = most_samples
        self._rng = np.random.default_rng(seed)
        self._kept: list[tuple[NDArray[np.float64], Vectors, Indices]] = [
            (np.empty(0), np.empty((0, 0), np.float32), np.empty(0, np.int64)) for _ in range(num_classes)
        ]

    def add(self, vectors: Vectors, classes: NDArray[np.uint8], blocks: Indices) -> None:
        """Take points: features (n, F), class indices (n,) with void 255, and the number (n,) of their block of ground."""
        order = self._rng.random(len(classes))
        self.counts += np.bincount(classes[classes != VOID], minlength=len(self.counts))
        for index, (lowest, before, ground) in enumerate(self._kept):
            rows = np.flatnonzero(classes == index)
            if not len(rows):
                continue
            rows = rows[np.argsort(order[rows])[: self._most]]
            keys = np.append(lowest, order[rows])
            chosen = np.sort(np.argsort(keys, kind="stable")[: self._most])
            joined = np.concatenate([before.reshape(-1, vectors.shape[1]), vectors[rows]])
            self._kept[index] = (keys[chosen], joined[chosen], np.append(ground, blocks[rows])[chosen])

    @property
    def vectors(self) -> Vectors:
        """Return (n, F) float32 features of the samples, class by class."""
        return np.concatenate(
            [vectors[rows] for (_, vectors, _), rows in zip(self._kept, self._rows(), strict=True) if len(rows)]
        )

    @property
    def classes(self) -> NDArray[np.uint8]:
        """Return (n,) class indices of the samples."""
        return np.repeat(np.arange(len(self._kept), dtype=np.uint8), [len(rows) for rows in self._rows()])

    @property
    def blocks(self) -> Indices:
        """Return (n,) number of the block of ground of each sample."""
        return np.concatenate([ground[rows] for (_, _, ground), rows in zip(self._kept, self._rows(), strict=True)])

    def _rows(self) -> list[Indices]:
        """Return the points kept of each class that are samples."""
        each = max(self._most // max(int((self.counts > 0).sum()), 1), 1)
        return [np.sort(np.argsort(keys, kind="stable")[:each]) for keys, _, _ in self._kept]
