"""The page on which a sample is graded: who is let in, answers that last, two pages at once, images that are gone."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from made_up_review import write_reviewed
from PIL import Image
from served import answering

from deepnets4eo.cli.main import main
from deepnets4eo.damage.review import ReviewServer

HOSTILE = ("<img src=x onerror=alert(1)>", "'; DROP TABLE sample; --", "ي" * 10_000, "\u202eevil\n\x00")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviewed(tmp_path_factory.mktemp("مراجعة 100 %#?"), looks=25, names=HOSTILE)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ReviewServer]:
    with answering(ReviewServer(folder, folder / "review.gpkg", "Anna")) as server:
        yield server


def request(server: ReviewServer, path: str = "", body: object = None, **headers: str) -> tuple[int, bytes]:
    """Status and body; a body that is given is sent as JSON."""
    data = None if body is None else json.dumps(body).encode()
    given = ({} if data is None else {"Content-Type": "application/json"}) | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(server.address + path, data, given), timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def rows(server: ReviewServer) -> list[dict]:
    return json.loads(request(server, "sample.json")[1])["rows"]


def said(row: dict, answer: str | None, note: str | None = None) -> dict:
    return {"fid": row["fid"], "answer": answer, "note": note, "seen": {name: row[name] for name in ("answer", "note")}}


def test_only_this_page_on_this_computer_is_let_in(server: ReviewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    port = server.server_port
    assert request(server)[0] == 200
    assert request(server, Host=f"localhost:{port}")[0] == 200
    assert request(server, Host=f"evil.example:{port}")[0] == 403  # a name that was made to point here
    assert request(server, Host="127.0.0.1")[0] == 403
    assert request(server, Origin="https://evil.example")[0] == 403
    assert request(server, Origin="null")[0] == 403
    for path in ("/", "/sample.json", f"/{server.token[1:]}-/", f"/{server.token}", "/%C3%A9/"):
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", path)
        assert connection.getresponse().status == 403, path
        connection.close()
    row = rows(server)[0]
    assert request(server, "answers", said(row, "destroyed"), Origin="https://evil.example")[0] == 403
    assert request(server, "answers", said(row, "destroyed"), Content_Type="text/plain")[0] == 400
    assert rows(server)[0]["answer"] is None


def test_the_browser_is_forbidden_to_load_anything_from_elsewhere(server: ReviewServer) -> None:
    for path in ("", "review.js", "review.css", "sample.json", "nothing"):
        try:
            headers = urllib.request.urlopen(server.address + path, timeout=20).headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert (headers["Referrer-Policy"], headers["X-Content-Type-Options"]) == ("no-referrer", "nosniff")


def test_names_come_as_data_and_as_they_are(server: ReviewServer) -> None:
    assert set(HOSTILE) - {HOSTILE[3]} <= {row["id"] for row in rows(server)}
    for asset in ("", "review.js"):
        assert b"innerHTML" not in request(server, asset)[1]


@pytest.mark.parametrize("extent", ["near", "wide"])
def test_chips_show_the_building_in_their_middle(server: ReviewServer, extent: str) -> None:
    row = rows(server)[0]
    for role in ("pre", "post"):
        status, webp = request(server, f"chips/{row['fid']}/{role}/{extent}")
        assert status == 200
        image = np.asarray(Image.open(BytesIO(webp)).convert("RGB"), float)
        _, _, width, height = row["windows"][extent == "wide"]
        assert image.shape == (height, width, 3)
        if role == "pre":
            middle = image[height // 2 - 3 : height // 2 + 3, width // 2 - 3 : width // 2 + 3]
            assert middle.mean() > image.mean() + 20  # roofs are bright
    left, top, width, height = row["windows"][0]
    ring = np.array(row["rings"][0])
    np.testing.assert_allclose((ring.min(0) + ring.max(0)) / 2, (left + width / 2, top + height / 2), atol=1)
    for path in ("chips/999/pre/near", "chips/x/pre/near", f"chips/{row['fid']}/dsm/near", "../setup.cfg", "chips"):
        assert request(server, path)[0] == 404, path


def test_two_pages_do_not_overwrite_each_other(server: ReviewServer, folder: Path) -> None:
    first, second = rows(server)[1], rows(server)[1]
    status, body = request(server, "answers", said(first, "destroyed", "roof gone"))
    assert (status, json.loads(body)["answer"]) == (200, "destroyed")
    status, body = request(server, "answers", said(second, "no-damage"))
    assert status == 409
    now = json.loads(body)
    assert (now["answer"], now["note"], now["reviewer"]) == ("destroyed", "roof gone", "Anna")
    assert request(server, "answers", said(now, "no-damage"))[0] == 200  # knowing the other answer
    with closing(sqlite3.connect(folder / "review.gpkg")) as database, database:  # as QGIS does
        database.execute("UPDATE sample SET answer = 'minor-damage' WHERE fid = ?", (first["fid"],))
    assert request(server, "answers", said(now | {"answer": "no-damage", "note": None}, None))[0] == 409
    assert rows(server)[1]["answer"] == "minor-damage"


@pytest.mark.parametrize(
    "spoil",
    [{"answer": "gone"}, {"answer": 1}, {"note": "x" * 10_001}, {"note": "\ud800"}, {"note": ["x"]}, {"seen": None}, {"seen": {}}],
)  # fmt: skip
def test_what_is_no_answer_is_refused(server: ReviewServer, spoil: dict) -> None:
    row = rows(server)[2]
    assert request(server, "answers", said(row, "destroyed") | spoil)[0] == 400
    for fid in (999, None, "x", 1e999):
        assert request(server, "answers", said(row, "destroyed") | {"fid": fid})[0] == 404
    assert request(server, "answers", [])[0] == 404
    assert request(server, "answers", "x" * 300_000)[0] == 400
    assert rows(server)[2]["answer"] is None


def test_a_note_of_ten_thousand_characters_is_kept(server: ReviewServer) -> None:
    row = rows(server)[3]
    assert request(server, "answers", said(row, "cannot-tell", "ظ" * 10_000))[0] == 200
    assert rows(server)[3]["note"] == "ظ" * 10_000


def test_a_locked_sample_is_named_and_nothing_is_lost(
    server: ReviewServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *words, **options: opened(*words, **options | {"timeout": 0.1}))
    row = rows(server)[4]
    with closing(opened(folder / "review.gpkg", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        status, body = request(server, "answers", said(row, "destroyed"))
        assert status == 503
        assert "locked" in json.loads(body)["error"]
        database.execute("ROLLBACK")
    assert request(server, "answers", said(row, "destroyed"))[0] == 200


def test_no_answer_is_lost_when_the_server_is_killed(folder: Path, tmp_path: Path) -> None:
    command = ["review", str(folder), str(tmp_path / "ben.gpkg"), "--serve", "--no-browser", "--looks", "9"]
    with subprocess.Popen(
        [sys.executable, "-m", "deepnets4eo", *command], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            one = type("Server", (), {"address": process.stdout.readline().strip()})()
            answers = {}
            for row in rows(one)[:5]:
                assert request(one, "answers", said(row, "major-damage", row["id"][:9]))[0] == 200
                answers[row["fid"]] = "major-damage"
        finally:
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    with closing(sqlite3.connect(tmp_path / "ben.gpkg")) as database:
        kept = dict(database.execute("SELECT fid, answer FROM sample WHERE answer IS NOT NULL"))
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert kept == answers


@pytest.mark.parametrize("spoil", ["gone", "other", "same size", "no manifest"])
def test_images_that_are_gone_or_others_are_refused(
    spoil: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    if spoil == "gone":
        manifest["inputs"]["post"]["path"] = "/nowhere/post.tif"
    manifest["inputs"]["pre"]["bytes"] += spoil == "other"
    manifest["inputs"]["pre"]["sha256"] = "0" * 64 if spoil == "same size" else manifest["inputs"]["pre"]["sha256"]
    for name in ("damage.parquet", "summary.json", "review.gpkg"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    if spoil != "no manifest":
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert main(["review", str(tmp_path), "--serve", "--no-browser"]) == 2
    expected = {"gone": "is not on this machine", "no manifest": "cannot be read"}
    assert expected.get(spoil, "is another file by now") in capsys.readouterr().err


def test_the_verb_prints_the_address_opens_it_and_says_how_far_the_sample_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(ReviewServer, "serve_forever", lambda server: signal.raise_signal(signal.SIGINT))
    assert main(["review", str(folder), str(tmp_path / "ben.gpkg"), "--serve", "--looks", "7"]) == 0
    printed = capsys.readouterr()
    address, sample = printed.out.split()
    assert opened == [address]
    assert sample == str(tmp_path / "ben.gpkg")
    assert "0 of 7 answered" in printed.err
    assert main(["review", str(folder), str(tmp_path / "ben.gpkg"), sample, "--serve"]) == 2
    assert "--serve shows one sample, not 2" in capsys.readouterr().err
