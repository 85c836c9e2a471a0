"""Options that state how an ONNX file of others is used, and the names of such files and their cards."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from deepnets4eo.options import key, option, option_group

SUFFIX, CARD = ".onnx", ".card.yaml"
GROUP = "Networks of others (FILE.onnx)"
Layout = Literal["nchw", "nhwc"]
Activation = Literal["logits", "probabilities", "classes"]
Values = Literal["none", "imagenet", "percentile", "dynamic_world"]


@option_group
class OnnxFacts:
    """Facts that an ONNX file of others may not state; `models add` keeps them in a card next to the file."""

    legend: Annotated[
        str | None,
        option(
            "Legend by name, YAML file, or names of classes in the order of the scores: background,building.", GROUP
        ),
    ] = None
    bands: Annotated[str | None, key("Names of the bands in the order of the network, between commas.")] = None
    layout: Annotated[
        Layout | None, key("Channels first (nchw) or last (nhwc); by default as the graph's input shows.")
    ] = None
    normalisation: Annotated[
        Values | None,
        key(
            "imagenet, percentile (8 bits, 0 to 1; other images by percentiles), dynamic_world, or none: value × scale + offset."
        ),
    ] = None
    scale: Annotated[float | None, key("Factor of the values, with normalisation=none; by default 1.", gt=0)] = None
    offset: Annotated[float | None, key("Added to the scaled values; by default 0.")] = None
    activation: Annotated[
        Activation | None, key("What the network returns: logits, probabilities, or classes (their numbers).")
    ] = None
    gsd_m: Annotated[
        float | None, key("Ground size of the pixels it learnt from, metres; by default unknown.", gt=0)
    ] = None

    def to_dict(self) -> dict[str, Any]:
        """Return the facts that are stated, by name."""
        return {fact.name: getattr(self, fact.name) for fact in fields(self) if getattr(self, fact.name) is not None}


def is_onnx(path: str | Path) -> bool:
    """Return whether a path names an ONNX file."""
    return str(path).lower().endswith(SUFFIX) and not Path(path).is_dir()


def card_path(path: str | Path) -> Path:
    """Return the card next to an ONNX file."""
    return Path(f"{path}{CARD}")
