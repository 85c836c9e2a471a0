"""Every option of a verb reaches the work, and what is not given has the value that the help promises."""

from __future__ import annotations

import importlib
import json
import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff
from made_up_clouds import NeighbourCount

from deepnets4eo.cards import Legend
from deepnets4eo.change import ChangeOptions, Diffusion
from deepnets4eo.cli.main import main
from deepnets4eo.damage import PointEvidence, RasterEvidence, Settings
from deepnets4eo.damage.site.site import Inputs
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.evaluation import Intervals, Protocol
from deepnets4eo.jobs import JobOutput
from deepnets4eo.objects import ObjectRules
from deepnets4eo.outputs import EventInfo, SeriesEvent
from deepnets4eo.points import LabelOptions, RubbleOptions
from deepnets4eo.polygons import Shaping
from deepnets4eo.prediction import PredictOptions
from deepnets4eo.rasters import Layer
from deepnets4eo.training import TrainOptions


class ReachedError(DeepNets4EOError):
    """The work was reached, and need not be done."""


class Recorder:
    """Stands in for the function that does the work; keeps what it was given."""

    def __init__(self) -> None:
        self.words: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}

    def __call__(self, *words: Any, **options: Any) -> Any:
        self.words, self.options = words, {name: one for name, one in options.items() if name != "progress"}
        raise ReachedError("reached")


def import_all(package: str) -> None:
    """Import a package's modules: one first imported under the patch would keep the stand-in when the patch is undone."""
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(getattr(found, "__path__", []), f"{package}."):
        importlib.import_module(module.name)


def keys(option: str, **values: object) -> list[str]:
    """An option that is repeated with KEY=VALUE."""
    return [word for name, value in values.items() for word in (option, f"{name}={value}")]


EVENT = keys("--event", name="Flood", place="Derna", date_pre="2023-09-01", date_post="2023-09-13", sensor_pre="S2",
             sensor_post="PNEO", credit="ESA", producer="Team")  # fmt: skip
GIVEN = EventInfo("Flood", "Derna", "2023-09-01", "2023-09-13", "S2", "PNEO", "ESA", "Team")


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs a verb up to a function, in a folder of its own, and returns what that was given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "deepnets4eo.damage.files.job.check_exist", lambda names: None
    )  # no file has the names given here

    def run(function: str, *command: object) -> Recorder:
        recorder = Recorder()
        import_all(".".join(function.split(".")[:2]))
        monkeypatch.setattr(function, recorder)
        assert main([str(word) for word in command]) == 1, command
        assert recorder.words
        return recorder

    return run


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_geotiff(tmp_path / "labels.tif", np.ones((8, 8), np.uint8), crs="EPSG:32615", origin=(0, 8))


def test_heights(reach) -> None:
    found = reach("deepnets4eo.terrain.composite_raster", "layers", "heights", "dsm.tif", "--out", "a.tif")
    assert found.words == ("dsm.tif", Path("a.tif"))
    assert found.options == {
        "dtm": None, "image": None, "channels": ["ndsm"], "bands": None, "max_building_m": 50.0, "gsd_m": None,
        "overwrite": False,
    }  # fmt: skip
    words = ["--dtm", "t.tif", "--image", "i.tif", "--channels", "dsm, ,ndvi", "--bands", "nir,red"]
    more = ["--max-building-m", 30, "--gsd", 0.5, "--overwrite"]
    found = reach(
        "deepnets4eo.terrain.composite_raster", "layers", "heights", "dsm.tif", "--out", "a.tif", *words, *more
    )
    assert found.options == {
        "dtm": "t.tif", "image": "i.tif", "channels": ["dsm", "ndvi"], "bands": ["nir", "red"],
        "max_building_m": 30.0, "gsd_m": 0.5, "overwrite": True,
    }  # fmt: skip


def test_rasterize(reach, capsys) -> None:
    function, start = "deepnets4eo.osm.rasterize_osm", ["layers", "osm", "i.tif", "--out", "o.tif"]
    found = reach(function, *start, "a.osm", "b.osm")
    assert found.words == (["a.osm", "b.osm"], "i.tif", Path("o.tif"))
    assert found.options == {
        "encoding": "binary", "clip_m": 20.0, "rules": None, "coverage": None, "unknown": [], "complete": [],
        "overwrite": False,
    }  # fmt: skip
    words = [
        "--encoding",
        "distance",
        "--rules",
        "r.yaml",
        "--coverage",
        "c.gpkg",
        *keys("--set", clip_m=5, unknown="roads"),
    ]
    found = reach(function, *start, "roads=a.gpkg", "water=b.gpkg", *words, "--set", "complete=a,b", "--overwrite")
    assert found.words[0] == {"roads": "a.gpkg", "water": "b.gpkg"}
    assert found.options == {
        "encoding": "distance", "clip_m": 5.0, "rules": Path("r.yaml"), "coverage": "c.gpkg", "unknown": ["roads"],
        "complete": ["a", "b"], "overwrite": True,
    }  # fmt: skip
    capsys.readouterr()
    for mixed in (["roads=a.gpkg", "b.osm"], ["roads=a.gpkg", "roads=b.gpkg"]):
        assert main([*start, *mixed]) == 2
        assert f"{' '.join(mixed)} mixes class=file with files that have tags, or names a class twice" in (
            capsys.readouterr().err
        )


def test_polygons(reach, labels) -> None:
    function, start = "deepnets4eo.polygons.write_polygons", ["polygons", labels, "--out", "a.gpkg"]
    found = reach(function, *start)
    assert found.words[0].source == str(labels)
    assert found.words[1:] == (Path("a.gpkg"), None, Shaping(0.0, 0.0, right_angles=False))
    words = ["--legend", "isprs", "--min-area", 3, "--simplify", 0.5, "--right-angles", "--classes", "car, 1,9"]
    found = reach(function, *start, *words)
    assert found.words[2:] == ({4: "car", 1: "building", 9: "9"}, Shaping(3.0, 0.5, right_angles=True))
    every = reach(function, *start, "--legend", "isprs").words[2]
    assert every == dict(enumerate(Legend.load("isprs").names))
    assert reach(function, *start, "--classes", "7").words[2] == {7: "7"}


def test_objects(reach, labels) -> None:
    function = "deepnets4eo.objects.extract_objects"
    start = ["objects", labels, "car", "--out", "a.gpkg", "--legend", "isprs"]
    found = reach(function, *start)
    assert found.words[1:] == (
        "car", Legend.load("isprs"), ObjectRules(0.0, 0.0, "distance", None, shape="oriented_box"),
    )  # fmt: skip
    assert found.options == {"workers": 2}
    words = keys("--set", opening_m=0.5, split="area", object_area_m2=8, shape="polygon")
    found = reach(function, "objects", labels, "tree", *start[3:], "--min-area", 2, *words, "--workers", 3)
    assert found.words[1] == "tree"
    assert found.words[3] == ObjectRules(0.5, 2.0, "area", 8.0, shape="polygon")
    assert found.options == {"workers": 3}


def test_density_of_objects(reach, labels, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("deepnets4eo.objects.extract_objects", lambda *_, **__: [])
    monkeypatch.setattr("deepnets4eo.polygons.write_vector", lambda found, out: out)
    start = ["objects", labels, "car", "--out", tmp_path / "a.gpkg", "--legend", "isprs"]
    start += ["--density", tmp_path / "d.tif"]
    found = reach("deepnets4eo.objects.write_density_map", *start)
    assert found.words[2] == tmp_path / "d.tif"
    assert tuple(found.words[1].shape) == (1, 1)  # cells of 10 m over 8 × 8 m
    assert found.options == {"radius_m": 0.0}
    found = reach("deepnets4eo.objects.write_density_map", *start, *keys("--set", cell_m=2, radius_m=7))
    assert tuple(found.words[1].shape) == (4, 4)
    assert found.options == {"radius_m": 7.0}
    (tmp_path / "d.tif").write_text("precious")
    assert main([str(word) for word in start]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_register(reach, labels) -> None:
    function, start = "deepnets4eo.registration.pair.register", ["register", labels, labels]
    assert reach(function, *start).options == {
        "model": "auto",
        "max_shift_m": 30.0,
        "max_rotation_deg": 30.0,
        "seed": 0,
    }
    found = reach(function, *start, *keys("--set", motion="affine", max_shift_m=5, max_rotation_deg=4, seed=7))
    assert found.options == {"model": "affine", "max_shift_m": 5.0, "max_rotation_deg": 4.0, "seed": 7}


def test_compare(reach) -> None:
    function, start = "deepnets4eo.damage.comparison.maps.read_damage_map", ["compare", "a", "b", "--out", "o"]
    found = reach(function, *start)
    assert (found.words, found.options) == (("b",), {"grade": None, "id": None, "above": None, "scale": None})
    found = reach(function, *start, *keys("--set", grade="g", id="i", above=0.2, scale="unosat"), "--overwrite")
    assert found.options == {"grade": "g", "id": "i", "above": 0.2, "scale": "unosat"}


def test_train(reach) -> None:
    function, start = "deepnets4eo.training.train", ["train", "unet", "--out", "run"]
    found = reach(function, *start)
    assert found.words == ("unet", Path("run"))
    assert found.options == {"data": (), "overrides": [], "options": TrainOptions("auto", resume=False)}
    words = ["--data", "a", "--data", "b", "--set", "x=1", "--seed", 0, "--device", "cpu", "--precision", "bfloat16"]
    found = reach(function, *start, *words, "--resume", "--finish", "--overwrite")
    assert found.options == {
        "data": [Path("a"), Path("b")],
        "overrides": ["x=1", "train.seed=0", "train.precision=bfloat16"],
        "options": TrainOptions("cpu", resume=True, finish=True, overwrite=True),
    }
    for devices, count in (("2", 2), ("all", 1)):
        found = reach(function, *start, "--device", "cpu", "--devices", devices)
        assert found.options["options"] == TrainOptions("cpu", devices=count)
    assert main([*start, "--devices", "many"]) == 2


def test_predict(reach, monkeypatch) -> None:
    runs: list[Any] = []

    class Loaded:
        segmenter = None

        class inputs:  # noqa: N801 - stands in for a run's inputs
            names = ("image", "dsm")

    class Opened(str):
        card = {"notes": {}}

    def ensemble_run(*words: Any, **options: Any) -> type[Loaded]:
        runs.append((words, options))
        return Loaded

    monkeypatch.setattr("deepnets4eo.prediction.file_job.load_run", lambda folder: Opened(folder))
    monkeypatch.setattr("deepnets4eo.segmenters.ensemble_run", ensemble_run)
    monkeypatch.setattr("deepnets4eo.prediction.file_job.open_scene", lambda layers, segmenter: layers)
    function, start = "deepnets4eo.prediction.file_job.predict", ["predict", "r", "i.tif", "--out", "o.tif"]
    found = reach(function, *start)
    assert found.words == (Loaded, {"image": "i.tif"}, Path("o.tif"), PredictOptions(memory_bytes=4 * 10**9))
    usual = {"vote": "mean", "views": None, "scales": (1.0,), "dropout_passes": 0, "deviation_factor": 1.0}
    assert runs.pop() == ((["r"],), usual)
    words = [
        "dsm=d.tif",
        "--probabilities",
        "p.tif",
        "--entropy",
        "e.tif",
        "--set",
        "tile_px=64",
        "--set",
        "overlap_px=4",
    ]
    more = [
        *keys("--set", halo_px=8, scores="raw", threads=3, dropout_passes=30, deviation_factor=1.5),
        "--memory",
        "500MB",
        "--workers",
        5,
        "--device",
        "cpu",
        "--precision",
    ]
    last = ["float32", "--resume", "--overwrite", "--augment", "flips", "--set", "scales=1,2", "--set", "vote=majority"]
    found = reach(function, *start, *words, *more, *last, "--ensemble", "s", "--ensemble", "t")
    assert found.words[1] == {"image": "i.tif", "dsm": "d.tif"}
    assert found.words[3] == PredictOptions(
        probabilities=Path("p.tif"), entropy=Path("e.tif"), tile_px=64, halo_px=8, overlap_px=4, scores="raw",
        memory_bytes=500_000_000, workers=5, threads=3, device="cpu", precision="float32", resume=True, overwrite=True,
    )  # fmt: skip
    folders = ["r", "s", "t"]
    chosen = {"vote": "majority", "views": "flips", "scales": (1.0, 2.0), "dropout_passes": 30, "deviation_factor": 1.5}
    assert runs.pop() == ((folders,), chosen)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("123", 123), ("4GB", 4 * 10**9), ("1.5 kib", 1500), ("2t", 2 * 10**12), (" 7 MB ", 7 * 10**6)],
)
def test_sizes_of_memory(text: str, expected: int) -> None:
    from deepnets4eo.cli.options import memory_bytes

    assert memory_bytes(text) == expected


def test_evaluate_of_files(reach) -> None:
    function = "deepnets4eo.evaluation.pairs.evaluate_pairs"
    start = ["evaluate", "p.tif", "r.tif", "--legend", "isprs"]
    found = reach(function, *start)
    assert found.words == ([(Path("p.tif"), Path("r.tif"))], Legend.load("isprs"), Protocol())
    assert found.options == {"intervals": Intervals(0, 512, 0)}
    words = ["--erode", 3, "--set", "boundary_px=2", "--ignore", "car", "--ignore", "tree", "--unknown", "void"]
    stored = keys("--set", prediction_legend="isprs-mmseg", reference_legend="isprs-delta", reference_nodata=0)
    found = reach(function, *start, *words, *stored, "--bootstrap", 40, *keys("--set", tile_px=64, seed=9))
    assert found.words[2] == Protocol(
        erode_px=3, boundary_px=2, ignored=("car", "tree"), unknown="void",
        prediction_legend=Legend.load("isprs-mmseg"), reference_legend=Legend.load("isprs-delta"),
        reference_nodata=0.0,
    )  # fmt: skip
    assert found.options == {"intervals": Intervals(40, 64, 9)}


def test_a_protocol_keeps_its_own_rules_where_no_option_changes_them(reach) -> None:
    start = ["evaluate", "p.tif", "r.tif", "--protocol", "dfc2015/benchmark"]
    rules = reach("deepnets4eo.evaluation.pairs.evaluate_pairs", *start).words[2]
    assert rules.name == "dfc2015/benchmark"
    changed = reach("deepnets4eo.evaluation.pairs.evaluate_pairs", *start, "--erode", 2).words[2]
    assert changed == replace(rules, erode_px=2)
    changed = reach("deepnets4eo.evaluation.pairs.evaluate_pairs", *start, "--erode", 0, "--ignore", "car").words[2]
    assert (changed.erode_px, changed.ignored) == (0, ("car",))
    assert (changed.name, changed.boundary_px) == (rules.name, rules.boundary_px)


def test_evaluate_of_a_dataset(reach, capsys) -> None:
    function = "deepnets4eo.evaluation.pairs.evaluate_dataset"
    start = ["evaluate", "predicted", "root", "--dataset", "isprs_vaihingen"]
    found = reach(function, *start, "--bootstrap", 5, "--set", "seed=2")
    assert found.words == ("isprs_vaihingen", Path("root"), Path("predicted"), None)
    assert found.options.pop("rules")(Protocol(erode_px=4)) == Protocol(erode_px=4)
    assert found.options == {"layout": {}, "intervals": Intervals(5, 512, 2)}
    words = ["--protocol", "isprs_vaihingen/deepnetsforeo", "--layer", "labels=gt/{id}.tif", "--erode", 0]
    found = reach(function, *start, *words)
    assert found.words[3] == "deepnetsforeo"
    assert found.options["layout"] == {"labels": "gt/{id}.tif"}
    assert found.options["rules"](Protocol(erode_px=4)) == Protocol()
    capsys.readouterr()
    for wrong, message in (
        ([*start, "--legend", "isprs"], "--legend and --dataset do not go together"),
        ([*start[:3], "--legend", "isprs", "--layer", "labels=a.tif"], "--layer belongs to a dataset"),
        ([*start, "--layer", "labels"], "--layer labels is not of the form layer=pattern"),
        ([*start, "--layer", "=a.tif"], "--layer =a.tif is not of the form"),
        ([*start, "--layer", "labels="], "--layer labels= is not of the form"),
    ):
        assert main(wrong) == 2
        assert message in capsys.readouterr().err


def test_label_points(reach, monkeypatch, capsys) -> None:
    loaded: list[Any] = []
    labeller = NeighbourCount()
    monkeypatch.setattr("deepnets4eo.points.labeller.load_labeller", lambda source: loaded.append(source) or labeller)
    monkeypatch.setattr("deepnets4eo.points.colourise.Orthophoto", lambda *words, **options: (words, options))
    function, start = (
        "deepnets4eo.points.labelling.LabelJob.plan",
        ["label-points", "a.laz", "--model", "run", "--out", "o.las"],
    )
    found = reach(function, *start)
    assert found.words == (Path("a.laz"), labeller, Path("o.las"), LabelOptions(), None)
    assert loaded == ["run"]
    words = ["--replace", "--neighbour", "b.laz", "--neighbour", "c.laz", "--crs", "EPSG:2154", "--memory", "1GB"]
    colours = ["--colour", "rgb.tif", "--infrared", "irc.tif", "--all-returns", "--resume", "--overwrite"]
    found = reach(function, *start, *words, *colours)
    assert found.words[3] == LabelOptions(
        replace=True, crs="EPSG:2154", neighbours=(Path("b.laz"), Path("c.laz")), memory_bytes=10**9, resume=True,
        overwrite=True,
    )  # fmt: skip
    assert found.words[4] == (("rgb.tif", "irc.tif"), {"all_returns": True})
    capsys.readouterr()
    assert main([*start, "--infrared", "irc.tif"]) == 2
    assert "--infrared belongs to an orthophoto. Name it with --colour." in capsys.readouterr().err
    assert main([*start, "--workers", "4"]) == 2
    assert "the threads of this work are not chosen. Give processes, such as processes:4." in capsys.readouterr().err


def test_evaluate_of_points(reach, tmp_path, capsys) -> None:
    function = "deepnets4eo.points.evaluation.evaluate_cloud"
    found = reach(function, "evaluate", "a.laz", "b.las")
    assert found.words == (Path("a.laz"), Path("b.las"), None)
    assert found.options == {"ignored": (), "unknown_is_void": False}
    words = ["--protocol", "ign_lidar_hd/fractal", "--ignore", "other", "--unknown", "void"]
    found = reach(function, "evaluate", "a.laz", "b.las", *words)
    assert found.words[2].name == "ign_lidar_hd"
    assert found.options == {"ignored": ["other"], "unknown_is_void": True}
    capsys.readouterr()
    assert main(["evaluate", "a.laz", "b.laz", "--erode", "3"]) == 2
    assert "Points can be scored with --legend, --protocol, --ignore and --unknown only." in capsys.readouterr().err


def test_damage(reach, tmp_path) -> None:
    function, start = "deepnets4eo.damage.files.inputs.open_inputs", ["damage", "a.tif", "b.tif", "f.gpkg"]
    out = ["--out", tmp_path / "out"]
    found = reach(function, *start, *out)
    assert found.words[:3] == ("a.tif", "b.tif", "f.gpkg")
    assert found.words[3] == Settings()
    assert {"dsm_pre": None, "dsm_post": None, "cloud_mask": None}.items() <= found.options.items()
    words = keys("--set", damaged_share=0.1, align="no", network="false")
    more = keys("--set", max_shift_m=8, sensor="optical", layer="l")
    last = ["--model", "m", "--assume-registered", "--footprints-crs", "pixels", "--workers", 3]
    last += ["--dsm-pre", "d", "--dsm-post", "e"]
    found = reach(function, *start, *out, *words, *more, *last, "--cloud-mask", "m.tif", "--gsd", 0.3)
    assert found.words[3] == Settings(
        model="m", damaged_share=0.1, max_shift_m=8.0, align=False, assume_registered=True, network=False, gsd_m=0.3,
        sensor="optical", layer="l", footprints_crs="pixels", workers=3,
    )  # fmt: skip
    assert {"dsm_pre": "d", "dsm_post": "e", "cloud_mask": "m.tif"}.items() <= found.options.items()


def test_damage_evidence(reach, tmp_path) -> None:
    words = ["--evidence", "change=s=1.tif", "--evidence", "flood=f.tif", "--set", "evidence_weight=flood=0.3"]
    function = "deepnets4eo.damage.files.inputs.open_inputs"
    found = reach(function, "damage", "a.tif", "b.tif", "f.gpkg", "--out", tmp_path / "out", *words)
    assert found.options["evidence"] == [RasterEvidence("change", "s=1.tif"), RasterEvidence("flood", "f.tif", 0.3)]


def test_damage_priors(reach, tmp_path, monkeypatch) -> None:
    opened = Inputs(None, None, None, np.zeros(0, object))  # type: ignore[arg-type]
    monkeypatch.setattr("deepnets4eo.damage.files.inputs.open_inputs", lambda *words, **named: opened)
    start = ["damage", "a.tif", "b.tif", "f.gpkg", "--out", tmp_path / "out"]
    words = ["--prior", "wind:mph=w.tif", "--prior", "shakemap=grid.xml", "--set", "prior_curves=own.yaml"]
    found = reach("deepnets4eo.damage.files.inputs.open_priors", *start, *words)
    assert found.words == (["wind:mph=w.tif", "shakemap=grid.xml"], None, "own.yaml")
    assert reach("deepnets4eo.damage.files.inputs.open_priors", *start).words == ((), None, None)


def test_damage_points(reach, tmp_path) -> None:
    function = "deepnets4eo.damage.files.inputs.open_inputs"
    start = ["damage", "a.tif", "b.tif", "f.gpkg", "--out", tmp_path / "out"]
    assert reach(function, *start).options["points"] is None
    found = reach(function, *start, "--points-post", "b.laz")
    assert found.options["points"] == PointEvidence("b.laz")
    words = ["--points-post", "b.laz", "--points-pre", "a.laz", "--set", "evidence_weight=points=0.2"]
    found = reach(function, *start, *words)
    assert found.options["points"] == PointEvidence("b.laz", "a.laz", 0.2)
    assert found.options["evidence"] == []


def test_rubble(reach, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        "deepnets4eo.footprints.read_footprints", lambda source, **named: (source, named), raising=False
    )
    monkeypatch.setattr("deepnets4eo.points.rubble.file_job.check_heights", lambda *words: None)
    function, start = "deepnets4eo.points.rubble.file_job.debris_volumes", ["rubble", "b.laz", "--footprints", "f.gpkg"]
    none = {"layer": None, "id_column": None, "assume_crs": None}
    out = ["--out", tmp_path / "out"]
    found = reach(function, *start, *out)
    assert found.words == ("b.laz", ("f.gpkg", none), None, RubbleOptions())
    assert found.options["event"] == EventInfo()
    words = [
        "--pre",
        "a.laz",
        "--set",
        "cell_m=1",
        "--set",
        "height_column=h",
        "--set",
        "least_loss_m=2",
        "--footprints-crs",
        "EPSG:4326",
    ]
    more = keys("--set", align="no", least_heap_m=0.4, correlation_m=9, bias_m=0.2, least_known_share=0.6, layer="l")
    found = reach(function, *start, *out, *words, *more, *EVENT, "--also", "laz", "--assume-registered")
    named = {"layer": "l", "id_column": None, "assume_crs": "EPSG:4326"}
    assert found.words == ("b.laz", ("f.gpkg", named), "a.laz", RubbleOptions(
        cell_m=1.0, align=False, height_column="h", least_loss_m=2.0, least_heap_m=0.4, correlation_m=9.0, bias_m=0.2,
        least_known_share=0.6, layer="l", assume_registered=True, footprints_crs="EPSG:4326",
    ))  # fmt: skip
    assert found.options["event"] == GIVEN
    function, several = "deepnets4eo.points.rubble.file_job.debris_history", ["--pre", "2010=a.laz", "--pre", "b.laz"]
    found = reach(function, "rubble", "2023-05-01=c.laz", *start[2:], *out, *several)
    assert found.words == (("a.laz", "b.laz", "c.laz"), ("2010", "b", "2023-05-01"), ("f.gpkg", none), RubbleOptions())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--points-pre", "a.laz"], "--points-pre is given without --points-post"),
        (["--points-post", "a.laz", "--set", "evidence_weight=points=much"], "expected one number, such as points=0.3"),
        (["--evidence", "change.tif"], "--evidence is change.tif; expected NAME=RASTER"),
        (["--prior", "wind.tif"], "--prior is wind.tif; expected KIND=FILE or KIND:UNIT=FILE"),
        (["--evidence", "a=b.tif", "--evidence", "a=c.tif"], "expected NAME=RASTER, each name once"),
        (["--set", "evidence_weight=a=0.3"], "--set evidence_weight is a=0.3; expected the name of an --evidence"),
        (["--evidence", "a=b.tif", "--set", "evidence_weight=a=much"], "a=much; expected the name of an --evidence raster and a number"),
    ],
)  # fmt: skip
def test_damage_evidence_without_a_name_or_number_is_refused(words, message, tmp_path, capsys) -> None:
    assert main(["damage", "a.tif", "b.tif", "f.gpkg", "--out", str(tmp_path / "out"), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_damage_takes_footprints_or_a_run_that_finds_them(tmp_path, capsys) -> None:
    words = ["f.gpkg", "--set", "segmenter=run"]
    assert main(["damage", "a.tif", "b.tif", *words, "--out", str(tmp_path / "out")]) == 2
    assert "FOOTPRINTS is f.gpkg and --set segmenter=run" in capsys.readouterr().err


def test_change(reach, tmp_path) -> None:
    function, start = "deepnets4eo.change.job.ChangeJob", ["change", "a.tif", "b.tif", "--out", tmp_path / "out"]
    found = reach(function, *start)
    assert found.words == ("a.tif", "b.tif", JobOutput(tmp_path / "out"), ChangeOptions(), EventInfo())
    words = [
        "--method",
        "cva",
        "--model",
        "run",
        "--refine",
        "--min-area",
        9,
        "--set",
        "cover_pre=c",
        "--set",
        "cover_post=d",
    ]
    more = keys("--set", threshold="em", pre_bands="1,2", post_bands="3,4", normalise="training", motion="affine",
                max_shift_m=5, max_rotation_deg=1, seed=4)  # fmt: skip
    last = ["--assume-registered", "--memory", "1GB"]
    limits = ["--device", "cpu", "--workers", 3, "--resume", "--overwrite"]
    clouds = ["--cloud-mask-pre", "e", "--cloud-mask-post", "f", "--gsd", 0.5]
    found = reach(function, *start, *words, *more, *clouds, *last, *limits, *EVENT)
    assert found.words[2] == JobOutput(tmp_path / "out", resume=True, overwrite=True)
    assert found.words[3] == ChangeOptions(
        method="cva", threshold="em", model="run", refine=True, min_area_m2=9.0, cover_pre="c", cover_post="d",
        cloud_mask_pre="e", cloud_mask_post="f", pre_bands="1,2", post_bands="3,4", normalise="training", motion="affine", max_shift_m=5.0, max_rotation_deg=1.0,
        assume_registered=True, gsd_m=0.5, memory_bytes=10**9, device="cpu", workers=3, seed=4,
    )  # fmt: skip
    assert found.words[4] == GIVEN


def test_report(reach) -> None:
    function, start = "deepnets4eo.hyperspectral.run_report.report", ["export", "run", "--page", "o"]
    found = reach(function, *start)
    assert found.words == ("run", Path("o"))
    assert found.options == {"data": [], "overwrite": False}
    found = reach(function, *start, "--data", "d", "--overwrite")
    assert found.options == {"data": [Path("d")], "overwrite": True}


def test_suspects(reach) -> None:
    function, start = (
        "deepnets4eo.evaluation.suspects.find_wrong_labels",
        ["suspects", "p.tif", "r.tif", "--out", "s.gpkg"],
    )
    found = reach(function, *start)
    assert found.words == ("p.tif", Path("r.tif"), None)
    assert found.options == {"labels_legend": None, "least_px": 16}
    found = reach(
        function, *start, "--legend", "isprs", *keys("--set", reference_legend="xbd", least_px=3), "--overwrite"
    )
    assert found.words[2] == Legend.load("isprs")
    assert found.options == {"labels_legend": Legend.load("xbd"), "least_px": 3}


def test_transitions(reach) -> None:
    function, start = (
        "deepnets4eo.change.cover_table.compare_covers",
        ["layers", "transitions", "a.tif", "b.tif", "--out", "t.csv"],
    )
    found = reach(function, *start)
    assert found.words == ("a.tif", "b.tif")
    assert found.options == {"legend": None, "block_px": None, "seed": 0}
    found = reach(
        function, *start, "--legend", "hrscd", *keys("--set", block_px=64, seed=3), "--overwrite", "--json", "-"
    )
    assert found.options == {"legend": Legend.load("hrscd"), "block_px": 64, "seed": 3}


def test_refine(reach, labels) -> None:
    function = "deepnets4eo.change.refinement.refine_scores"
    start = ["layers", "refine", labels, labels, "--out", "a.tif"]
    found = reach(function, *start)
    assert [found.words[0].source, *(image.source for image in found.words[1])] == [str(labels), str(labels)]
    assert found.words[2] == Path("a.tif")
    assert set(found.options.pop("tags")) == {"JOB"}
    assert found.options == {"diffusion": Diffusion(2500, 5.0, 0.24), "device": "auto", "workers": 2, "resume": False}
    words = [*keys("--set", steps=3, edge_level=9, rate=0.1, band=1), "--device", "cpu", "--workers", 4]
    found = reach(function, *start, *words, "--resume", "--overwrite")
    found.options.pop("tags")
    assert found.options == {"diffusion": Diffusion(3, 9.0, 0.1), "device": "cpu", "workers": 4, "resume": True}


def test_series(reach, monkeypatch) -> None:
    from deepnets4eo.change import NoveltyOptions
    from deepnets4eo.change.series import SeriesProducts
    from deepnets4eo.change.series.stack import ImageSeries, MaskRule

    opened: list[dict[str, Any]] = []

    class Stack:
        paths: tuple[str, ...] = ()
        first_layers = (Layer.open(np.arange(4.0).reshape(1, 2, 2)),)

    def open_series(source: str, **how: Any) -> type[Stack]:
        opened.append({"source": source, **how})
        return Stack

    monkeypatch.setattr(ImageSeries, "open", open_series)
    function, start = "deepnets4eo.change.series.job.SeriesJob.__init__", ["series", "images", "--out", "o"]
    found = reach(function, *start)
    output = JobOutput(Path("o"))
    assert found.words == (Stack, output, NoveltyOptions(), SeriesProducts(), SeriesEvent(), 2)
    assert opened.pop() == {
        "source": "images", "dates": None, "date_pattern": None, "masks": None, "assets": [], "bands": None,
        "mask": MaskRule(),
    }  # fmt: skip
    inputs = [
        "--set",
        "dates=2020-01-01,2020-02-01",
        "--set",
        "date_pattern=%Y%j",
        "--bands",
        "nir=4, red=3",
        "--set",
        "assets=a,b",
    ]
    masks = ["--masks", "m", "--set", "mask_values=3,8"]
    cells = [
        "--set",
        "cell_px=16",
        *keys("--set", stride_px=8, min_valid=0.5, encoder="resnet18", weights="w.safetensors"),
    ]
    past = [*keys("--set", history=4, season_days=0), "--set", "persistence=1"]
    rank = [*keys("--set", candidates=0.1, clusters=4, clustering="hdbscan", seed=3), "--set", "rank_by=isolation"]
    last = ["--set", "top=5", "--set", "breaks_from=2020-02-01", "--set", "break_of=nir", "--workers", 1, "--overwrite"]
    about = keys("--event", name="Flood", place="Derna", sensor="S2", credit="ESA", producer="Team")
    found = reach(function, *start, *inputs, *masks, *cells, *past, *rank, *last, *about)
    assert found.words[2] == NoveltyOptions(
        cell_px=16, stride_px=8, min_valid=0.5, encoder="resnet18", weights="w.safetensors", history=4, season_days=0,
        persistence=1, candidates=0.1, clusters=4, clustering="hdbscan", rank_by="isolation", seed=3,
    )  # fmt: skip
    assert found.words[1].overwrite
    event = SeriesEvent("Flood", "Derna", "S2", "ESA", "Team")
    assert found.words[3:] == (SeriesProducts(top=5, breaks_from="2020-02-01", break_of="nir"), event, 1)
    assert opened.pop() == {
        "source": "images", "dates": ["2020-01-01", "2020-02-01"], "date_pattern": "%Y%j", "masks": "m",
        "assets": ["a", "b"], "bands": {"nir": 4, "red": 3}, "mask": MaskRule((3, 8)),
    }  # fmt: skip
    reach(function, *start, *keys("--set", mask_band=5, mask_above=0.5))
    assert opened.pop()["mask"] == MaskRule((), 0.5, 5)


def test_demo(reach, tmp_path, monkeypatch, capsys) -> None:
    found = reach("deepnets4eo.synthetic.City", "demo", "--out", tmp_path / "d", "--size", 99, "--seed", 7)
    assert found.words == (7, 99)
    monkeypatch.chdir(tmp_path)
    assert reach("deepnets4eo.synthetic.City", "demo").words == (2026, 1536)
    assert "Open demo/damage/report.html in a browser" in capsys.readouterr().out


def test_check(reach, labels, tmp_path, capsys) -> None:
    function = "deepnets4eo.inspection.inspect_dataset"
    found = reach(function, "check", tmp_path, "--dataset", "xbd")
    assert found.words[0] == str(tmp_path)
    assert found.words[1].name == "xbd"
    assert found.options == {"split": None, "thorough": False}
    words = ["--split", "s", "--thorough", "--layer", "labels=gt/{id}.tif"]
    found = reach(function, "check", tmp_path, "--dataset", "isprs_vaihingen", *words)
    assert found.words[1].layout["labels"] == ("gt/{id}.tif",)
    assert found.options == {"split": "s", "thorough": True}
    capsys.readouterr()
    for wrong in (["--split", "s"], ["--thorough"], ["--layer", "labels=a/{id}.tif"]):
        assert main(["check", str(labels), *wrong]) == 2
        assert "--split, --layer and --thorough belong to a dataset" in capsys.readouterr().err


def test_check_prints_what_it_writes(labels, tmp_path, capsys) -> None:
    other = tmp_path / "text.tif"
    other.write_text("no raster")
    target = tmp_path / "check.json"
    words = [str(labels), str(labels), "--legend", "xbd", "--json", str(target)]
    assert main(["check", *words]) == 0
    out = capsys.readouterr().out.splitlines()
    written = json.loads(target.read_text())
    expected = []
    for item in written["files"]:
        expected.append(f"{item['path']}: {item['kind']}")
        expected += [f"  {name}: {value}" for name, value in item["facts"].items()]
        expected += [f"  ! {problem}" for problem in item["problems"]]
    assert written["overlap"]
    assert [line.split(": ")[0] for line in out] == [
        line.split(": ")[0]
        for line in [*expected, "overlap:", *(f"  {line}" for line in written["overlap"]), str(target)]
    ]
    assert main(["check", str(other)]) == 2
    assert f"{other}: unreadable" in capsys.readouterr().out
