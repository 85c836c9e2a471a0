"""Int8 weights of shipped networks: close to float32, taken only if measured as faster, the same for all of a job."""

import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from block_jobs import OneByOne
from refusals import raises_naming
from small_segmenters import SCENE, deep_network

from deepnets4eo.cards import ShippedModel
from deepnets4eo.damage import Settings
from deepnets4eo.damage.journal import with_precision
from deepnets4eo.damage.network import grader
from deepnets4eo.device import Compute, choose, return_freed_memory
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import Grid, Window
from deepnets4eo.jobs import Journal
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.prediction.memory import resident_bytes
from deepnets4eo.prediction.plan import make_plan
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.segmenters import RunFolder, load_run, window_scalers
from deepnets4eo.segmenters.any_size import scaled_beforehand
from deepnets4eo.segmenters.int8_network import MAX_DIFFERENCE, Int8Network, measured_runtimes
from deepnets4eo.segmenters.run import save_run

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

FOLDER = ShippedModel("damage-network").folder
BY_INT8, BY_TORCH = Compute(runtime="onnx-int8"), Compute()


def seconds(torch_s: float, onnx_s: float, onnx_difference: float, openvino_s: float = 1.0) -> dict[str, float]:
    """Return a measurement by which OpenVINO, if it is installed, starts in 0.2 s."""
    return {
        "torch": torch_s, "onnx-int8": onnx_s, "onnx-int8 start": 0.0, "onnx-int8 difference": onnx_difference,
        "openvino-int8": openvino_s, "openvino-int8 start": 0.2, "openvino-int8 difference": 0.023,
    }  # fmt: skip


FAST, SLOW, FAR = seconds(0.067, 0.031, 0.023), seconds(0.067, 0.06, 0.023), seconds(0.067, 0.031, 0.4)


def smooth_pair(height=75, width=130):
    """Return a pair (1, 6, h, w) of random values whose neighbours are similar."""
    coarse = np.random.default_rng(4).standard_normal((1, 6, height // 5 + 1, width // 5 + 1)).astype(np.float32)
    return coarse.repeat(5, axis=2).repeat(5, axis=3)[:, :, :height, :width]


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Put the caches into an empty folder and count measurements, whose answers are given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls = []

    def answer(values):
        monkeypatch.setattr(Int8Network, "measure", lambda self: calls.append(self.file) or values)

    return answer, calls


@pytest.mark.parametrize("beforehand", [False, True])
@pytest.mark.parametrize("name", ["damage-network", "buildings", "floods/water"])
def test_logits_are_nearly_those_of_float32_on_tiles_of_any_size(name, beforehand):
    segmenter = load_run(ShippedModel(name).folder).segmenter
    pair = smooth_pair()[:, : segmenter.inputs.in_channels]
    for layer in window_scalers(segmenter):
        layer.scaled_beforehand = beforehand
    exact = segmenter.predict_raw(pair, margin_px=8)
    segmenter.to(BY_INT8)
    logits, classes = segmenter.predict_raw(pair, margin_px=8), segmenter.predict_classes(pair, margin_px=8)
    assert logits.shape == exact.shape == (1, segmenter.legend.num_classes, 59, 114)
    assert 0 < np.abs(logits - exact).mean() < MAX_DIFFERENCE * exact.std()
    assert np.array_equal(classes, logits.argmax(axis=1))
    segmenter.to(BY_TORCH)
    assert np.array_equal(segmenter.predict_raw(pair, margin_px=8), exact)


def test_the_post_image_alone_is_computed_by_the_same_graph():
    segmenter, post = load_run(FOLDER).segmenter, smooth_pair()[:, 3:]
    exact = segmenter.predict_raw(post)
    segmenter.to(BY_INT8)
    logits = segmenter.predict_raw(post)
    assert logits.shape == exact.shape
    assert 0 < np.abs(logits - exact).mean() < MAX_DIFFERENCE * exact.std()


def test_other_weights_are_left_to_pytorch():
    import copy

    segmenter = load_run(FOLDER).segmenter
    segmenter.to(BY_INT8)
    segmenter.module = copy.deepcopy(segmenter.module)
    for weight in segmenter.module.parameters():
        weight.data.zero_()
    assert np.ptp(segmenter.predict_raw(smooth_pair()), axis=(2, 3)).max() == 0


def test_without_pytorch_logits_are_compared_with_the_graph_in_float32(monkeypatch):
    monkeypatch.setattr("deepnets4eo.segmenters.int8_network.is_installed", lambda _module: False)
    values = load_run(FOLDER).segmenter.int8.measure()
    assert values["torch"] == 0
    assert 0 < values["onnx-int8 difference"] < MAX_DIFFERENCE


def test_threads_do_not_change_the_bits():
    import torch

    segmenter, before = load_run(FOLDER).segmenter, torch.get_num_threads()
    segmenter.to(BY_INT8)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(segmenter.predict_raw(smooth_pair()))
    torch.set_num_threads(before)
    assert np.array_equal(*found)


@pytest.mark.parametrize(("values", "chosen"), [(FAST, True), (SLOW, False), (FAR, False)])
def test_int8_is_taken_if_faster_and_close_and_is_measured_once_per_processor(measured, values, chosen):
    answer, calls = measured
    answer(values)
    runtime = "onnx-int8" if chosen else "torch"
    assert [load_run(FOLDER).segmenter.int8.fastest_runtime(512**2) for _ in range(2)] == [runtime, runtime]
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("installed", "side_px", "chosen"),
    [(True, 2000, "openvino-int8"), (True, 256, "onnx-int8"), (False, 2000, "onnx-int8")],
)
def test_openvino_is_taken_for_scenes_that_make_up_for_its_start(measured, monkeypatch, installed, side_px, chosen):
    answer, _ = measured
    packages = {"onnx-int8": "onnxruntime"} | ({"openvino-int8": "numpy"} if installed else {})  # of any version
    monkeypatch.setattr("deepnets4eo.segmenters.int8_network.measured_runtimes", lambda: packages)
    answer(seconds(0.067, 0.031, 0.023, openvino_s=0.025))
    assert load_run(FOLDER).segmenter.int8.fastest_runtime(side_px**2) == chosen


@pytest.mark.core("the only measurement of int8")
def test_the_measurement_times_both_and_finds_them_close(monkeypatch):
    monkeypatch.setattr("deepnets4eo.segmenters.int8_network.choose", lambda _device: BY_TORCH)
    values = load_run(FOLDER).segmenter.int8.measure()
    for runtime in measured_runtimes():
        assert min(values["torch"], values[runtime]) > 0
        assert 0 < values[f"{runtime} difference"] < MAX_DIFFERENCE


def test_a_damage_job_that_goes_on_elsewhere_keeps_the_runtime_of_the_first_process(
    measured, tmp_path, shipped_networks
):
    answer, _ = measured
    journal, settings = Journal(tmp_path / "job"), Settings(device="cpu")
    answer(FAST)
    assert with_precision(settings, journal).runtime == "onnx-int8"
    shutil.rmtree(tmp_path / "cache")
    answer(SLOW)  # another computer
    assert with_precision(settings, journal).runtime == "onnx-int8"
    assert with_precision(settings, Journal()).runtime == "torch"
    assert with_precision(Settings(device="cpu", runtime="torch"), journal).runtime == "torch"
    named = with_precision(Settings(device="cpu", precision="float32"), journal)
    assert (named.precision, choose("cpu", named.precision, runtime=named.runtime).runtime) == ("float32", "torch")


def test_a_prediction_takes_int8_by_measurement_and_goes_on_as_it_began(measured):
    answer, _ = measured
    segmenter = deep_network("unet")
    segmenter.int8 = Int8Network(RunFolder(FOLDER).int8_weights)
    int8, torch = ({"device": "cpu", "precision": "float32", "runtime": name} for name in ("onnx-int8", "torch"))
    for values, options, begun, arithmetic in (
        (FAST, {}, {}, "int8"),
        (FAST, {}, torch, "float32"),
        (SLOW, {}, int8, "int8"),
        (FAST, {"precision": "float32"}, {}, "float32"),
        (FAST, {"precision": "float32", "runtime": "torch"}, int8, "float32"),
        (FAST, {"executor": OneByOne()}, {}, "int8"),  # other processes read the same weights
        (FAST, {"executor": OneByOne()}, int8, "int8"),
        (FAST, {"executor": OneByOne()}, torch, "float32"),
    ):
        answer(values)
        plan = make_plan(segmenter, SCENE, PredictOptions(device="cpu", **options), begun)
        assert plan.compute.arithmetic == arithmetic or (arithmetic == "float32" and plan.compute.by_torch)
    without = make_plan(deep_network("unet"), SCENE, PredictOptions(device="cpu", runtime="onnx-int8"), {})
    assert without.compute.by_torch


def test_a_damaged_file_and_a_file_without_a_seal_are_not_computed(tmp_path):
    for name in ("changed", "cut"):
        shutil.copytree(FOLDER, tmp_path / name)
    changed, cut = (RunFolder(tmp_path / name).int8_weights for name in ("changed", "cut"))
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    cut.write_bytes(content[:-1])
    for file in (changed, cut):
        with raises_naming(RunError, str(file)):
            load_run(file.parent)
    unsealed = save_run(deep_network("unet"), tmp_path / "run")
    shutil.copyfile(cut, RunFolder(unsealed).int8_weights)
    assert load_run(unsealed).segmenter.int8 is None
    with raises_naming(RunError, str(cut), "not a whole graph"):
        Int8Network(Path(cut))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems return memory when they want")
def test_memory_of_a_large_tile_is_returned():
    segmenter = load_run(FOLDER).segmenter
    segmenter.to(BY_INT8)
    segmenter.predict_raw(smooth_pair())
    before = resident_bytes()
    segmenter.predict_raw(smooth_pair(960, 960))
    return_freed_memory()
    assert resident_bytes() - before < 100e6  # 266 MB if ONNX Runtime keeps it


def test_the_runtime_is_for_processors():
    assert choose("cpu", "float32", runtime="onnx-int8").arithmetic == "int8"
    with raises_naming(InputError, "cuda", "onnx-int8"):
        choose("cuda", runtime="onnx-int8")


def test_the_network_is_read_when_pytorch_computes_it_and_scales_as_chosen_before():
    run = load_run(FOLDER)
    assert run.segmenter.int8.file == RunFolder(FOLDER).int8_weights
    with scaled_beforehand(window_scalers(run.segmenter)):
        scaled = run.segmenter.predict_raw(smooth_pair())
    assert not np.array_equal(scaled, run.segmenter.predict_raw(smooth_pair()))
    again = load_run(FOLDER).segmenter
    assert np.array_equal(again.predict_raw(smooth_pair()), run.segmenter.predict_raw(smooth_pair()))


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from deepnets4eo.cli.main import main
sys.argv = ["deepnets4eo", *sys.argv[1:]]
main()
"""


def test_predict_labels_without_pytorch_as_int8_does_with_it(tmp_path):
    folder, scene, without, with_it = (
        ShippedModel("buildings").folder,
        *(tmp_path / f"{name}.tif" for name in ("scene", "without", "with")),
    )
    bands = (60 * smooth_pair(150, 170)[0, :3] + 110).clip(0, 255).astype(np.uint8)
    with CogWriter(scene, Grid(bands.shape[1:], Affine(0.5, 0, 5e5, 0, -0.5, 5e6), "EPSG:32633"), count=3) as cog:
        cog.write(Window(0, 0, *bands.shape[1:]), bands)
    proba, its_proba = (path.with_name(f"{path.stem}_proba.tif") for path in (without, with_it))
    words = [str(folder), str(scene), "--out", str(without), "--probabilities", str(proba)]
    command = [sys.executable, "-c", WITHOUT_TORCH, "predict", *words]
    caches = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "caches")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=caches)
    assert done.returncode == 0, done.stderr
    predict(folder, scene, with_it, PredictOptions(device="cpu", runtime="onnx-int8", probabilities=its_proba))
    probabilities = Layer.open(proba).read()[0]
    assert len(np.unique(probabilities)) > 9
    assert np.array_equal(probabilities, Layer.open(its_proba).read()[0])
    assert np.array_equal(Layer.open(without).read()[0], Layer.open(with_it).read()[0])


def test_without_shipped_weights_the_runtime_is_pytorch():
    assert grader.shipped_runtime("cpu", 512**2) == "torch"  # the fixtures hide the weights


def test_threads_that_need_the_network_at_once_compute_the_same_by_one_that_can_be_trained() -> None:
    segmenter = load_run("models/floods/water").segmenter
    segmenter.to(Compute())
    batch = np.random.default_rng(0).random((1, segmenter.inputs.in_channels, 64, 64), np.float32)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: segmenter.predict_raw(batch), range(6)))
    assert all(np.array_equal(result, results[0]) for result in results)
    assert not any(parameter.is_inference() for parameter in segmenter.module.parameters())


def test_a_segmenter_with_int8_weights_is_pickled() -> None:
    segmenter = load_run("models/floods/water").segmenter
    again = pickle.loads(pickle.dumps(segmenter))  # noqa: S301 (its own bytes)
    assert again.int8.file == segmenter.int8.file
    assert len(list(again.module.parameters())) > 1


@pytest.mark.parametrize(
    "segmenter", ["run.segmenter", "Ensemble([Ensemble([run.segmenter])])"], ids=["one", "members of members"]
)
def test_pytorch_that_a_prediction_loads_takes_its_number_of_threads(segmenter: str) -> None:
    words = (
        "from deepnets4eo.device import choose\n"
        "from deepnets4eo.prediction.plan import computing\n"
        "from deepnets4eo.segmenters import Ensemble, load_run\n"
        "run = load_run('models/floods/water')\n"
        f"with computing({segmenter}, choose('cpu', 'float32', 1, runtime='torch')):\n"
        "    import torch; print(torch.get_num_threads())"
    )
    assert printed(words) == ["1"]


@pytest.mark.parametrize(("runtime", "is_loaded"), [("torch", "True"), ("onnx-int8", "False")])
def test_the_network_of_a_worker_is_read_before_its_settings_if_pytorch_computes_it(
    runtime: str, is_loaded: str
) -> None:
    words = (
        "import sys\n"
        "from deepnets4eo.damage.network import NetworkGrader\n"
        f"grader = NetworkGrader.load('models/damage-network', device='cpu', runtime={runtime!r})\n"
        "grader.read_network()\n"
        "print('torch' in sys.modules)"
    )
    assert printed(words) == [is_loaded]


def printed(words: str) -> list[str]:
    """Return what a process of its own prints, whose number of threads is not limited from outside."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    ran = subprocess.run(
        [sys.executable, "-c", words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=FOLDER.parents[1],
    )
    return ran.stdout.split()
