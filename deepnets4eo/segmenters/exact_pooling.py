"""Pooling to a fixed number of cells as products of matrices, which ONNX has for images of any size; its own pooling has none."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class PoolingByMatrices(TorchFunctionMode):
    """Within it, means over a fixed number of cells are products of matrices; those over the whole image stay as they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        image = args[0] if args else kwargs.get("input")
        cells = None
        if func is F.adaptive_avg_pool2d:
            cells = args[1] if len(args) > 1 else kwargs["output_size"]
        elif func is F.interpolate and kwargs.get("mode") == "area":
            cells = kwargs.get("size")
        if cells is None or not isinstance(image, Tensor) or image.ndim != 4:
            return func(*args, **kwargs)
        rows, cols = (cells, cells) if isinstance(cells, int) else cells
        if (rows, cols) == (1, 1) or rows is None or cols is None:
            return func(*args, **kwargs)
        return pool_to_cells(image, rows, cols)


def pool_to_cells(image: Tensor, rows: int, cols: int) -> Tensor:
    """Return the means (N, C, rows, cols) of an image (N, C, H, W) over even cells, as `adaptive_avg_pool2d` has them.

    >>> image = torch.rand(2, 3, 7, 5)
    >>> torch.allclose(pool_to_cells(image, 3, 2), F.adaptive_avg_pool2d(image, (3, 2)))
    True
    """
    return _shares(image, 2, rows) @ image @ _shares(image, 3, cols).T


def _shares(image: Tensor, axis: int, cells: int) -> Tensor:
    """(cells, size) the share of each row or column of an image in the mean of each cell."""
    size = image.shape[axis]
    cell, position = torch.arange(cells, device=image.device)[:, None], torch.arange(size, device=image.device)[None]
    begin = torch.div(cell * size, cells, rounding_mode="floor")
    end = torch.div((cell + 1) * size + cells - 1, cells, rounding_mode="floor")
    inside = ((position >= begin) & (position < end)).to(image.dtype)
    return inside / inside.sum(dim=1, keepdim=True)
