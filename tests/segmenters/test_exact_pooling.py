"""Pooling by matrices is PyTorch's own, and a graph with it takes images of any size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepnets4eo.segmenters.exact_pooling import PoolingByMatrices
from deepnets4eo.segmenters.export import _trace


class Pyramid(nn.Module):
    """Means over cells, back to the image's size, as PSPNet has them in both of its ways."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → (N, 2 C, H, W)"""
        parts = F.adaptive_avg_pool2d(image, (3, 6)), F.interpolate(image, size=(2, 3), mode="area")
        return torch.cat(
            [F.interpolate(part, size=image.shape[2:], mode="bilinear", align_corners=True) for part in parts], 1
        )


@pytest.mark.parametrize("shape", [(1, 2, 7, 5), (2, 3, 64, 41), (1, 1, 2, 2)])
def test_means_over_cells_are_those_of_pytorch(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    expected = Pyramid()(image)
    with PoolingByMatrices():
        torch.testing.assert_close(Pyramid()(image), expected)
        assert F.adaptive_avg_pool2d(image, 1).shape[2:] == (1, 1)


def test_a_graph_with_such_means_takes_images_of_any_size() -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    graph = _trace(Pyramid(), torch.zeros(2, 3, 96, 160), {0: "batch", 2: "height", 3: "width"})
    session = runtime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 62, 95), (3, 3, 17, 20)):
        image = torch.rand(shape)
        (scores,) = session.run(None, {"image": image.numpy()})
        np.testing.assert_allclose(scores, Pyramid()(image).numpy(), atol=1e-5)
