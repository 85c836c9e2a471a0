"""FCN: scores at three strides are summed as published, and begin as bilinear interpolation of the coarsest."""

import pytest
import torch
import torch.nn.functional as F
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import FCN, pad_to_stride


def test_the_weights_are_as_many_as_published() -> None:
    convolutions = sum(
        module.weight.numel() + module.bias.numel()
        for module in FCN(3, 21).modules()
        if isinstance(module, torch.nn.Conv2d)
    )
    vgg_without_classifier, hidden = 14_714_688, 25088 * 4096 + 4096 + 4096 * 4096 + 4096
    assert convolutions == vgg_without_classifier + hidden + 21 * (4096 + 512 + 256) + 3 * 21


def test_scores_begin_as_the_bilinear_ones_of_stride_32() -> None:
    torch.manual_seed(0)
    fine = FCN(3, 4, width=4, hidden=8).eval()
    maps = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        deepest = fine.hidden(fine.encoder(maps)[0])
        coarse = fine.scores[0](deepest)
        bilinear = F.interpolate(coarse, scale_factor=4.0, mode="bilinear", align_corners=False)
        doubled = fine.doubling[1](fine.doubling[0](coarse))
        whole = F.interpolate(doubled, scale_factor=8.0, mode="bilinear", align_corners=False)
        torch.testing.assert_close(fine(maps), whole)
    inner = (..., slice(4, -4), slice(4, -4))
    assert float((doubled - bilinear)[inner].abs().max()) < 0.1 * float(coarse.abs().max())
    once = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(fine.doubling[0](coarse)[..., 1:-1, 1:-1], once[..., 1:-1, 1:-1])


@pytest.mark.parametrize(("stride", "steps"), [(32, 0), (16, 1), (8, 2)])
def test_each_stride_adds_the_scores_of_one_more_level(stride: int, steps: int) -> None:
    torch.manual_seed(1)
    network = FCN(2, 3, stride=stride, width=4, hidden=8).eval()
    torch.nn.init.normal_(network.scores[-1].weight)
    image, pooled = torch.rand(1, 2, 64, 96), []
    with torch.no_grad():
        maps = image
        for stage in network.encoder.stages:
            maps = F.max_pool2d(stage(maps), 2)
            pooled.append(maps)
        scores = network.scores[0](network.hidden(maps))
        for step in range(steps):
            scores = network.doubling[step](scores) + network.scores[step + 1](pooled[3 - step])
        whole = F.interpolate(scores, size=(64, 96), mode="bilinear", align_corners=False)
        torch.testing.assert_close(network(image), whole)
        odd = image[..., :50, :70]
        torch.testing.assert_close(network(odd), network(pad_to_stride(odd, 32))[..., :50, :70])
    assert scores.shape[2:] == (64 // stride, 96 // stride)


def test_another_stride_is_refused() -> None:
    with raises_naming(InputError, "stride=4", "32, 16 or 8"):
        FCN(3, 2, stride=4)
