"""Images labelled by a frozen encoder: the means of its maps under one linear layer, fitted in seconds to few labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import softmax
from torch import Tensor, nn

from deepnets4eo.arrays import Floats, Indices, Mask
from deepnets4eo.classification.networks import SlidingClassifier
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import colour_bands
from deepnets4eo.segmenters import LEVEL_CHANNELS, EfficientNetLite0, EncoderName, TransformerSizes, load_pretrained

log = logging.getLogger(__name__)

STRENGTHS = (0.003, 0.01, 0.03, 0.1)  # of the regression against its penalty, of which cross-validation takes one
SOFTENINGS = (
    0.15,
    0.25,
    0.35,
    0.5,
    0.7,
    1.0,
)  # of the discriminant's log-odds, which are too sure with few labels; likewise
USUAL = 0.03  # where a class has too few images to be divided
FOLDS = 3
FIFTHS = 5
STEPS = 500
NEVER_LOG_ODDS = -30.0  # log-odds of a class without a labelled image
DECILES = 9
COLOURS = 3
VIEWS: tuple[Callable[[Tensor], Tensor], ...] = (  # of images (N, C, P, P)
    lambda images: images,
    lambda images: images.flip(3),
    lambda images: images.flip(2),
    lambda images: images.transpose(2, 3),
)


class FrozenImages(SlidingClassifier):
    """EfficientNet-Lite0 with fixed weights, followed by one linear layer that `fit_head` fits.

    Features are the means of the maps of all five levels, 512 numbers, averaged over views of the image. Images of more than three
    bands may add mean, standard deviation and deciles of each band, as the encoder was trained on three.

    input_px : side to which patches are enlarged first; None keeps their size
    views : 1, 2 or 4: the image unchanged, with its mirror image, and mirrored down and transposed as well
    weights : as of any encoder, by default the shipped weights
    bands : names of the bands; `band_statistics` refuses more than three bands among which red, green and blue are not known
    band_statistics
        Of more than three bands, only red, green and blue go to the encoder, and 11 statistics of each band are features, too. A
        network without names of bands takes the first three as red, green and blue until it loads the weights of a run.
    transformer : sizes of another encoder, `TransformerSizes` of the file that `weights` names; None: EfficientNet-Lite0
    colour_features
        A transformer that sees more bands than red, green and blue is joined by EfficientNet-Lite0 on these three, whose features
        come first, without band statistics. Without effect if a colour is unknown.
    month : 1 to 12, of all images, for encoders that know it; None: unknown
    published : factors and shifts (2, C) from bands as the recipe standardises them to bands as the transformer's authors did; None: unchanged
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        weights: str | None = None,
        bands: Sequence[str] = (),
        patch_px: int = 64,
        stride_px: int | None = None,
        input_px: int | None = None,
        views: int = 1,
        band_statistics: bool = False,
        transformer: Mapping[str, Any] | None = None,
        colour_features: bool = False,
        month: int | None = None,
        published: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__(patch_px, stride_px, 64)
        sizes = None if transformer is None else TransformerSizes(**transformer)
        self.band_statistics = band_statistics and in_channels > COLOURS
        seen = list(range(in_channels))
        if self.band_statistics and not (sizes and sizes.sees_all_bands):
            seen = _known_colours(bands) if bands else seen[:COLOURS]
        self.colours: Tensor
        self.register_buffer("colours", torch.tensor(seen) if self.band_statistics else None)
        self._dated = sizes is not None and sizes.is_dated  # sees images in their own size
        names, image_px = [bands[index] for index in seen] if bands else [], input_px or patch_px
        image_px = patch_px if self._dated else image_px
        if sizes is None:
            self.encoder: Any = EfficientNetLite0(len(seen))
            if weights is not None:
                load_pretrained(self.encoder, weights, bands=names)
        else:
            self.encoder = sizes.build(len(seen), image_px)
            if weights is not None:
                sizes.load(self.encoder, weights, names, sizes.patch_px * patch_px / image_px)
        self._join_colours(colour_features, sizes, seen, bands, weights)
        # measured with Galileo on 120 patches of EuroSAT: 89.8 % without, 87.5 % with them
        self.band_statistics = self.band_statistics and self.joined is None
        if month is not None and (sizes is None or not sizes.is_dated or not 1 <= month <= 12):
            raise InputError(
                f"frozen images got month={month}. Give 1 to 12 with an encoder of Galileo or Presto, or none."
            )
        self.encoder.month = month
        self.published: Tensor
        change = None if published is None else torch.tensor(published, dtype=torch.float32)[:, None, seen, None, None]
        self.register_buffer("published", change)
        if views not in (1, 2, len(VIEWS)):
            raise InputError(
                f"frozen images got views={views}. Choose 1, 2 or 4, model.options={{views: 2}} in a recipe."
            )
        self.input_px, self.views = input_px, views
        statistics = in_channels * (DECILES + 2) if self.band_statistics else 0
        width = sum(LEVEL_CHANNELS) if sizes is None else sizes.width
        more = 0 if self.joined is None else sum(LEVEL_CHANNELS)
        self.head = nn.Linear(width + more + statistics, num_classes)
        self.encoder.requires_grad_(requires_grad=False)

    def _join_colours(
        self,
        wanted: bool,
        sizes: TransformerSizes | None,
        seen: Sequence[int],
        bands: Sequence[str],
        weights: str | None,
    ) -> None:
        """Add EfficientNet-Lite0 on red, green and blue to a transformer that sees more bands, if it is `wanted`."""
        colours = colour_bands([bands[index] for index in seen], known=True) if bands else [*range(COLOURS)]
        fits = wanted and sizes is not None and sizes.sees_all_bands and len(seen) > COLOURS and len(colours) == COLOURS
        self.joined_colours: Tensor
        self.register_buffer("joined_colours", torch.tensor(colours) if fits else None)
        self.joined = EfficientNetLite0(COLOURS).requires_grad_(requires_grad=False) if fits else None
        if self.joined is not None and weights is not None:
            load_pretrained(self.joined, EncoderName.lite0, bands=[bands[seen[index]] for index in colours])

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of images. patches : (N, C, P, P) → (N, K)"""
        scores: Tensor = self.head(self.features(patches))
        return scores

    def features(self, patches: Tensor) -> Tensor:
        """Return the input of the last layer. patches : (N, C, P, P) → (N, 512), with `band_statistics` (N, 512 + 11 C)."""
        more = []
        if self.band_statistics:
            more, patches = [_band_statistics(patches)], patches[:, self.colours]
        own = patches
        if self.input_px is not None:
            patches = F.interpolate(patches, (self.input_px, self.input_px), mode="bicubic", align_corners=False)
        means = torch.stack([self._means(view(patches), view(own)) for view in VIEWS[: self.views]]).mean(dim=0)
        return torch.cat([means, *more], dim=1)

    def _means(self, patches: Tensor, own: Tensor) -> Tensor:
        """Return the means of the maps of all levels, or of a transformer's tokens, (N, D) of one view. own : in their own size"""
        if isinstance(self.encoder, EfficientNetLite0):
            return _level_means(self.encoder, patches)
        seen = own if self._dated else patches
        tokens: Tensor = self.encoder(seen if self.published is None else seen * self.published[0] + self.published[1])
        if self.joined is None:
            return tokens
        return torch.cat([_level_means(self.joined, patches[:, self.joined_colours]), tokens], dim=1)

    @torch.no_grad()
    def fit_head(self, features: Floats, targets: Mask, *, several: bool) -> None:
        """Fit the last layer to features (n, D) of labelled images and their labels (n, K). Errors: InputError without labels."""
        weight, bias = _fit_layer(features, targets, several=several)
        self.head.weight.copy_(torch.from_numpy(weight))
        self.head.bias.copy_(torch.from_numpy(bias))
        self.head.requires_grad_(requires_grad=False)  # no epoch follows

    @staticmethod
    def scores_without_own(features: Floats, targets: Mask, *, several: bool) -> Floats:
        """Logits (n, K) of images by last layers that are fitted, as by `fit_head`, without the fifth of the images that they score."""
        scores = np.zeros(targets.shape)
        fifth = np.random.default_rng(0).permutation(len(targets)) % FIFTHS
        for number in np.unique(fifth):
            own = fifth == number
            weight, bias = _fit_layer(features[~own], targets[~own], several=several)
            scores[own] = features[own] @ weight.T + bias
        return scores


def _level_means(encoder: EfficientNetLite0, images: Tensor) -> Tensor:
    return torch.cat([level.mean(dim=(2, 3)) for level in encoder(images)], dim=1)


def _known_colours(bands: Sequence[str]) -> list[int]:
    """Return the indices of red, green and blue. Errors: InputError if one of them is unknown."""
    colours = colour_bands(bands, known=True)
    if not colours:
        raise InputError(
            f"the bands {', '.join(bands)} do not state which are red, green and blue; band_statistics expected all three. Name the bands, "
            f"data.file_bands=[B02, B03, B04, …], or let the encoder see the mean of all: model.options={{band_statistics: false}}."
        )
    return colours


def _band_statistics(patches: Tensor) -> Tensor:
    """Mean, standard deviation and deciles of each band. patches : (N, C, P, P) → (N, 11 C), all means first."""
    values = patches.flatten(2).sort(dim=2).values
    position = torch.arange(1, DECILES + 1, device=values.device) * ((values.shape[2] - 1) / (DECILES + 1))
    below = position.floor().long()
    above = (below + 1).clamp(max=values.shape[2] - 1)
    deciles = values[:, :, below] + (position - below) * (values[:, :, above] - values[:, :, below])
    return torch.cat([values.mean(dim=2), values.std(dim=2, correction=0), deciles.flatten(1)], dim=1)


def _fit_layer(features: Floats, targets: Mask, *, several: bool) -> tuple[Floats, Floats]:
    """Weights (K, D) and biases (K,) of a last layer. Errors: InputError without labels."""
    if not len(targets) or not targets.any():
        raise InputError(f"{len(targets)} images have a label, at least one of each class is needed. Label some.")
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    scaled = (features - mean) / spread
    weight, bias = np.zeros((targets.shape[1], features.shape[1])), np.full(targets.shape[1], NEVER_LOG_ODDS)
    if several:
        for number, present in enumerate(targets.T):
            if present.all():
                bias[number] = -NEVER_LOG_ODDS
            elif present.any():
                (_, weight[number]), (_, bias[number]) = _regression(scaled, present.astype(int))
    else:
        labels = targets.argmax(axis=1)
        there = np.unique(labels)
        bias[there] = 0.0
        if len(there) > 1:
            weight[there], bias[there] = _regression(scaled, labels)
    return weight / spread, bias - (weight / spread) @ mean


def _regression(features: Floats, labels: Indices) -> tuple[Floats, Floats]:
    """Weights (K, D) and intercepts (K,) of the classes that occur, two at least.

    A logistic regression or a linear discriminant with a shrunk covariance (Ledoit and Wolf 2004) gives them, whichever has the better
    log loss on images that it has not learnt.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    if np.unique(labels, return_counts=True)[1].min() < FOLDS:
        return _layer_of(LogisticRegression(C=USUAL, max_iter=STEPS).fit(features, labels))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    model = LogisticRegression(max_iter=STEPS)
    search: Any = GridSearchCV(model, {"C": STRENGTHS}, scoring="neg_log_loss", cv=folds).fit(features, labels)
    loss, softening, discriminant = _discriminant(features, labels, folds)
    if loss < -search.best_score_:
        log.info("a linear discriminant, its log-odds times %g: log loss %.3f", softening, loss)
        weight, bias = _layer_of(discriminant)
        return softening * weight, softening * bias
    log.info("a logistic regression of strength %g: log loss %.3f", search.best_estimator_.C, -search.best_score_)
    return _layer_of(search.best_estimator_)


def _discriminant(features: Floats, labels: Indices, folds: Any) -> tuple[float, float, Any]:
    """Log loss by folds, factor of the log-odds, and the discriminant that is fitted to all."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import log_loss
    from sklearn.model_selection import cross_val_predict

    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    odds = cross_val_predict(model, features, labels, cv=folds, method="decision_function")
    odds = odds if odds.ndim == 2 else np.stack([0 * odds, odds], axis=1)
    losses = [log_loss(labels, softmax(factor * odds, axis=1)) for factor in SOFTENINGS]
    best = int(np.argmin(losses))
    return float(losses[best]), SOFTENINGS[best], model.fit(features, labels)


def _layer_of(fitted: Any) -> tuple[Floats, Floats]:
    """Weights (K, D) and intercepts (K,) of a linear model; with two classes the first has zeros."""
    if len(fitted.coef_) > 1:
        return fitted.coef_, fitted.intercept_
    return np.stack([0 * fitted.coef_[0], fitted.coef_[0]]), np.array([0.0, fitted.intercept_[0]])
