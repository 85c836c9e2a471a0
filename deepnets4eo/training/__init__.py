"""A recipe and scenes in, a sealed run out. How a task is added: `deepnets4eo.training.fit`."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "SceneSamples": "deepnets4eo.training.data",
    "Task": "deepnets4eo.training.tasks",
    "TrainOptions": "deepnets4eo.training.tasks",
    "ValidationLoader": "deepnets4eo.training.data",
    "build_segmenter": "deepnets4eo.training.fit",
    "fit_segmenter": "deepnets4eo.training.fit",
    "load_recipe": "deepnets4eo.training.job",
    "make_split": "deepnets4eo.training.splits",
    "measure_inputs": "deepnets4eo.training.statistics",
    "open_layers": "deepnets4eo.training.scenes",
    "train": "deepnets4eo.training.job",
    "train_seeds": "deepnets4eo.training.job",
    "write_run": "deepnets4eo.training.fit",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
