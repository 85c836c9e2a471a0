"""How files are built and what they declare, against bytes and statements written by hand."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.formats import picture_structure as pictures
from deepnets4eo.formats.band_info import BandInfo, StoredValues
from deepnets4eo.formats.declared import Declared, _with_prefixes
from deepnets4eo.formats.picture_structure import Structure
from deepnets4eo.points.local_planes import (
    _plane_normals,
    _unit,
    _voted_normal,
    decimate,
    drawn_positions,
    normal_disagreement,
    surface_attributes,
)

ORIENTATION, SUBFILE, OLD_SUBFILE, WIDTH = 274, 254, 255, 256


def tiff(*pages: dict[int, int], order: str = "<", big: bool = False, last: int = 0) -> bytes:
    """A TIFF of directories with tags of one whole number. last : where the last directory points to"""
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}H", 43 if big else 42)
    at = 16 if big else 8
    head += struct.pack(f"{order}HHQ", 8, 0, at) if big else struct.pack(f"{order}I", at)
    body = b""
    for number, tags in enumerate(pages):
        entries = b""
        for tag, value in tags.items():
            size = 8 if big else 4
            packed = struct.pack(f"{order}H", value).ljust(size, b"\0")
            entries += struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, 3, 1) + packed
        count = struct.pack(f"{order}{'Q' if big else 'H'}", len(tags))
        end = at + len(body) + len(count) + len(entries) + (8 if big else 4)
        following = last if number == len(pages) - 1 else end
        body += count + entries + struct.pack(f"{order}{'Q' if big else 'I'}", following)
    return head + body


def read_tiff(content: bytes) -> Structure:
    return pictures._read_tiff(io.BytesIO(content), len(content))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_pages_of_a_tiff_are_its_directories_but_overviews_and_masks(order: str, big: bool) -> None:
    pages: list[dict[int, int]] = [{WIDTH: 8, ORIENTATION: 6}, {SUBFILE: 1, WIDTH: 4}, {SUBFILE: 4}, {SUBFILE: 2, ORIENTATION: 3}, {OLD_SUBFILE: 2}, {OLD_SUBFILE: 3}]  # fmt: skip
    assert read_tiff(tiff(*pages, order=order, big=big)) == Structure(6, 3, True, (0, 3, 5))
    assert read_tiff(tiff(pages[1], pages[0], order=order, big=big)) == Structure(6, 1, True, (1,))
    assert pictures._tiff_orientation(io.BytesIO(tiff(*pages, order=order, big=big))) == 6
    for wrong in (0, 9):
        assert read_tiff(tiff({ORIENTATION: wrong}, order=order, big=big)).orientation == 1
        assert pictures._tiff_orientation(io.BytesIO(tiff({ORIENTATION: wrong}, order=order, big=big))) == 1


def test_directories_in_a_circle_or_beyond_the_file_end_it() -> None:
    assert read_tiff(tiff({WIDTH: 1}, {WIDTH: 2}, last=8)).pages == 2
    assert read_tiff(tiff({WIDTH: 1}, last=10_000)).pages == 1
    assert read_tiff(struct.pack("<2sHI", b"II", 42, 0) + bytes(8)) == Structure()
    with pytest.raises(struct.error):
        pictures._read_directory(io.BytesIO(struct.pack("<Q", (1 << 16) + 1) + bytes(32)), 0, "<", True)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I4s", len(data), kind) + data + b"crc."


PNG, EXIF = b"\x89PNG\r\n\x1a\n", tiff({ORIENTATION: 8}, order=">")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (PNG + chunk(b"IHDR", bytes(13)) + chunk(b"IDAT", b"abc") + chunk(b"IEND"), Structure()),
        (PNG + chunk(b"eXIf", EXIF) + chunk(b"IDAT", b"abc") + chunk(b"IEND"), Structure(8)),
        (PNG + chunk(b"IDAT", b"abc") + chunk(b"eXIf", EXIF) + chunk(b"IEND"), Structure(8)),
        (PNG + chunk(b"acTL", struct.pack(">II", 5, 0)) + chunk(b"IEND"), Structure(pages=5)),
        (PNG + chunk(b"acTL", struct.pack(">II", 0, 0)) + chunk(b"IEND"), Structure()),
        (PNG + chunk(b"IHDR", bytes(13)) + chunk(b"IDAT", b"abc"), Structure(whole=False)),
        (PNG + chunk(b"IDAT", b"abc") + chunk(b"IEND")[:-1], Structure(whole=False)),
        (PNG + chunk(b"IEND") + b"more", Structure()),
    ],
)
def test_a_png_states_its_orientation_frames_and_end(content: bytes, expected: Structure) -> None:
    assert pictures._read_png(io.BytesIO(content), len(content)) == expected
    if expected.pages == 1 and b"IDAT" in content:
        before_pixels = expected.orientation if content.index(b"IDAT") > content.find(b"eXIf") > 0 else 1
        assert pictures._png_orientation(io.BytesIO(content)) == before_pixels


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def test_a_webp_has_even_chunks_and_frames() -> None:
    content = webp((b"VP8X", bytes(10)), (b"EXIF", b"Exif\0\0" + EXIF), (b"ANMF", b"abc"), (b"ANMF", b"ab"))
    assert pictures._read_webp(io.BytesIO(content), len(content)) == Structure(8, 2)
    for missing in (1, 9, 30):
        cut = content[:-missing]
        assert not pictures._read_webp(io.BytesIO(cut), len(cut)).whole
    longer = content + b"ANMF" + bytes(9)  # after the end of the container
    assert pictures._read_webp(io.BytesIO(longer), len(longer)) == Structure(8, 2)
    plain = webp((b"VP8 ", b"abcd"))
    assert pictures._read_webp(io.BytesIO(plain), len(plain)) == Structure()


def gif(frames: int, colours: bool) -> bytes:
    flags = 0x81 if colours else 0  # four colours
    head = b"GIF89a" + bytes(4) + bytes([flags, 0, 0]) + (bytes(12) if colours else b"")
    extension = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
    image = b"\x2c" + bytes(8) + bytes([0x80 if colours else 0]) + (bytes(6) if colours else b"") + b"\x02\x03abc\x01d\x00"  # fmt: skip
    return head + extension + frames * image + b"\x3b"


@pytest.mark.parametrize("colours", [False, True])
def test_images_of_a_gif_are_counted(colours: bool) -> None:
    for frames in (0, 1, 3):
        content = gif(frames, colours)
        assert pictures._read_gif(io.BytesIO(content), len(content)) == Structure(pages=max(1, frames))


def test_exif_that_is_damaged_or_states_no_orientation_is_upright() -> None:
    assert pictures._exif_orientation(b"Exif\0\0" + EXIF) == 8
    assert [pictures._exif_orientation(content) for content in (b"", b"II*\0", EXIF[:12], tiff({WIDTH: 6}), tiff({ORIENTATION: 9}))] == [1] * 5  # fmt: skip


@pytest.mark.parametrize(
    ("structure", "honours", "named"),
    [
        (Structure(), (), None),
        (Structure(whole=False), ("pages", "orientation"), "truncated"),
        (Structure(pages=3), ("orientation",), "3 pages"),
        (Structure(pages=3), ("pages",), None),
        (Structure(6), ("pages",), "EXIF or TIFF 6"),
        (Structure(6), ("orientation",), None),
    ],
)
def test_what_a_reader_does_not_follow_is_refused(structure: Structure, honours: Any, named: str | None) -> None:
    assert structure.turned == (structure.orientation == 6)
    if named is None:
        structure.check("a.tif", honours)
        return
    with raises_naming(InputError, "a.tif", named):
        structure.check("a.tif", honours)


BANDS = (
    BandInfo("red", "red", 665.0, StoredValues(0.1, -1.0, "m"), nodata=0.0),
    BandInfo("", "", None, StoredValues(), nodata=None, missing=(5.0,), valid_range=(1.0, 9.0)),
    BandInfo("nir", "undefined", 842.0, StoredValues(unit="m")),
)


def declared(**changed: Any) -> Declared:
    return replace(Declared("a.tif", BANDS, {"DATE": "2023", "scale_factor": "2", "units": "ft"}, unmasked=(3,)), **changed)  # fmt: skip


def test_what_a_raster_declares_of_its_bands() -> None:
    found = declared()
    assert (len(found), found.names, found.unmasked_names) == (3, ["red", "band_2", "nir"], ["nir"])
    assert (found.wavelengths_nm, found.colours) == ([665.0, None, 842.0], ["red", "undefined", "undefined"])
    assert (found.unit, declared(bands=BANDS[1:]).unit, declared(bands=BANDS[1:], tags={}).unit) == ("m", "ft", "")
    assert (found.limits, declared(bands=BANDS[:1]).limits) == (True, False)
    assert (found.free_tags, found.layer_tags) == ({"DATE": "2023"}, {"DATE": "2023", "units": "ft"})
    plain = Declared.plain("array", 2, 7.0)
    assert (plain.wavelengths_nm, plain.colours, plain.only_nodata, plain.unit) == (None, None, (7.0, 7.0), "")
    assert plain.with_tags({"a": "b"}).tags == {"a": "b"}


def test_a_choice_of_bands_keeps_their_names() -> None:
    found = declared()
    assert found.subset([1, 2, 3]) is found
    chosen = found.subset([3, 2])
    assert (chosen.names, chosen.unmasked, chosen.tags) == (["nir", "band_2"], (1,), found.tags)
    assert chosen.bands[1].missing == (5.0,)
    moved = found.subset([2])
    assert (moved.names, moved.unmasked) == (["band_2"], ())


def test_statements_are_replaced_by_band() -> None:
    found = declared().with_nodata(-1)
    assert [(band.nodata, band.missing, band.valid_range) for band in found.bands] == [(-1, (), None)] * 3
    assert found.only_nodata == (-1, -1, -1)
    with raises_naming(InputError, "a.tif states a valid range or several missing values"):
        _ = declared().only_nodata
    scaled = declared().with_factor(10, "cm")
    assert scaled.stored == [StoredValues(1.0, -10.0, "cm"), StoredValues(10.0, 0.0, "cm"), StoredValues(10.0, 0.0, "cm")]  # fmt: skip
    second = declared().with_factor(10, "cm", band=2)
    assert second.stored == [BANDS[0].stored, StoredValues(10.0, 0.0, "cm"), BANDS[2].stored]
    values = declared().of_values(3.0)
    assert values.bands == (BandInfo("red", "red", 665.0, nodata=3.0), BandInfo("", "", None, nodata=3.0), BandInfo("nir", "undefined", 842.0, nodata=3.0))  # fmt: skip
    further = {"name": "other", "scale": 3.0, "offset": 4.0, "unit": "K", "nodata": 9.0}
    stated = declared().with_stated([further, further, {}])
    assert stated.bands[0] == BANDS[0]  # what it states itself holds
    assert (stated.bands[1].name, stated.bands[1].stored, stated.bands[1].nodata) == ("other", StoredValues(3.0, 4.0, "K"), 9.0)  # fmt: skip
    assert stated.bands[2] == BANDS[2]
    kept = declared(bands=(BANDS[2],)).with_stated([further])
    assert kept.bands[0].stored == StoredValues(3.0, 4.0, "m")


@pytest.mark.parametrize("terms", [(0.0, 0.0), (np.inf, 0.0), (np.nan, 0.0), (1.0, np.inf)])
def test_scales_that_leave_no_values_are_refused(terms: tuple[float, float]) -> None:
    with raises_naming(InputError, "a.tif", "for band 2"):
        declared(bands=(BANDS[0], BandInfo(stored=StoredValues(*terms)))).check_values()
    declared().check_values()


@pytest.mark.parametrize(
    ("changed", "honours", "named"),
    [
        ({"bands": BANDS[2:]}, (), None), ({}, (), "a scale, an offset or a valid range"), ({}, ("values",), None), ({"bands": BANDS[:1]}, (), "a scale"),
        ({"bands": BANDS[1:2]}, (), "a valid range"), ({"bands": BANDS[2:], "is_complex": True}, (), "complex numbers"),
        ({"bands": BANDS[2:], "is_complex": True}, ("complex",), None), ({"bands": BANDS[2:], "pages": 2}, (), "2 pages"),
        ({"bands": BANDS[2:], "orientation": 6}, (), "orientation"), ({"bands": BANDS[2:], "whole": False}, (), "truncated"),
    ],
)  # fmt: skip
def test_statements_that_are_not_followed_are_refused(changed: dict[str, Any], honours: Any, named: str | None) -> None:
    if named is None:
        declared(**changed).check(honours)
        return
    with raises_naming(InputError, "a.tif", named):
        declared(**changed).check(honours)


def test_check_shows_what_is_stated_beyond_names() -> None:
    assert declared(orientation=6, pages=2, is_complex=True).facts() == {
        "orientation": "6: stored turned by 90 degrees to the left", "pages": "2, read as bands", "complex": "yes; values are their power, as `flood` reads them",
        "unit": "m", "stored": "values are numbers × 0.1 + -1, and are read so; labels are read as they are stored", "further missing values": "5",
        "valid range": "1 to 9", "colour interpretation": "red, undefined, undefined",
    }  # fmt: skip
    assert Declared.plain("array", 2).facts() == {}
    grey = Declared("a", tuple(BandInfo(colour="gray") for _ in range(2)))
    assert grey.facts() == {}
    many = Declared("a", tuple(BandInfo(colour="red", stored=StoredValues(unit=f"u{k}"), missing=(float(k),)) for k in range(7)))  # fmt: skip
    assert many.facts() == {
        "unit": "u0, u1, u2, u3, u4, u5", "further missing values": "0, 1, 2, 3, 4, 5", "colour interpretation": "red, red, red, red, red, red …",
    }  # fmt: skip
    assert (declared().problems(), len(declared(is_complex=True).problems())) == ([], 1)
    cut = {"sat": "orbit_state=ascending", "eo": "a b=c", "view": "angle", "other": "b=c", "proj": "=x"}
    assert _with_prefixes(cut) == {"sat:orbit_state": "ascending"} | {name: cut[name] for name in ("eo", "view", "other", "proj")}  # fmt: skip


def test_a_plane_is_level_a_wall_upright_and_a_line_has_no_normal() -> None:
    x, y = np.meshgrid(np.arange(8.0), np.arange(8.0))
    flat = np.column_stack([x.ravel(), y.ravel(), np.zeros(64)])
    level = surface_attributes(flat, neighbours=9)
    np.testing.assert_allclose(np.abs(level.normal), np.tile([0, 0, 1], (64, 1)), atol=1e-6)
    np.testing.assert_allclose(level.verticality, 0, atol=1e-4)
    np.testing.assert_allclose(level.noise, 0, atol=1e-6)
    assert level.spacing_m[27] == 1  # of the fourth neighbour on a lattice
    wall = surface_attributes(flat[:, [0, 2, 1]], neighbours=9)
    np.testing.assert_allclose(wall.verticality, 1, atol=1e-4)
    slope = surface_attributes(np.column_stack([flat[:, :2], flat[:, 0]]), neighbours=9)
    np.testing.assert_allclose(slope.verticality, 0.5, atol=1e-4)
    line = surface_attributes(np.column_stack([np.arange(9.0), np.zeros((9, 2))]), neighbours=5)
    np.testing.assert_array_equal(line.normal, np.tile([0, 0, 1], (9, 1)))
    two = surface_attributes(flat[:2])
    assert (two.normal.tolist(), two.spacing_m.tolist(), two.noise.tolist()) == ([[0, 0, 1]] * 2, [1, 1], [0, 0])
    cube = surface_attributes(np.array(list(np.ndindex(2, 2, 2)), float), neighbours=8)
    np.testing.assert_allclose(cube.noise, 1, atol=1e-6)  # as thick as wide


def test_normals_of_planes_through_three_points_vote_for_the_largest_group() -> None:
    def column(*points: tuple[float, float, float]) -> np.ndarray:
        return np.array(points, np.float32).T[:, None]

    zero, east, north, up = column((0, 0, 0)), column((2, 0, 0)), column((0, 3, 0)), column((0, 0, 4))
    assert _plane_normals(zero, east, north).ravel().tolist() == [0, 0, 1]
    assert _plane_normals(zero, north, east).ravel().tolist() == [0, 0, -1]
    assert _plane_normals(zero, north, up).ravel().tolist() == [1, 0, 0]
    assert _plane_normals(zero, east, 2 * east).ravel().tolist() == [0, 0, 0]
    assert _unit(np.array([[3.0, 0], [4, 0], [0, 0]], np.float32)).tolist() == [[np.float32(0.6), 0], [np.float32(0.8), 0], [0, 0]]  # fmt: skip
    around = np.array([[0, 2, 0, 0, 1], [0, 0, 3, 0, 1], [0, 0, 0, 4, 0]], np.float32)[:, None]
    planes = np.array([[0, 1, 2], [0, 4, 2], [0, 1, 4], [0, 2, 3]])  # three level ones of either sign, and a wall
    assert np.abs(_voted_normal(around, planes)).ravel().tolist() == [0, 0, 1]
    positions = drawn_positions(7)
    assert positions.shape == (5, 24, 3)
    assert all(len(set(three)) == 3 for three in positions.reshape(-1, 3).tolist())
    assert (positions.min(), positions.max()) == (0, 6)


def test_normals_of_a_plane_agree_and_those_of_noise_do_not() -> None:
    rng = np.random.default_rng(0)
    flat = np.column_stack([rng.random((200, 2)), np.zeros(200)])
    rough = rng.random((200, 3))
    index = np.array([rng.choice(200, 16, replace=False) for _ in range(30)])
    np.testing.assert_allclose(normal_disagreement(np.ascontiguousarray(flat.T), index), 0, atol=1e-4)
    assert np.median(normal_disagreement(np.ascontiguousarray(rough.T), index)) == 1  # mean |cosine| below 0.95
    line = np.column_stack([rng.random(200), np.zeros((200, 2))])
    np.testing.assert_array_equal(normal_disagreement(np.ascontiguousarray(line.T), index), 0)


def test_of_each_voxel_the_point_nearest_to_its_middle_is_kept() -> None:
    xyz = np.array([[0.01, 0.05, 0.05], [0.06, 0.05, 0.05], [0.11, 0.05, 0.05], [-0.04, 0.05, 0.05], [0.06, 0.05, 0.05]])  # fmt: skip
    assert decimate(xyz).tolist() == [3, 1, 2]
    assert decimate(xyz, 10.0).tolist() == [2, 3] or sorted(decimate(xyz, 10.0).tolist()) == [2, 3]
    with raises_naming(InputError, "a.las", "too far apart"):
        decimate(np.array([[0.0, 0, 0], [1e9, 1e9, 1e9]]), source="a.las")
