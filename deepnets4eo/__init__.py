"""deepnets4eo: semantic segmentation of remote-sensing data, up to building-damage maps.

Names are imported when first used, so that `import deepnets4eo` and `deepnets4eo --help` stay quick."""

from importlib import import_module
from typing import Any

from deepnets4eo.lazy import lazy_names
from deepnets4eo.version import __version__

_HOMES = {
    ".cards.legend": "Legend",
    ".rasters.layer": "Layer",
    ".rasters.scene": "Scene",
    ".segmenters.segmenter": "Segmenter",
    ".segmenters.run": "load_run",
    ".training": "train",
    ".prediction": "predict",
    ".evaluation": "evaluate",
    ".segmenters.networks": "create_model list_models",
}

_MODULES = (
    "baselines",
    "cards",
    "damage",
    "fusion",
    "metrics",
    "objects",
    "osm",
    "segmentation",
    "synthetic",
    "terrain",
)  # reached as deepnets4eo.metrics.ConfusionMatrix

__all__ = ["__version__", *" ".join(_HOMES.values()).split(), *_MODULES]


_find = lazy_names(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    return import_module(f"deepnets4eo.{name}") if name in _MODULES else _find(name)


def __dir__() -> list[str]:
    return __all__
