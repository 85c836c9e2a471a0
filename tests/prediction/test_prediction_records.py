"""What a prediction leaves beside its labels: tags, numbers, messages, and the machine's settings as they were."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from geotiff import write_geotiff
from rasterio.env import get_gdal_config
from refusals import raises_naming
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, OtherJobError, OutputError, RunError
from deepnets4eo.grid import Grid
from deepnets4eo.prediction import (
    PredictOptions,
    TileReader,
    describe as describe_prediction,
    dry_run,
    memory,
    open_scene,
    predict,
)
from deepnets4eo.prediction.checks import output_paths
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.rasters.gdal_memory import CACHE_BYTES
from deepnets4eo.segmenters import InputSpec, Run, load_run
from deepnets4eo.segmenters.checksums import hash_of
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Lattice, Tiling

LEGEND = Legend.load("isprs-delta")
SHAPE = (90, 110)
CPU = PredictOptions(threads=1, device="cpu", precision="float32")


def pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, (3, *SHAPE)).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    scene = Scene.open(image=pixels(), labels=(pixels()[0] // 86).astype(np.uint8))
    segmenter = PixelClassifier(LogisticRegression(), InputSpec.measure([scene]), LEGEND, tiling=Tiling(32, 0))
    return load_run(save_run(segmenter.fit([scene], max_pixels=500), tmp_path_factory.mktemp("runs") / "pixels"))


def image_file(path: Path, values: np.ndarray, **tags: str) -> Path:
    return write_geotiff(path, values, crs="EPSG:32615", origin=(5e5, 4e6), nodata=0, tags=tags)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return image_file(tmp_path / "image.tif", pixels())


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def test_every_output_says_what_made_it_and_how_its_bytes_are_read(run, tmp_path) -> None:
    image = image_file(tmp_path / "image.tif", pixels(), SYNTHETIC="a made-up city")
    options = replace(CPU, probabilities=tmp_path / "p.tif", entropy=tmp_path / "e.tif", overlap_px=8)
    result = predict(run, image, tmp_path / "labels.tif", options)
    tags = {}
    for product, path in result.paths.items():
        with rasterio.open(path) as file:
            tags[product] = file.tags()
            assert (file.nodata, file.dtypes[0]) == (255, "uint8")
            assert (file.count, file.descriptions) == {
                "labels": (1, (file.descriptions[0],)),
                "probabilities": (6, LEGEND.names),
                "entropy": (1, ("entropy",)),
            }[product]
    for one in tags.values():
        assert one["SOFTWARE"].startswith("deepnets4eo ")
        assert one["RUN"] == hash_of(run.card)
        assert one["SEGMENTER"] == "pixel-classifier"
        assert one["TILING"] == "tile_px=32, halo_px=0, overlap_px=8, scores=probabilities, blending=hann"
        assert one["SYNTHETIC"] == "a made-up city"
    assert tags["probabilities"]["MEANING"] == "probability of each class; value / 254"
    assert tags["entropy"]["MEANING"] == "entropy over classes; 1: all are equally probable; value / 254"
    assert tags["probabilities"]["PACKED_ONE"] == tags["entropy"]["PACKED_ONE"] == "254"
    assert "PACKED_ONE" not in tags["labels"]


def test_a_real_place_is_not_called_synthetic(run, image, tmp_path) -> None:
    predict(run, image, tmp_path / "labels.tif", CPU)
    with rasterio.open(tmp_path / "labels.tif") as file:
        assert "SYNTHETIC" not in file.tags()


def test_an_unsaved_segmenter_is_another_run_each_time(run, image, tmp_path) -> None:
    names = set()
    for number in range(2):
        predict(run.segmenter, image, tmp_path / f"{number}.tif", CPU)
        with rasterio.open(tmp_path / f"{number}.tif") as file:
            names.add(file.tags()["RUN"])
    assert len(names) == 2
    assert all(name.startswith("unsaved-") for name in names)


@pytest.mark.parametrize("together", [2, 5, 8])
@pytest.mark.parametrize("overlap_px", [0, 8])
def test_tiles_computed_together_give_the_labels_of_tiles_alone(run, tmp_path, together, overlap_px) -> None:
    """As on a GPU, where batches are cut by the lattice and some of their tiles have nothing valid."""
    values = pixels()
    values[:, 20:70, 30:100] = 0
    image = image_file(tmp_path / "image.tif", values)
    options = replace(CPU, overlap_px=overlap_px, probabilities=tmp_path / "a-p.tif")
    alone = predict(run, image, tmp_path / "a.tif", options)
    options = replace(options, probabilities=tmp_path / "b-p.tif", batch_tiles=together)
    joined = predict(run, image, tmp_path / "b.tif", options)
    for product, path in alone.paths.items():
        np.testing.assert_array_equal(read(joined.paths[product]), read(path))
    assert alone.skipped > 0
    assert (joined.tiles, joined.skipped, joined.computed) == (alone.tiles, alone.skipped, alone.computed)


def test_progress_rises_to_one(run, image, tmp_path) -> None:
    shares: list[float] = []
    result = predict(run, image, tmp_path / "labels.tif", CPU, progress=shares.append)
    assert shares == sorted(shares)
    assert len(shares) == result.tiles == 12
    assert shares[-1] == 1.0
    assert result.seconds >= result.network_s > 0


def test_the_machines_settings_are_those_of_the_job_and_then_as_before(run, image, tmp_path) -> None:
    seen = set()

    def look(_: float) -> None:
        seen.add((torch.get_num_threads(), get_gdal_config("GDAL_CACHEMAX"), torch.backends.cudnn.deterministic))

    with rasterio.Env():
        before = (torch.get_num_threads(), get_gdal_config("GDAL_CACHEMAX"), torch.backends.cudnn.deterministic)
        predict(run, image, tmp_path / "labels.tif", replace(CPU, threads=2), progress=look)
        after = (torch.get_num_threads(), get_gdal_config("GDAL_CACHEMAX"), torch.backends.cudnn.deterministic)
    assert {one[1:] for one in seen} == {(CACHE_BYTES, True)}
    assert after == before


def test_skipped_tiles_are_counted_in_the_log(run, tmp_path, caplog) -> None:
    values = pixels()
    values[:, :64, :64] = 0
    with caplog.at_level(logging.INFO):
        predict(run, image_file(tmp_path / "holes.tif", values), tmp_path / "a.tif", CPU)
        assert "4 of 12 tiles have no valid pixel and were skipped." in caplog.messages
        caplog.clear()
        predict(run, image_file(tmp_path / "whole.tif", pixels()), tmp_path / "b.tif", CPU)
        assert caplog.messages == []


def test_the_dry_run_names_size_tiles_classes_and_machine(run, image) -> None:
    scene = open_scene(str(image), run.segmenter)
    assert describe_prediction(run, scene, CPU) == (
        "90 x 110 px, 12 tiles of 32 px (crop, step 32 px), 6 classes, on cpu in float32 with 1 threads"
    )
    changed = replace(CPU, tile_px=64, halo_px=8, overlap_px=16, threads=3)
    assert describe_prediction(run, scene, changed) == (
        "90 x 110 px, 9 tiles of 64 px (hann, step 32 px), 6 classes, on cpu in float32 with 3 threads"
    )
    with pytest.raises(RunError, match="the scene does not fit the run"):
        describe_prediction(run, Scene.open(image=pixels()[:1]), CPU)


def test_bands_that_training_chose_are_taken_by_name_from_a_file_that_has_more(image) -> None:
    layer = Layer.open(image)
    chosen = InputSpec.measure([Scene.open(image=layer.subset([1, 3]))])
    scene = open_scene(image, PixelClassifier(LogisticRegression(), chosen, LEGEND))
    assert scene.layers["image"].bands == [1, 3]


def test_nameless_bands_of_a_file_with_more_are_not_guessed(image) -> None:
    first_two = InputSpec.measure([Scene.open(image=Layer.open(image).subset([1, 2]))])
    classifier = PixelClassifier(LogisticRegression(), first_two, LEGEND)
    scene = open_scene(image, classifier)
    with raises_naming(RunError, "image.tif", "3 bands", "training had 2"):
        classifier.inputs.check(scene)


def stopped(run: Run, image: Path, out: Path, options: PredictOptions = CPU) -> None:
    def stop(share: float) -> None:
        if share > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(run, image, out, options, progress=stop)


def test_a_job_goes_on_where_it_stopped_and_says_so(run, image, tmp_path, caplog) -> None:
    options = replace(CPU, block_px=32)
    stopped(run, image, tmp_path / "labels.tif", options)
    with caplog.at_level(logging.INFO):
        result = predict(run, image, tmp_path / "labels.tif", replace(options, resume=True))
    (line,) = [text for text in caplog.messages if text.startswith("Going on")]
    done = int(line.split(": ")[1].split()[0])
    assert line == f"Going on with an interrupted job: {done} of 12 tiles are done."
    assert 0 < done < 12
    assert result.tiles == 12
    assert result.computed == 12 - done
    fresh = predict(run, image, tmp_path / "fresh.tif", CPU)
    np.testing.assert_array_equal(read(tmp_path / "labels.tif"), read(fresh.paths["labels"]))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("image", "image"),
        ({"probabilities": Path("p.tif")}, "outputs"),
        ({"tile_px": 48}, "tiling"),
        ({"threads": 2}, "threads"),
    ],
)
def test_a_job_that_changed_in_one_thing_is_not_gone_on_with(run, image, tmp_path, change, word) -> None:
    stopped(run, image, tmp_path / "labels.tif")
    options = replace(CPU, resume=True)
    if change == "image":
        image_file(image, pixels(1))
        os.utime(image, (1, 1))
    else:
        options = replace(
            options, **{name: tmp_path / one if name == "probabilities" else one for name, one in change.items()}
        )
    with raises_naming(OtherJobError, word):
        predict(run, image, tmp_path / "labels.tif", options)


def test_outputs_that_are_there_or_are_one_file_are_refused(run, image, tmp_path) -> None:
    (tmp_path / "p.tif").write_text("precious")
    with raises_naming(OutputError, "p.tif", "--overwrite"):
        predict(run, image, tmp_path / "labels.tif", replace(CPU, probabilities=tmp_path / "p.tif"))
    with raises_naming(OutputError, "a.tif"):
        predict(run, image, tmp_path / "a.tif", replace(CPU, entropy=tmp_path / "x" / ".." / "a.tif"))
    assert (tmp_path / "p.tif").read_text() == "precious"
    predict(run, image, tmp_path / "labels.tif", replace(CPU, probabilities=tmp_path / "p.tif", overwrite=True))


def test_a_tiling_takes_only_what_is_given() -> None:
    own = Tiling(64, 8, 4, "raw")
    assert PredictOptions().tiling(own) == own
    assert PredictOptions(tile_px=96).tiling(own) == Tiling(96, 8, 4, "raw")
    assert PredictOptions(halo_px=0, overlap_px=0, scores="probabilities").tiling(own) == Tiling(64, 0, 0)


@pytest.mark.parametrize(
    ("width", "stitch_bytes", "columns"),
    [(1000, 10_000, 1000), (1000, 9_999, 896), (1000, 6_400, 640), (1000, 10, 128), (100, 10, 100)],
)
def test_strips_are_the_whole_width_or_whole_blocks(width, stitch_bytes, columns) -> None:
    assert memory.strip_width(width, 10, 128, stitch_bytes) == columns


def test_the_budget_for_stitching_is_what_is_left_at_most_its_share() -> None:
    fixed = CACHE_BYTES + memory.MARGIN_BYTES
    assert memory.stitch_budget(fixed + 10**6, 10**5, 10**5, 10**5) == 8 * 10**5
    assert memory.stitch_budget(fixed + 10**6, 10**5, 10**5, 8 * 10**5) == 8 * 10**5
    assert memory.stitch_budget(10**12, 0, 0, 0) == memory.STITCH_BYTES
    with raises_naming(InputError, "--memory", "169MB", "1", "MB", "170MB"):
        memory.stitch_budget(fixed + 10**6, 10**6, 5 * 10**5, 10**6)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="freed memory is counted at once on Linux alone")
def test_a_process_holds_what_it_holds() -> None:
    held = memory.resident_bytes()
    assert 30 << 20 < held <= memory.peak_bytes() + (64 << 20)
    ballast = np.ones(80 << 20, np.uint8)
    assert memory.resident_bytes() - held > 60 << 20
    assert memory.peak_bytes() > 80 << 20
    assert ballast.any()
    del ballast
    assert memory.resident_bytes() < memory.peak_bytes() - (40 << 20)


@pytest.mark.parametrize(
    ("held", "peak", "expected"),
    [
        ([900, 1000], [900, 1200], 1200),  # a process of its own: all counts
        ([6024, 6100], [6100, 6300], 1300),  # a notebook with 5 GB of data
        ([6024, 6100], [9000, 9000], 1100),  # which held more before
    ],
)
def test_data_of_the_caller_do_not_count_as_memory_of_the_network(monkeypatch, held, peak, expected) -> None:
    values = {"resident_bytes": iter(held), "peak_bytes": iter([peak[0], peak[1], peak[1]])}
    for name, series in values.items():
        monkeypatch.setattr(memory, name, lambda series=series: next(series) << 20)
    assert memory.network_bytes(lambda: None) == expected << 20


def test_too_little_memory_is_refused_before_anything_is_written(run, image, tmp_path) -> None:
    with raises_naming(InputError, "--memory", "10MB", "MB", "--set", "tile_px"):
        predict(run, image, tmp_path / "labels.tif", replace(CPU, memory_bytes=10_000_000))
    assert not (tmp_path / "labels.tif").exists()


@pytest.fixture
def reader() -> TileReader:
    grid = Grid(SHAPE, Affine.identity(), None)
    spec = InputSpec.measure([Scene.open(image=pixels())])
    return TileReader(Scene({"image": Layer.open(pixels(), grid=grid)}), spec, Lattice(SHAPE, Tiling(32, 4)))


@pytest.mark.parametrize(("tiles_of_bytes", "together"), [(0.5, 1), (1, 1), (2.9, 2), (4, 4), (100, 4)])
def test_as_many_tiles_are_read_together_as_fit(reader, tiles_of_bytes, together) -> None:
    assert reader.tile_bytes == 4 * 3 * 32 * 32
    assert replace(reader, segment_bytes=int(tiles_of_bytes * reader.tile_bytes)).segment_tiles == together


def test_a_tile_is_the_scene_mirrored_at_its_edges(reader) -> None:
    padded = np.pad(reader.inputs.prepare(reader.scene.read()), [(0, 0), (4, 40), (4, 40)], mode="reflect")
    seen = 0
    for segment in reader.read_ahead(range(reader.lattice.rows), range(reader.lattice.cols), 2):
        for one in segment:
            window = one.tile.window
            rows, cols = (slice(start + 4, start + 36) for start in (window.row, window.col))
            np.testing.assert_array_equal(one.image, padded[:, rows, cols])
            core = one.tile.core.clip(SHAPE)
            assert one.valid.sum() == core.height * core.width
            assert one.valid[: core.height, : core.width].all()
            seen += 1
    assert seen == len(reader.lattice)


def test_a_resumed_job_computes_as_many_tiles_together_as_it_began_with(run, image, tmp_path, monkeypatch) -> None:
    whole = predict(run, image, tmp_path / "whole.tif", replace(CPU, batch_tiles=3))

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(run, image, tmp_path / "cut.tif", replace(CPU, batch_tiles=3), progress=stop)
    resumed = predict(run, image, tmp_path / "cut.tif", replace(CPU, resume=True))
    np.testing.assert_array_equal(read(resumed.paths["labels"]), read(whole.paths["labels"]))


@pytest.mark.parametrize(
    ("out", "resume", "loaded", "begun"),
    [
        (None, True, [True], {}),
        ("map.tif", True, [True], {"of": 0}),
        ("map.tif", True, [False, True], {"of": 1}),
        ("map.tif", True, [False], {"of": "finished"}),
        ("map.tif", False, [True], {"of": "finished"}),
    ],
)
def test_a_plan_follows_the_interrupted_job_if_it_is_resumed_else_a_finished_one(
    out, resume, loaded, begun, monkeypatch
) -> None:
    journals = {str(n): SimpleNamespace(number=n, load=lambda there=there: there) for n, there in enumerate(loaded)}
    planned: list[tuple[object, int]] = []

    def make_plan(_segmenter: object, _layer: object, options: PredictOptions, of: object) -> None:
        planned.append((of, options.batch_tiles))
        raise InterruptedError

    task = SimpleNamespace(prepared=SimpleNamespace(labelled=None), segmenter=SimpleNamespace(legend=None))
    monkeypatch.setattr(dry_run, "LabelTask", SimpleNamespace(of=lambda *_: task))
    monkeypatch.setattr(dry_run, "journals_of", lambda *_: journals)
    monkeypatch.setattr(dry_run, "computed_by", lambda journal: {"of": journal.number})
    monkeypatch.setattr(dry_run, "output_paths", lambda *_: None)
    monkeypatch.setattr(dry_run, "finished_compute", lambda *_: {"of": "finished"})
    monkeypatch.setattr(dry_run, "make_plan", make_plan)
    with pytest.raises(InterruptedError):
        dry_run.describe(None, None, PredictOptions(resume=resume, batch_tiles=7), out)
    assert planned == [(begun, 7 if begun else 1)]


def test_each_product_has_a_file_and_those_that_a_run_lacks_are_refused() -> None:
    classes: Any = SimpleNamespace(classes=[1, 2], quantity=None, name="change")
    heights: Any = SimpleNamespace(classes=[], quantity="height", name="height")
    every = PredictOptions(probabilities="p.tif", entropy="e.tif")
    assert output_paths("out.tif", every, classes) == {
        "labels": Path("out.tif"), "probabilities": Path("p.tif"), "entropy": Path("e.tif"),
    }  # fmt: skip
    assert output_paths("out.tif", PredictOptions(), heights) == {"values": Path("out.tif")}
    with raises_naming(InputError, "--values v.tif", "only classes"):
        output_paths("out.tif", PredictOptions(values="v.tif"), classes)
    for options in (PredictOptions(values="v.tif"), every):
        with raises_naming(InputError, "has no classes", "--entropy"):
            output_paths("out.tif", options, heights)
