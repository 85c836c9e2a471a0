"""Waveforms of LAS 1.3 and later: kept if they are in the file, reported if they are in a separate file.

Points refer to a waveform by its position within the record of waveforms, which stays the same if that record is copied.
Source: ASPRS LAS specification 1.4 R15.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

log = logging.getLogger(__name__)

ENCODING_AT, MINOR_AT = 6, 25  # bytes of a public header
START_AT, EVLRS_AT, EVLR_COUNT_AT = 227, 235, 243
INTERNAL, EXTERNAL = 2, 4  # bits of the global encoding
RECORD_HEADER_BYTES, LENGTH_AT = 60, 20
USER, RECORD = "LASF_Spec", 65_535  # of the extended record of waveforms
OWN_FILE = ".wdp"
COPIED_BYTES = 1 << 24


@dataclass(frozen=True)
class WaveformRecord:
    """The record of waveforms in a LAS file: its position, and its bytes with its header."""

    source: Path
    start: int
    size: int

    def append_to(self, path: Path) -> None:
        """Write the record behind all else in a LAS file, and its position into the header."""
        with self.source.open("rb") as file, path.open("r+b") as out:
            file.seek(self.start)
            position = out.seek(0, 2)
            left = self.size
            while left > 0:
                block = file.read(min(left, COPIED_BYTES))
                out.write(block)
                left -= len(block)
            _write_at(out, START_AT, "<Q", position)
            if _read_at(out, MINOR_AT, "<B") >= 4:
                count = _read_at(out, EVLR_COUNT_AT, "<I")
                _write_at(out, EVLR_COUNT_AT, "<I", count + 1)
                if not count:
                    _write_at(out, EVLRS_AT, "<Q", position)


def keep_waveforms(path: Path, header: Any, out: Path) -> WaveformRecord | None:
    """Return the record of waveforms to write again; if there is none, remove waveforms from the header.

    Parameters
    ----------
    path : LAS or LAZ file
    header : laspy's header of the file that is written
    out : its name, for the advice on waveforms in a separate file
    """
    encoding, start, size = _stated(path)
    header.evlrs = [vlr for vlr in header.evlrs or [] if (vlr.user_id, vlr.record_id) != (USER, RECORD)]
    header.start_of_waveform_data_packet_record = 0
    if encoding & EXTERNAL:
        log.warning(
            "The waveforms of %s are in a file of their own, %s. Copy it to %s, where programs look for them.",
            path, path.with_suffix(OWN_FILE).name, out.with_suffix(OWN_FILE),
        )  # fmt: skip
    if not encoding & INTERNAL:
        return None
    if size:
        return WaveformRecord(path, start, size)
    header.global_encoding.waveform_data_packets_internal = False
    log.warning(
        "%s says that it holds waveforms, but they are not in it: they are left out. Copy the file again.", path
    )
    return None


def _stated(path: Path) -> tuple[int, int, int]:
    """Return the global encoding of a file, and the position and size of its waveform record, 0 if it is not within the file."""
    whole = path.stat().st_size
    with path.open("rb") as file:
        encoding = _read_at(file, ENCODING_AT, "<H") if _read_at(file, MINOR_AT, "<B") >= 3 else 0
        start = _read_at(file, START_AT, "<Q") if encoding & INTERNAL else 0
        if not 0 < start <= whole - RECORD_HEADER_BYTES:
            return encoding, 0, 0
        size = RECORD_HEADER_BYTES + _read_at(file, start + LENGTH_AT, "<Q")
    return encoding, start, size if start + size <= whole else 0


def _read_at(file: BinaryIO, position: int, kind: str) -> int:
    file.seek(position)
    (value,) = struct.unpack(kind, file.read(struct.calcsize(kind)))
    return int(value)


def _write_at(file: BinaryIO, position: int, kind: str, value: int) -> None:
    file.seek(position)
    file.write(struct.pack(kind, value))
