"""Blending and best classes on a device: its tensors, here on the CPU, beside the sums in NumPy."""

from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
import torch
from geotiff import write_geotiff
from refusals import raises_naming
from torch.utils._python_dispatch import TorchDispatchMode

from deepnets4eo.cards import Legend, LegendClass, Quantity
from deepnets4eo.errors import RunError
from deepnets4eo.prediction import PredictOptions, ReadTile, predict, strips
from deepnets4eo.prediction.device_stitching import DeviceArrays, DeviceStitcher
from deepnets4eo.prediction.stitching import Blender, FinishedBytes, Strip, StripStitcher
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter
from deepnets4eo.segmenters.transfers import Transfers
from deepnets4eo.tiling import SCORES, Lattice, Tiling

LEGEND = Legend("three", tuple(LegendClass(3 * k, f"class {k}", (k + 1, 0, 0)) for k in range(3)))
SHAPE, CPU = (75, 61), torch.device("cpu")
PRODUCTS = ["labels", "probabilities", "entropy"]
TILINGS = [
    Tiling(24, 4),
    *(Tiling(24, 4, 6, scores) for scores in SCORES),
    *(Tiling(24, 4, 10, scores, "uniform") for scores in SCORES),
]


def make_tiles(lattice: Lattice, channels: int = 3) -> list[tuple[ReadTile, np.ndarray | None]]:
    """Made-up scores of every tile, channels last as networks return them; one tile has no valid pixel."""
    rng, core_px, tiles = np.random.default_rng(0), lattice.tiling.core_px, []
    for tile in lattice.tiles:
        valid = rng.random((core_px, core_px)) < 0.8
        scores = np.moveaxis(rng.normal(0, 3, (core_px, core_px, channels)).astype(np.float32), -1, 0)
        empty = (tile.row, tile.col) == (1, 1)
        tiles.append((ReadTile(tile, None, valid & (not empty)), None if empty else scores))
    return tiles


def stitch(tiling: Tiling, products: list[str], *, on_device: bool, legend: Legend = LEGEND) -> dict[str, np.ndarray]:
    """All products of a scene, as `predict_strips` makes them from scores."""
    lattice, strip = Lattice(SHAPE, tiling), Strip(0, SHAPE[1], 0, SHAPE[0])
    cols = range(lattice.cols)
    stitcher = StripStitcher(strip, lattice, cols, legend, products, 8)
    device = DeviceStitcher(lattice, cols, legend, products, Transfers("cpu")) if on_device else None
    blocks: list[dict[str, np.ndarray]] = []
    for read, scores in make_tiles(lattice, legend.num_channels):
        result = scores
        if device is not None:
            result = device.add(read.tile, None if scores is None else torch.from_numpy(scores))
        stitcher.add(read, result)
        if read.tile.col == cols[-1]:
            taken = stitcher.take(lattice.finished_rows(read.tile.row))
            blocks += [taken[1]] if taken is not None else []
    return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in products}


@pytest.mark.parametrize("tiling", TILINGS, ids=str)
def test_bytes_are_those_of_sums_in_numpy(tiling: Tiling) -> None:
    expected, made = (stitch(tiling, PRODUCTS, on_device=on_device) for on_device in (False, True))
    assert (expected["labels"] == 255).any()
    assert len(np.unique(expected["labels"])) == 4
    for name in PRODUCTS:
        assert made[name].shape == expected[name].shape
        np.testing.assert_array_equal(made[name] == 255, expected[name] == 255)
        assert np.abs(made[name].astype(int) - expected[name]).max() <= (name != "labels")
    alone = stitch(tiling, ["labels"], on_device=True)
    np.testing.assert_array_equal(alone["labels"], made["labels"])


@pytest.mark.parametrize("classes", [(), LEGEND.classes], ids=["alone", "beside classes"])
@pytest.mark.parametrize("tiling", [TILINGS[0], TILINGS[1], TILINGS[4]], ids=str)
def test_values_of_a_quantity_are_those_of_numpy_and_are_never_softened(
    tiling: Tiling, classes: tuple[LegendClass, ...]
) -> None:
    legend = Legend("heights", classes, quantity=Quantity("height", deviation=True))
    products = [*(["labels", "probabilities"] if classes else []), "values"]
    expected, made = (stitch(tiling, products, on_device=on_device, legend=legend) for on_device in (False, True))
    values = made["values"]
    assert (values.dtype, values.shape) == (np.float32, (2, *SHAPE))
    np.testing.assert_allclose(values, expected["values"], rtol=1e-5, atol=1e-5)
    assert np.nanmin(values) < -1  # no probabilities
    assert np.isnan(values).any()
    if classes:
        np.testing.assert_array_equal(np.isnan(values[0]), made["labels"][0] == 255)
        np.testing.assert_array_equal(made["labels"], expected["labels"])


@pytest.mark.parametrize("tiling", TILINGS[1:], ids=str)
def test_blended_means_are_those_of_one_sum_over_the_scene(tiling: Tiling) -> None:
    lattice, means = Lattice(SHAPE, tiling), np.zeros((3, *SHAPE))
    total, weight = np.zeros((3, 200, 200)), np.zeros((200, 200))
    distance = np.minimum(np.arange(tiling.core_px) + 0.5, tiling.core_px - 0.5 - np.arange(tiling.core_px))
    ramp = np.sin(np.pi / 2 * np.minimum(distance / tiling.overlap_px, 1)) ** 2
    weights = np.ones((tiling.core_px,) * 2) if tiling.blending == "uniform" else np.outer(ramp, ramp)

    def emit(row: int, col: int, mean: torch.Tensor) -> None:
        means[:, row : row + mean.shape[1], col : col + mean.shape[2]] = mean.numpy()

    blender = Blender(lattice, range(lattice.cols), 3, emit, DeviceArrays(CPU))
    for read, scores in make_tiles(lattice):
        blender.add(read.tile, None if scores is None else torch.from_numpy(scores))
        core = read.tile.core
        window = (slice(core.row, core.row + tiling.core_px), slice(core.col, core.col + tiling.core_px))
        weight[window] += weights
        if scores is not None:
            total[:, window[0], window[1]] += scores * weights
    expected = (total / np.maximum(weight, 1e-9))[:, : SHAPE[0], : SHAPE[1]]
    np.testing.assert_allclose(means, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("tiling", [TILINGS[0], TILINGS[2], TILINGS[4]], ids=str)
def test_no_value_is_read_from_the_device(tiling: Tiling) -> None:
    lattice, reads = Lattice(SHAPE, tiling), []

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.name().split(".")[0]
            reads.extend([name] if name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::item") else [])
            return func(*args, **(kwargs or {}))

    stitcher = DeviceStitcher(lattice, range(lattice.cols), LEGEND, PRODUCTS, Transfers("cpu"))
    with Reads():
        for read, scores in make_tiles(lattice)[:8]:
            stitcher.add(read.tile, None if scores is None else torch.from_numpy(scores))
        assert reads == []
        bool(torch.ones(2).any())
    assert reads


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("tiling", [TILINGS[0], TILINGS[1]], ids=str)
def test_scores_beyond_float16_are_no_labels(tiling: Tiling, value: float) -> None:
    lattice = Lattice(SHAPE, tiling)
    stitcher = DeviceStitcher(lattice, range(lattice.cols), LEGEND, ["labels"], Transfers("cpu"))
    scores = torch.zeros(3, tiling.core_px, tiling.core_px)
    first = stitcher.add(lattice.tiles[0], scores)
    assert first is not None
    assert first.wait().keys() == {"labels"}
    scores[2, 5, 5] = value
    second = stitcher.add(lattice.tiles[1], scores)
    assert second is not None
    with raises_naming(RunError, "--precision", "float32"):
        second.wait()


@pytest.mark.parametrize("options", [{}, {"overlap_px": 8}, {"overlap_px": 8, "blending": "uniform", "batch_tiles": 3}])
def test_a_whole_prediction_stitched_on_the_device_equals_one_on_the_host(tmp_path, monkeypatch, options) -> None:
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(1, 255, (3, 100, 90)).astype(np.uint8)
    image[:, :50, :40] = 0
    path = write_geotiff(tmp_path / "image.tif", image, nodata=0)
    inputs = InputSpec.measure([Scene.open(image=image)])
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 1))
    segmenter = NetworkSegmenter({"name": "made-up"}, inputs, LEGEND, tiling=Tiling(48, 8), module=module)
    stitched = []

    def run(name: str) -> dict[str, np.ndarray]:
        paths = {kind: tmp_path / f"{name}-{kind}.tif" for kind in ("probabilities", "entropy")}
        own = PredictOptions(**paths, device="cpu", precision="float32", threads=1, block_px=16, strip_px=48, **options)
        arrays = {}
        for kind, file in predict(segmenter, str(path), tmp_path / f"{name}.tif", own).paths.items():
            with rasterio.open(file) as raster:
                arrays[kind] = raster.read()
        return arrays

    def keep(self, finished: FinishedBytes) -> None:
        stitched.append(finished)
        put(self, finished)

    host, put = run("host"), StripStitcher._put_finished
    monkeypatch.setattr(strips.Job, "device_network", property(lambda job: job.segmenter))
    monkeypatch.setattr(StripStitcher, "_put_finished", keep)
    device = run("device")
    assert len(stitched) > 4
    second, first = np.sort(host["probabilities"], axis=0)[-2:]
    clear = second + 1 < first  # an untrained network scores some pixels alike
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(device["labels"][0][clear], host["labels"][0][clear])
    for kind in ("probabilities", "entropy"):
        assert np.abs(device[kind].astype(int) - host[kind]).max() <= 1


class MadeUpStream:
    """Writes down who waits for whom."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def wait_stream(self, other: "MadeUpStream") -> None:
        self.log.append(f"{self.name} waits for {other.name}")


def test_copies_run_on_streams_of_their_own_and_are_waited_for_where_they_are_needed(monkeypatch) -> None:
    log: list[str] = []
    computing, uploads, downloads = (MadeUpStream(name, log) for name in ("computing", "uploads", "downloads"))

    @contextmanager
    def stream(chosen: MadeUpStream):
        log.append(f"on {chosen.name}")
        yield
        log.append("on computing")

    class Event:
        def __init__(self, blocking: bool) -> None:
            assert blocking  # the writer sleeps instead of turning

        def record(self, chosen: MadeUpStream) -> None:
            log.append(f"event of {chosen.name}")

        def synchronize(self) -> None:
            log.append("host waits")

    empty = torch.empty
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: empty(shape, dtype=dtype))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: log.append("pinned") or tensor.clone())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, chosen: log.append(f"kept for {chosen.name}"))
    transfers = Transfers("cpu")
    transfers._streams = uploads, downloads
    moved = transfers.upload(np.ones((1, 2), np.float32))
    wait = transfers.download({"labels": moved.to(torch.uint8)})
    assert log == [
        "on uploads", "pinned", "on computing", "computing waits for uploads", "kept for computing",
        "downloads waits for computing", "on downloads", "event of downloads", "on computing", "kept for downloads",
    ]  # fmt: skip
    assert wait()["labels"].tolist() == [[1, 1]]
    assert log[-1] == "host waits"
