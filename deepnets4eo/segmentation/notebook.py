"""Weights of the SegNet in the PyTorch notebook of DeepNetsForEO, read into ours and scored as there.

Files are safetensors with the notebook's names of layers (conv1_1.weight, conv1_1_bn.weight … conv1_1_D.weight)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.segmentation.blocks import RELU_FIRST
from deepnets4eo.segmentation.segnet import SegNet
from deepnets4eo.segmentation.weights import NotebookLayers, group_layers, load_all, rename_layers
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, read_tensors
from deepnets4eo.tiling import Tiling

IRRG = ("near infrared", "red", "green")
WINDOW_PX, STRIDE_PX = 256, 32


def load_notebook(network: SegNet, source: str | Path) -> None:
    """Load all weights of a SegNet that was trained with the notebook.

    Errors: InputError for a file that cannot be read, lacks a layer or has further ones, and a network of another order or other
    shapes.

    Parameters
    ----------
    network : changed in place: with order="conv-relu-bn", the notebook's, and its bands and classes
    source : a safetensors file with the notebook's names of layers
    """
    path = Path(source)
    layers = group_layers(read_tensors(path, [NotebookLayers.pattern]))
    known = {f"{name}{kind}" for name in (*NotebookLayers.encoder, *NotebookLayers.decoder) for kind in ("", "_bn")} | {
        NotebookLayers.head
    }
    if layers.keys() != known:
        odd = sorted(layers.keys() ^ known)
        raise InputError(
            f"{path} is not a SegNet of the notebook: {len(layers.keys() & known)} of its {len(known)} layers are there; "
            f"missing or further ones: {', '.join(odd[:6])}. Give the weights of the whole network."
        )
    state = {
        f"encoder.{name}": value
        for name, value in rename_layers(network.encoder, layers, NotebookLayers.encoder).items()
    }
    state |= {
        f"decoder.{name}": value
        for name, value in rename_layers(network.decoder, layers, NotebookLayers.decoder).items()
    }
    state |= {f"head.{name}": value for name, value in layers[NotebookLayers.head].items()}
    if network.order != RELU_FIRST:
        raise InputError(
            f"the notebook's weights are those of order={RELU_FIRST!r}, but the network has order={network.order!r}. Build "
            f"it with order={RELU_FIRST!r}."
        )
    remedy = "Build it with in_channels, num_classes and width of the file, and without further heads."
    load_all(network, state, path, "network", remedy)


def notebook_segmenter(
    source: str | Path, *, bands: Sequence[str] = IRRG, legend: str = "isprs", gsd_m: float | None = 0.09
) -> NetworkSegmenter:
    """Return a SegNet of the notebook with its protocol: bytes divided by 255, windows of 256 px every 32 px, uniform sums.

    Errors: InputError (as `load_notebook`).

    Parameters
    ----------
    source : a safetensors file, see `load_notebook`
    bands : roles of the bands of its images
    legend : name of its classes
    gsd_m : ground size of a training pixel in metres

    Returns
    -------
    To be saved with `deepnets4eo.segmenters.run.save_run`, or given to `deepnets4eo.predict`.
    """
    classes = Legend.load(legend)
    width = _width(Path(source))
    options = {"name": "segnet", "width": width, "order": RELU_FIRST}
    network = SegNet(len(bands), classes.num_classes, width=width, order=RELU_FIRST)
    load_notebook(network, source)
    scaled = LayerInput(tuple(bands), (0.0,) * len(bands), (255.0,) * len(bands), 0.0, 255.0)
    tiling = Tiling(WINDOW_PX, 0, WINDOW_PX - STRIDE_PX, "log-probabilities", "uniform")
    return NetworkSegmenter(options, InputSpec({"image": scaled}, gsd_m), classes, tiling=tiling, module=network)


def _width(path: Path) -> int:
    """Return the channels of the first stage in a file. Errors: InputError if the file has no first stage."""
    layers = group_layers(read_tensors(path, [re.compile(r"(?:module\.)?conv1_1\.bias")]))
    if not layers:
        raise InputError(f"{path} has no layer conv1_1 and is not a SegNet of the notebook. Give its weights.")
    return int(layers["conv1_1"]["bias"].shape[0])
