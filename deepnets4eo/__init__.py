"""deepnets4eo: semantic segmentation of remote-sensing data, up to building-damage maps.

Names are imported when first used, so that `import deepnets4eo` and `deepnets4eo --help` stay quick."""

from importlib import import_module
from typing import Any

from deepnets4eo.lazy import lazy_names
from deepnets4eo.version import __version__

_HOMES = {
    "Legend": "deepnets4eo.cards.legend",
    "Layer": "deepnets4eo.rasters.layer",
    "Scene": "deepnets4eo.rasters.scene",
    "Segmenter": "deepnets4eo.segmenters.segmenter",
    "load_run": "deepnets4eo.segmenters.run",
    "train": "deepnets4eo.training",
    "predict": "deepnets4eo.prediction",
    "evaluate": "deepnets4eo.evaluation",
    "create_model": "deepnets4eo.segmenters.networks",
    "list_models": "deepnets4eo.segmenters.networks",
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

__all__ = ["__version__", *_HOMES, *_MODULES]


_find = lazy_names(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    return import_module(f"deepnets4eo.{name}") if name in _MODULES else _find(name)


def __dir__() -> list[str]:
    return __all__
