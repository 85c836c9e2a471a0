"""Loss of segmentation: named losses, weighted and summed, excluding void and invalid pixels.

Takes logits (N, K, H, W), also several, main ones first, and mask (N, H, W), void 255; batches without pixels cost 0.
A part with `extra_loss(mask)` adds to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.training.data import Sample, to_tensors
from deepnets4eo.training.ranks import Rank
from deepnets4eo.training.recipe import ON_FEATURES, LossName, TrainSection

Batch = Mapping[str, Tensor]
CHANGE = "change"


class SegmentationCriterion:
    """The loss of a batch's logits, and scores over a validation set; `pixels` (K,) are training pixels of each class."""

    def __init__(self, train: TrainSection, legend: Legend, layers: Sequence[str], pixels: Sequence[int]) -> None:
        self.layers, self.num_classes = list(layers), legend.num_classes
        self.monitor = class_of_monitor(train, legend)
        of_scores = {name: weight for name, weight in train.losses.items() if name != ON_FEATURES}
        self.loss = SumOfLosses(of_scores, class_weights(train, legend, pixels))

    def step(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of one batch, () float32."""
        return self._evaluate(network, batch)[0]

    def validate(self, network: nn.Module, batches: Iterable[Sample]) -> dict[str, float]:
        """Mean loss over the batches that have labels, and scores of one confusion matrix: the overall ones, and the F1 monitored."""
        device, losses = next(network.parameters()).device, []
        counts = torch.zeros(self.num_classes**2 + 1, dtype=torch.int64, device=device)
        for batch in batches:
            moved = {name: layer.to(device, non_blocking=True) for name, layer in to_tensors(batch).items()}
            loss, logits = self._evaluate(network, moved)
            if bool(((batch["mask"] != VOID) & batch["valid"]).any()):  # NumPy's: nothing waits for the device
                losses.append(loss)
            self._count(counts, moved["mask"], logits)
        matrix = ConfusionMatrix.from_matrix(counts[:-1].reshape(self.num_classes, self.num_classes).cpu().numpy())
        mean = sum(torch.stack(losses).tolist()) / len(losses) if losses else 0.0
        names = ("overall_accuracy", "kappa", "mean_f1", "mean_iou")
        of_class = {name: float(matrix.f1[index]) for name, index in self.monitor.items()}
        return {"val_loss": mean} | {name: getattr(matrix, name) for name in names} | of_class

    def _count(self, counts: Tensor, mask: Tensor, logits: Tensor) -> None:
        """Add (reference, prediction) pairs to counts (K² + 1,) on the device; the last of them is for void."""
        pairs = mask.long() * self.num_classes + logits.argmax(dim=1)
        pairs = pairs.masked_fill_(mask == VOID, len(counts) - 1).flatten()
        counts.index_add_(0, pairs, torch.ones_like(pairs))

    def _evaluate(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        output = network(torch.cat([batch[name] for name in self.layers], dim=1))
        target = batch["mask"].long()  # bytes until here: an eighth of the way to a GPU
        mask = target.masked_fill(~batch["valid"], VOID)
        return loss_of_scores(network, self.loss, output, mask), output[0] if isinstance(output, tuple) else output


def loss_of_scores(network: nn.Module, loss: nn.Module, output: Tensor | tuple[Tensor, ...], mask: Tensor) -> Tensor:
    """Return the loss () of all scores (N, K[, H, W]) of a network by mask (N[, H, W]), void 255, and its `extra_loss`."""
    several = output if isinstance(output, tuple) else (output,)
    loss.to(several[0].device)
    losses = [loss(scores, mask) for scores in several]
    if network.training:
        extra: list[Any] = [part for part in network.modules() if hasattr(part, "extra_loss")]
        losses += [part.extra_loss(mask) for part in extra]
    return torch.stack(losses).sum()


def class_of_monitor(train: TrainSection, legend: Legend) -> dict[str, int]:
    """Return the score `f1.CLASS` that a recipe monitors and its class index; empty for others. Errors: LabelError for an unknown class."""
    _, dot, name = train.monitor.partition(".")
    return {train.monitor: legend.index(name)} if dot else {}


def class_weights(train: TrainSection, legend: Legend, pixels: Sequence[int]) -> list[float] | None:
    """Return factors (K,) on the loss of each class; None if the recipe has none. Errors: LabelError for unknown names."""
    if train.class_weighting == "none" and not train.class_weights:
        return None
    weights = median_frequency(pixels) if train.class_weighting == "median_frequency" else [1.0] * legend.num_classes
    for name, factor in train.class_weights.items():
        weights[legend.index(name)] *= factor
    return weights


class CrossEntropy(nn.Module):
    """Mean of -w[y] log p[y] over counted pixels by the sum of weights; with `over_ranks` by the mean of all processes' sums."""

    def __init__(self, class_weights: Tensor | None = None, *, over_ranks: bool = False) -> None:
        super().__init__()
        self.over_ranks = over_ranks
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """logits : (N, K[, H, W]) float32 · mask : (N[, H, W]) int64, void 255 · returns : () float32."""
        weight = self.class_weights if isinstance(self.class_weights, Tensor) else None
        total = F.cross_entropy(logits, mask, weight=weight, ignore_index=VOID, reduction="sum")
        counted = mask != VOID
        if weight is None:
            share = counted.sum().to(logits.dtype)
        else:
            met = weight[mask.clamp_max(len(weight) - 1)]
            share = (met[counted] if mask.is_cpu else met * counted).sum()  # a GPU would wait to count what is picked
        if self.over_ranks and torch.is_grad_enabled():  # the first process validates alone
            share = Rank.current().mean(share)
        return total / share.clamp_min(torch.finfo(logits.dtype).tiny)


class WeightedLoss(nn.Module):
    """A loss whose classes may weigh differently; class_weights : (K,) float32, on the device of the network."""

    def __init__(self, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights, persistent=False)


class Lovasz(WeightedLoss):
    """Lovász-Softmax (Berman 2018): the extended Jaccard loss of each class that is present, and their weighted mean."""

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """See `CrossEntropy.forward`."""
        counted, labels = (mask != VOID).flatten(), mask.flatten()
        probabilities = logits.softmax(dim=1)
        total, present = logits.new_zeros(()), logits.new_zeros(())
        for index in range(logits.shape[1]):
            truth = labels == index
            met = truth.any().to(logits.dtype)
            if isinstance(self.class_weights, Tensor):
                met = met * self.class_weights[index]
            total = total + met * _jaccard_loss(probabilities[:, index].flatten(), truth, counted)
            present = present + met
        return total / present.clamp_min(torch.finfo(logits.dtype).tiny)


def _jaccard_loss(probability: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    """Lovász extension of one class's Jaccard loss; each of (P,). Pixels not counted are sorted behind all others."""
    errors = (truth.to(probability.dtype) - probability).abs().masked_fill(~counted, -1)
    errors, order = errors.sort(descending=True)
    positives = truth[order].to(errors.dtype)
    number = positives.sum()
    losses = 1 - (number - positives.cumsum(0)) / (number + (1 - positives).cumsum(0))
    return torch.dot(errors.clamp_min(0), torch.diff(losses, prepend=losses.new_zeros(1)))


class Focal(WeightedLoss):
    """Focal loss (Lin 2017) of each class against all others, (1 − p)² · −log p, and their weighted mean."""

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """See `CrossEntropy.forward`."""
        counted, number = (mask != VOID).flatten(), (mask != VOID).sum().clamp_min(1)
        labels, losses = mask.flatten(), []
        for index in range(logits.shape[1]):
            score, truth = logits[:, index].flatten(), (labels == index).to(logits.dtype)
            surprise = F.binary_cross_entropy_with_logits(score, truth, reduction="none")
            losses.append(((1 - torch.exp(-surprise)).square() * surprise * counted).sum() / number)
        if isinstance(self.class_weights, Tensor):
            return (torch.stack(losses) * self.class_weights).sum() / self.class_weights.sum()
        return torch.stack(losses).mean()


class Uniform(WeightedLoss):
    """Mean over all classes of −log p; 0.9 cross_entropy and 0.1 of this is label smoothing by 0.1 (Szegedy et al., CVPR 2016)."""

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """See `CrossEntropy.forward`; classes have no weights."""
        return _mean_over(-logits.log_softmax(dim=1).mean(dim=1), mask != VOID)


class Entropy(WeightedLoss):
    """Entropy of the probabilities; 0.95 cross_entropy and 0.05 of this is soft bootstrapping (Reed et al., ICLR 2015 workshop)."""

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """See `CrossEntropy.forward`; classes have no weights."""
        logs = logits.log_softmax(dim=1)
        return _mean_over(-(logs.exp() * logs).sum(dim=1), mask != VOID)


def _mean_over(losses: Tensor, counted: Tensor) -> Tensor:
    return (losses * counted).sum() / counted_pixels(counted.to(losses.dtype))


def _dice(class_weights: Tensor | None) -> nn.Module:
    """Dice from smp, which takes seconds to import; its weights become a buffer, else each step would copy them to the
    device and wait."""
    import segmentation_models_pytorch as smp

    dice = smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, ignore_index=VOID)
    del dice.class_weights
    dice.register_buffer("class_weights", class_weights, persistent=False)
    return dice


def _build(name: str, class_weights: Tensor | None) -> nn.Module:
    """One loss by name."""
    match name:
        case "cross_entropy":
            return CrossEntropy(class_weights, over_ranks=True)
        case "dice":
            return _dice(class_weights)
        case "lovasz":
            return Lovasz(class_weights)
        case "focal":
            return Focal(class_weights)
        case "uniform":
            return Uniform(class_weights)
        case "entropy":
            return Entropy(class_weights)
        case "contrastive":
            raise InputError(
                "loss contrastive compares features of two dates, which this training does not have apart. Use it with the "
                "task segmentation and a Siamese network, e.g. fc-siam-diff, or leave it out."
            )
    raise InputError(f"loss {name!r} is unknown. Choose from {', '.join(get_args(LossName))}.")


class SumOfLosses(nn.Module):
    """Weighted sum of named losses over the pixels that are valid and not void."""

    def __init__(self, losses: Mapping[Any, float], class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.weights = {name: weight for name, weight in losses.items() if weight > 0}
        self.parts = nn.ModuleDict({name: _build(name, weights) for name in self.weights})

    def forward(self, logits: Tensor, mask: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the loss () of logits (N, K[, H, W]) and mask (N[, H, W]), void 255, over valid pixels, in float32."""
        logits = logits.float()
        counted = mask != VOID if valid is None else (mask != VOID) & valid
        mask = mask.masked_fill(~counted, VOID)
        return torch.stack([self.weights[name] * part(logits, mask) for name, part in self.parts.items()]).sum()


def median_frequency(pixels: Sequence[int] | Tensor) -> list[float]:
    """Class weights median(f)/f_c from pixel counts (Eigen and Fergus 2015); classes never met weigh 0."""
    counts = torch.as_tensor(pixels, dtype=torch.float64)
    present = counts > 0
    if not bool(present.any()):
        raise InputError("no training pixel carries a label, so classes cannot be weighed. Check labels and void.")
    median = counts[present].quantile(0.5)
    return torch.where(present, median / counts.clamp_min(1), torch.zeros_like(counts)).tolist()


class FeatureContrast(nn.Module):
    """Measures how far the features of two dates are apart in training, and the loss of that; it has no weights."""

    def __init__(self, weight: float = 1.0, margin: float = 2.0, change_index: int = 1) -> None:
        super().__init__()
        self.weight, self.margin, self.change_index = weight, margin, change_index
        self.distances: list[Tensor] = []

    def forward(self, levels: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Remember the distances of a batch in training. levels : features of pre and post, (N, C, h, w) each"""
        if self.training:
            self.distances = [
                torch.linalg.vector_norm(post.float() - pre.float(), dim=1, keepdim=True) for pre, post in levels
            ]

    def extra_loss(self, mask: Tensor) -> Tensor:
        """Return the weight times the mean loss of the last batch's levels for a mask (N, H, W); each batch is compared once."""
        if not self.distances:
            raise InputError(
                "the contrastive loss has no features yet. Run the network on a batch in training mode first."
            )
        distances, self.distances = self.distances, []
        size = (int(mask.shape[1]), int(mask.shape[2]))
        losses = [
            contrastive_loss(_resize(distance, size)[:, 0], mask, margin=self.margin, change_index=self.change_index)
            for distance in distances
        ]
        return self.weight * torch.stack(losses).mean()


def contrastive_loss(distances: Tensor, mask: Tensor, *, margin: float = 2.0, change_index: int = 1) -> Tensor:
    """Compute the batch-balanced contrastive loss of distances (N, H, W) and a mask of 0, 1 and void."""
    changed = (mask == change_index).to(distances.dtype)
    unchanged = ((mask != change_index) & (mask != VOID)).to(distances.dtype)
    near = (unchanged * distances.square()).sum() / counted_pixels(unchanged)
    apart = (changed * F.relu(margin - distances).square()).sum() / counted_pixels(changed)
    return (near + apart) / 2


def set_contrastive_loss(network: nn.Module, train: TrainSection, legend: Legend) -> None:
    """Let a Siamese network measure its features' distance if `losses` have "contrastive"; InputError if it cannot."""
    weight = sum(value for name, value in train.losses.items() if name == ON_FEATURES)
    if weight <= 0:
        return
    names = [name.casefold() for name in legend.names]
    if len(names) != 2 or CHANGE not in names:
        raise InputError(
            f"train.losses has contrastive, which is defined for no change and change; the legend {legend.name!r} has "
            f"{', '.join(legend.names)}. Set legend: change, or leave contrastive out."
        )
    parts: Sequence[Any] = [part for part in network.modules() if hasattr(part, "contrast")]
    if not parts:
        raise InputError(
            f"train.losses has contrastive, which compares the features of two dates, but {type(network).__name__} has none "
            "apart. Choose fc-siam-conc, fc-siam-diff or change-encoder, or leave contrastive out."
        )
    for part in parts:
        part.contrast = FeatureContrast(weight, train.contrastive_margin, names.index(CHANGE))


def _resize(distances: Tensor, size: tuple[int, int]) -> Tensor:
    if (int(distances.shape[2]), int(distances.shape[3])) == size:
        return distances
    return F.interpolate(distances, size, mode="bilinear", align_corners=False)


def counted_pixels(pixels: Tensor) -> Tensor:
    """Return the number of pixels, at least 1; if several processes share one batch, return their mean, as in cross-entropy."""
    number = pixels.sum()
    if torch.is_grad_enabled():
        number = Rank.current().mean(number)
    return number.clamp_min(1)
