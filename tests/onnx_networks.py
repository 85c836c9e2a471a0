"""Small networks of others as ONNX files: with random weights, in both layouts, with one or two inputs."""

import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

FACTS = {
    "bands": "red,green,blue",
    "legend": "ground,roof",
    "normalisation": "none",
    "scale": 1 / 255,
    "activation": "logits",
}


class ChannelsLast(nn.Module):
    """A network that takes and returns channels last."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class TwoDates(nn.Module):
    """Scores of change from the difference of two dates."""

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.network = nn.Conv2d(bands, 2, 3, padding=1)

    def forward(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        return self.network((post - pre).abs())


def small(bands: int = 3, classes: int = 2, seed: int = 0) -> nn.Module:
    """A network whose pixels see 2 px around them."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(bands, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, classes, 3, padding=1)).eval()


def write_onnx(
    path: Path,
    network: nn.Module,
    *,
    bands: int = 3,
    side: int = 64,
    inputs: int = 1,
    last: bool = False,
    fixed: bool = False,
    **metadata: str,
) -> Path:
    """Write a network; sides are free unless `fixed`, channels last if `last`."""
    example = torch.zeros((1, side, side, bands) if last else (1, bands, side, side))
    names = [f"input_{number}" for number in range(inputs)]
    axes = {1: "height", 2: "width"} if last else {2: "height", 3: "width"}
    free: dict[str, Any] = {} if fixed else dict.fromkeys([*names, "output"], axes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the exporter that needs no further package
        torch.onnx.export(
            network.eval(), (example,) * inputs, path, input_names=names, output_names=["output"], dynamic_axes=free, dynamo=False, opset_version=17,
        )  # fmt: skip
    if metadata:
        model = onnx.load(path)
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, path)
    return path
