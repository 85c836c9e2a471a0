"""An ONNX file of others as a run: its own metadata (our exports, Deepness), the card next to it, and options state how it is used.

Refuses files if a fact is still unknown, and names the command that states it once.
"""

from __future__ import annotations

import colorsys
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.files import read_yaml, write_yaml
from deepnets4eo.options import split_names
from deepnets4eo.segmenters.inputs import ANY_VALUES, BYTE, InputSpec, LayerInput
from deepnets4eo.segmenters.onnx_graph import OnnxGraph
from deepnets4eo.segmenters.onnx_options import OnnxFacts, card_path
from deepnets4eo.segmenters.onnx_segmenter import (
    DYNAMIC_WORLD_BANDS,
    GraphFacts,
    OnnxSegmenter,
    graph_channels,
    measure_halo,
)
from deepnets4eo.segmenters.segmenter import STRIDE_PX
from deepnets4eo.tiling import Tiling

OWN, DEEPNESS_CLASSES = "deepnets4eo", "class_names"  # entries of metadata
TILE_PX, PROBE_PX = 512, 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's photographs
DATES = ("image_pre", "image_post")
MAX_HALO_PX = 4096
MAX_SHOWN = 60  # characters of a value in a message
NUMBERS = ("float", "double", "int", "uint", "bool", "bfloat")
ROUNDING = 1e-3  # of probabilities in half precision
NEEDED = ("bands", "legend", "normalisation", "activation")


@dataclass(frozen=True)
class ForeignNetwork:
    """A segmenter of an ONNX file, and what is known of it as plain values."""

    segmenter: OnnxSegmenter
    card: dict[str, Any]

    @classmethod
    def open(cls, path: Path, facts: OnnxFacts | None = None) -> ForeignNetwork:
        """Open an ONNX file. Raises RunError for a file that is no safe graph, InputError if something is unknown or does not fit."""
        graph = OnnxGraph.open(path)
        _check_tensors(graph)
        stated = _stated(graph) | _kept(path) | ({} if facts is None else facts.to_dict())
        missing = [name for name in NEEDED if name not in stated]
        if missing:
            raise InputError(_ask(path, graph, missing))
        legend = _legend(stated["legend"], path)
        return cls._of(graph, stated, legend)

    @classmethod
    def _of(cls, graph: OnnxGraph, stated: Mapping[str, Any], legend: Legend) -> ForeignNetwork:
        layout: Literal["nchw", "nhwc"] = stated.get("layout") or _layout(graph)
        dates = len(graph.inputs)
        bands = split_names(stated["bands"]) if isinstance(stated["bands"], str) else list(stated["bands"])
        side = _side(graph, layout)
        values = stated["normalisation"]
        facts = GraphFacts(
            layout, stated["activation"], "dynamic_world" if values == "dynamic_world" else "none", dates, side
        )
        layer = _layer(bands, stated, graph.source)
        names = ("image",) if dates == 1 else DATES
        gsd_m = stated.get("gsd_m")
        inputs = InputSpec(dict.fromkeys(names, layer), None if gsd_m is None else float(gsd_m))
        segmenter = OnnxSegmenter(graph, facts, inputs, legend)
        halo = stated.get("halo_px")
        halo_px = measure_halo(segmenter, side or PROBE_PX) if halo is None else int(halo)
        _check_scores(segmenter, side or 64)
        segmenter.tiling = (
            Tiling(side, halo_px)
            if side is not None
            else Tiling(-(-(TILE_PX + 2 * halo_px) // STRIDE_PX) * STRIDE_PX, halo_px)
        )
        card = dict(stated) | {"layout": layout, "bands": bands, "legend": legend.to_dict(), "halo_px": halo_px}
        return cls(segmenter, card | {"network_sha256": graph.digest})

    def write(self, path: Path) -> Path:
        """Write the card next to the file; returns its path."""
        return write_yaml(card_path(path), self.card)

    def lines(self) -> list[str]:
        """Describe the network in a few lines."""
        facts, tiling = self.segmenter.facts, self.segmenter.tiling
        size = f"{facts.side_px} px" if facts.side_px else "any size"
        return [
            f"bands: {', '.join(self.card['bands'])} ({facts.layout}, {self.card['normalisation']})",
            f"classes: {', '.join(self.segmenter.legend.names)} ({facts.activation})",
            f"tiles: {tiling.tile_px} px with a halo of {tiling.halo_px} px, measured; the network takes {size}",
        ]


def _check_tensors(graph: OnnxGraph) -> None:
    """Refuse (InputError) a graph that takes no images of floating-point numbers, or returns no numbers."""
    takes, returns = graph.inputs, graph.outputs
    if not takes or not returns or any(tensor.dtype != "float" for tensor in takes):
        words = ", ".join(tensor.dtype for tensor in takes) or "nothing"
        raise InputError(
            f"{graph.source} takes {words} and has {len(returns)} outputs; expected images of 32-bit floating-point numbers and scores. Export it so."
        )
    if not returns[0].dtype.startswith(NUMBERS):
        raise InputError(
            f"{graph.source} returns {returns[0].dtype}; expected scores, or numbers of classes. Export it so."
        )


def _check_scores(segmenter: OnnxSegmenter, side: int) -> None:
    """Refuse outputs of a small image that are no scores of the legend, or are not as the activation states. Raises InputError, RunError."""
    import numpy as np

    facts, source = segmenter.facts, segmenter.graph.source
    image = np.random.default_rng(0).random((1, segmenter.inputs.in_channels, side, side), np.float32)
    raw = segmenter.raw_output(image)
    if facts.activation != "classes" and raw.dtype.kind in "iub":
        raise InputError(
            f"{source} returns whole numbers, but activation={facts.activation} is of scores. State what they are: --set activation=classes."
        )
    known = raw[np.isfinite(raw)] if raw.dtype.kind == "f" else raw.ravel()
    if not known.size:
        raise InputError(
            f"{source} returns no finite number for an image of noise: its weights are damaged. Copy it again."
        )
    if facts.activation == "probabilities" and (known.min() < -ROUNDING or known.max() > 1 + ROUNDING):
        raise InputError(
            f"{source} returns {known.min():.3g} to {known.max():.3g}, which are no probabilities. State that they are scores: --set activation=logits."
        )
    segmenter.predict_raw(_zeros(segmenter, side))


def _zeros(segmenter: OnnxSegmenter, side: int) -> Any:
    import numpy as np

    return np.zeros((1, segmenter.inputs.in_channels, side, side), np.float32)


def _layout(graph: OnnxGraph) -> Literal["nchw", "nhwc"]:
    """Return the layout by the input's fixed sides: bands are the fixed one, or the smallest."""
    shape = graph.inputs[0].shape
    if len(shape) != 4:
        raise InputError(
            f"{graph.source} takes arrays of {len(shape)} axes; expected images (N, C, H, W) or (N, H, W, C). Give a network of images."
        )
    if shape[1] is None and shape[3] is not None:
        return "nhwc"
    if None not in shape[1:] and (shape[3] or 0) < (shape[1] or 0):
        return "nhwc"
    return "nchw"


def _side(graph: OnnxGraph, layout: str) -> int | None:
    """Return the side of the images that a graph takes; None for any. Raises InputError for oblong images."""
    shape = graph.inputs[0].shape
    sides = shape[2:4] if layout == "nchw" else shape[1:3]
    if sides[0] != sides[1]:
        raise InputError(
            f"{graph.source} takes images of {sides[0]} × {sides[1]} px; expected squares, or any size. Export it with free sides."
        )
    return sides[0]


def _layer(bands: list[str], stated: Mapping[str, Any], source: str) -> LayerInput:
    """Return the scaling of a layer for a normalisation."""
    values, count = stated["normalisation"], len(bands)
    if values == "dynamic_world":  # B2 and B02 are one band
        bands = [f"B0{band[1]}" if len(band) == 2 and band[0] == "B" and band[1].isdigit() else band for band in bands]
    if len(set(bands)) < count:
        raise InputError(
            f"{source} is given the bands {', '.join(bands)}, one of them twice. Name each band once, in its order."
        )
    if 0 in (stated.get("std") or ()):
        raise InputError(
            f"{source} states a deviation of 0, by which values are divided. Correct its card or metadata."
        )
    if values == "imagenet":
        if count != len(MEAN):
            raise InputError(
                f"{source} has {count} bands, but normalisation=imagenet is of red, green and blue. Give scale and offset with normalisation=none."
            )
        mean, std = tuple(BYTE * value for value in MEAN), tuple(BYTE * value for value in STD)
        return LayerInput(tuple(bands), mean, std, 0.0, float(BYTE), values="physical")
    if values == "percentile":
        return LayerInput(tuple(bands), (0.0,) * count, (float(BYTE),) * count, 0.0, float(BYTE), values="physical")
    if values == "dynamic_world":
        unknown = [band for band in bands if band not in DYNAMIC_WORLD_BANDS]
        if unknown:
            raise InputError(
                f"normalisation=dynamic_world knows the bands {', '.join(DYNAMIC_WORLD_BANDS)}, not {', '.join(unknown)}. Name bands as Sentinel-2 does: B02 or B2."
            )
        return LayerInput(tuple(bands), (0.0,) * count, (1.0,) * count, 0.0, 10_000.0, "uint16", values="physical")
    own = stated.get("mean"), stated.get("std")  # of files that state them by band
    if own[0] is not None and own[1] is not None:
        if not len(own[0]) == len(own[1]) == count:
            raise InputError(
                f"{source} has {count} bands, and means or deviations of {len(own[0])} bands. Correct its card."
            )
        return LayerInput(tuple(bands), tuple(own[0]), tuple(own[1]), 0.0, 1.0, units=ANY_VALUES, values="physical")
    scale, offset = float(stated.get("scale", 1)), float(stated.get("offset", 0))
    return LayerInput(
        tuple(bands), (-offset / scale,) * count, (1 / scale,) * count, 0.0, 1.0, units=ANY_VALUES, values="physical"
    )


def _legend(value: Any, path: Path) -> Legend:
    """Return a legend from its plain values, a name, a YAML file, or names of classes."""
    if isinstance(value, Legend):
        return value
    if isinstance(value, Mapping):
        return Legend.from_dict(value, f"the card of {path}")
    names = split_names(str(value))
    if len(names) < 2:
        return Legend.load(str(value))
    return named_legend(names, path.stem)


def named_legend(names: list[str], title: str) -> Legend:
    """Return a legend of classes by name, with values from 0 and colours around the circle of hues.

    >>> named_legend(["background", "building"], "roofs").names
    ('background', 'building')
    """
    classes = []
    for value, name in enumerate(names):
        hue = colorsys.hsv_to_rgb((0.07 + value * 0.381966) % 1, 0.45 + 0.2 * (value % 3), 0.9 - 0.004 * value)
        classes.append({"value": value, "name": name, "color": [round(254 * part) + (value == 0) for part in hue]})
    return Legend.from_dict({"name": title, "title": title, "classes": classes}, title)


def _kept(path: Path) -> dict[str, Any]:
    """Return the card next to a file; {} without one. Raises InputError for a card of another file."""
    card = card_path(path)
    if not card.is_file():
        return {}
    with Reading(card, "Write it again: deepnets4eo models add FILE.onnx …"):
        values = dict(read_yaml(card))
        known = {fact.name for fact in fields(OnnxFacts)} | {"halo_px", "mean", "std", "network_sha256"}
        if odd := sorted(values.keys() - known):
            raise InputError(f"{card} has unknown keys: {', '.join(odd)}. Known: {', '.join(sorted(known))}.")
        facts = {
            fact.name: values[fact.name]
            for fact in fields(OnnxFacts)
            if fact.name in values and fact.name not in ("legend", "bands")
        }
        OnnxFacts(**facts)  # the values of a card are checked as those of options
        _check_lists(values, card)
    return values


def _check_lists(values: Mapping[str, Any], card: Path) -> None:
    """Refuse (InputError) what a card states by band and is no list of names or numbers, and a halo that is no number of pixels."""
    bands, halo = values.get("bands", "a"), values.get("halo_px", 0)
    checks = {
        "bands": bool(bands)
        and (
            isinstance(bands, str)
            or (isinstance(bands, list) and all(isinstance(name, str) and name for name in bands))
        ),
        "halo_px": isinstance(halo, int) and not isinstance(halo, bool) and 0 <= halo <= MAX_HALO_PX,
        **{key: _are_numbers(values[key]) for key in ("mean", "std") if values.get(key) is not None},
    }
    if wrong := [name for name, holds in checks.items() if not holds]:
        raise InputError(
            f"{card} states {wrong[0]} = {str(values[wrong[0]])[:MAX_SHOWN]}; expected names of bands, finite numbers by band, "
            f"and a halo of 0 to {MAX_HALO_PX} px. Write it again: deepnets4eo models add FILE.onnx …"
        )


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )


def _stated(graph: OnnxGraph) -> dict[str, Any]:
    """Return what the metadata of a file state: of our own exports all, of Deepness most."""
    metadata = graph.metadata
    if OWN in metadata:
        with Reading(Path(graph.source), "Export the run again: deepnets4eo export RUN --out FILE.onnx"):
            return _of_export(json.loads(metadata[OWN]), graph.source)
    if DEEPNESS_CLASSES in metadata:
        with Reading(Path(graph.source), "Correct its metadata, or give all facts: deepnets4eo models add FILE.onnx …"):
            return _of_deepness({name: json.loads(text) for name, text in metadata.items() if name in DEEPNESS}, graph)
    return {}


DEEPNESS = (DEEPNESS_CLASSES, "resolution", "standardization_mean", "standardization_std")


def _of_export(card: Mapping[str, Any], source: str) -> dict[str, Any]:
    inputs = InputSpec.from_dict(card["inputs"])
    if len(inputs.layers) != 1:
        raise InputError(
            f"{source} was exported from a run with the layers {', '.join(inputs.names)}; its graph takes them as one image. Use the run itself."
        )
    (layer,) = inputs.layers.values()
    facts: dict[str, Any] = {
        "bands": list(layer.bands), "mean": list(layer.mean), "std": list(layer.std), "normalisation": "none", "activation": "logits",
        "layout": "nchw", "legend": card["legend"], "halo_px": card["tiling"]["halo_px"],
    }  # fmt: skip
    return facts | ({} if inputs.gsd_m is None else {"gsd_m": inputs.gsd_m})


def _of_deepness(values: Mapping[str, Any], graph: OnnxGraph) -> dict[str, Any]:
    """Return the facts of a file of Deepness: images of 8 bits, 0 to 1, less a mean and divided by a deviation; resolution in cm."""
    names = [name for _, name in sorted((int(number), name) for number, name in values[DEEPNESS_CLASSES].items())]
    count = graph_channels(graph.inputs[0], "nchw") or len(MEAN)
    facts: dict[str, Any] = {"legend": named_legend(names, Path(graph.source).stem).to_dict(), "layout": "nchw"}
    if count == len(MEAN):
        facts["bands"] = ["red", "green", "blue"]
    mean, std = values.get("standardization_mean"), values.get("standardization_std")
    if mean and std:
        facts |= {
            "mean": [BYTE * value for value in mean],
            "std": [BYTE * value for value in std],
            "normalisation": "none",
        }
    else:
        facts["normalisation"] = "percentile"
    facts["activation"] = "probabilities"
    return facts | ({"gsd_m": values["resolution"] / 100} if values.get("resolution") else {})


def _ask(path: Path, graph: OnnxGraph, missing: list[str]) -> str:
    """Return the question for what is unknown of a file, with the command that answers it once."""
    layout = _layout(graph)
    bands = graph_channels(graph.inputs[0], layout) or "some"
    shape = graph.outputs[0].shape
    scores = shape[1 if layout == "nchw" else -1] if len(shape) == 4 else None
    words = {
        "bands": "--set bands=red,green,blue", "legend": "--legend background,building", "normalisation": "--set normalisation=imagenet",
        "activation": "--set activation=logits",
    }  # fmt: skip
    return (
        f"{path} takes {bands} bands ({layout}) and returns {scores or 'some'} scores; it does not state: {', '.join(missing)}. State them once, for example: "
        f"deepnets4eo models add {path} {' '.join(words[name] for name in missing)}"
    )


def with_card(path: Path, facts: OnnxFacts) -> ForeignNetwork:
    """Open an ONNX file with these facts and keep them next to it. Raises as `ForeignNetwork.open`; OutputError if nothing can be written there."""
    network = ForeignNetwork.open(path, facts)
    network.write(path)
    return network
