"""Waveforms of LAS files are written again, or told to be elsewhere."""

import logging
import struct
from pathlib import Path

import laspy
import numpy as np
import pytest
from made_up_clouds import NeighbourCount, scattered

from deepnets4eo.points import LabelOptions, label_cloud

COUNT, BYTES = 200, 32
WAVES = np.random.default_rng(0).integers(0, 256, (COUNT, BYTES), dtype=np.uint8)


def with_waveforms(path: Path, version: str, point_format: int, *, encoding: int = 2, shift: int = 0) -> Path:
    """A LAS file whose points refer to waveforms, which are behind the points."""
    las = laspy.LasData(laspy.LasHeader(version=version, point_format=point_format))
    las.header.scales, las.header.offsets = np.full(3, 0.001), np.array([700_000, 6_600_000, 0])
    las.xyz = scattered(COUNT)
    las.wavepacket_index, las.wavepacket_size = np.ones(COUNT, np.uint8), np.full(COUNT, BYTES)
    las.wavepacket_offset = 60 + BYTES * np.arange(COUNT)
    if version == "1.4":
        las.evlrs = laspy.vlrs.vlrlist.VLRList([laspy.VLR("other", 7, "kept", b"text")])
    las.write(path)
    content = bytearray(path.read_bytes())
    start = len(content)
    content += struct.pack("<H16sHQ32s", 0, b"LASF_Spec", 65_535, WAVES.nbytes, b"waveforms") + WAVES.tobytes()
    struct.pack_into("<Q", content, 227, start + shift)
    struct.pack_into("<H", content, 6, struct.unpack_from("<H", content, 6)[0] | encoding)
    if version == "1.4":
        struct.pack_into("<I", content, 243, 2)
    path.write_bytes(content)
    return path


def read_waveforms(path: Path) -> np.ndarray:
    """The waveform of each point, by the header and the point's own place."""
    content = path.read_bytes()
    (start,) = struct.unpack_from("<Q", content, 227)
    places = start + np.asarray(laspy.read(path).wavepacket_offset, np.int64)
    return np.array([list(content[place : place + BYTES]) for place in places], np.uint8)


@pytest.mark.parametrize(("version", "point_format"), [("1.3", 4), ("1.3", 5), ("1.4", 4), ("1.4", 9), ("1.4", 10)])
def test_waveforms_behind_the_points_are_kept(tmp_path: Path, version: str, point_format: int) -> None:
    path, out = with_waveforms(tmp_path / "a.las", version, point_format), tmp_path / "out.las"
    label_cloud(path, NeighbourCount(), out, LabelOptions(replace=True))
    assert np.array_equal(read_waveforms(out), WAVES)
    assert out.read_bytes()[6] & 2
    with laspy.open(out) as reader:
        records = [(vlr.user_id, vlr.record_id) for vlr in reader.header.evlrs or []]
    if reader.header.version.minor >= 4:
        assert ("LASF_Spec", 65_535) in records
        assert (("other", 7) in records) == (version == "1.4")


@pytest.mark.parametrize(("encoding", "shift", "word"), [(4, 0, "out.wdp"), (2, 10**9, "left out")])
def test_waveforms_that_are_not_in_the_file_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, encoding: int, shift: int, word: str
) -> None:
    path = with_waveforms(tmp_path / "a.las", "1.3", 4, encoding=encoding, shift=shift)
    with caplog.at_level(logging.WARNING):
        label_cloud(path, NeighbourCount(), tmp_path / "out.las")
    assert word in caplog.text
    content = (tmp_path / "out.las").read_bytes()
    assert struct.unpack_from("<Q", content, 227) == (0,)
    assert content[6] & 6 == (4 if encoding == 4 else 0)
