"""What is read at addresses: one deadline for all of a request, few bytes, no other schemes, no way into a private network."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from refusals import raises_naming
from small_site import small_site

from deepnets4eo.formats import Session, WebRequest, failure_text, web


@pytest.fixture
def site() -> Iterator[tuple[str, dict[str, Any]]]:
    with small_site() as opened:
        yield opened


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    for _ in range(200):
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.02)


def continue_without_end(handler: BaseHTTPRequestHandler) -> None:
    for _ in range(1000):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)
        time.sleep(0.005)


def drip_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    drip_headers(handler)


def redirect_slowly(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.15)
    handler.send_response(302)
    handler.send_header("Location", f"{handler.path}0")
    handler.end_headers()


@pytest.mark.parametrize("page", [drip_headers, continue_without_end, drip_body, redirect_slowly])
def test_a_request_ends_at_its_deadline_whatever_drips(page: Callable[[Any], None], site: Any) -> None:
    root, pages = site
    for number in range(12):
        pages["/a" + "0" * number] = page
    began = time.monotonic()
    with raises_naming(WebRequest.errors, "0.4"):
        Session(root).read(f"{root}/a", seconds=0.4)
    assert time.monotonic() - began < 20  # what drips never ends by itself


def test_the_bytes_of_one_answer_and_of_all_are_bounded(site: Any) -> None:
    root, pages = site
    pages["/a"] = b"x" * 3_000_000
    with pytest.raises(OSError, match="has more than"):
        Session(root).read(f"{root}/a", most_bytes=1_000_000)
    session = Session(root, most_bytes=7_000_000)
    assert [len(session.read(f"{root}/a").content) for _ in range(2)] == [3_000_000] * 2
    assert not session.is_spent
    with raises_naming(OSError, "7", "000"):
        session.read(f"{root}/a")
    assert session.is_spent

    usual = Session(root)
    usual.take(256 * 2**20)
    with pytest.raises(OSError, match="268,435,456 bytes"):
        usual.take(1)

    def endless_head(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            handler.wfile.write(b"A: b\r\n" * 10_000)

    pages["/head"] = endless_head
    with pytest.raises(WebRequest.errors):
        Session(root).read(f"{root}/head")


@pytest.mark.parametrize("target", ["file:///etc/hosts", "ftp://127.0.0.1/a", "data:text/plain,x", "gopher://a/"])
def test_no_other_scheme_is_followed_or_opened(target: str, site: Any) -> None:
    root, pages = site
    with pytest.raises(OSError, match="is no address of http or https"):
        Session(root).read(target)

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    pages["/a"] = redirect
    with pytest.raises(WebRequest.errors):
        Session(root).read(f"{root}/a")


PRIVATE = [
    "10.0.0.1", "127.0.0.2", "169.254.169.254", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "[2002:0a00:0001::]", "localhost", "2130706434", "0x7f000002",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_an_address_on_the_open_network_leads_to_no_private_one(
    host: str, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server here stands for one on the open network, 203.0.113.7 as it were; what names resolve to is checked as it is connected to."""
    root, pages = site
    look_up, is_private = socket.getaddrinfo, web._is_private_number

    def look_up_other(name: Any, *rest: Any, **named: Any) -> Any:
        if name in ("2130706434", "0x7f000002"):  # as systems resolve them
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 1))]
        return look_up(name, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_other)
    monkeypatch.setattr(web, "_is_private_number", lambda number: number != "127.0.0.1" and is_private(number))

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"http://{host}:1/latest/meta-data")
        handler.end_headers()

    pages["/a"] = redirect
    session = Session(root)
    assert not session.private
    with pytest.raises(OSError, match="in a private network"):
        session.read(f"{root}/a")
    with pytest.raises(OSError, match="in a private network"):
        session.read(f"http://{host}:1/")
    assert len(pages["asked"]) == 1


def test_from_a_private_address_others_are_reached(site: Any) -> None:
    root, pages = site
    pages["/b"] = b"here"

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{root}/b")
        handler.end_headers()

    pages["/a"] = redirect
    answer = Session(root).read(f"{root}/a")
    assert (answer.content, answer.address) == (b"here", f"{root}/b")


def test_a_user_in_an_address_is_sent_as_basic_and_stays_with_what_lies_beside(site: Any) -> None:
    root, pages = site
    pages["/a"] = b"x"
    address = root.replace("http://", "http://me:pass%20word@") + "/a"
    answer = Session(address).read(address)
    assert pages["asked"][0][1]["Authorization"] == "Basic bWU6cGFzcyB3b3Jk"
    assert answer.address == address
    pages["/b"] = lambda handler: handler.wfile.write(b"no answer of http")
    for path in ("/none?sig=SECRET", "/b?sig=SECRET", "/a b?sig=SECRET"):
        with pytest.raises(WebRequest.errors) as raised:
            Session(root).read(root.replace("://", "://me:SECRET@") + path)
        assert "SECRET" not in failure_text(raised.value)


def test_the_state_of_a_file_changes_with_its_etag_date_and_size(site: Any) -> None:
    root, pages = site

    def page(**headers: str) -> Callable[[Any], None]:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(206)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(b"x")

        return answer

    states = []
    for headers in ({"ETag": "a"}, {"ETag": "b"}, {"Last_Modified": "c"}, {"Content_Range": "bytes 0-0/5"}, {}):
        pages["/a.tif"] = page(**headers)
        states.append(Session(root).state(f"{root}/a.tif"))
    assert states == [["", "a", ""], ["", "b", ""], ["", "", "c"], ["5", "", ""], None]
    assert pages["asked"][0][1]["Range"] == "bytes=0-0"


def test_an_address_is_one_of_http_or_https_alone() -> None:
    texts = (
        "http://a/b.tif",
        "HTTPS://a",
        "http:",
        "ftp://a/b.tif",
        "file:///b.tif",
        "C:/b.tif",
        "b.tif",
        "",
        "http://[",
    )
    assert [text for text in texts if web.is_web_address(text)] == ["http://a/b.tif", "HTTPS://a", "http:"]


def test_a_file_may_take_six_hours_and_a_terabyte_and_its_first_byte_a_minute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def refuse(self: Session, address: str, **limits: Any) -> None:
        asked.update(limits)
        raise OSError(address)

    monkeypatch.setattr(Session, "open", refuse)
    with raises_naming(OSError, "127.0.0.1/a.tif"):
        web.download("http://127.0.0.1/a.tif", tmp_path / "a.tif", lambda _: None)
    assert asked == {"seconds": 6 * 60 * 60, "head_s": 60, "most_bytes": 2**40}
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "address", ["ftp://example.org/a.tif", "file:///etc/passwd", "https:///a.tif", "http://", "a.tif"]
)
def test_other_schemes_and_addresses_without_a_host_are_refused(address: str) -> None:
    session = Session("http://127.0.0.1/items.json")  # of a private host, which needs no look-up
    with pytest.raises(OSError, match="no address"):
        session.check(address)
    session.check("http://127.0.0.1/a.tif")
