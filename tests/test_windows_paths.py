"""Paths of Windows, looked at on any system: a drive is no scheme, a device is no file name, and two cases are one file."""

from __future__ import annotations

import json
import ntpath
import os
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

import pytest
from pydantic import ValidationError
from refusals import raises_naming

from deepnets4eo import addresses
from deepnets4eo.addresses import file_name_of, name_of, path_of, portable_name, shown_address
from deepnets4eo.cards import DatasetCard
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.formats import StacItem, check_exist, is_remote, is_web_address, open_raster, vectors
from deepnets4eo.outputs import input_files
from deepnets4eo.training.splits import _map_path

PATHS = (
    r"C:\maps\a.tif", "C:/maps/a.tif", "c:a.tif", "C://maps/a.tif", r"\\server\share\a.tif", "//server/share/a.tif",
    r"\\?\C:\maps\a.tif", r"maps\new\a.tif", r"C:\Users\Zoë Ü\a #1.tif", r"..\a.tif",
)  # fmt: skip
ADDRESSES = ("https://example.org/a.tif", "s3://bucket/a.tif", "gs://bucket/a", "HTTP://EXAMPLE.ORG/A.TIF", "az://c/a")
DEVICES = ("CON", "con.tif", "Nul", "AUX.", "prn.gpkg", "COM1", "lpt9.tif", "com¹", "CONIN$", "NUL.tar.gz")


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_windows_is_no_address(path: str) -> None:
    assert not is_remote(path)
    assert not is_web_address(path)
    assert name_of(path) == path
    assert shown_address(f"{path} could not be read") == f"{path} could not be read"
    if not set(path) & {"#", "?"}:  # FILE#ARRAY and patterns are looked at when they are opened
        with raises_naming(InputError, path):
            check_exist([path])
        assert "connection" not in str(InputError.of_reading(path))


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_no_path(address: str) -> None:
    assert is_remote(address)
    assert is_remote(f"image={address}")
    check_exist([address])
    assert "connection" in str(InputError.of_reading(address))


@pytest.mark.parametrize("path", [path for path in PATHS if "\\" in path])
def test_the_name_of_a_file_is_its_last_part(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "PurePath", PureWindowsPath)
    assert file_name_of(path) == path.rpartition("\\")[2]
    assert file_name_of("https://example.org/day/a.tif?sig=x") == "a.tif"


@pytest.mark.parametrize("path", [r"C:\maps\a.tif", r"d:\Zoë Ü\100% #1.tif"])
def test_a_file_address_means_its_path(path: str) -> None:
    assert PureWindowsPath(path_of(PureWindowsPath(path).as_uri())) == PureWindowsPath(path)
    assert path_of(path) == path


@pytest.mark.parametrize("read", [open_raster, read_footprints], ids=["raster", "footprints"])
def test_a_file_address_is_refused_with_the_path_that_it_means(read: Callable[[str], object]) -> None:
    with raises_naming(InputError, "file:///maps/a.tif", "Give its path: /maps/a.tif"):
        read("file:///maps/a.tif")
    with raises_naming(InputError, "file://server/maps/a.tif", "another computer, server", "mount"):
        read("file://server/maps/a.tif")


def test_a_share_of_a_server_is_its_path_on_windows() -> None:
    share = PureWindowsPath(r"\\server\maps\one day\a.tif")
    assert PureWindowsPath(path_of(share.as_uri())) == share


def test_the_asset_of_an_item_is_read_by_its_file_address(tmp_path: Path) -> None:
    (folder := tmp_path / "one day").mkdir()
    (file := folder / "a.tif").write_bytes(b"")
    (tmp_path / "b%20c.tif").write_bytes(b"")
    stac = StacItem({}, str(tmp_path / "item.json"))
    assert Path(stac.href_of({"href": file.as_uri()})) == file
    assert stac.href_of({"href": "gone.tif", "alternate": {"disk": {"href": file.as_uri()}}}) == path_of(file.as_uri())
    assert stac.href_of({"href": "b%20c.tif"}) == "b%20c.tif"


def reserved(name: str) -> bool:
    """Return whether Windows reserves a file name, by Python's own rules."""
    return bool(getattr(ntpath, "isreserved", lambda text: PureWindowsPath(text).is_reserved())(name))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "text", [*DEVICES, *PATHS, "a:b", 'Rue "5"', "a|b", "a?", "a*", "<a>", "..", ".", "", "a.", "a ", "tab\t", "nul\0"]
)
def test_names_that_are_made_of_texts_are_files_on_every_system(text: str) -> None:
    name = portable_name(text)
    assert PureWindowsPath(name).name == name
    assert not PureWindowsPath(name).anchor
    assert not reserved(name)
    assert not set(name) & set('<>:"/\\|?*\0\t')
    assert not name.endswith((".", " "))
    assert portable_name(name) == name


def test_names_that_are_good_stay() -> None:
    names = ["a.tif", "Straße-5_b.tif", "console.tif", "com10", "auxiliary.gpkg", ".hidden"]
    assert [portable_name(name) for name in names] == names


def test_maps_of_scenes_whose_names_differ_in_case_or_signs_only_are_files_of_their_own() -> None:
    paths: list[Path] = []
    for name in ("Town/1", "town_1", "TOWN 1", "aux", "other"):
        paths.append(_map_path(Path("maps"), name, paths))
    assert len({path.name.lower() for path in paths}) == 5
    assert [path.name for path in paths[::3]] == ["Town_1.tif", "_aux.tif"]


@pytest.mark.parametrize(
    "pattern",
    ["C:/other/*.tif", r"C:\other\*.tif", r"\\server\share\*", r"\other\*", r"..\*.tif", r"a\..\..\b.tif", "C:a"],
)
def test_a_card_leads_out_of_its_folder_on_neither_system(pattern: str) -> None:
    with pytest.raises(ValidationError, match="leads out"):
        DatasetCard.model_validate({"layout": {"image": pattern}})


@pytest.mark.parametrize("ending", [r"..\..\evil.geojson", r"C:\evil.geojson", "nul.geojson", "a%5Cb.geojson"])
def test_a_download_is_written_into_its_own_folder(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def answer(address: str, path: Path, check_size: object) -> None:
        written.append(path)
        place = {"type": "Point", "coordinates": [2.0, 48.0]}
        feature = {"type": "Feature", "properties": {}, "geometry": place}
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")

    monkeypatch.setattr(vectors, "download", answer)
    with vectors._local(f"https://example.org/day/{ending}", 1 << 20) as path:
        assert path.is_file()
    (path,) = written
    assert PureWindowsPath(path.name).name == path.name
    assert path.suffix == ".geojson"
    assert not path.parent.exists()


def test_outputs_that_differ_in_case_only_are_one_file_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "normcase", ntpath.normcase)
    with raises_naming(OutputError, "a.tif"):
        input_files._check_once([Path("maps/a.tif"), Path("maps/A.TIF")])
