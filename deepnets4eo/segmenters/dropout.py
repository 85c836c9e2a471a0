"""The mean and spread of many passes of a network whose dropout stays on (Gal and Ghahramani 2016).

What comes before the first dropout is computed once. A pass leaves out the same units in all tiles, so that they fit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from deepnets4eo.arrays import Batch, FloatImage
from deepnets4eo.cards import Legend
from deepnets4eo.device import TORCH, Compute
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.segmenter import NetworkSegmenter, Segmenter
from deepnets4eo.segmenters.wrapped import WrappedSegmenter, restore_nested
from deepnets4eo.tiling import Tiling, map_classes, probabilities

WHOLE_MAPS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)  # these leave out channels, nn.Dropout single values
MIN_PROBABILITY = torch.finfo(torch.float32).tiny


class DropoutSegmenter(WrappedSegmenter):
    """A network whose dropout stays on in `passes` passes: the mean of classes and values, and `factor` times the deviation."""

    kind = "dropout"
    saved_arguments: ClassVar[tuple[str, ...]] = ("passes", "factor")

    def __init__(
        self, segmenter: Segmenter, passes: int = 0, factor: float = 1.0, *, tiling: Tiling | None = None
    ) -> None:
        if not isinstance(segmenter, NetworkSegmenter):
            raise InputError(
                f"dropout_passes and deviation_factor are for a network; the run is of the kind {segmenter.kind!r}."
            )
        super().__init__([segmenter], segmenter.halo_px, tiling)
        quantity = self.legend.quantity
        if factor <= 0 or (factor != 1 and (quantity is None or not (passes or quantity.deviation))):
            raise InputError(
                f"deviation_factor={factor:g} multiplies the deviations of values, above 0; expected a run that estimates them, or "
                "--set dropout_passes=30 with one of values."
            )
        self.passes, self.factor = passes, factor
        self._sampled = copy(segmenter)
        if passes:
            self._sampled.module = DropoutPasses(segmenter.module, passes=passes, num_classes=self.legend.num_classes)
            if quantity is not None:
                self.legend = replace(self.legend, quantity=replace(quantity, deviation=True))
        self._sampled.legend = self.legend

    def predict_raw(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Logarithms of the mean probabilities, then mean and deviation of the values, (N, K, h, w) float32."""
        scores = self._sampled.predict_raw(batch, margin_px=margin_px)
        if self.factor != 1:
            scores[:, -1] *= self.factor
        return scores

    def predict_proba(self, batch: Batch, *, margin_px: int = 0) -> FloatImage:
        """Return the mean probabilities, then mean and deviation of the values, (N, K, h, w) float32."""
        scores, count = self.predict_raw(batch, margin_px=margin_px), self.legend.num_classes
        return map_classes(lambda logits: probabilities(logits, axis=1), scores, count, axis=1)

    @property
    def compiles(self) -> bool:
        """Return whether runtimes other than PyTorch can compute the segmenter: not if passes draw random dropouts."""
        return not self.passes and super().compiles

    def to(self, compute: Compute) -> None:
        """Move the network to a device, precision and runtime."""
        self._sampled.to(compute if self.compiles else compute.by(TORCH))

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> DropoutSegmenter:
        """Restore the segmenter that `save` wrote. Errors: RunError if the network cannot be rebuilt."""
        inner = description["inner"]
        channels = inner["segmenter"]["network"]["num_classes"]
        if legend.quantity is not None and channels < legend.num_channels:
            legend = replace(legend, quantity=replace(legend.quantity, deviation=False))
        segmenter = restore_nested(folder, inner, inputs, legend)
        return cls(segmenter, description["passes"], description["factor"], tiling=tiling)


class DropoutPasses(nn.Module):
    """A network (N, C, H, W) → (N, K, H, W) with the mean of its passes in place of its output; InputError without dropout."""

    def __init__(self, network: nn.Module, *, passes: int, num_classes: int = 0, seed: int = 0) -> None:
        super().__init__()
        if passes < 2:
            raise InputError(
                f"dropout_passes={passes}; expected at least 2, such as 30, or 0 for one pass without dropout."
            )
        self.network, self.passes, self.num_classes, self.seed = network, passes, num_classes, seed
        kinds = (nn.Dropout, *WHOLE_MAPS)
        self.dropouts: list[Any] = [part for part in network.modules() if isinstance(part, kinds) and part.p > 0]
        if not self.dropouts:
            raise InputError(
                f"dropout_passes={passes}, but the network {type(network).__name__} has no dropout. Train one that has, such as d3net "
                "or fpn, or estimate deviations by target.deviation=true."
            )

    def forward(self, image: Tensor) -> Tensor:
        """Return log mean probabilities, then the quantity's mean and its deviation among and within the passes."""
        start = _Start(self.dropouts)
        with start.record(self.network):
            total = _PassSums(self._outputs(image, 0), self.num_classes)
        for number in range(1, self.passes):
            with start.replay():
                total.add(self._outputs(image, number))
        return total.result(self.passes)

    def _outputs(self, image: Tensor, number: int) -> Tensor:
        generator = torch.Generator(image.device).manual_seed(self.seed * self.passes + number)
        with _forwards({dropout: _masked(dropout, generator) for dropout in self.dropouts}):
            output: Tensor = self.network(image)
        return output.float()


class _PassSums:
    """Sums over passes of probabilities, values, their squares and their variances."""

    def __init__(self, first: Tensor, num_classes: int) -> None:
        self.num_classes = num_classes
        self.classes, self.shift = self._classes(first), first[:, num_classes : num_classes + 1]
        self.values, self.squares = torch.zeros_like(self.shift), torch.zeros_like(self.shift)
        self.variance = first[:, num_classes + 1 :].square()

    def add(self, output: Tensor) -> None:
        self.classes += self._classes(output)
        apart = output[:, self.num_classes : self.num_classes + 1] - self.shift  # of the first pass: keeps digits
        self.values += apart
        self.squares += apart.square()
        self.variance += output[:, self.num_classes + 1 :].square()

    def result(self, passes: int) -> Tensor:
        classes = (self.classes / passes).clamp_min(MIN_PROBABILITY).log()
        mean = self.values / passes
        among = (self.squares / passes - mean.square()).clamp_min(0) * (passes / (passes - 1))
        own = self.variance.sum(dim=1, keepdim=True) / passes
        return torch.cat([classes, self.shift + mean, (among + own).sqrt()], dim=1)

    def _classes(self, output: Tensor) -> Tensor:
        return output[:, : self.num_classes].softmax(dim=1)


class _Start:
    """Computations of a network before its first dropout: the results of the outermost modules that ended by then, in their order."""

    def __init__(self, dropouts: Sequence[nn.Module]) -> None:
        self.dropouts, self.ended = dropouts, False
        self._begun: list[int] = []
        self.results: list[tuple[nn.Module, Any]] = []

    @contextmanager
    def record(self, network: nn.Module) -> Iterator[None]:
        """Within the context a pass of the network is recorded."""
        with ExitStack() as stack:
            for module in network.modules():
                stack.callback(module.register_forward_pre_hook(self._on_begin).remove)
                stack.callback(module.register_forward_hook(self._on_end).remove)
            yield

    @contextmanager
    def replay(self) -> Iterator[None]:
        """Within the context the recorded modules return what they did."""
        kept: dict[nn.Module, deque[Any]] = {}
        for module, result in self.results:
            kept.setdefault(module, deque()).append(result)
        with _forwards({module: _remembered(module, results) for module, results in kept.items()}):
            yield

    def _on_begin(self, module: nn.Module, _: Any) -> None:
        self.ended = self.ended or module in self.dropouts
        self._begun.append(len(self.results))

    def _on_end(self, module: nn.Module, _: Any, result: Any) -> None:
        first = self._begun.pop()
        if not self.ended:
            self.results[first:] = [(module, result)]  # in place of those of its parts


def _remembered(module: nn.Module, results: deque[Any]) -> Callable[..., Any]:
    forward = module.forward

    def first_remembered(*args: Any, **kwargs: Any) -> Any:
        return results.popleft() if results else forward(*args, **kwargs)

    return first_remembered


def _masked(dropout: Any, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Return a dropout that omits the same units of every image of a batch, and never works in place."""

    def forward(values: Tensor) -> Tensor:
        ones = [1] * (values.ndim - 2)
        shape = [1, values.shape[1], *(ones if isinstance(dropout, WHOLE_MAPS) else values.shape[2:])]
        kept = torch.rand(shape, generator=generator, device=values.device) >= dropout.p
        return values * (kept / (1 - dropout.p)).to(values.dtype)

    return forward


@contextmanager
def _forwards(forwards: dict[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Within the context modules compute as given."""
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module in forwards:
            del vars(module)["forward"]
