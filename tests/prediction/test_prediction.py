"""Prediction end to end: labels, products, skipping, resuming, and the same bits however the work is cut up."""

import dataclasses
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from geotiff import write_geotiff
from refusals import raises_naming
from scipy.special import xlogy
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from small_disk import small_disk

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.errors import CompleteError, InputError, OtherJobError, OutputError, RunError
from deepnets4eo.jobs import Part, RowJournal
from deepnets4eo.prediction import PredictOptions, check_outputs, describe, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import SCORES, Tiling

LEGEND = Legend(
    "three",
    (LegendClass(0, "water", (0, 0, 255)), LegendClass(3, "grass", (0, 255, 0)), LegendClass(7, "roof", (255, 0, 0))),
)
SHAPE = (150, 131)  # a multiple of nothing


def make_image(shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, 255, (3, -(-shape[0] // 8), -(-shape[1] // 8)), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, 8, 8), np.uint8))[:, : shape[0], : shape[1]]


def write(path, image, nodata=None):
    return write_geotiff(path, image, crs="EPSG:32615", origin=(500_000, image.shape[1]), nodata=nodata)


def labels_of(image):
    return np.asarray(LEGEND.values, np.uint8)[np.minimum(image[0] // 86, 2)]


@pytest.fixture
def image(tmp_path):
    """A raster without nodata pixels."""
    return write(tmp_path / "image.tif", make_image(), nodata=0)


@pytest.fixture(scope="module")
def network_run(tmp_path_factory):
    """A small untrained U-Net: its labels are arbitrary, its bits are not."""
    torch.manual_seed(0)
    inputs = InputSpec.measure([Scene.open(image=make_image())])
    segmenter = NetworkSegmenter(
        {"name": "unet", "encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]},
        inputs, LEGEND, tiling=Tiling(64, 8),
    )  # fmt: skip
    return save_run(segmenter, tmp_path_factory.mktemp("runs") / "network")


@pytest.fixture(scope="module")
def pixel_run(tmp_path_factory):
    """A logistic regression on pixel values."""
    scene = Scene.open(image=make_image(), labels=labels_of(make_image()))
    segmenter = PixelClassifier(
        LogisticRegression(max_iter=300), InputSpec.measure([scene]), LEGEND, tiling=Tiling(48, 0)
    ).fit([scene], max_pixels=3000)
    return save_run(segmenter, tmp_path_factory.mktemp("runs") / "pixels")


def single(**options):
    """Options with one thread: quick beside other work, and the default of no machine."""
    return PredictOptions(**{"threads": 1} | options)


def read(path):
    with rasterio.open(path) as file:
        return file.read()


def test_labels_are_those_of_the_whole_image_at_once(pixel_run, image, tmp_path):
    result = predict(pixel_run, image, tmp_path / "labels.tif", single())
    segmenter = load_run(pixel_run).segmenter
    prepared = segmenter.inputs.prepare(Scene.open(image=image).read())
    plain = np.asarray(LEGEND.values)[segmenter.predict_proba(prepared[None])[0].argmax(axis=0)]
    np.testing.assert_array_equal(read(result.paths["labels"])[0], plain)
    assert (result.tiles, result.skipped, result.computed) == (12, 0, 12)


def test_label_raster_is_a_cog_with_palette_and_legend(pixel_run, tmp_path):
    image = write(tmp_path / "image.tif", make_image((700, 600)))
    out = predict(pixel_run, image, tmp_path / "labels.tif", single(tile_px=256)).paths["labels"]
    with rasterio.open(out) as file, rasterio.open(image) as source:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1)
        assert file.nodata == 255
        assert file.colormap(1)[7][:3] == (255, 0, 0)
        assert json.loads(file.tags()["LEGEND"])["name"] == "three"
        assert file.transform == source.transform
        assert file.crs == source.crs
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


@pytest.mark.parametrize(("overlap_px", "scores"), [(0, "probabilities"), *((16, kind) for kind in SCORES)])
def test_bits_do_not_depend_on_workers_or_strips(network_run, image, tmp_path, overlap_px, scores):
    def run(name, workers, **further):
        options = single(
            probabilities=tmp_path / f"{name}-p.tif", entropy=tmp_path / f"{name}-e.tif", workers=workers,
            overlap_px=overlap_px, scores=scores, **further,
        )  # fmt: skip
        return predict(network_run, image, tmp_path / f"{name}.tif", options)

    whole, cut = run("whole", 1), run("cut", 3, block_px=32, strip_px=32)
    assert cut.computed > whole.computed
    assert cut.tiles == whole.tiles
    for product in ("labels", "probabilities", "entropy"):
        np.testing.assert_array_equal(read(cut.paths[product]), read(whole.paths[product]), err_msg=product)


def test_labels_do_not_depend_on_what_else_is_written(network_run, image, tmp_path):
    alone = predict(network_run, image, tmp_path / "a.tif", single()).paths["labels"]
    options = single(probabilities=tmp_path / "p.tif")
    np.testing.assert_array_equal(
        read(predict(network_run, image, tmp_path / "b.tif", options).paths["labels"]), read(alone)
    )


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (64, 64), (33, 65)])
def test_scenes_of_any_size_are_labelled_whole(network_run, tmp_path, shape):
    image = write(tmp_path / "image.tif", make_image(shape))
    labels = read(predict(network_run, image, tmp_path / "labels.tif", single()).paths["labels"])[0]
    assert labels.shape == shape
    assert set(np.unique(labels)) <= set(LEGEND.values)


def test_pixels_that_are_not_valid_become_void_and_empty_tiles_are_skipped(network_run, tmp_path):
    pixels = make_image()
    pixels[:, :100] = 0
    pixels[:, 120, 7] = 0
    image = write(tmp_path / "image.tif", pixels, nodata=0)
    options = single(probabilities=tmp_path / "p.tif", entropy=tmp_path / "e.tif")
    result = predict(network_run, image, tmp_path / "labels.tif", options)
    invalid = (pixels == 0).all(axis=0)
    assert set(result.paths) == {"labels", "probabilities", "entropy"}
    for product, path in result.paths.items():
        np.testing.assert_array_equal((read(path) == 255).all(axis=0), invalid, err_msg=product)
    assert (result.tiles, result.skipped) == (12, 6)
    assert result.computed == result.tiles - result.skipped


def test_scene_without_any_valid_pixel_is_all_void(network_run, tmp_path):
    image = write(tmp_path / "image.tif", np.zeros((3, 90, 90), np.uint8), nodata=0)
    result = predict(network_run, image, tmp_path / "labels.tif", single())
    assert (read(result.paths["labels"]) == 255).all()
    assert result.computed == 0


def test_probabilities_and_entropy_are_packed_fractions(pixel_run, image, tmp_path):
    options = single(probabilities=tmp_path / "p.tif", entropy=tmp_path / "e.tif")
    result = predict(pixel_run, image, tmp_path / "labels.tif", options)
    segmenter = load_run(pixel_run).segmenter
    proba = segmenter.predict_proba(segmenter.inputs.prepare(Scene.open(image=image).read())[None])[0]
    packed = read(result.paths["probabilities"]) / 254
    np.testing.assert_allclose(packed, proba, atol=0.5 / 254 + 1e-5)
    plain = -xlogy(proba, proba).sum(axis=0) / np.log(3)
    np.testing.assert_allclose(read(result.paths["entropy"])[0] / 254, plain, atol=0.5 / 254 + 1e-4)
    with rasterio.open(result.paths["probabilities"]) as file:
        assert file.descriptions == LEGEND.names


def test_layers_on_different_grids_are_read_on_the_first_ones_grid(tmp_path):
    image, height = make_image(), make_image(seed=1)[:1].astype(np.float32)
    scene = Scene.open(image=image, dsm=height, labels=labels_of(height.astype(np.uint8)))
    inputs = InputSpec.measure([scene], ("image", "dsm"))
    segmenter = PixelClassifier(LogisticRegression(max_iter=300), inputs, LEGEND, tiling=Tiling(64, 0)).fit([scene])
    coarse = height[:, ::2, ::2]
    path = write_geotiff(tmp_path / "dsm.tif", coarse, crs="EPSG:32615", origin=(500_000, 150), gsd=2)
    layers = {"image": write(tmp_path / "image.tif", image), "dsm": path}
    labels = read(predict(segmenter, layers, tmp_path / "labels.tif", single()).paths["labels"])[0]
    agreement = labels == labels_of(height.astype(np.uint8))
    assert agreement.mean() > 0.9


KILLED = """
import os, sys
from deepnets4eo.prediction import PredictOptions, predict
from pathlib import Path
run, image, out, probabilities, overlap = sys.argv[1:]
def die(share):
    if share > 0.7:
        os.kill(os.getpid(), 9)
predict(run, image, out, PredictOptions(probabilities=Path(probabilities), overlap_px=int(overlap), threads=1, block_px=32), progress=die)
"""


def test_killed_job_resumes_to_the_same_bits(network_run, image, tmp_path):
    out, probabilities = tmp_path / "labels.tif", tmp_path / "p.tif"
    options = single(probabilities=probabilities, overlap_px=16, block_px=32)
    command = [sys.executable, "-c", KILLED, network_run, image, out, probabilities, "16"]
    packages = os.pathsep.join(filter(None, sys.path))  # of other entry points, which are part of the job's identity
    killed = subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": packages})
    assert killed.returncode == -9
    assert not out.exists()
    assert not probabilities.exists()
    resumed = predict(network_run, image, out, dataclasses.replace(options, resume=True, threads=None))
    fresh_options = dataclasses.replace(options, probabilities=tmp_path / "fresh-p.tif")
    fresh = predict(network_run, image, tmp_path / "fresh.tif", fresh_options)
    assert 0 < resumed.computed < fresh.computed
    assert (resumed.tiles, resumed.skipped) == (fresh.tiles, fresh.skipped)
    np.testing.assert_array_equal(read(out), read(fresh.paths["labels"]))
    np.testing.assert_array_equal(read(probabilities), read(fresh.paths["probabilities"]))
    assert list(tmp_path.glob(".*")) == []


def interrupted(run, image, out, **options):
    """Stop a prediction early, as Ctrl-C does."""

    def stop(share):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(run, image, out, single(**options), progress=stop)


def test_another_jobs_ledger_is_refused_and_says_what_differs(network_run, image, tmp_path):
    out = tmp_path / "labels.tif"
    interrupted(network_run, image, out)
    with pytest.raises(OtherJobError) as error:
        predict(network_run, image, out, single(resume=True, halo_px=16))
    assert error.value.differing == ("tiling",)


def test_an_interrupted_job_goes_on_with_a_touched_image_but_not_with_another_content(network_run, image, tmp_path):
    copy, out = tmp_path / "image.tif", tmp_path / "labels.tif"
    copy.write_bytes(Path(image).read_bytes())
    interrupted(network_run, copy, out, block_px=32)
    os.utime(copy, (0, 0))
    corrected = tmp_path / "corrected.tif"
    with rasterio.open(copy) as file, rasterio.open(corrected, "w", **file.profile) as written:
        written.write(file.read()[:, ::-1])
    with pytest.raises(OtherJobError):
        predict(network_run, corrected, out, single(block_px=32, resume=True))
    resumed = predict(network_run, copy, out, single(block_px=32, resume=True))
    assert resumed.computed < resumed.tiles - resumed.skipped


def test_a_finished_job_is_complete_for_the_same_content_and_refused_for_any_other(pixel_run, image, tmp_path):
    out, proba = tmp_path / "labels.tif", tmp_path / "p.tif"
    predict(pixel_run, image, out, single(probabilities=proba))
    again, copy = single(probabilities=proba, resume=True), tmp_path / "copy.tif"
    copy.write_bytes(Path(image).read_bytes())
    for scene, options in (
        (image, again),
        (copy, again),
        (copy, dataclasses.replace(again, memory_bytes=10**10, threads=2)),
    ):
        with pytest.raises(CompleteError):
            predict(pixel_run, scene, out, options)
    with rasterio.open(copy, "r+") as file:
        file.write(file.read()[:, ::-1])
    others = {"image": (copy, again), "tiling": (image, dataclasses.replace(again, halo_px=16))}
    for differing, (scene, options) in others.items():
        with pytest.raises(OtherJobError) as error:
            predict(pixel_run, scene, out, options)
        assert error.value.differing == (differing,)
    predict(pixel_run, copy, out, single(overwrite=True))  # the probabilities are now of another job
    with pytest.raises(OtherJobError):
        predict(pixel_run, copy, out, again)
    with pytest.raises(CompleteError):
        predict(pixel_run, copy, out, single(resume=True))


def test_progress_of_an_interrupted_job_is_discarded_only_when_told(network_run, image, tmp_path):
    out = tmp_path / "labels.tif"
    interrupted(network_run, image, out, block_px=32)
    assert not out.exists()
    kept = {path: path.read_bytes() for path in tmp_path.glob(".*/*")}
    assert kept
    message = r"rows-labels\.tif exists already.*Pass --overwrite .*--resume .*another path"
    other = write(tmp_path / "other.tif", make_image(seed=5))
    for scene in (image, other):
        with pytest.raises(OutputError, match=message):
            predict(network_run, scene, out, single())
        with pytest.raises(OutputError, match=message):
            check_outputs(out, single(), [scene])
    assert {path: path.read_bytes() for path in tmp_path.glob(".*/*")} == kept
    result = predict(network_run, image, out, single(overwrite=True))
    assert result.computed == result.tiles
    assert list(tmp_path.glob(".*")) == []


def test_a_job_that_finished_no_rows_is_no_hindrance(network_run, image, tmp_path):
    out = tmp_path / "labels.tif"
    RowJournal(out).start({"run": "one"})
    result = predict(network_run, image, out, single())
    assert result.computed == result.tiles
    assert list(tmp_path.glob(".*")) == []


@pytest.fixture
def disk_of_40_kb():
    """A disk on which no file grows beyond 40 kB, until it is told otherwise."""
    with ExitStack() as stack:
        stack.enter_context(small_disk(40_000))
        yield stack.close


def test_full_disk_leaves_no_output_and_resuming_goes_on(network_run, tmp_path, disk_of_40_kb):
    scene = Scene.open(image=make_image())
    out, proba = tmp_path / "labels.tif", tmp_path / "p.tif"
    with pytest.raises(OutputError, match=r"could not write .*Free some space"):
        predict(network_run, scene, out, single(probabilities=proba, block_px=32))
    assert not out.exists()
    assert not proba.exists()
    disk_of_40_kb()
    resumed = predict(network_run, scene, out, single(probabilities=proba, block_px=32, resume=True))
    fresh = predict(network_run, scene, tmp_path / "fresh.tif", single(probabilities=tmp_path / "fresh-p.tif"))
    assert set(fresh.paths) == set(resumed.paths) == {"labels", "probabilities"}
    for product, path in fresh.paths.items():
        np.testing.assert_array_equal(read(resumed.paths[product]), read(path))


MEASURED = """
import resource, sys, torch
from pathlib import Path
import numpy as np
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.tiling import Tiling
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import NetworkSegmenter
inputs = InputSpec({"image": LayerInput(("band_1",), (127.0,), (50.0,), 0, 255)})
row = np.arange(700, dtype=np.uint8) + np.uint8(1)
for rows, num_classes in [(1_000, 6), (20_000, 6), (1_000, 60)]:
    legend = Legend("made-up", tuple(LegendClass(k, f"c{k}", (k + 1, 0, 0)) for k in range(num_classes)))
    segmenter = NetworkSegmenter({}, inputs, legend, tiling=Tiling(288, 16), module=torch.nn.Conv2d(1, num_classes, 1))
    scene = Scene.open(image=np.broadcast_to(row, (1, rows, 700)))  # takes no memory itself
    predict(segmenter, scene, f"{sys.argv[1]}/{rows}-{num_classes}.tif", PredictOptions(threads=1))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # the peak so far
"""


@pytest.mark.slow
def test_peak_memory_grows_neither_with_the_scene_nor_with_the_classes(tmp_path):
    command = [sys.executable, "-c", MEASURED, str(tmp_path)]
    peaks = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert len(peaks) == 3
    assert int(peaks[-1]) / int(peaks[0]) < 1.1


def test_existing_output_is_kept_unless_told(pixel_run, image, tmp_path):
    out = tmp_path / "labels.tif"
    predict(pixel_run, image, out, single())
    for options in (single(), single(resume=True)):
        with raises_naming(OutputError, "--overwrite"):
            predict(pixel_run, image, out, options)
    predict(pixel_run, image, tmp_path / "other.tif", single(tile_px=32))
    (tmp_path / "other.tif").replace(out)
    with pytest.raises(OtherJobError):
        predict(pixel_run, image, out, single(resume=True))
    predict(pixel_run, image, out, single(overwrite=True))


def test_too_little_memory_is_refused_with_what_would_do(pixel_run, image, tmp_path):
    with raises_naming(InputError, "--memory", "50MB", "MB"):
        predict(pixel_run, image, tmp_path / "labels.tif", single(memory_bytes=50 * 10**6))


def test_scene_that_does_not_fit_is_refused_before_anything_is_written(pixel_run, tmp_path):
    image = write(tmp_path / "image.tif", make_image()[:2])
    with raises_naming(RunError, "image.tif", "2 bands", "training had 3"):
        predict(pixel_run, image, tmp_path / "labels.tif", single())
    assert [path.name for path in tmp_path.iterdir()] == ["image.tif"]


def test_synthetic_scenes_give_labels_that_say_so(pixel_run, tmp_path):
    image = write(tmp_path / "image.tif", make_image())
    with rasterio.open(image, "r+") as file:
        file.update_tags(SYNTHETIC="a made-up place")
    assert Layer.open(predict(pixel_run, image, tmp_path / "labels.tif", single()).paths["labels"]).synthetic


@pytest.mark.real_data
def test_a_real_mosaic_is_labelled_as_its_pixels_say(real_data, tmp_path):
    """Six tiles in geographic coordinates as one scene; a forest learns bright against dark, and finds it again."""
    scene = Scene.open(image=real_data / "joplin" / "post")
    bright = scene.read()["image"].mean(axis=0) > 100
    labels = Layer.open(np.where(bright, np.uint8(7), np.uint8(0)), grid=scene.grid)
    forest = RandomForestClassifier(10, random_state=0)
    segmenter = PixelClassifier(forest, InputSpec.measure([scene]), LEGEND, tiling=Tiling(512, 0))
    segmenter.fit([Scene({**scene.layers, "labels": labels})], max_pixels=3000)
    result = predict(segmenter, scene, tmp_path / "labels.tif", single(threads=2))
    assert ((read(result.paths["labels"])[0] == 7) == bright).mean() > 0.97


@pytest.mark.parametrize("name", ["batch_tiles", "block_px", "strip_px", "tile_px", "threads", "workers"])
def test_sizes_and_numbers_below_one_are_refused(name: str) -> None:
    with raises_naming(InputError, name, "0", "1"):
        PredictOptions(**{name: 0})


@pytest.mark.parametrize("overlap_px", [0, 16])
def test_parts_in_any_order_make_the_bits_of_one_job(network_run, image, tmp_path, overlap_px):
    shared = {"overlap_px": overlap_px, "block_px": 16}
    whole = predict(
        network_run, image, tmp_path / "whole.tif", single(probabilities=tmp_path / "whole-p.tif", **shared)
    )
    out, probabilities, shares = tmp_path / "labels.tif", tmp_path / "p.tif", []

    def part(number, total=3, **options):
        own = single(probabilities=probabilities, part=Part(number, total), **shared | options)
        return predict(network_run, image, out, own, progress=shares.append)

    parts = [part(number) for number in (2, 3)]
    assert all(each.paths == {} and 0 < each.computed < whole.computed for each in parts)
    assert not out.exists()
    assert not probabilities.exists()
    interrupted(network_run, image, out, probabilities=probabilities, part=Part(1, 3), **shared)
    begun = part(1)
    assert 0 < begun.computed < whole.computed
    assert sum(each.tiles for each in (*parts, begun)) == whole.tiles
    assert part(1).computed == 0
    with raises_naming(OutputError, "--overwrite", "3 parts", "now into 4"):
        part(1, 4)
    with raises_naming(OutputError, "--overwrite", "--resume"):
        predict(network_run, image, out, single(probabilities=probabilities, **shared))
    with pytest.raises(OtherJobError, match="tiling"):
        part(2, halo_px=16)
    shares.clear()
    options = single(probabilities=probabilities, resume=True, **shared)
    scene = Scene.open(image=image)
    assert f"{whole.tiles} of {whole.tiles} tiles are done" in describe(load_run(network_run), scene, options, out)
    divided = predict(network_run, image, out, options, progress=shares.append)
    assert (divided.tiles, divided.skipped, divided.computed) == (whole.tiles, whole.skipped, 0)
    for name, path in divided.paths.items():
        assert path.read_bytes() == whole.paths[name].read_bytes(), name
    assert list(tmp_path.glob(".*")) == []


def test_a_part_that_is_missing_is_computed_by_the_job_that_completes_the_others(network_run, image, tmp_path):
    whole = predict(network_run, image, tmp_path / "whole.tif", single(block_px=32))
    out, shares = tmp_path / "labels.tif", []
    for number in (1, 9):  # of nine parts of five blocks of rows, some have none
        predict(network_run, image, out, single(block_px=32, part=Part(number, 9)))
    check_outputs(out, single(resume=True), [image])
    divided = predict(network_run, image, out, single(block_px=32, resume=True), progress=shares.append)
    assert 0 < divided.computed < whole.computed * 2
    assert shares == sorted(shares)
    np.testing.assert_array_equal(read(out), read(whole.paths["labels"]))
    predict(network_run, image, out, single(block_px=32, part=Part(1, 2), overwrite=True))
    again = predict(network_run, image, out, single(block_px=32, overwrite=True))
    assert again.computed == whole.computed
    assert list(tmp_path.glob(".*")) == []
