"""Random flips, quarter turns, changes of light, missing layers and clicks, on samples of scaled layers, channels first.

All layers of a sample turn together; only images change their light; invalid pixels, and missing layers, are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from deepnets4eo.grid import Window
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.segmenters.clicks import ClickDisc, draw_clicks

Sample = dict[str, Tensor]

MASK, VALID = "mask", "valid"


@dataclass(frozen=True)
class Augmentation:
    """Allowed changes of a sample: flips, quarter turns, light, clicks, and omitted layers.

    Flips are along either side, or only left-right; light changes in standard deviations; layers are omitted by share of samples."""

    flips: bool | Literal["left-right"] = True
    rotations: bool = True
    photometric: float = 0.0
    missing: Mapping[str, float] = field(default_factory=dict)
    clicks: int = 0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return a new sample; the same generator state gives the same sample."""
        sample = rotate(sample, quarter_turns=int(rng.integers(4)) if self.rotations else 0)
        if self.flips:
            rows, cols = bool(rng.integers(2)), bool(rng.integers(2))
            sample = mirror(sample, rows=rows and self.flips is True, cols=cols)
        if self.photometric > 0:
            sample = relit(sample, self.photometric, rng)
        sample = without_layers(sample, self.missing, rng) if self.missing else sample
        return with_drawn_clicks(sample, self.clicks, rng) if self.clicks else sample


def rotate(sample: Sample, *, quarter_turns: int) -> Sample:
    """All layers turned counter-clockwise; a rectangle changes its shape with odd turns."""
    if quarter_turns % 4 == 0:
        return sample
    return {name: torch.rot90(layer, quarter_turns, dims=(-2, -1)).contiguous() for name, layer in sample.items()}


def mirror(sample: Sample, *, rows: bool, cols: bool) -> Sample:
    """All layers mirrored up-down (rows) and left-right (cols)."""
    dims = [axis for axis, wanted in ((-2, rows), (-1, cols)) if wanted]
    return {name: torch.flip(layer, dims) for name, layer in sample.items()} if dims else sample


def relit(sample: Sample, strength: float, rng: np.random.Generator) -> Sample:
    """Return images with a gain and offset for all bands, smaller ones per band, and fine noise; each date on its own, heights not."""
    valid = sample.get(VALID)
    relighted = dict(sample)
    for name in sorted(sample):
        if is_image(name):
            changed = _relit_layer(sample[name], strength, rng)
            relighted[name] = changed if valid is None else changed * valid.to(changed.dtype)
    return relighted


def is_image(name: str) -> bool:
    """Return whether a layer shows light, which changes between flights; heights do not."""
    return name == "image" or name.startswith("image_")


def without_layers(sample: Sample, shares: Mapping[str, float], rng: np.random.Generator) -> Sample:
    """Return the sample with some layers set to 0, as layers that a scene lacks; one layer always stays."""
    left_out = [name for name in sorted(shares) if rng.random() < shares[name]]
    if len(left_out) == len(sample.keys() - {MASK, VALID}):
        left_out.pop(int(rng.integers(len(left_out))))
    return {name: torch.zeros_like(layer) if name in left_out else layer for name, layer in sample.items()}


def with_drawn_clicks(sample: Sample, most: int, rng: np.random.Generator) -> Sample:
    """Return the sample with clicks on its labels, as `InputSpec.prepare` makes them."""
    mask = sample[MASK].numpy()
    channels = draw_clicks(mask, most, rng).channels(len(sample[InputSpec.click_layer]), Window(0, 0, *mask.shape))
    return {**sample, InputSpec.click_layer: torch.from_numpy(channels).to(torch.float32) / ClickDisc.peak}


def _relit_layer(layer: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    bands = layer.shape[0]
    gain = np.exp(rng.normal(0, strength) + rng.normal(0, strength / 3, bands))
    offset = rng.normal(0, strength) + rng.normal(0, strength / 3, bands)
    shape = (bands, 1, 1)
    relit = torch.addcmul(_like(layer, offset, shape), layer, _like(layer, gain, shape))
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))  # several times faster than NumPy's normals
    return relit.add_(torch.randn(layer.shape, generator=generator), alpha=strength / 5)


def _like(layer: Tensor, values: np.ndarray, shape: tuple[int, int, int]) -> Tensor:
    return torch.as_tensor(values, dtype=layer.dtype).reshape(shape)
