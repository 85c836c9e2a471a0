"""Reading of http and https addresses, within one deadline for the whole request and a number of bytes.

An address that the user named, on the open network, never leads to a private one. No other schemes, in redirects either.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from deepnets4eo.addresses import without_secrets
from deepnets4eo.formats.access import TIMEOUT_S

REQUEST_S = 60.0  # of a document, with its redirects
CONNECT_S = 15.0  # of one of a host's addresses
MAX_SESSION_BYTES = 256 << 20  # of all documents of a search
FILE_S, MAX_FILE_BYTES = 6 * 3600.0, 1 << 40  # of a file that is downloaded
PIECE_BYTES = 1 << 20  # read at once
HEAD_BYTES = 1 << 20  # of status lines, headers and the bodies of redirects
STATE_HEADERS = ("ETag", "Last-Modified")


class WebRequest:
    """Rules of requests: schemes, the limit of a document, and the errors of a request, whatever a server sends."""

    schemes: ClassVar[tuple[str, ...]] = ("http", "https")
    max_bytes: ClassVar[int] = 16 << 20
    errors: ClassVar[tuple[type[OSError], type[HTTPException], type[ValueError]]] = (OSError, HTTPException, ValueError)


class Answer(NamedTuple):
    """An answer: bytes, the address behind redirects, and headers."""

    content: bytes
    address: str
    headers: Mapping[str, str]


class Session:
    """Requests on behalf of one address that the user named; thread-safe.

    Parameters
    ----------
    address : the user's own; where its host is private, others may be, too
    most_bytes : over all answers
    """

    def __init__(self, address: str, most_bytes: int = MAX_SESSION_BYTES) -> None:
        self.private = _is_private(urlsplit(address).hostname or "")
        self._lock, self._left, self._most = threading.Lock(), most_bytes, most_bytes

    def read(
        self,
        address: str,
        *,
        seconds: float = REQUEST_S,
        most_bytes: int = WebRequest.max_bytes,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Read the document at an address, answered whole within `seconds`. data : is posted. Errors: WEB_ERRORS."""
        with self.open(address, seconds=seconds, most_bytes=most_bytes, data=data, headers=headers) as answer:
            return Answer(_read_whole(answer, most_bytes), _with_user(answer.url, address), answer.headers)

    @contextmanager
    def open(
        self,
        address: str,
        *,
        seconds: float = REQUEST_S,
        head_s: float | None = None,
        most_bytes: int = WebRequest.max_bytes,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Any]:
        """Open the answer of an address for reading. head_s : limit until its headers have arrived. Errors: WEB_ERRORS."""
        limits = _Limits(self, seconds, min(seconds, head_s or seconds), most_bytes)
        address, credentials = _split_user(address)
        self.check(address)
        request = urllib.request.Request(address, data, {"User-Agent": "deepnets4eo", **(headers or {})})
        if credentials:
            request.add_unredirected_header("Authorization", f"Basic {credentials}")
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(), _Redirects(self), _Opener(limits),
        ):  # fmt: skip
            opener.add_handler(handler)
        with opener.open(request, timeout=limits.left_s()) as answer:
            limits.begin_body()
            yield answer

    def state(self, address: str) -> list[str] | None:
        """Return size, ETag and date, which show whether the file at an address is unchanged; None if the server gives none.

        Errors: WEB_ERRORS."""
        with self.open(address, headers={"Range": "bytes=0-0"}) as answer:  # signatures hold for GET alone
            size = str(answer.headers.get("Content-Range", "")).rpartition("/")[2] or answer.headers.get(
                "Content-Length"
            )
            known = [str(size or ""), *(str(answer.headers.get(name, "")) for name in STATE_HEADERS)]
        return known if any(known) else None

    def check(self, address: str) -> None:
        """Refuse (OSError) other schemes, and a private host where the user's is none. Names are looked up as they are connected to."""
        parts = urlsplit(address)
        if parts.scheme not in WebRequest.schemes or not parts.hostname:
            raise OSError(f"{without_secrets(address)} is no address of http or https")
        if not self.private and (parts.hostname == "localhost" or _is_private_number(parts.hostname)):
            raise _private(parts.hostname)

    @property
    def is_spent(self) -> bool:
        """Return whether no more bytes may arrive."""
        return self._left <= 0

    def take(self, count: int) -> None:
        """Count bytes of an answer. Errors: OSError if there are too many."""
        with self._lock:
            self._left -= count
            if self._left < 0:
                raise OSError(f"all answers together have more than {self._most:,} bytes")


class _Limits:
    """The clock and the bytes of one request."""

    def __init__(self, session: Session, seconds: float, head_s: float, most_bytes: int) -> None:
        self.session, self._seconds, self._most = session, seconds, most_bytes
        self._began = time.monotonic()
        self._latest, self._limit_s = self._began + head_s, head_s
        self._count, self._limit, self._in_head = 0, HEAD_BYTES, True

    def begin_body(self) -> None:
        """Headers have come."""
        self._latest, self._limit_s = self._began + self._seconds, self._seconds
        self._count, self._limit, self._in_head = 0, self._most + HEAD_BYTES, False

    def left_s(self) -> float:
        """Seconds that are left. Errors: TimeoutError for none."""
        left = self._latest - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"it had not come to an end after {self._limit_s:g} seconds")
        return left

    def wait_s(self) -> float:
        """Return how long one read may wait; the headers may take their whole limit, as a server may have to think."""
        return self.left_s() if self._in_head else min(self.left_s(), TIMEOUT_S)

    def take(self, count: int) -> None:
        self.session.take(count)
        self._count += count
        if self._count > self._limit:
            raise OSError(f"it has more than {self._limit:,} bytes")


class _TimedReader(io.RawIOBase):
    """Data that a socket sends, within the limits of the request."""

    def __init__(self, connected: socket.socket, limits: _Limits) -> None:
        self._socket, self._limits = connected, limits
        self._file = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._limits.wait_s())
        try:
            count: int | None = self._file.readinto(buffer)
        except TimeoutError:
            self._limits.left_s()  # where all of the request has taken too long, that is the reason
            raise
        self._limits.take(count or 0)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _TimedSocket:
    """A socket as `http.client` uses it."""

    def __init__(self, connected: socket.socket, limits: _Limits) -> None:
        self._socket, self._limits = connected, limits

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        """Return a file of the data that is sent."""
        return io.BufferedReader(_TimedReader(self._socket, self._limits))

    def sendall(self, content: Any) -> None:
        """Send a request."""
        self._socket.settimeout(self._limits.wait_s())
        self._socket.sendall(content)

    def close(self) -> None:
        """Close the socket once its files are."""
        self._socket.close()


class _Connection(HTTPConnection):
    def __init__(self, host: str, limits: _Limits, *, by_proxy: bool, **named: Any) -> None:
        super().__init__(host, **named)
        self._limits = limits
        self._create_connection = partial(_connect, limits, check=not by_proxy)

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _TimedSocket(self.sock, self._limits)


class _SecureConnection(HTTPSConnection):
    def __init__(self, host: str, limits: _Limits, *, by_proxy: bool, **named: Any) -> None:
        super().__init__(host, context=ssl.create_default_context(), **named)
        self._limits = limits
        self._create_connection = partial(_connect, limits, check=not by_proxy)

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _TimedSocket(self.sock, self._limits)


class _Opener(urllib.request.AbstractHTTPHandler):
    """Opens addresses within the limits of the request."""

    def __init__(self, limits: _Limits) -> None:
        super().__init__()
        self._limits = limits

    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self._through(_Connection, request)

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self._through(_SecureConnection, request)

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def _through(self, kind: Any, request: urllib.request.Request) -> HTTPResponse:
        request.timeout = self._limits.left_s()
        by_proxy = urlsplit(request.full_url).netloc != request.host
        return self.do_open(partial(kind, limits=self._limits, by_proxy=by_proxy), request)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to where the session may go."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def redirect_request(self, request: Any, *rest: Any) -> urllib.request.Request | None:
        self._session.check(rest[-1])
        return super().redirect_request(request, *rest)


def _read_whole(answer: HTTPResponse, most_bytes: int) -> bytes:
    """Read the body of an answer in pieces: `http.client` allocates the stated size at once. Errors: OSError for too much, or too little."""
    stated = answer.length  # None if the server does not state it
    if stated is not None and stated > most_bytes:
        raise OSError(f"it has {stated:,} bytes, more than {most_bytes:,}")
    pieces = list[bytes]()
    while piece := answer.read1(PIECE_BYTES):
        pieces.append(piece)
    content = b"".join(pieces)
    if stated is not None and len(content) < stated:
        raise OSError(f"the connection broke off after {len(content):,} of {stated:,} bytes")
    return content


def _connect(
    limits: _Limits, address: tuple[str, int], timeout: float = 0, source: Any = None, *, check: bool
) -> socket.socket:
    """Connect to the first of a host's addresses that answers. Errors: OSError; for a private address if none is allowed."""
    failure: OSError | None = None
    for family, kind, protocol, _, target in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        if check and not limits.session.private and _is_private_number(str(target[0])):
            raise _private(address[0])
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(min(limits.left_s(), CONNECT_S))
            connected.connect(target)
            connected.settimeout(limits.wait_s())  # for a handshake
        except OSError as error:
            connected.close()
            failure = error
        else:
            return connected
    raise failure or OSError(f"{address[0]} has no address")


def _private(host: str) -> OSError:
    return OSError(f"it leads to {host} in a private network, which an address on the open one may not")


def _is_private(host: str) -> bool:
    """Return whether a host is in a private network by one of its numbers; False if it has no number."""
    if host == "localhost" or _is_private_number(host):
        return True
    try:
        listed = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(_is_private_number(str(target[0])) for *_, target in listed)


def _is_private_number(host: str) -> bool:
    """Return whether a host given as a number is not on the open network; False for names."""
    try:
        number: Any = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    inner = getattr(number, "ipv4_mapped", None) or getattr(number, "sixtofour", None)
    number = inner or number
    return not number.is_global or bool(number.is_multicast)


def _split_user(address: str) -> tuple[str, str]:
    """Return an address without user and password, and these as HTTP takes them, "" for none."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return address, ""
    return urlunsplit(parts._replace(netloc=host)), base64.b64encode(unquote(user).encode()).decode()


def _with_user(address: str, requested: str) -> str:
    """Return an address with the user of another address on the same host, so that its references are read as that user."""
    user, at, host = urlsplit(requested).netloc.rpartition("@")
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=f"{user}@{host}")) if at and parts.netloc == host else address


def is_web_address(text: str) -> bool:
    """Return whether a text is an address of http or https."""
    try:
        return urlsplit(text).scheme in WebRequest.schemes
    except ValueError:  # http://[
        return False


def failure_text(error: BaseException) -> str:
    """Return the reason why a request failed, without its address: errors of `http.client` repeat the address."""
    if isinstance(error, HTTPException):
        return f"the answer is no HTTP, or the address is none ({type(error).__name__})"
    reason = getattr(error, "reason", None)
    return without_secrets(str(reason if isinstance(reason, OSError) else error)) or type(error).__name__


def download(address: str, path: Path, check_size: Callable[[int], None]) -> None:
    """Write the file at an address, all of it. check_size : called with the bytes so far. Errors: WEB_ERRORS."""
    session, most = Session(address, MAX_FILE_BYTES), MAX_FILE_BYTES
    with (
        session.open(address, seconds=FILE_S, head_s=REQUEST_S, most_bytes=most) as answer,
        path.open("wb") as file,
    ):
        written = 0
        while chunk := answer.read1(PIECE_BYTES):
            written += len(chunk)
            check_size(written)
            file.write(chunk)
        length = answer.headers["Content-Length"]
        if length is not None and written < int(length):
            raise OSError(f"the connection broke off after {written:,} of {int(length):,} bytes")
