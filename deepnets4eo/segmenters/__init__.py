"""The one protocol of segmenters, which map a scene to class probabilities, the networks by name, and the sealed runs they live in."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".ensemble": "TestTimeAugmentation Ensemble ensemble_run",
        ".run": "Run load_run",
        ".segmenter": "Segmenter",
        ".networks": "create_model last_layer list_models replace_last_layer",
        ".history": "plot_runs",
        ".hub": "save_hub_folder",
    },
)
