"""deepnets4eo: semantic segmentation of remote-sensing data, up to building-damage maps.

Names are imported when first used, so that `import deepnets4eo` and `deepnets4eo --help` stay quick."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names
from deepnets4eo.version import __version__ as __version__

if TYPE_CHECKING:
    from . import (  # reached as deepnets4eo.metrics.ConfusionMatrix
        baselines as baselines,
        cards as cards,
        damage as damage,
        fusion as fusion,
        metrics as metrics,
        objects as objects,
        osm as osm,
        segmentation as segmentation,
        synthetic as synthetic,
        terrain as terrain,
    )
    from .cards.legend import Legend as Legend
    from .evaluation import evaluate as evaluate
    from .prediction import predict as predict
    from .rasters.layer import Layer as Layer
    from .rasters.scene import Scene as Scene
    from .segmenters.networks import create_model as create_model, list_models as list_models
    from .segmenters.run import load_run as load_run
    from .segmenters.segmenter import Segmenter as Segmenter
    from .training import train as train
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".": [
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
            ],
            ".cards.legend": ["Legend"],
            ".evaluation": ["evaluate"],
            ".prediction": ["predict"],
            ".rasters.layer": ["Layer"],
            ".rasters.scene": ["Scene"],
            ".segmenters.networks": ["create_model", "list_models"],
            ".segmenters.run": ["load_run"],
            ".segmenters.segmenter": ["Segmenter"],
            ".training": ["train"],
        },
    )
