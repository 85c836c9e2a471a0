"""The one protocol of segmenters, which map a scene to class probabilities, the networks by name, and the sealed runs they live in."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "TestTimeAugmentation": "deepnets4eo.segmenters.ensemble",
    "Ensemble": "deepnets4eo.segmenters.ensemble",
    "Run": "deepnets4eo.segmenters.run",
    "Segmenter": "deepnets4eo.segmenters.segmenter",
    "create_model": "deepnets4eo.segmenters.networks",
    "last_layer": "deepnets4eo.segmenters.networks",
    "list_models": "deepnets4eo.segmenters.networks",
    "load_run": "deepnets4eo.segmenters.run",
    "replace_last_layer": "deepnets4eo.segmenters.networks",
    "ensemble_run": "deepnets4eo.segmenters.ensemble",
    "plot_runs": "deepnets4eo.segmenters.history",
    "save_hub_folder": "deepnets4eo.segmenters.hub",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
