"""Where a person's next click helps most: measures of what a network does not know yet, behind one function.

Takes a session of clicks; returns a pixel amid a neighbourhood that the measure is largest over, away from every click. Entropy and
margin come with the labels; disagreement takes further passes, unlikeness those features that the last layer sees, and confidence a
head that learnt from labelled windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np

from deepnets4eo.arrays import Batch, ByteImage, FloatImage, Mask
from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError
from deepnets4eo.prediction.click_session import ClickSession
from deepnets4eo.prediction.clicked_scene import network_of
from deepnets4eo.prediction.options import Measure
from deepnets4eo.rasters.scene import LABELS
from deepnets4eo.segmenters.clicks import RADIUS_PX
from deepnets4eo.segmenters.ensemble import VIEWS, turned_proba
from deepnets4eo.segmenters.networks import last_layer
from deepnets4eo.segmenters.run import Run
from deepnets4eo.segmenters.segmenter import STRIDE_PX, NetworkSegmenter
from deepnets4eo.tiling.sampling import spread_windows
from deepnets4eo.tiling.scores import entropy

if TYPE_CHECKING:
    from torch import Tensor, nn

PASSES = 8  # with dropout; without it the eight views of the square
HIDDEN, STEPS = 32, 300  # channels of the head of confidence, and steps of its training
WINDOWS, WINDOW_PX = 64, 128  # that it learns from, about


def next_click(
    session: ClickSession, measure: Measure = "entropy", confidence: nn.Module | None = None, where: Mask | None = None
) -> tuple[int, int]:
    """Where a person should click next.

    Parameters
    ----------
    session : ClickSession
        The scene with the clicks so far; not changed.
    measure : str
        "entropy" of the classes; "margin" between the two best ones; "bald": the entropy of the mean of several passes less their mean
        entropy (Houlsby et al. 2011), with dropout where the network has any, else over the eight views of the square; "core-set":
        what is farthest in features from everything clicked (Sener and Savarese 2018); "confidence": where `confidence` expects the lowest
        probability of the true class (ConfidNet, Corbière et al. 2019).
    confidence : Module | None
        The head of `fit_confidence`.
    where : (H, W) bool
        Pixels to choose from, by default all.

    Returns
    -------
    (int, int)
        Row and column, farther than ten pixels from every click.

    Raises
    ------
    InputError
        An unknown measure, or "confidence" without a head.

    Examples
    --------
    ```python
    row, col = next_click(session, "margin")
    ```
    """
    from scipy.ndimage import uniform_filter

    if measure not in get_args(Measure) or (measure == "confidence" and confidence is None):
        raise InputError(
            f"the next click is chosen by {measure!r}; expected one of {', '.join(get_args(Measure))}, the last with a head of `fit_confidence`."
        )
    worth = _worth(session, measure, confidence)
    worth = uniform_filter(worth, 2 * RADIUS_PX + 1, mode="constant", cval=float(worth.min()))
    if where is not None:
        worth[~where] = -np.inf
    for row, col in session.clicks.pixels:
        rows, cols = (slice(max(at - 2 * RADIUS_PX, 0), at + 2 * RADIUS_PX + 1) for at in (row, col))
        worth[rows, cols] = -np.inf
    row, col = divmod(int(worth.argmax()), worth.shape[1])
    return row, col


def _worth(session: ClickSession, measure: Measure, confidence: nn.Module | None) -> FloatImage:
    """(h, w), the larger the better."""
    if measure == "margin":
        best = np.partition(session.probabilities, -2, axis=0)[-2:]
        return 1 - (best[1] - best[0])
    if measure == "bald":
        passes = np.stack(_passes(session))
        return entropy(passes.mean(axis=0)) - np.mean([entropy(one) for one in passes], axis=0)
    if measure == "core-set":
        return _unlikeness(session)
    if measure == "confidence" and confidence is not None:
        import torch

        with torch.inference_mode():
            return np.asarray(-confidence(last_features(session.segmenter, session.batch()))[0, 0].sigmoid().numpy())
    return entropy(session.probabilities)


def _passes(session: ClickSession) -> list[FloatImage]:
    """Probabilities (K, h, w) of passes that differ: by dropout, or by the view."""
    from deepnets4eo.segmenters.dropout import dropouts_of

    segmenter, image = session.segmenter, session.batch()
    dropouts = dropouts_of(segmenter.module)
    if dropouts:
        for part in dropouts:
            part.train()
        passes = [segmenter.predict_proba(image)[0] for _ in range(PASSES)]
        for part in dropouts:
            part.eval()
        return passes
    return [turned_proba(segmenter, image, turns, mirrored=mirrored)[0] for turns, mirrored in VIEWS["turns"]]


def _unlikeness(session: ClickSession) -> FloatImage:
    """(h, w) distance in features from the most alike click; without a click the likeness to the mean, so that the usual comes first."""
    from scipy.ndimage import uniform_filter

    features = last_features(session.segmenter, session.batch())[0].numpy()
    features = uniform_filter(features, (0, 2 * RADIUS_PX + 1, 2 * RADIUS_PX + 1), mode="nearest")
    clicks = session.clicks
    known = features[:, clicks.rows, clicks.cols].T if len(clicks) else features.mean(axis=(1, 2))[None]
    nearest = np.full(features.shape[1:], np.inf, np.float32)
    for one in known:
        np.minimum(nearest, np.square(features - one[:, None, None]).sum(axis=0), out=nearest)
    return nearest if len(clicks) else -nearest


def last_features(segmenter: NetworkSegmenter, batch: Batch) -> Tensor:
    """Features that the last layer of a network sees.

    Parameters
    ----------
    segmenter : NetworkSegmenter
        On the CPU or a GPU.
    batch : (N, C, h, w) float32
        Prepared.

    Returns
    -------
    (N, D, h, w) float32 tensor
        On the CPU; brought to the size of the image where they are coarser.

    Raises
    ------
    InputError
        The network does not end in a convolution with a channel for each class.
    """
    import torch
    import torch.nn.functional as F

    seen: list[Tensor] = []
    layer = last_layer(segmenter.module, segmenter.legend.num_classes)[1]
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        segmenter.predict_raw(batch)
    finally:
        handle.remove()
    height, width = batch.shape[2:]
    whole = [-(-side // STRIDE_PX) * STRIDE_PX for side in (height, width)]  # padded for the network
    with torch.inference_mode():
        features = seen[-1].float().cpu()
        if list(features.shape[2:]) not in (whole, [height, width]):
            features = F.interpolate(features, whole, mode="bilinear", align_corners=False)
        return features[:, :, :height, :width]


def fit_confidence(run: Run, seed: int = 0) -> nn.Module:
    """Teach a small head how probable the true class is to a run's network, on windows of what the run learnt from.

    ConfidNet (Corbière et al. 2019): the network stays as it is, and the head sees what its last layer sees. Windows show no clicks.

    Parameters
    ----------
    run : Run
        The run of one network for labels.
    seed : int
        The seed of the head's first weights and of the order.

    Returns
    -------
    Module
        (N, D, h, w) features of `last_features` → (N, 1, h, w) logits of the probability.

    Raises
    ------
    InputError
        The run is of another kind, or the scenes of its recipe cannot be opened any more.

    Examples
    --------
    ```python
    row, col = next_click(session, "confidence", fit_confidence(run))
    ```
    """
    from deepnets4eo.training.recipe import Recipe, resolve
    from deepnets4eo.training.segmentation import open_labelled

    segmenter = network_of(run)
    try:
        _, scenes = open_labelled(resolve(run.recipe, kind=Recipe))
    except InputError as error:
        raise InputError(f"confidence learns from what {run.folder} learnt from: {error}") from error
    images, masks = [], []
    for one in scenes:
        scene = one.with_labels_where(lambda window: np.ones((window.height, window.width), bool))
        for window in spread_windows(scene.shape, (WINDOW_PX, WINDOW_PX), math.ceil(math.sqrt(WINDOWS / len(scenes)))):
            sample = scene.read(window)
            masks.append(segmenter.legend.to_index()[sample.pop(LABELS)])
            images.append(segmenter.inputs.prepare(sample))
    return learn_confidence(segmenter, images, masks, STEPS, seed)


def learn_confidence(
    segmenter: NetworkSegmenter,
    images: Sequence[FloatImage],
    masks: Sequence[ByteImage],
    steps: int,
    seed: int = 0,
) -> nn.Module:
    """The head of `fit_confidence`, from prepared windows (C, h, w) and their classes (h, w), void 255; a step takes one of them."""
    import torch
    from torch import nn

    if not any((mask != VOID).any() for mask in masks):
        raise InputError("no pixel has a class to learn confidence from. Give labelled windows.")
    pairs = [_features_and_truth(segmenter, image[None], mask) for image, mask in zip(images, masks, strict=True)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Sequential(
            nn.BatchNorm2d(pairs[0][0].shape[1], affine=False), nn.Conv2d(pairs[0][0].shape[1], HIDDEN, 3, padding=1), nn.ReLU(),
            nn.Conv2d(HIDDEN, 1, 1),
        )  # fmt: skip
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    for number in np.random.default_rng(seed).integers(len(pairs), size=steps):
        features, truth = pairs[number]
        known = ~truth.isnan()
        if not known.any():
            continue
        loss = (head(features)[0, 0].sigmoid()[known] - truth[known]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head.eval()


def _features_and_truth(segmenter: NetworkSegmenter, image: Batch, mask: ByteImage) -> tuple[Tensor, Tensor]:
    """Features (1, D, h, w) of a window, and (h, w) the probability of the true class, NaN where it is void."""
    import torch

    features = last_features(segmenter, image).clone()
    proba, known = segmenter.predict_proba(image)[0], mask != VOID
    truth = np.take_along_axis(proba, np.where(known, mask, 0)[None].astype(np.intp), axis=0)[0]
    return features, torch.from_numpy(np.where(known, truth, np.float32(np.nan)).astype(np.float32))
