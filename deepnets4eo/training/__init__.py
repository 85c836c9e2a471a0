"""A recipe and scenes in, a sealed run out. How a task is added: `deepnets4eo.training.fit`."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".data": "SceneSamples ValidationLoader",
        ".tasks": "Task TrainOptions",
        ".fit": "build_segmenter fit_segmenter write_run",
        ".job": "load_recipe train train_seeds",
        ".splits": "make_split",
        ".statistics": "measure_inputs",
        ".scenes": "open_layers",
        ".torchgeo_samples": "SceneDataset write_samples",
    },
)
