"""Guided anisotropic diffusion on a device, as `change.diffusion` computes it with NumPy: plain steps on whole tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage
from deepnets4eo.change.diffusion import Diffusion, check_arrays


def diffuse_on_device(
    scores: FloatImage,
    guides: Sequence[NDArray[Any]],
    *,
    diffusion: Diffusion | None = None,
    valid: NDArray[np.bool_] | None = None,
    device: str = "cuda",
) -> FloatImage:
    """Do what `guided_anisotropic_diffusion` does on a device such as "cuda"; the result differs by rounding alone.
    Raises the same errors."""
    diffusion = diffusion or Diffusion()
    check_arrays(scores, guides, valid)
    state = torch.from_numpy(np.asarray(scores, np.float32).copy()).to(device)
    images = torch.from_numpy(np.stack([np.asarray(guide, np.float32) for guide in guides])).to(device)
    between: list[torch.Tensor | float] = [1.0, 1.0]
    if valid is not None:
        inside = torch.from_numpy(np.ascontiguousarray(valid)).to(device)
        state, images = (torch.where(inside, values, torch.zeros_like(values)) for values in (state, images))
        between = [(inside[1:] & inside[:-1]).float(), (inside[:, 1:] & inside[:, :-1]).float()]
    with torch.inference_mode():
        for _ in range(diffusion.steps):
            flows = [_flows(state, images, axis, between[axis], diffusion) for axis in (0, 1)]
            for axis, (of_state, of_images) in enumerate(flows):
                _move(state, of_state, axis)
                _move(images, of_images, axis)
    result: FloatImage = state.cpu().numpy()
    return result if valid is None else np.where(valid, result, np.asarray(scores, np.float32))


def _flows(
    state: torch.Tensor, images: torch.Tensor, axis: int, between: torch.Tensor | float, diffusion: Diffusion
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each pixel gets from the next one along the axis: of scores (C, …), of guides (G, B, …)."""
    differences = images.diff(dim=2 + axis)
    shares = diffusion.rate / (1 + (differences.abs().mean(dim=1) / diffusion.edge_level) ** 2) * between
    return state.diff(dim=1 + axis) * shares.amin(dim=0), differences * shares[:, None]


def _move(values: torch.Tensor, flow: torch.Tensor, axis: int) -> None:
    length = values.shape[axis - 2]
    values.narrow(axis - 2, 0, length - 1).add_(flow)
    values.narrow(axis - 2, 1, length - 1).sub_(flow)
