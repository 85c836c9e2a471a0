"""A recipe and scenes in, a sealed run out. How a task is added: `deepnets4eo.training.fit`."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .data import (
        ClassSamples,
        Sample,
        SceneSamples as SceneSamples,
        ValidationLoader as ValidationLoader,
        read_ahead,
        to_tensors,
    )
    from .epochs import Checkpoint, checkpoint
    from .fit import (
        build_segmenter as build_segmenter,
        fit_segmenter as fit_segmenter,
        write_results,
        write_run as write_run,
    )
    from .ground import overlapping_pairs
    from .image_masks import ImageMaskFolders as ImageMaskFolders
    from .job import load_recipe as load_recipe, train as train, train_seeds as train_seeds
    from .losses import (
        CrossEntropy,
        FeatureContrast,
        SegmentationCriterion,
        SumOfLosses,
        class_of_monitor,
        class_weights,
        loss_of_scores,
        median_frequency,
    )
    from .other_words import hint_of_other_word
    from .pixel_splits import count_classes
    from .recipe import (
        ON_FEATURES,
        DataSection,
        LossName,
        ModelSection,
        PredictSection,
        Processes,
        Recipe,
        TrainSection,
        without_left,
    )
    from .regression import RegressionRecipe, RegressionTrain, ValueSamples, train_regression
    from .scenes import LabelledScene, find_sources, open_layers as open_layers, warn_of_hidden_class
    from .segmentation import Prepared, fit_and_write, load_legend, open_labelled, prepare, prepare_split, protocol_name
    from .splits import WHOLE, DataSplit, SampleWindow, SplitRule, make_split as make_split, say_learnt_ground
    from .statistics import class_cells, measure_inputs as measure_inputs
    from .streams import StreamSamples
    from .target import TargetSection
    from .tasks import Task as Task, TrainOptions as TrainOptions
    from .torchgeo_samples import SceneDataset as SceneDataset, write_samples as write_samples
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".data": ["SceneSamples", "ValidationLoader"],
            ".fit": ["build_segmenter", "fit_segmenter", "write_run"],
            ".image_masks": ["ImageMaskFolders"],
            ".job": ["load_recipe", "train", "train_seeds"],
            ".scenes": ["open_layers"],
            ".splits": ["make_split"],
            ".statistics": ["measure_inputs"],
            ".tasks": ["Task", "TrainOptions"],
            ".torchgeo_samples": ["SceneDataset", "write_samples"],
        },
        internal={
            ".data": ["ClassSamples", "Sample", "read_ahead", "to_tensors"],
            ".epochs": ["Checkpoint", "checkpoint"],
            ".fit": ["write_results"],
            ".ground": ["overlapping_pairs"],
            ".losses": [
                "CrossEntropy",
                "FeatureContrast",
                "SegmentationCriterion",
                "SumOfLosses",
                "class_of_monitor",
                "class_weights",
                "loss_of_scores",
                "median_frequency",
            ],
            ".other_words": ["hint_of_other_word"],
            ".pixel_splits": ["count_classes"],
            ".recipe": [
                "ON_FEATURES",
                "DataSection",
                "LossName",
                "ModelSection",
                "PredictSection",
                "Processes",
                "Recipe",
                "TrainSection",
                "without_left",
            ],
            ".regression": ["RegressionRecipe", "RegressionTrain", "ValueSamples", "train_regression"],
            ".scenes": ["LabelledScene", "find_sources", "warn_of_hidden_class"],
            ".segmentation": [
                "Prepared",
                "fit_and_write",
                "load_legend",
                "open_labelled",
                "prepare",
                "prepare_split",
                "protocol_name",
            ],
            ".splits": ["WHOLE", "DataSplit", "SampleWindow", "SplitRule", "say_learnt_ground"],
            ".statistics": ["class_cells"],
            ".streams": ["StreamSamples"],
            ".target": ["TargetSection"],
        },
    )
