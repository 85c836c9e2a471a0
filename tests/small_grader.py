"""A small network that grades buildings, as a run: it has learnt nothing."""

from pathlib import Path

from deepnets4eo.cards import Legend
from deepnets4eo.damage.network import DamageNet
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

GSD_M = 0.5
SKILL, POST_SKILL = {"auc_major_or_worse": 0.95, "kappa": 0.6}, {"auc_major_or_worse": 0.9, "kappa": 0.4}


def make_grader(folder: Path, skill: dict[str, float] = SKILL) -> Path:
    """A run with two heads that have learnt nothing, its card with skills of both."""
    import torch

    torch.manual_seed(0)
    network = {"name": "damage-network", "encoder": "resnet18", "decoder_channels": [16, 16, 8]}
    layer = LayerInput(("red", "green", "blue"), (100.0,) * 3, (50.0,) * 3, 0, 255)
    module = DamageNet(6, 4, decoder_channels=(16, 16, 8))
    segmenter = NetworkSegmenter(
        network, InputSpec({"pre": layer, "post": layer}, GSD_M), Legend.load("xbd"), tiling=Tiling(128, 16),
        module=module, stored="float16",
    )  # fmt: skip
    notes = {
        "temperature": 0.5, "scaling": "scene", "validation": skill,
        "post_alone": {"temperature": 0.5, "validation": POST_SKILL},
        "split": {"buildings": {"val": dict.fromkeys(Legend.load("xbd").names, 25)}},
    }  # fmt: skip
    return save_run(segmenter, folder, notes=notes)
