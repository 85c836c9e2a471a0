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
from io import BytesIO
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.addresses import file_name_of, name_of
from deepnets4eo.cli.main import main
from deepnets4eo.rasters import Layer
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
