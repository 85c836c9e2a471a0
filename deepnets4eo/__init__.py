"""deepnets4eo: semantic segmentation of remote-sensing data, up to building-damage maps.

Names are imported when first used, so that `import deepnets4eo` and `deepnets4eo --help` stay quick.
"""

from importlib import import_module
from typing import Any

from deepnets4eo.version import __version__

_HOMES = {
    "Legend": "deepnets4eo.legend",
    "Layer": "deepnets4eo.scene",
    "Scene": "deepnets4eo.scene",
    "Segmenter": "deepnets4eo.segmenter",
    "load_run": "deepnets4eo.run",
    "train": "deepnets4eo.training",
    "predict": "deepnets4eo.prediction",
    "evaluate": "deepnets4eo.evaluation",
    "create_model": "deepnets4eo.networks",
    "list_models": "deepnets4eo.networks",
}

_MODULES = ("metrics", "report", "catalog", "damage", "synthetic")  # reached as deepnets4eo.metrics.ConfusionMatrix

__all__ = ["__version__", *_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"deepnets4eo.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'deepnets4eo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
