"""Readers of outlines and points of other packages, as the documentation writes them: their text runs (made-up files)."""

from __future__ import annotations

import gzip
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from documented import page_module
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.formats import vectors
from deepnets4eo.inspection import files, inspect
from deepnets4eo.points import open_cloud
from deepnets4eo.points.files import is_cloud_path, opening

HOUSES = "b7 500000 5000000 500010 5000008\na1 500020 5000000 500032 5000008\n"


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    """The readers of the page as packages of others would install them."""
    page_module("reader", "house_list", 2)
    page_module("reader", "triples", 3)
    found = {
        "houses": EntryPoint("houses", "house_list:open_houses", "deepnets4eo.vector_readers"),
        "xyz8": EntryPoint("xyz8", "triples:open_triples", "deepnets4eo.point_readers"),
    }
    inspections = {"xyz8": EntryPoint("xyz8", "deepnets4eo.points.inspection:inspect_cloud", "deepnets4eo.inspections")}
    groups = {"vector_readers": {"houses": found["houses"]}, "inspections": inspections}
    monkeypatch.setattr(vectors, "plugins_of", lambda group: found if group == "vector_readers" else {})
    monkeypatch.setattr(opening, "plugins_of", lambda group: found if group == "point_readers" else {})
    monkeypatch.setattr(files, "plugins_of", lambda group: groups.get(group, {}))
    return found


@pytest.mark.usefixtures("entries")
def test_outlines_keep_their_order_ids_and_place_and_may_be_packed(tmp_path: Path) -> None:
    (tmp_path / "town.houses").write_text(HOUSES)
    with gzip.open(tmp_path / "town.houses.gz", "wt") as file:
        file.write(HOUSES)
    for name in ("town.houses", "town.houses.gz"):
        frame = read_footprints(tmp_path / name).frame
        assert frame["id"].tolist() == ["b7", "a1"]
        assert frame.crs.to_epsg() == 32631
        assert frame.geometry.area.tolist() == [80, 96]


@pytest.mark.usefixtures("entries")
def test_check_describes_both(tmp_path: Path) -> None:
    (tmp_path / "town.houses").write_text(HOUSES)
    np.random.default_rng(0).uniform(0, 100, (50, 3)).astype("<f8").tofile(tmp_path / "scan.xyz8")
    houses, scan = (inspect(str(tmp_path / name)) for name in ("town.houses", "scan.xyz8"))
    assert houses.kind == "vector"
    assert houses.areas_m2 is not None
    assert houses.areas_m2.tolist() == pytest.approx([80, 96], rel=1e-3)
    assert scan.facts["points"] == "50"


@pytest.mark.usefixtures("entries")
def test_points_come_in_chunks_with_the_crs_of_the_caller(tmp_path: Path) -> None:
    xyz = np.random.default_rng(0).uniform(0, 100, (50, 3))
    xyz.astype("<f8").tofile(tmp_path / "scan.xyz8")
    cloud = open_cloud(tmp_path / "scan.xyz8", crs="EPSG:32631")
    assert is_cloud_path("scan.XYZ8")
    assert [len(chunk) for chunk in cloud.chunks(20)] == [20, 20, 10]
    np.testing.assert_array_equal(cloud.read().xyz, xyz)
    np.testing.assert_array_equal(cloud.bounds, [xyz.min(axis=0), xyz.max(axis=0)])
    assert cloud.crs is not None
    assert cloud.crs.to_epsg() == 32631


def test_what_a_reader_does_wrong_is_an_error_that_names_file_and_reader(
    entries: dict[str, EntryPoint], tmp_path: Path
) -> None:
    (tmp_path / "town.houses").write_text("b7 west\n")
    with raises_naming(InputError, "town.houses", "house_list:open_houses"):
        read_footprints(tmp_path / "town.houses")
    entries["houses"] = EntryPoint("houses", "builtins:len", "deepnets4eo.vector_readers")
    with raises_naming(InputError, "town.houses", "builtins:len", "GeoDataFrame"):
        read_footprints(tmp_path / "town.houses")
    (tmp_path / "scan.xyz8").write_bytes(b"\0" * 20)
    with raises_naming(InputError, "scan.xyz8", "triples:open_triples"):
        open_cloud(tmp_path / "scan.xyz8")
    entries["xyz8"] = EntryPoint("xyz8", "operator:ne", "deepnets4eo.point_readers")
    with raises_naming(InputError, "scan.xyz8", "operator:ne", "CloudFile"):
        open_cloud(tmp_path / "scan.xyz8")


def test_without_the_packages_their_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "town.houses").write_text(HOUSES)
    with raises_naming(InputError, "town.houses"):
        read_footprints(tmp_path / "town.houses")
    with raises_naming(InputError, "scan.xyz8", ".laz"):
        open_cloud(tmp_path / "scan.xyz8")
