"""Every way by which a file comes into the package: functions of Python and verbs of the command line.

A reader takes the path of its (damaged) main file, a folder to write to, and the sound seeds for its other inputs.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepnets4eo.points import PointCloud
    from fuzzing.seed import Seed

    Seeds = dict[str, list[Seed]]
    Read = Callable[[Path, Path, Seeds], object]

GOOD_STATUS = (0, 1, 2, 3, 130)


@dataclass(frozen=True)
class Reader:
    """One way in: its name, the kinds of seeds that are damaged for it, and the function or verb."""

    name: str
    kinds: tuple[str, ...]
    read: Read


class WrongStatusError(Exception):
    """The command line ended with a status that it does not have, or printed a traceback."""


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Run with a folder as the current one."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def verb(*arguments: str) -> Read:
    """The command line within this process.

    In the arguments `{main}` is the damaged path, `{out}` a folder to write to, `{KIND}` the first sound seed of a kind.
    """

    def read(main: Path, out: Path, sound: Seeds) -> object:
        from deepnets4eo.cli.main import main as run_command

        paths = {kind: str(seeds[0].path) for kind, seeds in sound.items()} | {
            "main": str(main),
            "folder": str(main.parent),
            "out": str(out),
        }
        filled = [_fill_in(argument, paths) for argument in arguments]
        output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = run_command(filled)
        text = output.buffer.getvalue().decode()
        if status not in GOOD_STATUS or "Traceback" in text or (status == 2 and not text.strip()):
            raise WrongStatusError(f"status {status}, printed {text[-500:]!r}")
        if status == 2:
            from deepnets4eo.errors import InputError

            raise InputError(text[-500:])
        return status

    return read


def _fill_in(argument: str, paths: dict[str, str]) -> str:
    for name, path in paths.items():
        argument = argument.replace(f"{{{name}}}", path)
    return argument


def _yaml(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.files import read_yaml

    return read_yaml(main)


def _json(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.files import read_json

    return read_json(main)


def _layer(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.grid import Window, gsd_m, overlap_share
    from deepnets4eo.rasters.scene import Layer, Scene

    layer, other = Layer.open(main), Layer.open(sound["raster"][0].path)
    read: list[object] = [layer.read(Window(-3, 5, 20, 20)), layer.thumbnail(16)]
    if layer.shape[0] * layer.shape[1] * layer.count < 10**7:
        read.append(layer.read())
    read.append((gsd_m(layer.grid), overlap_share(other.grid, layer.grid) if layer.grid.crs else 0))
    return read, Scene({"image": other, "second": layer}).read(Window(0, 0, 16, 16)), layer.tags


def _scene(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.grid import Window
    from deepnets4eo.rasters.scene import Scene
    from deepnets4eo.segmenters.inputs import InputSpec

    scene = Scene.open(image=main, labels=sound["labels"][0].path)
    return scene.read(Window(0, 0, 20, 20)), InputSpec.measure([scene])


def _cube(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.errors import InputError
    from deepnets4eo.grid import Window
    from deepnets4eo.hyperspectral import Cube
    from deepnets4eo.rasters.scene import Scene

    cube = Cube.open(main)
    if cube.shape[0] * cube.shape[1] * cube.shape[2] > 10**7:
        return cube.read(Window(0, 0, 8, 8))
    read: list[object] = [cube.read(), cube.read(Window(-3, 5, 20, 20)), repr(cube)]
    try:
        read.append(cube.false_colour() if cube.wavelengths_nm is not None else cube.false_colour(bands=[1, 2, 3]))
        read.append(Scene.open(image=main, labels=main).read(Window(0, 0, 9, 9)))
    except InputError:  # fewer bands, or no labels; the cube itself was read
        pass
    return read


def _library(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.hyperspectral import SpectralLibrary

    library = SpectralLibrary.open(main)
    library.write(out / "a.sli")
    return library.resample(library.wavelengths_nm) if library.wavelengths_nm is not None else library


def _points(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.points import open_cloud

    file = open_cloud(main)
    whole = file.read()
    x, y, _ = whole.xyz[0]
    return file.bounds, file.crs, file.read((x, y, x + 5, y + 5)), [len(chunk) for chunk in file.chunks(150)]


class _OneClass:
    """Labels all points alike."""

    halo_m, needs = 2.0, ()

    def __init__(self) -> None:
        from deepnets4eo.cards.legend import Legend, LegendClass

        self.legend = Legend("one", (LegendClass(64, "any", (1, 1, 1)),))

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        return np.ones((len(cloud), 1), np.float32)


def _label_points(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.points import LabelOptions, label_cloud

    return label_cloud(main, _OneClass(), out / "a.laz", LabelOptions(replace=True))


def _legend(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.cards.legend import Legend

    legend = Legend.load(main)
    return legend.to_index(), legend.color_table(), legend.qml(), legend.remap_to(Legend.load("isprs"), missing="void")


def _dataset_card(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.cards.dataset_card import DatasetCard
    from deepnets4eo.cards.dataset_reader import open_dataset
    from deepnets4eo.inspection.datasets import inspect_dataset

    card = DatasetCard.load(main)
    findings = inspect_dataset(str(main.parent), card) if main.parent.is_dir() else None
    return findings, open_dataset(card, main.parent, part="train")


def _recipe(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.training import load_recipe

    recipe, _ = load_recipe(str(main), overrides=["train.epochs=1"])
    return recipe.hash, recipe.save(out / "recipe.yaml")


def _rules(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.baselines.rule_table import RuleTable

    return RuleTable.load(main).to_dict()


def _osm_rules(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.osm.rules import OsmRules

    return OsmRules.load(main).keys


def _damage_model(main: Path, out: Path, sound: Seeds) -> object:
    import pandas as pd

    from deepnets4eo.damage.decision import DamageModel
    from deepnets4eo.damage.evidence.meaning import MEANING

    frame = pd.DataFrame({name: np.linspace(-1, 1, 4) for name in MEANING})
    frame["status"], frame["method"] = "assessed", ["pre_post", "post_only"] * 2
    return DamageModel.load(main).decide(frame)


def _run(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.segmenters.run import load_run

    run = load_run(main)
    prepared = np.zeros((1, run.inputs.in_channels, 32, 32), np.float32)
    return run.segmenter.predict_proba(prepared), run.segmenter.describe()


def _grader(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage.decision_with_network import DecisionModel

    return DecisionModel.load(str(main), 0.5, 0.5)


def _object_run(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.objects import ObjectClassifier

    return ObjectClassifier.load(main)


def _state(main: Path, out: Path, sound: Seeds) -> object:
    import torch

    from deepnets4eo.training.state import load_state, read_scalars

    network = torch.nn.Conv2d(3, 2, 1)
    return read_scalars(main), load_state(main, network, torch.optim.Adam(network.parameters()))


def _journal(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.prediction.progress_file import ProgressFile

    ledger = ProgressFile(main / "labels.tif")
    if not ledger.load():
        return None
    return ledger.counts, ledger.finished_rows(0), [list(ledger.replay(name, 1)) for name in ("labels", "entropy")]


def _resume(main: Path, out: Path, sound: Seeds) -> object:
    with inside(main):
        predict = verb("predict", "run", "image.tif", "--out", "labels.tif", "--threads", "1", "--resume")
        return predict(main, out, sound)


def _bank(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.baselines.parts.bank_file import load_bank

    return load_bank(main)


def _block(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage.evidence.store import BlockStore
    from deepnets4eo.grid import Window

    store = BlockStore.__new__(BlockStore)  # the folder's name is a hash of a whole job, which no case has
    store.folder = main.parent
    return store.get(Window(0, 0, 48, 48))


def _weights(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.baselines.features.encoders import read_tensors

    return read_tensors(main)


def _first_weights(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.segmentation import SegNet

    return SegNet(3, 6, width=2, weights=str(main))


def _footprints(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage.footprints import read_footprints
    from deepnets4eo.rasters.scene import Layer

    footprints = read_footprints(main)
    grid = Layer.open(sound["raster"][0].path).grid
    return footprints.in_pixels(grid) if footprints.crs is not None else footprints.attributes


def _outcome(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.benchmark.rows import _read_outcome

    return _read_outcome(main, {}, {})


def _pairs(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage.siamese.datasets import read_pairs
    from deepnets4eo.damage.siamese.recipe import PairSection

    return [(pair.scene, pair.grades) for pair in read_pairs(PairSection(folders=(str(main),)))]


def _options(main: Path, out: Path, sound: Seeds) -> object:
    """Odd words from the damaged file as options: what users mistype."""
    rng = np.random.default_rng(main.stat().st_size if main.is_file() else 0)
    word = str(
        rng.choice(
            [
                "nan",
                "inf",
                "-1",
                "0",
                "1e308",
                "",
                " ",
                "x",
                "1.2.3GB",
                "..GB",
                "\u00e9",
                "9" * 30,
                "EPSG:0",
                "[",
                "a,b",
                "0.5,,1",
            ]
        )
    )
    labels, image, vector = (str(sound[kind][0].path) for kind in ("labels", "raster", "vector"))
    run = str(next(seed.path for seed in sound["run"] if "pixel" in str(seed.folder)))
    choices: list[list[str]] = [
        ["predict", run, image, "--out", "{out}/a.tif", "--dry-run", "--memory", word],
        ["predict", run, image, "--out", "{out}/a.tif", "--dry-run", "--scales", word],
        ["predict", run, image, "--out", "{out}/a.tif", "--tile", word],
        ["damage", image, image, vector, "--out", "{out}/d", "--dry-run", "--footprints-crs", word],
        ["damage", image, image, vector, "--out", "{out}/d", "--dry-run", "--id-column", word],
        ["damage", image, image, vector, "--out", "{out}/d", "--dry-run", "--layer", word],
        ["damage", image, image, vector, "--out", "{out}/d", "--dry-run", "--damaged-share", word],
        ["register", image, image, "--max-shift", word],
        ["evaluate", labels, labels, "--figure", "{out}/figure." + word.replace("/", "")],
        ["evaluate", labels, labels, "--legend", word],
        ["evaluate", labels, labels, "--ignore", word, "--erode", "1"],
        ["polygons", labels, "--out", "{out}/a.gpkg", "--simplify", word],
        ["polygons", labels, "--out", "{out}/a.gpkg", "--min-area", word],
        ["polygons", labels, "--out", "{out}/a.gpkg", "--classes", word],
        ["objects", labels, "--out", "{out}/a.gpkg", "--class", "car", "--opening", word],
        ["objects", labels, "--out", "{out}/a.gpkg", "--class", "car", "--density", "{out}/d.tif", "--cell", word],
        ["heights", "{heights}", "--out", "{out}/a.tif", "--max-building-m", word],
        ["rasterize", image, "{osm}", "--out", "{out}/a.tif", "--encoding", "distance", "--clip", word],
        ["train", "unet-resnet34", "--out", "{out}/run", "--set", f"train.epochs={word}"],
        ["train", "unet-resnet34", "--out", "{out}/run", "--set", word],
    ]  # fmt: skip
    return verb(*choices[int(rng.integers(len(choices)))])(main, out, sound)


ANY_YAML = ("legend", "dataset-card", "recipe", "rules", "osm-rules")
READERS: tuple[Reader, ...] = (
    Reader("read_yaml", ANY_YAML, _yaml),
    Reader("read_json", ("scores",), _json),
    Reader("Layer", ("raster", "heights"), _layer),
    Reader("Scene", ("raster",), _scene),
    Reader("Cube", ("cube",), _cube),
    Reader("SpectralLibrary", ("library",), _library),
    Reader("check cube", ("cube",), verb("check", "{main}")),
    Reader("open_cloud", ("points",), _points),
    Reader("label_cloud", ("points",), _label_points),
    Reader("check points", ("points",), verb("check", "{main}")),
    Reader("Legend", ("legend",), _legend),
    Reader("DatasetCard", ("dataset-card", "dataset"), _dataset_card),
    Reader("load_recipe", ("recipe",), _recipe),
    Reader("RuleTable", ("rules",), _rules),
    Reader("OsmRules", ("osm-rules",), _osm_rules),
    Reader("DamageModel", ("damage-model",), _damage_model),
    Reader("load_run", ("run",), _run),
    Reader("load_run again", ("run",), _run),
    Reader("DecisionModel", ("siamese-run",), _grader),
    Reader("ObjectClassifier", ("object-run",), _object_run),
    Reader("load_state", ("state",), _state),
    Reader("ProgressFile", ("journal",), _journal),
    Reader("predict --resume", ("resumed",), _resume),
    Reader("load_bank", ("bank",), _bank),
    Reader("BlockStore", ("blocks",), _block),
    Reader("read_tensors", ("weights",), _weights),
    Reader("first weights", ("weights",), _first_weights),
    Reader("read_footprints", ("vector",), _footprints),
    Reader("read_footprints again", ("vector",), _footprints),
    Reader("read_pairs", ("pairs",), _pairs),
    Reader("options", ("legend",), _options),
    Reader("check raster", ("raster", "labels", "heights"), verb("check", "{main}", "{raster}")),
    Reader("check vector", ("vector",), verb("check", "{main}", "{raster}")),
    Reader("check run", ("run",), verb("check", "{main}")),
    Reader("check --dataset", ("dataset",), verb("check", "{folder}", "--dataset", "{main}")),
    Reader("check pairs", ("pairs",), verb("check", "{main}")),
    Reader("damage pre", ("raster",), verb("damage", "{main}", "{raster}", "{vector}", "--out", "{out}/d", "--dry-run")),
    Reader("damage footprints", ("vector",), verb("damage", "-", "{raster}", "{main}", "--out", "{out}/d", "--dry-run")),
    Reader("damage whole", ("raster",), verb("damage", "{raster}", "{main}", "{vector}", "--out", "{out}/d", "--workers", "1")),
    Reader("damage outlines", ("vector",), verb("damage", "-", "{raster}", "{main}", "--out", "{out}/d", "--workers", "1")),
    Reader("damage --model", ("damage-model", "siamese-run"), verb("damage", "-", "{raster}", "{vector}", "--out", "{out}/d", "--model", "{main}", "--workers", "1")),
    Reader("register", ("raster",), verb("register", "{main}", "{raster}", "--json", "-")),
    Reader("predict scene", ("raster",), verb("predict", "{run}", "{main}", "--out", "{out}/a.tif", "--threads", "1")),
    Reader("predict run", ("run",), verb("predict", "{main}", "{raster}", "--out", "{out}/a.tif", "--dry-run")),
    Reader("evaluate", ("labels",), verb("evaluate", "{main}", "{labels}", "--erode", "1")),
    Reader("evaluate --against", ("scores",), verb("evaluate", "{labels}", "{labels}", "--against", "{main}")),
    Reader("evaluate --dataset", ("dataset",), verb("evaluate", "{folder}/labels", "{folder}", "--dataset", "{main}")),
    Reader("polygons", ("labels",), verb("polygons", "{main}", "--out", "{out}/a.gpkg", "--right-angles", "--simplify", "0.5")),
    Reader("objects", ("labels",), verb("objects", "{main}", "--out", "{out}/a.gpkg", "--density", "{out}/d.tif")),
    Reader("heights --dtm", ("heights",), verb("heights", "{heights}", "--dtm", "{main}", "--out", "{out}/a.tif")),
    Reader("outcome", ("scores",), _outcome),
    Reader("heights", ("heights",), verb("heights", "{main}", "--out", "{out}/a.tif", "--channels", "ndsm,slope")),
    Reader("rasterize osm", ("osm",), verb("rasterize", "{raster}", "{main}", "--out", "{out}/a.tif", "--encoding", "distance")),
    Reader("rasterize class=file", ("vector",), verb("rasterize", "{raster}", "buildings={main}", "--out", "{out}/a.tif")),
    Reader("rasterize --coverage", ("vector",), verb("rasterize", "{raster}", "buildings={vector}", "--coverage", "{main}", "--out", "{out}/a.tif")),
    Reader("rasterize --rules", ("osm-rules",), verb("rasterize", "{raster}", "{osm}", "--rules", "{main}", "--out", "{out}/a.tif")),
    Reader("rasterize image", ("raster",), verb("rasterize", "{main}", "buildings={vector}", "--out", "{out}/a.tif")),
    Reader("score xview2", ("xview2",), verb("score", "xview2", "{main}/prediction", "{main}/target")),
    Reader("train", ("recipe",), verb("train", "{main}", "--data", "{out}", "--out", "{out}/run", "--set", "legend=isprs")),
    Reader("datasets", ("dataset-card",), verb("datasets", "{main}")),
)  # fmt: skip
