"""Networks compiled by OpenVINO: PyTorch's scores, nothing sent, and PyTorch where a graph is not the same."""

import copy
import logging
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
import torch
from block_jobs import OneByOne
from geotiff import write_geotiff
from refusals import raises_naming
from small_segmenters import INPUTS, LEGEND, SCENE, deep_network, network_with_dropout
from torch import nn

from deepnets4eo.cards import ShippedModel
from deepnets4eo.damage import Settings
from deepnets4eo.damage.journal import with_precision
from deepnets4eo.damage.network import DamageNet
from deepnets4eo.device import Compute, choose
from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.jobs import Journal, Part
from deepnets4eo.lazy import is_installed
from deepnets4eo.prediction import PredictOptions, describe, predict
from deepnets4eo.prediction.plan import make_plan
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import NetworkSegmenter, create_model, load_run
from deepnets4eo.segmenters.dropout import DropoutSegmenter
from deepnets4eo.segmenters.int8_network import MAX_DIFFERENCE
from deepnets4eo.segmenters.openvino_graph import REPORTS, without_reports
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

needs_openvino = pytest.mark.skipif(
    not is_installed("openvino"), reason="openvino is not installed (an extra of its own)"
)
BY_OPENVINO = Compute(runtime="openvino")
PREPARED = INPUTS.prepare(SCENE.read())[None]

ALONE = """
import logging, socket, sys

def refuse(*_):
    raise AssertionError("something went online")

socket.socket.connect = socket.getaddrinfo = refuse
import torch
from deepnets4eo.segmenters.openvino_runtime import CompiledNetwork
logging.basicConfig(level="WARNING", stream=sys.stdout)
module = torch.nn.Conv2d(1, 2, 3).eval()
with torch.inference_mode():
    assert CompiledNetwork(module)(torch.zeros(1, 1, 32, 32)).shape == (1, 2, 30, 30)
assert "openvino" in sys.modules and "openvino_telemetry" not in sys.modules
"""


@needs_openvino
def test_compiled_networks_give_the_scores_of_pytorch_for_every_shape_of_batch(caplog):
    segmenter = deep_network("unet")
    expected = [segmenter.predict_raw(PREPARED[..., :side], margin_px=8) for side in (192, 96, 75)]
    segmenter.to(BY_OPENVINO)
    found = [segmenter.predict_raw(PREPARED[..., :side], margin_px=8) for side in (192, 96, 75)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())
        assert not np.array_equal(one, other)  # another runtime rounds in another way
    assert not caplog.records
    segmenter.to(Compute())
    assert np.array_equal(segmenter.predict_raw(PREPARED, margin_px=8), expected[0])


@needs_openvino
def test_both_heads_of_the_damage_network_and_encoders_that_pad_by_size_are_compiled(caplog):
    from deepnets4eo.segmenters.openvino_runtime import CompiledNetwork

    torch.manual_seed(0)
    damage = DamageNet(6, 4).eval()
    lite = create_model("light-unet", in_channels=3, num_classes=4, encoder="efficientnet-lite0").eval()
    for module, bands in ((damage, 6), (damage, 3), (lite, 3)):
        compiled = CompiledNetwork(module)
        with torch.inference_mode():
            for side in (64, 96):
                image = torch.randn(1, bands, side, side)
                torch.testing.assert_close(compiled(image), module(image), atol=1e-4, rtol=1e-3)
    assert not caplog.records


@needs_openvino
def test_nothing_is_sent_while_a_network_is_compiled():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


class _Counted(nn.Module):
    """A network whose scores grow with every call, which no graph does."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, image):
        self.calls += 1
        return image * self.calls


@needs_openvino
def test_a_graph_with_other_scores_is_left_to_pytorch_with_a_warning(caplog):
    from deepnets4eo.segmenters.openvino_runtime import CompiledNetwork

    image = torch.ones(1, 2, 32, 32)
    module = _Counted()
    with caplog.at_level(logging.WARNING), torch.inference_mode():
        assert (
            float(CompiledNetwork(module)(image).max()) == module.calls
        )  # the module's own, not that of the traced call
    assert "left to PyTorch" in caplog.text


class _Untraceable(nn.Module):
    def forward(self, image):
        return torch.linalg.eigh(image)[1]  # no operation of OpenVINO


@needs_openvino
def test_a_network_that_cannot_be_compiled_is_left_to_pytorch_with_a_warning(caplog):
    from deepnets4eo.segmenters.openvino_runtime import CompiledNetwork

    image = torch.eye(32)[None, None]
    with caplog.at_level(logging.WARNING), torch.inference_mode():
        assert torch.equal(CompiledNetwork(_Untraceable())(image), torch.linalg.eigh(image)[1])
    assert "cannot compile" in caplog.text


@needs_openvino
def test_predicted_labels_are_the_same_and_a_small_scene_is_left_to_pytorch(tmp_path):
    run = save_run(deep_network("unet"), tmp_path / "run")
    read = {}
    for runtime in ("torch", "openvino", "auto"):
        options = PredictOptions(
            device="cpu", precision="float32", runtime=runtime, threads=1, probabilities=tmp_path / f"p{runtime}.tif"
        )
        result = predict(run, SCENE, tmp_path / f"{runtime}.tif", options)
        read[runtime] = (
            Layer.open(result.paths["labels"]).read()[0],
            Layer.open(options.probabilities).read()[0].astype(int),
        )
        assert ("by openvino" in describe(load_run(run), SCENE, options)) == (runtime == "openvino")
    labels, shares = zip(*read.values(), strict=True)
    assert np.mean(labels[0] == labels[1]) > 0.9999
    assert np.abs(shares[0] - shares[1]).max() <= 1
    assert np.array_equal(shares[0], shares[2])


@needs_openvino
def test_a_copy_with_weights_of_its_own_is_not_computed_by_the_graph_of_another():
    segmenter = deep_network("unet")
    segmenter.to(BY_OPENVINO)
    segmenter.predict_raw(PREPARED)
    adapted = copy.copy(segmenter)
    adapted.module = copy.deepcopy(segmenter.module)
    with torch.no_grad():
        for weight in adapted.module.parameters():
            weight.zero_()
    assert np.ptp(adapted.predict_raw(PREPARED), axis=(2, 3)).max() == 0


def test_float32_by_openvino_is_taken_only_if_it_is_named(monkeypatch):
    monkeypatch.setattr("deepnets4eo.device.check_extra", lambda _name: None)
    assert choose("cpu", "float32", runtime="auto").runtime == "torch"
    assert choose("cpu", "float32", runtime="openvino").runtime == "openvino"


@pytest.mark.parametrize(
    ("name", "precision", "runtime"),
    [
        ("damage-network", "auto", "openvino-int8"),
        ("damage-network", "float32", "openvino"),
        (None, "auto", "openvino"),
    ],
)
def test_openvino_computes_int8_weights_unless_a_precision_is_named(monkeypatch, name, precision, runtime):
    monkeypatch.setattr("deepnets4eo.device.check_extra", lambda _name: None)
    segmenter = deep_network("unet") if name is None else load_run(ShippedModel(name).folder).segmenter
    options = PredictOptions(device="cpu", precision=precision, runtime="openvino")
    assert make_plan(segmenter, SCENE, options, {}).compute.runtime == runtime
    if name is not None:
        settings = with_precision(Settings(device="cpu", precision=precision, runtime="openvino"), Journal())
        assert choose("cpu", settings.precision, runtime=settings.runtime).runtime == runtime


@needs_openvino
@pytest.mark.parametrize("name", ["damage-network", "buildings", "floods/water"])
def test_int8_weights_have_nearly_the_logits_of_onnx_runtime_with_any_number_of_threads(name):
    segmenter = load_run(ShippedModel(name).folder).segmenter
    coarse = np.random.default_rng(4).standard_normal((1, segmenter.inputs.in_channels, 15, 26)).astype(np.float32)
    images = [coarse.repeat(5, axis=2).repeat(5, axis=3)]
    images += [images[0][:, 3:]] if name == "damage-network" else []
    for image in images:
        segmenter.to(Compute(runtime="onnx-int8"))
        expected = segmenter.predict_raw(image, margin_px=8)
        segmenter.to(Compute(runtime="openvino-int8"))
        found = segmenter.predict_raw(image, margin_px=8)
        assert 0 < np.abs(found - expected).mean() < MAX_DIFFERENCE * expected.std()
        assert np.array_equal(found, segmenter.int8.logits(image, margin_px=8, threads=2, runtime="openvino-int8"))


@needs_openvino
def test_int8_labels_are_the_same_by_threads_in_other_processes_in_parts_and_resumed(tmp_path):
    run, rng = ShippedModel("buildings").folder, np.random.default_rng(5)
    image = rng.integers(60, 200, (3, 40, 30)).repeat(12, axis=1).repeat(12, axis=2).astype(np.uint8)
    scene = Scene.open(image=write_geotiff(tmp_path / "image.tif", image, gsd=0.5))
    sizes = {"device": "cpu", "runtime": "openvino-int8", "tile_px": 224, "block_px": 64, "threads": 1}

    def label(name, **options):
        chosen = PredictOptions(probabilities=tmp_path / f"{name}-p.tif", **sizes | options)
        return predict(run, scene, tmp_path / f"{name}.tif", chosen)

    whole = label("whole", workers=1)
    assert whole.computed > 3
    assert len(np.unique(Layer.open(whole.paths["probabilities"]).read()[0])) > 5
    for part in (2, 1):
        label("parts", part=Part(part, 2))
    others = [label("threads", workers=3), label("processes", executor=OneByOne()), label("parts", resume=True)]
    for other in others:
        for name, path in other.paths.items():
            assert path.read_bytes() == whole.paths[name].read_bytes(), name


def test_what_the_runtime_cannot_do_is_refused(monkeypatch, tmp_path):
    for asked in (("cuda", "auto"), ("cpu", "bfloat16")):
        with raises_naming(InputError, "float32", "CPU"):
            choose(*asked, runtime="openvino")
    with raises_naming(InputError, "'onnx'"):
        choose("cpu", runtime="onnx")
    monkeypatch.setattr("deepnets4eo.lazy.is_installed", lambda name: name != "openvino")
    with raises_naming(MissingExtraError, "deepnets4eo"):
        choose("cpu", runtime="openvino")
    monkeypatch.setattr("deepnets4eo.lazy.is_installed", lambda _name: True)
    patches = NetworkSegmenter(
        {"name": "hyperspectral/hamida", "patch_px": 5}, INPUTS, LEGEND,
        tiling=Tiling(64, 8),
    )  # fmt: skip
    passes = DropoutSegmenter(network_with_dropout(), passes=2)
    for segmenter in (patches, passes):
        with raises_naming(InputError, "--runtime"):
            predict(segmenter, SCENE, tmp_path / "labels.tif", PredictOptions(runtime="openvino"))


@pytest.mark.parametrize("loaded", [None, ModuleType("reports")])
def test_reports_cannot_be_imported_meanwhile_and_are_afterwards_what_they_were(loaded, monkeypatch) -> None:
    if loaded is None:
        monkeypatch.delitem(sys.modules, REPORTS, raising=False)
    else:
        monkeypatch.setitem(sys.modules, REPORTS, loaded)
    with without_reports(), pytest.raises(ModuleNotFoundError):
        import_module(REPORTS)
    assert sys.modules.get(REPORTS) is loaded
    assert (REPORTS in sys.modules) == (loaded is not None)
