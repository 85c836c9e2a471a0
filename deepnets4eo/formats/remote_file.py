"""A file at an address of http(s), read by ranges of bytes as they are needed; refuses servers that do not give ranges."""

from __future__ import annotations

import io
import os

from deepnets4eo.formats.web import Session

RANGE_BYTES = 64 << 10
MAX_RANGES = 32  # of one file: it is for headers, not for pixels


class RemoteFile(io.BytesIO):
    """The file. Reading raises OSError, among others of WEB_ERRORS, for servers that send no ranges and for files that need too many."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address, self._session = address, Session(address, MAX_RANGES * RANGE_BYTES)
        self._parts: dict[int, bytes] = {}
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position from the beginning, or from here."""
        self._at = offset + (self._at if whence == os.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes from the position; fewer at the end."""
        if size is None or size < 0:
            raise OSError("a remote file is read in parts")
        first, last = self._at // RANGE_BYTES, (self._at + size - 1) // RANGE_BYTES
        joined = b"".join(self._part(number) for number in range(first, last + 1))
        start = self._at - first * RANGE_BYTES
        content = joined[start : start + size]
        self._at += len(content)
        return content

    def _part(self, number: int) -> bytes:
        if number not in self._parts:
            if len(self._parts) >= MAX_RANGES:
                raise OSError(f"its header takes more than {MAX_RANGES} ranges")
            begin = number * RANGE_BYTES
            with self._session.open(
                self._address, headers={"Range": f"bytes={begin}-{begin + RANGE_BYTES - 1}"}, most_bytes=RANGE_BYTES
            ) as answer:
                if answer.status != 206:
                    raise OSError("its server sends no ranges")
                self._parts[number] = answer.read(RANGE_BYTES)
        return self._parts[number]
