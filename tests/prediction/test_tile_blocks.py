"""Tiles that other processes compute: the bytes of one process, a block that fails names itself, and the rest is done on resuming."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from block_jobs import KilledError, OneByOne
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.baselines import ExpertRules
from deepnets4eo.baselines.rules import RuleTable
from deepnets4eo.cards import Legend, LegendClass, ShippedModel
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.jobs import Executor, Part
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

LEGEND = Legend("two", (LegendClass(0, "water", (0, 0, 255)), LegendClass(3, "grass", (0, 255, 0))))
SHAPE = (150, 171)


def make_image() -> np.ndarray:
    image = np.random.default_rng(0).integers(1, 255, (3, *SHAPE), dtype=np.uint8)
    image[:, 30:90, 40:140] = 0  # tiles without data
    return image


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules: quick to start in a process, as no classifier and no network is."""
    rules = [{"class": "grass", "red": {"above": 120}}, {"class": "grass", "blue": {"below": 60}}]
    inputs = InputSpec.measure([Scene.open(image=make_image())])
    table = RuleTable.from_dict({"rules": rules, "otherwise": "water"})
    segmenter = ExpertRules(table, inputs, LEGEND, bands={"image": ["red", "green", "blue"]}, tiling=Tiling(48, 4))
    return save_run(segmenter, tmp_path_factory.mktemp("runs") / "rules")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_geotiff(tmp_path / "image.tif", make_image(), crs="EPSG:32615", origin=(0, 150), nodata=0)


def label(run: Path, scene: object, out: Path, executor: Executor | None = None, **options: object) -> dict[str, bytes]:
    """The files of a prediction by name: labels and, blended, also probabilities and entropy."""
    out.mkdir(exist_ok=True)
    further = {name: out / f"{name}.tif" for name in ("probabilities", "entropy")} if options.get("overlap_px") else {}
    work = PredictOptions(threads=1, block_px=64, executor=executor, **further, **options)  # type: ignore[arg-type]
    predict(run, scene, out / "labels.tif", work)  # type: ignore[arg-type]
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("strip_px", [None, 64])
def test_a_killed_job_computes_again_only_the_block_that_was_in_work(
    run: Path, scene: Path, tmp_path: Path, strip_px: int | None
) -> None:
    options = {"overlap_px": 12, "strip_px": strip_px}
    alone = label(run, str(scene), tmp_path / "alone", **options)
    whole = OneByOne()
    assert label(run, str(scene), tmp_path / "whole", whole, **options) == alone
    for stop in (1, len(whole.done) - 1):
        out, first, second = tmp_path / f"killed-{stop}", OneByOne(stop), OneByOne()
        with pytest.raises(KilledError):
            label(run, str(scene), out, first, **options)
        assert label(run, str(scene), out, second, resume=True, **options) == alone
        assert len(first.done) + len(second.done) <= len(whole.done)


def test_a_block_that_fails_ends_the_job_with_its_name_and_resuming_does_the_rest(
    run: Path, scene: Path, tmp_path: Path
) -> None:
    alone = label(run, str(scene), tmp_path / "alone")
    failing, after = OneByOne(failing="2-4-5"), OneByOne()
    with raises_naming(RunError, "2-4-5"):
        label(run, str(scene), tmp_path / "out", failing)
    assert label(run, str(scene), tmp_path / "out", after, resume=True) == alone
    assert after.done[0][1] == "2-4-5"
    # one process goes on with what several began
    out = tmp_path / "third"
    with pytest.raises(KilledError):
        label(run, str(scene), out, OneByOne(stop=5))
    assert label(run, str(scene), out, resume=True) == alone


def test_scenes_in_memory_are_refused_and_files_are_opened_anew(
    run: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="the layers image are held in memory .* Write them to files"):
        label(run, Scene.open(image=make_image()), tmp_path / "out", OneByOne())
    halves = [write_geotiff(tmp_path / f"half{top}.tif", make_image()[:, top : top + 75], crs="EPSG:32615",
                            origin=(0, 150 - top), nodata=0) for top in (0, 75)]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    layers = [Layer.open("image.tif"), Layer.open([path.name for path in halves]), Layer.open("image.tif", nodata=7)]
    sent = [pickle.dumps(layer) for layer in layers]
    monkeypatch.chdir(os.sep)
    for layer, text in zip(layers, sent, strict=True):
        again = pickle.loads(text)  # noqa: S301 - what was pickled above
        assert again.nodata == layer.nodata
        assert (again.read()[0] == make_image()).all()


SHIPPED = ("buildings", "floods/water")


@pytest.mark.parametrize("name", SHIPPED)
def test_processes_and_parts_make_the_map_of_one_process_with_shipped_weights(name: str, tmp_path: Path) -> None:
    run = ShippedModel(name).folder
    bands = load_run(run).inputs.in_channels
    image = np.random.default_rng(0).integers(1, 255, (bands, 40, 50), dtype=np.uint8)
    source = str(
        write_geotiff(
            tmp_path / "image.tif", image.repeat(4, 1).repeat(4, 2), crs="EPSG:32615", gsd=0.5, origin=(0, 80)
        )
    )
    expected = label_by_default(run, source, tmp_path / "alone")
    assert label_by_default(run, source, tmp_path / "threads", threads=2) == expected
    assert label_by_default(run, source, tmp_path / "processes", executor=OneByOne()) == expected
    for number in (1, 2):
        label_by_default(run, source, tmp_path / "parts", part=Part(number, 2))
    assert label_by_default(run, source, tmp_path / "parts", resume=True) == expected


def label_by_default(run: Path, source: str, out: Path, **options: object) -> bytes:
    """The pixels of the labels, computed as the defaults choose, but for the options."""
    out.mkdir(exist_ok=True)
    predict(run, source, out / "labels.tif", PredictOptions(block_px=64, tile_px=256, **options))  # type: ignore[arg-type]
    if not (out / "labels.tif").exists():
        return b""
    with rasterio.open(out / "labels.tif") as labels:
        return labels.read().tobytes()


def test_two_processes_write_the_bytes_of_one_and_leave_nothing_behind(
    run: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    for workers in ("2", "processes:2"):
        out = tmp_path / workers.replace(":", "-")
        out.mkdir()
        further = [word for name in ("probabilities", "entropy") for word in (f"--{name}", str(out / f"{name}.tif"))]
        words = [
            str(run),
            str(scene),
            "--out",
            str(out / "labels.tif"),
            "--set",
            "overlap_px=12",
            "--set",
            "threads=1",
            *further,
        ]
        assert main(["predict", *words, "--workers", workers]) == 0
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert written[0] == written[1]
    assert {"labels.tif", "probabilities.tif", "entropy.tif"} <= set(written[0])
    assert main(["predict", *words, "--workers", "many"]) == 2
    assert "--workers many is no number of threads" in capsys.readouterr().err
