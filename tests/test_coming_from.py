"""The table for users of other libraries: names of theirs exist where the library is installed, and every command of ours runs."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import shutil
import sys
from pathlib import Path

import made_up_town as town
import numpy as np
import pytest
import rasterio
import shapely
from geotiff import write_geotiff

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main

sys.path.append(str(Path(__file__).parent / "fuzz"))
from fuzzing.openstreetmap import small_pbf

PAGE = (Path(__file__).parents[1] / "docs" / "howto" / "coming_from.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
ROWS = {
    title: re.findall(r"^\| (.*?) \| (.*) \|$", text, re.M)[1:] for title, text in SECTIONS.items()
}  # theirs, ours; the first row is the head
# What makes a training short; the command itself stays as it is on the page
SHORT = {
    "unet-resnet34": ["model.network=light-unet", "model.encoder=null", "data.tile_px=64", "train.epochs=1", "predict.tile_px=128"],
    "change/fc-siam-diff": ["data.tile_px=32", "data.windows_per_epoch=4", "data.split=blocks", "train.batch_size=2", "train.epochs=1"],
    "baselines/random-forest": ["estimator.trees=5"],
    "hyperspectral/hamida": ["train.epochs=1", "data.split=random_pixels", "data.val_share=0.5"],
}  # fmt: skip
NETWORKS = ("torchgeo", "Raster Vision")  # whose commands train networks and export one: half a minute
SIDE = 128


def commands(title: str) -> list[str]:
    """The commands of ours in a section, with what they are given."""
    named = [name for _, ours in ROWS[title] for name in re.findall(r"`(deepnets4eo [^`]+)`", ours)]
    return [name for name in dict.fromkeys(named) if len(name.split()) > 2]


def test_the_page_has_a_table_for_each_library() -> None:
    assert {title: len(rows) >= 6 for title, rows in ROWS.items()} == dict.fromkeys(ROWS, True)
    assert sum(len(commands(title)) for title in ROWS) >= 20


@pytest.mark.parametrize(
    ("title", "module", "short"),
    [("segmentation_models.pytorch", "segmentation_models_pytorch", "smp"), ("torchgeo", "torchgeo", "torchgeo")],
)
def test_names_of_theirs_exist(title: str, module: str, short: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    names = [name for theirs, _ in ROWS[title] for name in re.findall(rf"\b{short}(?:\.\w+)+", theirs)]
    assert names
    for name in names:
        home, _, last = name.replace(short, module, 1).rpartition(".")
        assert hasattr(importlib.import_module(home), last), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files by the names on the page."""
    root = tmp_path_factory.mktemp("theirs")
    rng = np.random.default_rng(0)
    legend = Legend.load("isprs")
    for folder in ("tiles", "scene"):
        for place in ("a", "b"):
            classes = np.kron(rng.integers(0, legend.num_classes, (16, 16)), np.ones((8, 8), int))
            image = legend.colors[classes].transpose(2, 0, 1) // 2 + rng.integers(20, 60, (3, SIDE, SIDE))
            where = root / folder / place
            where.mkdir(parents=True)
            write_geotiff(where / "image.tif", image.astype(np.uint8))
            write_geotiff(where / "labels.tif", np.array(legend.values, np.uint8)[classes])
    shutil.copy(root / "tiles" / "a" / "image.tif", root / "scene.tif")
    shutil.copy(root / "tiles" / "a" / "labels.tif", root / "reference.tif")
    before, after = town.photo(after=False), np.roll(town.photo(after=True), (-4, 3), axis=(1, 2))
    place = {"crs": town.GRID.crs, "transform": town.GRID.affine}
    for name, image in (("before", before), ("after", after), ("pre", before), ("post", after)):
        write_geotiff(root / f"{name}.tif", image, **place)
    for number in range(2):
        pair = root / "pairs" / f"city{number}"
        pair.mkdir(parents=True)
        part = np.s_[:, :SIDE, number * SIDE : (number + 1) * SIDE]
        write_geotiff(pair / "pre.tif", before[part])
        write_geotiff(pair / "post.tif", after[part])
        changed = np.abs(after.astype(int) - before)[part].mean(0) > 40
        write_geotiff(pair / "change.tif", changed.astype(np.uint8))
    town.outlines().to_file(root / "footprints.gpkg")
    write_geotiff(root / "pan.tif", before.mean(0).astype(np.uint8), **place)
    write_geotiff(
        root / "image.tif",
        before[:, ::4, ::4],
        crs=place["crs"],
        transform=town.GRID.affine * town.GRID.affine.scale(4),
    )
    (root / "region.osm.pbf").write_bytes(small_pbf([shapely.box(36.15, 36.25, 36.1501, 36.2501)]))
    write_pavia(root, rng)
    return root


def write_pavia(root: Path, rng: np.random.Generator) -> None:
    from scipy.io import savemat

    labels = np.kron(rng.permutation(np.arange(64) % 10).reshape(8, 8), np.ones((5, 5), int)).astype(np.uint8)
    cube = (1000 + 100.0 * labels[..., None] + rng.normal(0, 20, (*labels.shape, 103))).astype(np.uint16)
    (root / "FOLDER").mkdir()
    savemat(root / "FOLDER" / "PaviaU.mat", {"paviaU": cube})
    savemat(root / "FOLDER" / "PaviaU_gt.mat", {"paviaU_gt": labels})
    profile = {"driver": "ENVI", "count": 103, "dtype": "uint16", "height": 40, "width": 40}
    with rasterio.open(root / "cube.img", "w", **profile) as file:
        file.write(cube.transpose(2, 0, 1))


def shortened(command: str) -> list[str]:
    words = shlex.split(command)[1:]
    if words[0] != "train":
        return words
    return [*words, *(word for value in SHORT[words[1]] for word in ("--set", value))]


@pytest.mark.parametrize(
    "title",
    [
        pytest.param(title, marks=[pytest.mark.nightly] if title in NETWORKS else [pytest.mark.slow])
        for title in ROWS
        if commands(title)
    ],
)
def test_every_command_of_ours_runs(
    title: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page, in one folder for each library."""
    work = tmp_path / "work"
    shutil.copytree(folder, work)
    monkeypatch.chdir(work)
    for command in commands(title):
        words = shortened(command)
        if "--update" in words:  # of a map that nobody has reviewed
            assert (main(words), "deepnets4eo review" in capsys.readouterr().err) == (2, True)
            continue
        if "--out" in words and words[0] != "review":
            words.append("--overwrite")
        assert main(words) in ((0, 3) if words[0] == "damage" else (0,)), (command, capsys.readouterr().err)
        for option in ("--out", "--page", "--onnx", "--probabilities"):
            if option in words:
                assert Path(words[words.index(option) + 1]).exists(), command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "model.encoder_name=resnet34"], "What other libraries call 'encoder_name' is 'model.encoder' here."),
        (["--set", "model.classes=6"], "The number of classes follows from the legend: legend=NAME."),
        (["--set", "train.learning_rate=0.1"], "What other libraries call 'learning_rate' is 'train.lr' here."),
        (["--set", "max_epochs=3"], "What other libraries call 'max_epochs' is 'train.epochs' here."),
        (
            ["--patch-size", "64"],
            "What other libraries call 'patch_size' is 'data.tile_px' here. Values of a recipe are set by",
        ),
    ],
)
def test_a_word_of_theirs_gets_ours(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "unet-resnet34", "--out", "run", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_words_of_theirs_are_none_of_ours_and_lead_to_ours() -> None:
    from deepnets4eo.training import load_recipe
    from deepnets4eo.training.other_words import FOLLOWS, KEYS

    recipe = load_recipe("unet-resnet34")[0].model_dump()
    ours = {key for section in recipe.values() if isinstance(section, dict) for key in section}
    assert not ours & {*KEYS, *FOLLOWS}
    for key in set(KEYS.values()):
        section, name = key.split(".")
        assert name in recipe[section], key


def test_register_says_what_registers_and_where_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["register", "pre.tif", "post.tif", "--out", "moved.tif"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "register writes --tie-points FILE or --json FILE." in said
    assert "damage, change, series and flood bring PRE onto POST by themselves." in said
    assert main(["evaluate", "a.tif", "b.tif", "--out", "scores"]) == 2
    assert "evaluate writes --json FILE or --csv FILE or --markdown FILE." in " ".join(capsys.readouterr().err.split())
