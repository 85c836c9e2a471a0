"""Write the int8 weights of a shipped run with which ONNX Runtime computes its network on processors, or compare their maps with float32.

Usage: python experiments/int8_weights.py MODEL --out FILE [--pairs 14] [--mean-ranges]
       python experiments/int8_weights.py MODEL … --data SAMPLES --out FOLDER      (scores at real places, float32 and int8)

MODEL is the folder of a run whose network is the damage network or the light U-Net, e.g. models/damage-network. Its weights
become a graph of 8-bit integers (static quantisation, QDQ, one scale per channel of weights, smallest and largest values of
activations); the first and the last convolution stay in float32. The scales of activations are measured on SYNTHETIC images of
seed 77: pairs of places of the miniature world in turn, and of 4 suburbs of the miniature city; a network for one image sees POST. If FILE is
MODEL/weights.int8.onnx, the card of the run seals it.

With --data nothing is written into MODEL: networks with int8 weights (models/buildings, models/damage-network, models/floods/water) compute real places in
both ways, see `places/int8_scores.py`. FOLDER/results.json has the scores by network and site, and how many times as fast int8 is as PyTorch in its
faster precision (processor time of one thread, an image of 192²). The scales of activations of models/buildings were chosen among two ways with a look at these places.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from integer_graph import keep_integers
from places import int8_scores
from script import plain_errors, store_results
from torch import Tensor, nn
from world.damage_pairs import city_pairs, places_in_turn

from deepnets4eo.arrays import FloatImage
from deepnets4eo.damage.network import DamageNet
from deepnets4eo.damage.network.find_buildings import BUILDING
from deepnets4eo.device import INT8, TORCH
from deepnets4eo.errors import InputError
from deepnets4eo.floods.water_network import WATER
from deepnets4eo.segmenters import AnySize, NetworkSegmenter, RunFolder, load_run, open_sealed, seal
from deepnets4eo.segmenters.int8_network import FACTS, INPUT, LAST_OUTPUT, OUTPUT, InputFacts, Int8Network

SEED, SIDE_PX = 77, 512  # of the pairs
CITIES = 4  # of the pairs
COLOURS = 3  # bands of an image
SIDES = {2: "height", 3: "width"}  # axes of any length
OPSET = 17
QUANTISED = ("Conv", "Concat", "Resize", "MaxPool", "Add")  # operations that take and return integers
# The mean over images of the smallest and largest values of activations, as single images have outliers. At ten real places IoU of models/buildings
# differs from float32 by more than .003 at four (at most .0107) without it and at one (.0032, a crop of 26 m) with it.
MEAN_RANGES = {"CalibMovingAverage": True, "CalibMovingAverageConstant": 0.1}
WORLD = Path(__file__).with_name("world")

log = logging.getLogger("int8_weights")


class PlainBlock(nn.Module):
    """A block of the decoder as convolutions of doubled pixels, which have integer kernels; transposed ones have none."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv1, self.conv2 = block.conv1, block.conv2

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """(N, C, H / 2, W / 2) and (N, C', H, W) → (N, after, H, W)."""
        doubled = F.interpolate(maps, scale_factor=2.0, mode="nearest")
        return torch.as_tensor(self.conv2(self.conv1(torch.cat([doubled, skip], dim=1))))


class DatesGraph(nn.Module):
    """The damage network for one place: dates (D, C, H, W) → logits (1, K, H, W) of the pair, and of the last date alone."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.twin, self.head, self.post_head = network.twin, network.head, network.post_head

    def forward(self, dates: Tensor) -> tuple[Tensor, Tensor]:
        """Return both logits; those of the pair mean nothing for a single date."""
        maps = self.twin(dates)
        pre, post = maps[:1], maps[-1:]
        pair = self.head(torch.cat([pre, post, (pre - post).abs()], dim=1))
        both = [F.interpolate(logits, scale_factor=2.0, mode="nearest") for logits in (pair, self.post_head(post))]
        return both[0], both[1]


def plain_graph(network: nn.Module) -> tuple[nn.Module, InputFacts]:
    """Return a copy of the network without what integers cannot compute, of images that are scaled already. Errors: InputError."""
    module: Any = copy.deepcopy(network).eval().float()
    dates = 2 if isinstance(module, DamageNet) else 1
    unet = module.twin if dates == 2 else module
    first: Any = getattr(getattr(unet, "encoder", None), "conv1", None)
    if not hasattr(first, "scaled_beforehand"):
        raise InputError(
            f"the run has a {type(network).__name__}; expected the damage network or the light U-Net with a ResNet."
        )
    if first.in_channels != COLOURS:
        raise InputError(
            f"the run takes {first.in_channels} bands of a date; expected red, green and blue, as the pairs have."
        )
    first.scaled_beforehand = True
    unet.decoder.blocks = nn.ModuleList(PlainBlock(block) for block in unet.decoder.blocks)
    facts = InputFacts(dates * first.in_channels, dates, first.unscaled_bands, AnySize.min_spread, last_alone=dates > 1)
    return (DatesGraph(module) if dates > 1 else module).eval(), facts


def calibration_images(segmenter: NetworkSegmenter, facts: InputFacts, pairs: int) -> Iterator[FloatImage]:
    """Yield images (C, h, w) as the graph takes them, of SYNTHETIC pairs."""
    styles, hazards = (sorted(path.stem for path in (WORLD / kind).glob("*.yaml")) for kind in ("styles", "hazards"))
    world = places_in_turn(SEED, pairs - CITIES, SIDE_PX, styles, hazards)
    for pair in (*world, *islice(city_pairs((SEED,), SIDE_PX), CITIES)):
        images = [np.asarray(image, np.float32)[:COLOURS] for image in (pair.pre, pair.post)][-facts.dates :]
        sample = dict(zip(segmenter.inputs.names, images, strict=True))
        prepared = segmenter.inputs.prepare(sample | {"valid": np.ones(images[0].shape[1:], bool)})
        yield facts.prepare(prepared[None])[0]


def quantise(segmenter: NetworkSegmenter, out: Path, pairs: int, *, mean_ranges: bool = False) -> None:
    """Write the graph of integers of a segmenter's network."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    module, facts = plain_graph(segmenter.module)
    images = list(calibration_images(segmenter, facts, pairs))
    outputs = [OUTPUT, LAST_OUTPUT] if facts.last_alone else [OUTPUT]

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict[str, FloatImage] | None:
            image = next(self.images, None)
            return None if image is None else {INPUT: facts.by_date(image)}

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float32.onnx"
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, on sizes that stay
            torch.onnx.export(
                module, (torch.from_numpy(facts.by_date(images[0])),), str(plain), opset_version=OPSET, dynamo=False,
                input_names=[INPUT], output_names=outputs,
                dynamic_axes={INPUT: {0: "dates"} | SIDES, **dict.fromkeys(outputs, SIDES)},
            )  # fmt: skip
        in_float32 = ends_of(onnx.load(plain).graph)
        quantize_static(
            plain, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, op_types_to_quantize=QUANTISED, nodes_to_exclude=in_float32,
            extra_options=MEAN_RANGES if mean_ranges else {},
        )  # fmt: skip
    graph = keep_integers(onnx.load(out))
    onnx.helper.set_model_props(graph, {FACTS: json.dumps(facts.to_dict())})
    onnx.save(graph, out)


def ends_of(graph: Any) -> list[str]:
    """Return the names of the first convolution of a graph, of its last ones, and of the nodes that double their logits."""
    makers = {output: node for node in graph.node for output in node.output}
    doubled = [makers[output.name] for output in graph.output]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    last = [
        makers[name] for node in doubled for name in node.input if name in makers and makers[name].op_type == "Conv"
    ]
    return [node.name for node in (convolutions[0], *last, *doubled)]


def compare(segmenter: NetworkSegmenter, file: Path) -> float:
    """Return the mean difference of logits from float32 on a pair of another seed, as a share of their standard deviation."""
    network, facts = Int8Network(file), plain_graph(segmenter.module)[1]
    images = calibration_images(segmenter, facts, CITIES + 1)
    next(images)
    batch = next(images)[None]
    exact = segmenter.predict_raw(batch)
    return float(np.abs(network.logits(batch) - exact).mean() / exact.std())


def compare_at_places(folder: Path, data: Path) -> dict[str, Any]:
    """Return scores of a run at real places in float32 and by int8 weights, and how many times as fast int8 is as PyTorch. Errors: InputError."""
    run, int8 = int8_scores.open_int8(folder)
    seconds = int8.measure()
    results: dict[str, Any] = {"times as fast": round(seconds[TORCH] / seconds[INT8], 2), "sites": {}}
    if WATER in run.legend.names:
        entries = int8_scores.of_water(data)
    elif BUILDING in run.legend.names:
        entries = int8_scores.of_buildings(run, data)
    else:
        entries = int8_scores.of_damage(data)
    for site, entry in entries:
        log.info("%s: %s", site, entry)
        results["sites"][site] = entry
    if BUILDING in run.legend.names:
        means = {way: np.mean([one[way] for one in results["sites"].values()]) for way in int8_scores.SETTINGS}
        results["mean IoU"] = {way: round(float(mean), 4) for way, mean in means.items()}
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+", help="folder of the run; several with --data")
    parser.add_argument(
        "--out", required=True, type=Path, help="the file, e.g. MODEL/weights.int8.onnx; with --data a folder"
    )
    parser.add_argument("--data", type=Path, help="folder of real samples: compare maps of both, and write no weights")
    parser.add_argument("--pairs", type=int, default=14, help="SYNTHETIC pairs that are measured")
    parser.add_argument("--mean-ranges", action="store_true", help="average smallest and largest values over images")
    options = parser.parse_args(arguments)
    if options.data is not None:
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        log.setLevel(logging.INFO)
        results = {}
        for folder in options.model:
            results[folder.resolve().name] = compare_at_places(folder, options.data)
            path = store_results(options.out, smoke=False, **results)
        print(path)
        return
    if len(options.model) > 1:
        parser.error("several runs are only compared, with --data")
    (model,) = options.model
    run = load_run(model)
    if not isinstance(run.segmenter, NetworkSegmenter):
        raise InputError(f"{model} has a segmenter of kind {run.segmenter.kind!r}; expected a network.")
    file: Path = options.out
    into_run = file.resolve() == RunFolder(model).int8_weights.resolve()
    card = open_sealed(model) if into_run else {}  # before the weights that it seals are replaced
    quantise(run.segmenter, file, options.pairs, mean_ranges=options.mean_ranges)
    if into_run:
        seal(model, card, dict.fromkeys([*card["files"], file.name]))
    print(
        f"{file}: {file.stat().st_size / 1e6:.2f} MB; mean difference of logits {compare(run.segmenter, file):.3f} of their deviation"
    )


if __name__ == "__main__":
    with plain_errors():
        main()
