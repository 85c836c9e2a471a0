"""PCD, XYZN and XYZRGB give the same cloud as what wrote them; Open3D writes and reads beside."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.inspection import inspect
from deepnets4eo.points import open_cloud
from deepnets4eo.points.files.lzf import decompress_lzf

COUNT = 60
KINDS = {"f": "F", "u": "U", "i": "I"}


def _points(colour: str = "<u4") -> np.ndarray[Any, Any]:
    """Points as libraries write them, with padding and a histogram."""
    rng = np.random.default_rng(0)
    rows = np.zeros(
        COUNT,
        [("x", "<f8"), ("y", "<f8"), ("z", "<f4"), ("_", "u1", 4), ("rgb", colour), ("histogram", "<f4", 5),
         ("intensity", "<f4"), ("label", "<u4")],
    )  # fmt: skip
    rows["x"], rows["y"] = 700_000 + rng.uniform(0, 50, COUNT), 6_600_000 + rng.uniform(0, 50, COUNT)
    rows["z"], rows["intensity"], rows["label"] = rng.uniform(0, 9, COUNT), rng.uniform(0, 1, COUNT), np.arange(COUNT)
    rows["rgb"] = rng.integers(0, 1 << 24, COUNT).astype(np.uint32).view(colour)
    return rows


def _header(rows: np.ndarray[Any, Any], data: str) -> bytes:
    kinds = [(name, kind.base, int(np.prod(kind.shape))) for name, (kind, _) in rows.dtype.fields.items()]  # type: ignore[union-attr]
    words = {
        "FIELDS": [name for name, _, _ in kinds],
        "SIZE": [kind.itemsize for _, kind, _ in kinds],
        "TYPE": [KINDS[kind.kind] for _, kind, _ in kinds],
        "COUNT": [count for _, _, count in kinds],
    }
    lines = [f"{key} {' '.join(map(str, values))}" for key, values in words.items()]
    text = ["# .PCD v0.7", "VERSION 0.7", *lines, f"WIDTH {len(rows) // 2}", "HEIGHT 2", f"POINTS {len(rows)}"]
    return "\n".join([*text, f"DATA {data}", ""]).encode()


def _write(path: Path, rows: np.ndarray[Any, Any], data: str) -> Path:
    if data == "ascii":
        lines = [" ".join(repr(float(value)) for field in row for value in np.ravel(field)) for row in rows.tolist()]
        body = "\n".join(lines).encode()
    elif data == "binary":
        body = rows.tobytes()
    else:  # LZF of runs alone, field after field
        plain = b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in rows.dtype.names or ())
        runs = b"".join(bytes([len(plain[at : at + 32]) - 1]) + plain[at : at + 32] for at in range(0, len(plain), 32))
        body = np.array([len(runs), len(plain)], "<u4").tobytes() + runs
    path.write_bytes(_header(rows, data) + body)
    return path


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("colour", ["<u4", "<f4"])
def test_every_kind_of_pcd_gives_all_fields(tmp_path: Path, data: str, colour: str) -> None:
    rows = _points(colour)
    file = open_cloud(_write(tmp_path / "a.pcd", rows, data))
    cloud = file.read()
    np.testing.assert_array_equal(cloud.xyz, np.column_stack([rows["x"], rows["y"], rows["z"]]))
    np.testing.assert_array_equal(cloud.intensity, rows["intensity"])
    np.testing.assert_array_equal(cloud.classification, rows["label"])
    packed = rows["rgb"].view(np.uint32)
    np.testing.assert_array_equal(cloud.colour, np.column_stack([packed >> 16, packed >> 8 & 255, packed & 255]))
    assert not cloud.asprs
    assert [len(chunk) for chunk in file.chunks(25)] == [25, 25, 10]
    assert file.point_count == COUNT


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_points_without_coordinates_are_withheld_and_counted(tmp_path: Path, data: str) -> None:
    rows = _points()
    rows["z"][:30] = np.nan
    path = _write(tmp_path / "a.pcd", rows, data)
    file = open_cloud(path)
    np.testing.assert_array_equal(file.read().classification, np.arange(30, COUNT))
    assert sum(len(chunk) for chunk in file.whole_chunks(20)) == COUNT
    assert file.file_bounds[0, 0] == rows["x"][30:].min()
    assert inspect(str(path)).facts["withheld"].startswith("30 of the points")


def test_references_of_lzf_may_overlap_what_they_make() -> None:
    cases = {(1, 65, 66, 0xE0, 3, 1): b"AB" * 7, (2, 65, 66, 67, 0x20, 2): b"ABCABC"}  # 2 + 7 + 3 + 2 bytes; 3 + 1 + 2
    for packed, plain in cases.items():
        assert decompress_lzf(np.array(packed, np.uint8), len(plain)).tobytes() == plain


@pytest.mark.parametrize(
    "packed", [(0, 65, 0x20, 5), (0, 65, 0xE0), (0, 65, 0xE0, 9), (9, 65, 66), (31, *range(32)), ()]
)
def test_damaged_lzf_gives_fewer_bytes(packed: tuple[int, ...]) -> None:
    assert len(decompress_lzf(np.array(packed, np.uint8), 20)) < 20


def test_text_with_normals_and_with_fractions_as_colours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    xyz, colours = rng.uniform(0, 1, (9, 3)), rng.integers(0, 256, (9, 3))
    np.savetxt(tmp_path / "a.xyzn", np.hstack([xyz, -xyz]), "%.17g")
    np.savetxt(tmp_path / "a.xyzrgb", np.hstack([xyz, colours / 255]), "%.9f")
    plain, coloured = open_cloud(tmp_path / "a.xyzn").read(), open_cloud(tmp_path / "a.xyzrgb").read()
    np.testing.assert_array_equal(plain.xyz, xyz)
    assert plain.measurements() == {}
    np.testing.assert_array_equal(coloured.colour, colours)


@pytest.mark.parametrize("suffix", [".pcd", ".xyzrgb", ".xyzn"])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_open3d_writes_is_read(tmp_path: Path, suffix: str, compressed: bool) -> None:
    o3d = pytest.importorskip("open3d", exc_type=ImportError)
    rng = np.random.default_rng(0)
    points = o3d.t.geometry.PointCloud(o3d.core.Tensor(np.repeat(rng.uniform(0, 1, (50, 3)), 20, axis=0)))
    points.point["colors"] = o3d.core.Tensor(np.repeat(rng.integers(0, 256, (50, 3)), 20, axis=0).astype(np.uint8))
    points.point["normals"] = o3d.core.Tensor(np.ones((1000, 3)))
    path = tmp_path / f"a{suffix}"
    if suffix == ".pcd":
        points.point["intensity"] = o3d.core.Tensor(rng.uniform(0, 9, (1000, 1)).astype(np.float32))
        assert o3d.t.io.write_point_cloud(str(path), points, compressed=compressed)
    else:
        assert o3d.io.write_point_cloud(str(path), points.to_legacy())
    cloud = open_cloud(path).read()
    np.testing.assert_allclose(cloud.xyz, points.point["positions"].numpy(), atol=1e-9)
    if suffix != ".xyzn":
        np.testing.assert_array_equal(cloud.colour, points.point["colors"].numpy())
    if suffix == ".pcd":
        np.testing.assert_array_equal(cloud.intensity, points.point["intensity"].numpy().ravel())


def test_a_small_file_does_not_unpack_to_gigabytes(tmp_path: Path) -> None:
    """LZF makes up to 88 bytes of one: 11 MB would take 1 GB, and coordinates never pack so well."""
    packed, points = 1_000_000, 7_000_000
    header = (
        f"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nPOINTS {points}\nDATA binary_compressed\n"
    )
    sizes = np.array([packed, 12 * points], "<u4").tobytes()
    (tmp_path / "a.pcd").write_bytes(header.encode() + sizes + bytes(packed))
    cloud = open_cloud(tmp_path / "a.pcd")
    tracemalloc.start()
    try:
        with raises_naming(InputError, "84", "000", "1"):
            next(cloud.chunks())
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("line", "instead"),
    [("COUNT 1 1 1 4 1 5 1 1", "COUNT 1 1 1 4 1 5 1 0"), ("POINTS 60", "POINTS -1"), ("COUNT 1 1 1 4", "COUNT 1 1 1 4000000")],
    ids=["no value", "fewer than no points", "millions of columns"],
)  # fmt: skip
def test_a_field_has_a_value_or_more_but_not_millions(line: str, instead: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.pcd", _points(), "binary")
    content = path.read_bytes()
    assert line.encode() in content
    path.write_bytes(content.replace(line.encode(), instead.encode(), 1))
    with raises_naming(InputError, "a.pcd", "no fields of numbers"):
        open_cloud(path)
