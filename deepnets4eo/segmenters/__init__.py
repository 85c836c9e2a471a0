"""The one protocol of segmenters, which map a scene to class probabilities, the networks by name, and the sealed runs they live in."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .any_size import AnySize, takes_any_size, window_scalers, working_grid
    from .checksums import ENCODER, RunFolder, open_sealed, seal, shipped_run, write_recipe
    from .dated_maps import DatedMaps, known_bands, published_change
    from .downloads import check_download
    from .efficientnet import LEVEL_CHANNELS, EfficientNetLite0, SameConv, frozen_encoder
    from .encoder_files import TransformerSizes
    from .ensemble import (
        Ensemble as Ensemble,
        TestTimeAugmentation as TestTimeAugmentation,
        ensemble_run as ensemble_run,
    )
    from .export import export_onnx
    from .history import plot_runs as plot_runs
    from .hub import save_hub_folder as save_hub_folder
    from .inputs import GSD_FACTOR, InputSpec, LayerInput, name_problems, scene_gsd_m
    from .networks import (
        EncoderName,
        check_encoder,
        create_from_spec,
        create_model as create_model,
        last_layer as last_layer,
        list_models as list_models,
        replace_last_layer as replace_last_layer,
    )
    from .onnx_card import with_card
    from .onnx_options import OnnxFacts, card_path, is_onnx
    from .pretrained import COUNTER, IMAGENET, Loaded, fit_bands, is_local, load_as_named, load_pretrained, read_tensors
    from .run import UNFIT, Run as Run, kept_run, load_run as load_run, versions
    from .segmenter import NetworkSegmenter, ProbabilitySegmenter, Segmenter as Segmenter
    from .stretch import Stretch, needed_stretch, show, show_scene
    from .value_ranges import ValueRange
    from .wrapped import WrappedSegmenter, describe_nested, rebuild_member, save_member
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".ensemble": ["Ensemble", "TestTimeAugmentation", "ensemble_run"],
            ".history": ["plot_runs"],
            ".hub": ["save_hub_folder"],
            ".networks": ["create_model", "last_layer", "list_models", "replace_last_layer"],
            ".run": ["Run", "load_run"],
            ".segmenter": ["Segmenter"],
        },
        internal={
            ".any_size": ["AnySize", "takes_any_size", "window_scalers", "working_grid"],
            ".checksums": ["ENCODER", "RunFolder", "open_sealed", "seal", "shipped_run", "write_recipe"],
            ".dated_maps": ["DatedMaps", "known_bands", "published_change"],
            ".downloads": ["check_download"],
            ".efficientnet": ["LEVEL_CHANNELS", "EfficientNetLite0", "SameConv", "frozen_encoder"],
            ".encoder_files": ["TransformerSizes"],
            ".export": ["export_onnx"],
            ".inputs": ["GSD_FACTOR", "InputSpec", "LayerInput", "name_problems", "scene_gsd_m"],
            ".networks": ["EncoderName", "check_encoder", "create_from_spec"],
            ".onnx_card": ["with_card"],
            ".onnx_options": ["OnnxFacts", "card_path", "is_onnx"],
            ".pretrained": [
                "COUNTER",
                "IMAGENET",
                "Loaded",
                "fit_bands",
                "is_local",
                "load_as_named",
                "load_pretrained",
                "read_tensors",
            ],
            ".run": ["UNFIT", "kept_run", "versions"],
            ".segmenter": ["NetworkSegmenter", "ProbabilitySegmenter"],
            ".stretch": ["Stretch", "needed_stretch", "show", "show_scene"],
            ".value_ranges": ["ValueRange"],
            ".wrapped": ["WrappedSegmenter", "describe_nested", "rebuild_member", "save_member"],
        },
    )
