"""Unsupervised change detection as a segmenter: fitted to the pair itself, then predicted tile by tile like any other.

Takes a scene with the layers `image_pre` and `image_post`; returns probabilities of no change and change.

Refuses pairs with other numbers of bands, pairs without common valid pixels, and images that are the same.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from deepnets4eo.arrays import Batch, FloatImage, Mask
from deepnets4eo.cards import Legend
from deepnets4eo.change.classical.feature_distance import FeatureDistance
from deepnets4eo.change.classical.pair_scores import SPECTRAL, Blocks, CosineDistance, PairScore
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError, name_hint
from deepnets4eo.files import read_json, write_json
from deepnets4eo.grid import Window
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.rasters import Histogram, Layer, Scene
from deepnets4eo.read_as import assess_scene
from deepnets4eo.segmenters import InputSpec, ProbabilitySegmenter
from deepnets4eo.tiling import Tiling, spread_windows

log = logging.getLogger(__name__)

METHODS: dict[str, type[PairScore]] = SPECTRAL | {FeatureDistance.name: FeatureDistance}


class DateLayers:
    """Layers of a pair of images."""

    pre: ClassVar[str] = "image_pre"
    post: ClassVar[str] = "image_post"


FILE = "change.json"
STATISTICS_PX = 4_000_000  # pixels that statistics are measured on at most
KEPT_VALUES = 64_000_000  # of prepared blocks that stay in memory, 256 MB: IR-MAD goes over them up to 30 times
SAME = 1e-3  # standard deviations
FAR_SPANS = 5.0  # from the 1st to the 99th percentile: values so far beyond do not enter means and deviations
FAR_STD = 20.0  # standard deviations from the mean: no value of an image, but an undeclared nodata or a defect
MAX_FAR_SHARE = 1e-3  # share of the pixels; more of them are taken for a part of the image
MEASURED = ("threshold", "width", "changed_share", "separation")  # on the pair, beside what its method measures
STEEPNESS = 8.0  # probabilities go from 0.02 to 0.98 between the mean scores of no change and of change


def pair_score(method: str) -> type[PairScore]:
    """Return the class of a method of the toolbox or of another package, by its name. Errors: InputError."""
    if method in METHODS:
        return METHODS[method]
    further = plugins_of("pair_scores")
    if method not in further:
        raise InputError(f"method {method!r} of change detection is unknown. {name_hint(method, [*METHODS, *further])}")
    kind = load_plugin(further[method])
    if not (isinstance(kind, type) and issubclass(kind, PairScore)):
        raise InputError(
            f"method {method!r} is {further[method].value}; expected a subclass of change.PairScore. Report it to the authors of that package."
        )
    return kind


class ChangeDetector(ProbabilitySegmenter):
    """A classical method and its threshold.

    A few pixels (0.1 % at most) with values far from all others, such as undeclared nodata, are left out of what is
    measured.

    Probabilities follow the score by a logistic curve, 0.5 at the threshold: they rank pixels, and are not calibrated.

    Parameters
    ----------
    method : "ir-mad", "mad", "cva", "difference", "pca-kmeans", "cosine", "embeddings", or a method of another package
    inputs : the inputs of both dates, with the same number of bands; each band is standardised at its own date
    threshold_method : "two-means", "otsu", "kittler" or "em"; pca-kmeans has its own threshold
    tiling : how scenes are cut for prediction

    Raises
    ------
    InputError
        For an unknown method, or dates with different numbers of bands.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> pre = rng.normal(size=(3, 64, 64))
    >>> post = 2 * pre + rng.normal(0, 0.1, pre.shape)
    >>> post[:, 20:30, 20:30] += 5
    >>> scene = Scene.open(image_pre=pre.astype("float32"), image_post=post.astype("float32"))
    >>> detector = ChangeDetector.of_scene(scene, "ir-mad")
    >>> batch = detector.inputs.prepare(scene.read())[None]
    >>> int(detector.predict_classes(batch)[0, 20:30, 20:30].sum())
    100
    """

    kind = "change-detector"
    only_float32 = True  # whatever precision is chosen

    def __init__(
        self, method: str, inputs: InputSpec, *, threshold_method: str = "two-means", tiling: Tiling | None = None
    ) -> None:
        bands = [len(layer.bands) for layer in inputs.layers.values()]
        if len(bands) != 2 or bands[0] != bands[1]:
            raise InputError(
                f"a pair has {bands} bands; expected two dates with the same bands. Choose bands of the same kind."
            )
        self.method = pair_score(method).of_bands(next(iter(inputs.layers.values())).bands)
        self.threshold_method, self.inputs, self.legend = threshold_method, inputs, Legend.load("change")
        self.tiling = tiling or self.method.tiling()
        self.threshold, self.width = math.nan, math.nan
        self.changed_share, self.separation = (
            math.nan,
            math.nan,
        )  # of the pixels measured on; see `Histogram.separation`

    @classmethod
    def of_scene(cls, scene: Scene, method: str = "ir-mad", *, threshold_method: str = "two-means") -> ChangeDetector:
        """Fit a method to a pair.

        Parameters
        ----------
        scene : with the layers `image_pre` and `image_post`, of the same number of bands
        method, threshold_method : see the class

        Returns
        -------
        The fitted detector, only for this pair.

        Raises
        ------
        InputError
            As the class, and if no pixel is valid at both dates or no pixel differs.
        """
        scene = assess_scene(scene, on_ground=False, names=(DateLayers.pre, DateLayers.post))
        inputs = InputSpec.measure([scene], [DateLayers.pre, DateLayers.post], far_spans=FAR_SPANS)
        detector = cls(method, inputs, threshold_method=threshold_method)
        detector.tiling = detector.method.tiling(scene.shape)
        if not detector.method.standardised:
            detector.inputs = _with_one_scale(inputs)
        if isinstance(detector.method, CosineDistance):
            layers = [scene.layers[name] for name in detector.inputs.names]
            detector.method.with_steps(_steps(layers, detector.inputs))
        return detector.fit(scene)

    def fit(self, scene: Scene) -> ChangeDetector:
        """Measure the method's statistics and the threshold, on 4 million spread pixels at most; returns the detector."""

        windows = _windows(scene)

        def read_again() -> Iterator[tuple[FloatImage, Mask]]:
            for window in windows:
                sample = scene.read(window, self.inputs.names)
                yield self.inputs.prepare(sample), sample["valid"]

        few = sum(window.height * window.width for window in windows) * self.inputs.in_channels <= KEPT_VALUES
        kept = list(read_again()) if few else []

        def read_blocks() -> Iterable[tuple[FloatImage, Mask]]:
            return kept or read_again()

        _check_differ(read_blocks)
        counted = _without_few_far(read_blocks)
        usable = counted is read_blocks or _largest_difference(counted) >= SAME
        self._measure(counted if usable else read_blocks)
        return self

    def _measure(self, read_blocks: Blocks) -> None:
        """Measure the method's statistics, then the threshold of its scores."""
        self.method.fit(read_blocks)
        scores = [self.method.measure(values)[valid] for values, valid in read_blocks()]
        highest = max(float(score.max()) for score in scores if score.size)
        if not highest > 0:
            raise InputError(
                f"no pixel differs between both dates by {self.method.name}: one of them has no values but 0, or they differ only in brightness. "
                "Give two different dates, or another --method."
            )
        histogram = Histogram.of(scores, highest)
        own = self.method.threshold
        self.threshold = histogram.threshold(self.threshold_method) if own is None else own
        self.width = _transition(histogram, self.threshold)
        self.changed_share, self.separation = histogram.separation(self.threshold)

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Return the probabilities of no change and change, (N, 2, h, w) float32."""
        height, width = batch.shape[2:]
        inner = np.s_[margin_px : height - margin_px, margin_px : width - margin_px]
        change = np.stack([self._probability(self.method.measure(pair)[inner]) for pair in batch])
        return np.stack([1 - change, change], axis=1)

    def to(self, compute: Compute) -> None:
        """Move the network of a method that has one; always in float32."""
        if isinstance(self.method, FeatureDistance):
            self.method.to(compute.device)

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs to rebuild the same detector."""
        return {"method": self.method.name, "threshold_method": self.threshold_method}

    def save(self, folder: str | Path) -> list[str]:
        """Write what was measured; returns the file's name."""
        values = {name: getattr(self, name) for name in MEASURED} | {"measured": self.method.to_dict()}
        write_json(Path(folder) / FILE, values)
        return [FILE]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> ChangeDetector:
        """Make the detector that `save` wrote. Errors: RunError for a damaged file."""
        detector = cls(
            description["method"], inputs, threshold_method=description["threshold_method"], tiling=tiling
        )  # fmt: skip
        try:
            values = read_json(folder / FILE)
            for name in MEASURED:
                setattr(detector, name, float(values[name]))
            detector.method.take(values["measured"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{folder / FILE} is damaged: {error}. Copy the run again.") from error
        return detector

    def _probability(self, score: FloatImage) -> FloatImage:
        logit = np.clip((score - np.float32(self.threshold)) / np.float32(self.width), -30, 30)
        return np.asarray(1 / (1 + np.exp(-logit)), np.float32)


def _with_one_scale(inputs: InputSpec) -> InputSpec:
    """Return inputs whose bands are divided by one number, the root of their mean square, and not shifted: directions are kept."""
    layers = inputs.layers.values()
    size = (
        math.sqrt(np.mean([np.square([*layer.mean, *layer.std]).sum() / len(layer.bands) for layer in layers])) or 1.0
    )
    return InputSpec({
        name: replace(layer, mean=(0.0,) * len(layer.bands), std=(size,) * len(layer.bands)) for name, layer in inputs.layers.items()
    }, inputs.gsd_m)  # fmt: skip


def _steps(layers: Sequence[Layer], inputs: InputSpec) -> tuple[float, float]:
    """Return the difference of neighbouring values of both dates as methods read them; 0 for values that are not rounded."""
    before, after = (
        _step_of(layer) / scaling.std[0] for layer, scaling in zip(layers, inputs.layers.values(), strict=True)
    )
    return before, after


def _step_of(layer: Layer) -> float:
    stored = layer.stored_values
    is_rounded = layer.as_stored().dtype.kind in "iu" and all(values.power == 1 for values in stored)
    return max(abs(values.scale) for values in stored) if is_rounded else 0.0


def _check_differ(read_blocks: Blocks) -> None:
    """Refuse a pair without common valid pixels, and one whose dates are the same but for light and contrast."""
    largest = _largest_difference(read_blocks)
    if largest < 0:
        raise InputError("no pixel is valid in both images. Check nodata, clouds and the common extent.")
    if largest < SAME:
        raise InputError("both images are the same, but for light and contrast. Give two different dates.")


def _largest_difference(read_blocks: Blocks) -> float:
    """Return the largest difference between both dates in any band, in standard deviations; -1 if no pixel is valid."""
    largest = -1.0
    for values, valid in read_blocks():
        if valid.any():
            pre, post = np.split(values, 2)
            largest = max(largest, float(np.abs(pre - post).max(axis=0)[valid].max()))
    return largest


def _without_few_far(read_blocks: Blocks) -> Blocks:
    """Return the blocks without pixels that are far from all others in any band, if these pixels are few."""

    def read_others() -> Iterator[tuple[FloatImage, Mask]]:
        for values, valid in read_blocks():
            yield values, valid & ~_is_far(values)

    counts = [(int(valid.sum()), int((valid & _is_far(values)).sum())) for values, valid in read_blocks()]
    count, far = (sum(column) for column in zip(*counts, strict=True))
    if not 0 < far <= MAX_FAR_SHARE * count:
        return read_blocks
    log.info("%d of %d pixels hold values far from all others and are left out of the statistics.", far, count)
    return read_others


def _is_far(values: FloatImage) -> Mask:
    """values : (2 p, h, w), standardised → (h, w)"""
    return np.asarray((np.abs(values) > FAR_STD).any(axis=0))


def _windows(scene: Scene) -> list[Window]:
    """Windows that cover the scene, or, of a larger one, STATISTICS_PX pixels spread over it."""
    side_px = PairScore.side_px
    if math.prod(scene.shape) <= STATISTICS_PX:
        return scene.blocks(side_px)
    return spread_windows(scene.shape, (side_px, side_px), math.isqrt(STATISTICS_PX // side_px**2))


def _transition(histogram: Histogram, cut: float) -> float:
    """Width of the logistic curve: a share of the distance between the mean scores on both sides of the threshold."""
    values, above = histogram.centres, histogram.centres >= cut
    sums = [(histogram.counts[side].sum(), (histogram.counts * values)[side].sum()) for side in (~above, above)]
    if any(count == 0 for count, _ in sums):
        return max(cut, histogram.bin_width) / STEEPNESS
    (below_count, below_sum), (above_count, above_sum) = sums
    return float(max(above_sum / above_count - below_sum / below_count, histogram.bin_width) / STEEPNESS)
