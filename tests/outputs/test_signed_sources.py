"""Jobs on addresses with a signature: no product, table, page, archive and line of the log holds it, whatever kind of input it opens."""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from io import BytesIO
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import yaml
from geotiff import write_geotiff
from made_up_clicks import write_clickable
from sklearn.ensemble import RandomForestClassifier

from deepnets4eo.addresses import file_name_of, name_of
from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards import recipe_path
from deepnets4eo.change import NoveltyOptions
from deepnets4eo.change.series import SeriesJob, SeriesProducts
from deepnets4eo.change.series.dates import DatedImage
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.cli.main import main
from deepnets4eo.files import read_yaml
from deepnets4eo.jobs import JobOutput
from deepnets4eo.prediction import ClickReview, ClickServer, open_scene
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.synthetic import City, Event

SERVER = Path(__file__).parents[1] / "formats" / "range_server.py"
SECRET = "SIGNATURE"
UNPACKED = (binascii.Error, OSError, EOFError, zlib.error)  # of bytes that only look packed

Address = Callable[[str], str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small city, with a raster for every further input."""
    folder = tmp_path_factory.mktemp("place")
    City(11, 192, 0.5, event=Event(shift_px=(2.0, -3.0), damage_shares=(0.4, 0.1, 0.1, 0.4))).write(folder)
    grid = Layer.open(folder / "post.tif").grid
    marked = np.zeros((1, *grid.shape), np.uint8)
    marked[:, :40, :40] = 1
    scores = np.random.default_rng(0).random((1, *grid.shape)).astype(np.float32)
    for name, values in {"water": marked, "cloud": marked, "wind": 40 * scores, "score": scores}.items():
        write_geotiff(folder / f"{name}.tif", values, transform=grid.affine, crs=str(grid.crs))
    houses = gpd.read_file(folder / "footprints.gpkg")
    houses["subtype"] = np.where(np.arange(len(houses)) % 2, "destroyed", "no-damage")
    houses["uid"] = houses["id"]
    houses.to_file(folder / "graded.geojson", driver="GeoJSON")
    return folder


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[Address]:
    """The signed address of a file of the city."""
    with subprocess.Popen([sys.executable, str(SERVER), str(place)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield lambda name: f"http://me:{SECRET}@127.0.0.1:{port}/{name}?sv=2020-08-04&sig={SECRET}%3D&se={SECRET}"
        process.terminate()


def unpacked(content: bytes) -> Iterator[bytes]:
    """The bytes of a file, and those of what is packed in it: members of a ZIP, payloads of a page, streams of a PDF."""
    yield content
    if content.startswith(b"PK"):
        with zipfile.ZipFile(BytesIO(content)) as archive:
            yield from map(archive.read, archive.namelist())
    for word in re.findall(rb"[A-Za-z0-9+/]{64,}={0,2}", content):
        with suppress(*UNPACKED):
            yield gzip.decompress(base64.b64decode(word))
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL) if content[:4] == b"%PDF" else ():
        with suppress(*UNPACKED):
            yield zlib.decompress(stream)


def leaks(folder: Path) -> list[str]:
    """The files of a folder that hold the signature."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(SECRET.encode() in part for part in unpacked(path.read_bytes()))]


def run(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str], *, statuses: tuple[int, ...] = (0, 3)
) -> None:
    """Run a verb, which writes into the folder; neither its products nor what it prints hold the signature."""
    status = main(words)
    printed = "".join(capsys.readouterr())
    assert status in statuses, printed[-1000:]
    assert SECRET not in printed
    assert any(path.is_file() for path in folder.rglob("*"))
    assert leaks(folder) == []


def test_a_damage_map_of_signed_sources_names_them_without_signature(
    place: Path, address: Address, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    further = ["--water", address("water.tif"), "--cloud-mask", address("cloud.tif")]
    further += ["--dsm-pre", address("dsm_pre.tif"), "--dsm-post", address("dsm_post.tif")]
    further += ["--prior", f"wind:m/s={address('wind.tif')}", "--evidence", f"score={address('score.tif')}"]
    options = ["--set", "network=false", "--also", "pdf,cems,unosat,xbd,csv,stac"]
    sources = [address(name) for name in ("pre.tif", "post.tif", "graded.geojson")]
    run(["damage", *sources, *further, *options, "--out", str(tmp_path / "map")], tmp_path, capsys)
    manifest = (tmp_path / "map" / "manifest.json").read_text()
    names = ("pre.tif", "graded.geojson", "water.tif", "cloud.tif", "dsm_pre.tif", "wind.tif", "score.tif")
    assert [name for name in names if name_of(address(name)) not in manifest] == []


@pytest.mark.parametrize(
    "words",
    [
        ["flood", "pre.tif", "post.tif", "--permanent-water", "water.tif", "--footprints", "graded.geojson", "--out", "OUT"],
        ["flood", "pre.tif", "post.tif", "--permanent-water", "water.tif", "--out", "OUT/map", "--part", "1/2"],
        ["change", "pre.tif", "post.tif", "--out", "OUT"],
        ["layers", "footprints", "graded.geojson", "--bbox", "-180", "-90", "180", "90", "--out", "OUT/b.gpkg"],
        ["compare", "graded.geojson", "graded.geojson", "--out", "OUT/compared"],
        ["register", "pre.tif", "post.tif", "--json", "OUT/r.json"],
        ["check", "pre.tif", "post.tif", "graded.geojson", "score.tif", "lacking.tif", "lacking.gpkg", "--json", "OUT/c.json"],
    ],
    ids=["flood", "part of a job", "change", "footprints", "compare", "register", "check"],
)  # fmt: skip
def test_no_product_of_a_verb_holds_a_signature(
    words: list[str], address: Address, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = [address(word) if word.endswith((".tif", ".geojson")) else word for word in words]
    run([word.replace("OUT", str(tmp_path)) for word in remote], tmp_path, capsys, statuses=(0, 2, 3))


@pytest.fixture(scope="module")
def learned(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that classifies pixels of the city by their colours."""
    scene = Scene.open(image=place / "post.tif", labels=place / "labels.tif")
    inputs, legend = InputSpec.measure([scene]), Layer.open(place / "labels.tif").legend
    forest = PixelClassifier(RandomForestClassifier(3, max_depth=4, random_state=0), inputs, legend)
    return save_run(forest.fit([scene], max_pixels=2000), tmp_path_factory.mktemp("run") / "run")


def test_labels_and_their_interrupted_jobs_name_the_scene_without_signature(
    learned: Path, address: Address, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(learned), f"image={address('post.tif')}", "--out", str(tmp_path / "a.tif")]
    run([*words, "--probabilities", str(tmp_path / "p.tif")], tmp_path, capsys)
    run([*words[:-1], str(tmp_path / "b.tif"), "--part", "1/2"], tmp_path, capsys)


def test_clicks_on_a_signed_scene_leave_no_signature(place: Path, address: Address, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    loaded = load_run(write_clickable(place)[0])
    source = address("scene.tif")
    review = ClickReview(loaded, open_scene(source, loaded.segmenter), tmp_path / "clicks")
    server = ClickServer(review, file_name_of(source))
    review.finish()
    server.server_close()
    assert SECRET not in server.headline()
    assert any((tmp_path / "clicks").iterdir())
    assert leaks(tmp_path) == []


def test_a_series_of_signed_images_names_them_without_signature(address: Address, tmp_path: Path) -> None:
    days = [date(2020, month, 1) for month in range(1, 9)]
    images = [DatedImage(day, (address("post.tif" if day.month > 5 else "pre.tif"),)) for day in days]
    options, products = NoveltyOptions(cell_px=16), SeriesProducts(top=4)
    SeriesJob(ImageSeries(images), JobOutput(tmp_path / "out"), options, products).run()
    assert name_of(address("post.tif")) in (tmp_path / "out" / "series.json").read_text()
    assert leaks(tmp_path) == []


def test_pixels_like_one_of_a_signed_image_are_mapped_without_signature(
    address: Address, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    west, south, east, north = Layer.open(place / "post.tif").grid.extent.to_crs("EPSG:4326").boundingbox.bbox
    point = f"{(west + east) / 2},{(south + north) / 2}"
    words = ["series", address("post.tif"), "--like", point, "--out", str(tmp_path / "alike.tif")]
    run(words, tmp_path, capsys)


def test_a_training_on_signed_rasters_names_them_without_signature(
    address: Address, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = read_yaml(recipe_path("baselines/random-forest"))
    scenes = [{"name": name, "image": address("post.tif"), "labels": address("labels.tif")} for name in ("a", "b")]
    recipe["data"] = {"scenes": scenes, "split": "blocks", "val_share": 0.2}
    recipe["legend"] = Layer.open(address("labels.tif"), labels=True).legend.to_dict()
    recipe["model"]["max_samples"] = 300
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "out").mkdir()
    run(
        ["train", str(tmp_path / "recipe.yaml"), "--online", "--out", str(tmp_path / "out" / "run")],
        tmp_path / "out",
        capsys,
    )


def test_names_of_sources_end_before_the_query_whatever_it_holds() -> None:
    for query in ("?sig=SIGNATURE", '?sig=SIG"NATURE', "?sig=SIG NATURE", "?a=1?sig=SIGNATURE", "?sig=(SIGNATURE)"):
        source = f"https://me:SIG@host.org/folder/a.tif{query}"
        assert name_of(source) == "https://host.org/folder/a.tif"
        assert name_of(f"wind:m/s={source}") == "wind:m/s=https://host.org/folder/a.tif"
        assert file_name_of(source) == "a.tif"
    assert name_of(Path("https://host.org/a.tif?sig=x")) == "https:/host.org/a.tif"
    assert [file_name_of(name) for name in ("a/b.tif", "cube.mat#data", "a?b.tif")] == [
        "b.tif",
        "cube.mat#data",
        "a?b.tif",
    ]
