"""Export to ONNX: the same labels in another runtime, any size where that can be, and all a caller must know inside."""

import functools
import json
import logging
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import raises_naming
from segmentation_models_pytorch.encoders import encoders
from small_networks import NETWORKS as SMALL_NETWORKS
from torch import nn

from deepnets4eo.cards import Legend
from deepnets4eo.change.networks import fully_convolutional
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.plugins import plugins_of
from deepnets4eo.points.snapnet import networks as snapnet
from deepnets4eo.prediction import predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmentation import blocks, light_unet
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, Run, create_model, export, export_onnx
from deepnets4eo.segmenters.export import Reference, RoundingRange, probe_images
from deepnets4eo.tiling import Tiling

onnx = pytest.importorskip("onnx", reason="needs pip install deepnets4eo[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install deepnets4eo[onnx]")
from onnx_ir.passes import PassError  # noqa: E402
from wrong_graphs import (  # noqa: E402
    WRONG,
    made_wrong,
    one_class_not_a_number,
    one_class_shifted,
    sides_left_as_they_are,
    transposed,
)

TRACED = export._trace_network
LEGEND = Legend.load("isprs")
INPUTS = InputSpec(
    {
        "image": LayerInput(("red", "green", "blue"), (90.0,) * 3, (40.0,) * 3, 0, 255),
        "dsm": LayerInput(("height",), (5.0,), (3.0,), 0, 30, "float32", "m"),
    },
    gsd_m=0.1,
)
RESNET10 = {"encoder": "resnet10"}  # see `fewer_layers`
SMALLER = {  # than those of all tests: it is the number of layers that tracing takes its time for
    "conv-lstm": {"dates": 2, "widths": [4, 4]},
    "damage-network": {"decoder_channels": [16, 8], **RESNET10},
    "residual-correction": {
        "streams": [3, 1],
        "network": "osmnet",
        "options": {"width": 4},
        "correction_width": 8,
        "head": "multi-kernel",
    },
    "smp-fusion": {"streams": [3, 1], "encoder_depth": 2, "decoder_channels": [8, 8], **RESNET10},
}
# below, and in tests/hyperspectral: they mirror their edges; OSMNet has one head below and one in the residual correction
ELSEWHERE = ("patch-alexnet", "hyperspectral/", "wide-resnet-eca", "osmnet")
# left out, since tracing takes up to 40 s: those with the layers of another one here, that is of other networks of two
# dates, of V-FuseNet, of smp's encoders and decoder, of the residual correction; changeformer agreed at any size when it was
# written
ALIKE = (
    "blur-net",
    "from-to",
    "change-",
    "changeformer",
    "fc-",
    "fresunet",
    "hrscd",
    "residual-unet",
    "dual-stream",
    "fusenet",
    "segnet",
    "unet",
    "light-unet",
    "snapnet-fusion",
)
NETWORKS = [
    *(
        {
            name: SMALL_NETWORKS[name].arguments(4)
            for name in plugins_of("networks")
            if not name.startswith((*ELSEWHERE, *ALIKE))
        }
        | SMALLER
    ).items(),
    ("osmnet", {"width": 4, "head": "distance"}),
    ("fc-siam-diff", {}),
]
NAMES = [f"{name} {options.get('head', '')}".strip() for name, options in NETWORKS]
# untrained, their scores hardly depend on a weight in their middle, or on how edges are repeated
UNMOVED = ("d3net", "fc-siam-diff", "frozen-images", "image-classifier")
REFUSING = [number for number, name in enumerate(NAMES) if name not in UNMOVED]
# what they are made of is traced daily in another network: transposed convolutions in fcn, SegNet's poolings in v-fusenet,
# patches beside each other in image-classifier, one encoder for two dates in damage-network and conv-lstm
NIGHTLY = ("d3net", "fc-siam-diff", "frozen-images", "snapnet-unet")


def listed(numbers):
    """Networks of the list as parameters of a test."""
    return [
        pytest.param(number, id=NAMES[number], marks=[pytest.mark.nightly] if NAMES[number] in NIGHTLY else [])
        for number in numbers
    ]


class Tiny(nn.Module):
    """Half the resolution and back: sides must be even."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(4, 8, 2, stride=2), nn.ConvTranspose2d(8, LEGEND.num_classes, 2, stride=2)

    def forward(self, image):
        return self.up(self.down(image).relu())


class Fixed(nn.Module):
    """Takes tiles of 64 px alone, as vision transformers do."""

    def __init__(self):
        super().__init__()
        self.layer, self.place = nn.Conv2d(4, LEGEND.num_classes, 1), nn.Parameter(torch.randn(1, 4, 64, 64))

    def forward(self, image):
        return self.layer(image + self.place)


def run_of(folder, module, name="tiny"):
    """A run around a module that need not be registered."""
    segmenter = NetworkSegmenter({"name": name}, INPUTS, LEGEND, tiling=Tiling(64, 8), module=module)
    return Run(folder, segmenter, {}, {"recipe_sha256": "abc", "notes": {"synthetic": True}})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of the tiny network, whose graph is traced once for all tests."""
    torch.manual_seed(0)
    made = run_of(tmp_path / "run", Tiny())
    monkeypatch.setattr(export, "_trace_network", lambda segmenter: (onnx.load_from_string(tiny_graph()), True))
    return made


@functools.cache
def tiny_graph():
    torch.manual_seed(0)
    graph, any_size = TRACED(run_of(Path(), Tiny()).segmenter)
    assert any_size
    return graph.SerializeToString()


def logits_of(graph, batch):
    """A graph's result, from its file or its bytes."""
    source = graph if isinstance(graph, bytes) else str(graph)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": batch})[0]


@contextmanager
def fewer_layers(name):
    """Networks with one layer where they have several alike, and with fewer stages: tracing takes as long as they have layers.

    They have no options for that. VGG-16 and the FC networks keep two stages, ResNet-18 one block a stage.
    """
    resnet = encoders["resnet18"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(light_unet.ENCODER_BLOCKS, "resnet10", (1, 1, 1))
        patch.setitem(encoders, "resnet10", resnet | {"params": resnet["params"] | {"layers": [1, 1, 1, 1]}})
        if name != "fcn":  # which takes scores at three of the five
            patch.setattr(blocks.Vgg16, "stages", ((1, 1), (2,)))
        patch.setattr(snapnet, "MAPS", (2, 1))
        patch.setattr(snapnet, "_decoder_chains", lambda: [[4, 1], [2, 1]])
        patch.setattr(fully_convolutional, "ENCODER", ((8, 8), (16,)))
        patch.setattr(fully_convolutional, "DECODER", ((16, 8), (8,)))
        yield


@functools.cache
def exported(number):
    """A network of the list as a segmenter, its graph, and what the graph is compared with: made once for all tests."""
    name, options = NETWORKS[number]
    torch.manual_seed(0)
    with fewer_layers(name):
        network = create_model(name, in_channels=4, num_classes=LEGEND.num_classes, **options)
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():  # a correction starts at zero, and would hide what it is made of
            nn.init.normal_(parameter, std=0.1)
    run, references = run_of(Path(), network, name), []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "Reference", lambda *of: references.append(Reference(*of)) or references[0])
        done = export_onnx(Run(Path(), run.segmenter, {}, {}), Path(folder) / "network.onnx")
        return run.segmenter, done, done.path.read_bytes(), references[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", listed(range(len(NETWORKS))))
def test_networks_of_every_kind_are_exported_and_agree_at_any_size(number):
    segmenter, done, graph, reference = exported(number)
    assert done.any_size
    assert done.same_labels >= 0.995
    batch = np.random.default_rng(1).normal(size=(3, 4, 40, 75)).astype(np.float32)
    probe, ordinary = RoundingRange(segmenter, batch, 16), reference.ordinary
    scores = logits_of(graph, batch)
    assert probe.explains(scores, ordinary).all()
    best_two = np.sort(probe.scores, axis=1)[:, -2:]
    clear = probe.decided_mask(ordinary) & (best_two[:, 1] - best_two[:, 0] > 4 * probe.width)
    assert clear.mean() > 0.25
    assert (scores.argmax(axis=1) == probe.scores.argmax(axis=1))[clear].all()


@pytest.mark.slow
@pytest.mark.parametrize("number", listed(REFUSING))
def test_every_wrong_graph_of_every_network_is_refused(number):
    _, _, graph, reference = exported(number)
    accepted = []
    for change in WRONG:
        try:
            reference.agreement(made_wrong(graph, change))
        except RunError:
            continue
        accepted.append(change.__name__)
    assert not accepted


@pytest.mark.slow
def test_patches_mirrored_at_the_edges_need_no_fixed_size(tmp_path):
    torch.manual_seed(0)
    network = create_model("patch-alexnet", in_channels=4, num_classes=LEGEND.num_classes, patch_px=40, width=2)
    run = run_of(tmp_path / "run", network, "patch-alexnet")
    done = export_onnx(run, tmp_path / "network.onnx")
    assert done.any_size
    batch = np.random.default_rng(1).normal(size=(1, 4, 5, 71)).astype(np.float32)  # smaller than what is mirrored
    np.testing.assert_allclose(logits_of(done.path, batch), run.segmenter.predict_raw(batch), rtol=1e-3, atol=1e-4)


def test_a_graph_is_kept_as_it_was_traced_where_the_optimiser_fails(caplog):
    class Program:
        model_proto = "as traced"

        def optimize(self):
            self.model_proto = "half changed"
            raise PassError("of this version")

    with caplog.at_level(logging.INFO, logger="deepnets4eo.segmenters.export"):
        assert export._optimised(Program()) == "as traced"
    assert "the graph is not optimised: of this version" in caplog.text


def test_any_batch_height_and_width_go_in(run, tmp_path):
    done = export_onnx(run, tmp_path / "network.onnx")
    assert (done.any_size, done.side_px) == (True, None)
    assert done.same_labels > 0.999
    assert done.largest_difference < 1e-5
    shape = [
        axis.dim_param or axis.dim_value for axis in onnx.load(done.path).graph.input[0].type.tensor_type.shape.dim
    ]
    assert shape == ["batch", 4, "height", "width"]
    for shape in ((1, 4, 33, 64), (5, 4, 7, 200)):
        batch = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        np.testing.assert_allclose(logits_of(done.path, batch), run.segmenter.predict_raw(batch), atol=1e-5)


def test_inputs_legend_and_tiling_travel_inside_one_file(run, tmp_path):
    export_onnx(run, tmp_path / "network.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["deepnets4eo"])
    assert InputSpec.from_dict(card["inputs"]) == INPUTS
    assert Legend.from_dict(card["legend"]) == LEGEND
    assert Tiling(**card["tiling"]) == run.tiling
    assert (card["recipe_sha256"], card["synthetic"], card["side_px"]) == ("abc", True, None)


@pytest.mark.parametrize("overlap_px", [0, 12])
def test_who_follows_the_geometry_of_the_file_gets_the_labels_of_predict(tmp_path, overlap_px):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, LEGEND.num_classes, 7, padding=3))
    run = run_of(tmp_path / "run", network)
    run.segmenter.tiling = Tiling(64, 8, overlap_px)
    session = onnxruntime.InferenceSession(str(export_onnx(run, tmp_path / "network.onnx").path))
    card = json.loads(session.get_modelmeta().custom_metadata_map["deepnets4eo"])
    image, height = (
        np.random.default_rng(1).uniform(0, most, (count, 100, 70)).astype(np.float32)
        for count, most in ((3, 255), (1, 9))
    )
    scene = Scene.open(image=image.astype(np.uint8), dsm=height)
    labels = Layer.open(predict(run.segmenter, scene, tmp_path / "labels.tif").paths["labels"]).read()[0][0]

    tile, halo, core = card["tiling"]["tile_px"], card["tiling"]["halo_px"], 48
    step = core - overlap_px
    assert f"Tiles are {tile} x {tile} px: a core of {core} px with {halo} px around it" in card["geometry"]
    assert (
        f"every {step} px, until they cover the scene. Beyond its edges the prepared scene is mirrored"
        in card["geometry"]
    )
    assert f'(numpy.pad, mode="reflect", {halo} px before the first row and column)' in card["geometry"]
    layers = [card["inputs"]["layers"][name] for name in ("image", "dsm")]
    mean, std = (np.concatenate([layer[key] for layer in layers])[:, None, None] for key in ("mean", "std"))
    prepared = ((np.concatenate([image.astype(np.uint8), height]) - mean) / std).astype(np.float32)
    padded = np.pad(prepared, [(0, 0), (halo, 99), (halo, 99)], mode="reflect")
    ramp = np.minimum(np.minimum(np.arange(core) + 0.5, core - np.arange(core) - 0.5) / max(overlap_px, 1), 1)
    weight = np.sin(np.pi / 2 * ramp) ** 2 if overlap_px else np.ones(core)  # rises as sin² over the overlap
    total = np.zeros((LEGEND.num_classes, 250, 250))
    for row in range(0, 100 - overlap_px, step):
        for col in range(0, 70 - overlap_px, step):
            (logits,) = session.run(None, {"image": padded[None, :, row : row + tile, col : col + tile]})[0]
            odds = np.exp(logits[:, halo:-halo, halo:-halo])
            total[:, row : row + core, col : col + core] += odds / odds.sum(axis=0) * np.outer(weight, weight)
    expected = np.array(LEGEND.values)[total[:, :100, :70].argmax(axis=0)]
    assert (labels == expected).mean() > 0.995  # rounding decides some


def test_a_network_of_one_size_keeps_that_of_its_tiles_and_a_free_batch(tmp_path, caplog):
    torch.manual_seed(0)
    fixed = run_of(tmp_path / "run", Fixed())
    with caplog.at_level(logging.INFO, logger="deepnets4eo.segmenters.export"):
        done = export_onnx(fixed, tmp_path / "network.onnx")
    assert (done.any_size, done.side_px) == (False, 64)
    assert done.same_labels > 0.999
    assert "depends on the size of the image" in caplog.text
    batch = np.random.default_rng(1).normal(size=(3, 4, 64, 64)).astype(np.float32)
    np.testing.assert_allclose(logits_of(done.path, batch), fixed.segmenter.predict_raw(batch), atol=1e-5)
    with raises_naming(RunError, "image of 64"):
        Reference(fixed.segmenter, 64).agreement(made_wrong(done.path.read_bytes(), transposed))


@pytest.mark.parametrize("change", [one_class_shifted, one_class_not_a_number, sides_left_as_they_are])
def test_a_graph_that_gives_something_else_is_refused_and_not_kept(run, tmp_path, monkeypatch, change):
    graph, any_size = export._trace_network(run.segmenter)
    wrong = onnx.load_from_string(made_wrong(graph.SerializeToString(), change))
    monkeypatch.setattr(export, "_trace_network", lambda segmenter: (wrong, any_size))
    with pytest.raises(RunError, match=r"so no file was written|cannot run the exported graph"):
        export_onnx(run, tmp_path / "network.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_rounding_decides_is_refused(tmp_path):
    class Chaos(nn.Module):
        """The last digits of its bands, made large."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(4, LEGEND.num_classes, 1)

        def forward(self, image):
            return (self.layer(image) * 1e7).sin()

    with raises_naming(RunError, "100"):
        Reference(run_of(tmp_path, Chaos()).segmenter)


def test_a_network_whose_weights_are_broken_is_refused(run):
    nn.init.constant_(run.segmenter.module.up.bias, torch.nan)
    with pytest.raises(RunError, match="returns scores that are not finite"):
        Reference(run.segmenter)


def test_images_of_the_check_lie_in_the_range_of_the_training_data():
    inputs = InputSpec(
        {
            "image": LayerInput(("a", "b"), (40.0, 200.0), (30.0, 20.0), 10.0, 250.0),
            "dsm": LayerInput(("height",), (900.0,), (1.0,), 880.0, 1000.0, "float32", "m"),
        }
    )
    images = probe_images(inputs, (3, 64, 96), np.random.default_rng(0))
    assert images.shape == (3, 3, 64, 96)
    assert images.dtype == np.float32
    means, stds = np.array([40.0, 200.0, 900.0]), np.array([30.0, 20.0, 1.0])
    values = images * stds[:, None, None] + means[:, None, None]
    assert values[:, :2].min() >= 10 - 1e-3
    assert values[:, :2].max() <= 250 + 1e-3
    assert abs(values[:, 2].mean() - 900) < 0.5
    assert 0.5 < values[:, 2].std() < 1.5
    assert (
        0.15 < np.corrcoef(values[0, 2, :, 1:].ravel(), values[0, 2, :, :-1].ravel())[0, 1] < 0.7
    )  # smooth, and noise


def test_a_network_on_another_precision_goes_back_to_it(run, tmp_path, monkeypatch):
    run.segmenter.to(Compute(precision="bfloat16"))
    monkeypatch.setattr(export, "_trace_network", TRACED)  # bfloat16 has other weights
    done = export_onnx(run, tmp_path / "network.onnx")
    assert done.same_labels > 0.999
    assert run.segmenter.compute.precision == "bfloat16"
    assert {parameter.dtype for parameter in run.segmenter.module.parameters()} == {torch.bfloat16}


def test_without_onnxruntime_nothing_is_compared(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "is_installed", lambda name: name != "onnxruntime")
    done = export_onnx(run, tmp_path / "network.onnx")
    assert done.same_labels is None
    assert done.largest_difference is None
    assert done.path.stat().st_size > 0


def test_missing_packages_are_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "is_installed", lambda name: name != "onnxscript")
    with raises_naming(InputError, "deepnets4eo"):
        export_onnx(run, tmp_path / "network.onnx")


def test_what_is_no_network_is_refused_with_the_reason(tmp_path):
    class Forest:
        kind = "pixel-classifier"

    with raises_naming(RunError, "'pixel-classifier'", "ONNX"):
        export_onnx(Run(tmp_path, Forest(), {}, {}), tmp_path / "forest.onnx")
