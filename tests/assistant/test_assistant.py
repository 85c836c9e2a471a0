"""Tools for assistants: called by the client of the protocol's own package, in folders that a user names."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
from made_up_files import make
from refusals import raises_naming

from deepnets4eo.assistant import Folders, verb
from deepnets4eo.assistant.tools import Tools
from deepnets4eo.cli.main import main
from deepnets4eo.damage import DamageMap
from deepnets4eo.errors import InputError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, outlines and a finished map (SYNTHETIC); a secret lies next to it."""
    folder = tmp_path_factory.mktemp("assistant") / "home"
    folder.mkdir()
    make("damage", folder)
    make("labels.tif", folder)
    (folder.parent / "secret.tif").write_bytes((folder / "pre.tif").read_bytes())
    (folder / "link.tif").symlink_to(folder.parent / "secret.tif")
    (folder / "linked").mkdir()
    (folder / "linked" / "a.tif").symlink_to(folder.parent / "secret.tif")
    (folder / "out.vrt").write_text("<VRTDataset/>", encoding="utf-8")
    return folder


@pytest.mark.parametrize("path", ["../secret.tif", "link.tif", "linked", "/etc/passwd", "damage/../../secret.tif", "", "/vsicurl/https://a.example/b.tif"])  # fmt: skip
def test_no_path_leads_out_of_the_folders(home: Path, path: str) -> None:
    with raises_naming(InputError, "outside of the folders", repr(path) if path != "linked" else "linked"):
        Folders([home]).to_read(path)


@pytest.mark.parametrize(
    ("path", "named"),
    [("out.vrt", "out.vrt"), ("nothing.tif", "nothing.tif"), ("https://a.example/b.tif", "a.example")],
)
def test_what_is_not_there_or_names_other_files_is_refused(home: Path, path: str, named: str) -> None:
    with raises_naming(InputError, named):
        Folders([home]).to_read(path)


def test_folders_must_exist_and_be_named(home: Path) -> None:
    with raises_naming(InputError, "absent"):
        Folders([home / "absent"])
    with raises_naming(InputError, "folder"):
        Folders([])


def test_nothing_is_written_unless_a_folder_is_named_and_only_there(home: Path, tmp_path: Path) -> None:
    assert {tool.__name__ for tool in Tools(Folders([home])).offer()} == {
        "check",
        "summary",
        "buildings_near",
        "evaluate",
    }
    with raises_naming(InputError, "--write"):
        Tools(Folders([home])).change("pre.tif", "post.tif", "new")
    with raises_naming(InputError, "../new"):
        Tools(Folders([home], tmp_path)).change("pre.tif", "post.tif", "../new")


@pytest.mark.core("the only tool that reads a map")
def test_buildings_around_a_point_are_those_of_the_map(home: Path) -> None:
    table = gpd.read_parquet(home / "damage" / "damage.parquet")
    centre = table.union_all().centroid
    (at,) = gpd.GeoSeries([centre], crs=table.crs).to_crs(4326)
    tools = Tools(Folders([home]))
    found = tools.buildings_near("damage", at.x, at.y, 40)
    inside = table[table.geometry.representative_point().distance(centre) < 40]
    assert 0 < len(inside) < len(table)
    assert found["buildings"] == len(inside)
    assert found["destroyed"] == (inside["damage"] == "destroyed").sum()
    assert found["not_assessed"] == (inside["status"] != "assessed").sum()
    assert found["damaged_low"] <= found["damaged"] <= found["damaged_high"]
    assert found["headline_of_the_map"] == tools.summary("damage")["headline"]
    own = [finding.whole for finding in DamageMap.load(home / "damage").findings]
    assert own
    assert found["findings_of_the_map"] == own  # and not that the circle leaves ground out
    assert tools.buildings_near("damage", at.x, at.y, 10_000)["buildings"] == len(table)
    assert tools.buildings_near("damage", -at.x, at.y, 1)["buildings"] == 0


def test_tools_are_verbs_with_true_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, out = tmp_path / "home", tmp_path / "maps"
    home.mkdir(), out.mkdir()
    for name in ("pre.tif", "post.tif", "houses.gpkg"):
        (home / name).write_bytes(b"x")
    pre, post, houses, new = (
        str(path) for path in (home / "pre.tif", home / "post.tif", home / "houses.gpkg", out / "new")
    )
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr("deepnets4eo.assistant.tools.run_verb", lambda *words: asked.append(words) or {})
    tools = Tools(Folders([home], out))
    tools.check(["pre.tif", "houses.gpkg"])
    tools.evaluate("pre.tif", "post.tif")
    tools.evaluate("pre.tif", "post.tif", "isprs")
    tools.damage("pre.tif", "post.tif", "houses.gpkg", "new", "Earthquake")
    tools.damage("-", "post.tif", "-", "new")
    tools.flood(["pre.tif", "post.tif"], "new", "houses.gpkg")
    tools.flood(["pre.tif", "post.tif"], "new")
    assert asked == [
        ("check", pre, houses), ("evaluate", pre, post), ("evaluate", pre, post, "--legend", "isprs"),
        ("damage", pre, post, houses, "--out", new, "--event", "name=Earthquake"), ("damage", "-", post, "-", "--out", new),
        ("flood", pre, post, "--out", new, "--footprints", houses), ("flood", pre, post, "--out", new),
    ]  # fmt: skip
    assert {tool.__name__ for tool in tools.offer()} >= {"check", "damage", "flood", "change"}
    with raises_naming(InputError, "'../own.yaml'"):
        tools.evaluate("pre.tif", "post.tif", "../own.yaml")
    with raises_naming(InputError, "'@file'"):
        tools.damage("pre.tif", "post.tif", "-", "new", "@file")


@pytest.mark.parametrize("circle", [(200, 0, 5), (0, 91, 5), (0, 0, 0), (0, 0, float("nan"))])
def test_what_is_no_circle_on_the_earth_is_refused(home: Path, circle: tuple[float, float, float]) -> None:
    with raises_naming(InputError, "circle"):
        Tools(Folders([home])).buildings_near("damage", *circle)


def test_a_client_finds_the_tools_and_gets_refusals_in_their_own_words(home: Path, tmp_path: Path) -> None:
    mcp = pytest.importorskip("mcp", reason="the package mcp is not installed (extra mcp)")

    async def talk() -> tuple[dict[str, bool], list[Any]]:
        words = ["-m", "deepnets4eo", "mcp", str(home), "--write", str(tmp_path)]
        async with mcp.Client(mcp.StdioServerParameters(command=sys.executable, args=words)) as client:
            tools = (await client.list_tools()).tools
            asked = [
                await client.call_tool("check", {"paths": ["pre.tif"]}),
                await client.call_tool("check", {"paths": ["../secret.tif"]}),
                await client.call_tool("summary", {"folder": "damage"}),
                await client.call_tool("change", {"pre": "pre.tif", "post": "post.tif", "out": "changed"}),
                await client.call_tool("evaluate", {"prediction": "labels.tif", "reference": "pre.tif"}),
            ]
        return {tool.name: tool.annotations.read_only_hint for tool in tools}, asked

    reads, (checked, outside, summary, changed, wrong) = asyncio.run(talk())
    assert {name for name, only in reads.items() if not only} == {"damage", "flood", "change"}
    said = [json.loads(answer.content[0].text) for answer in (checked, summary, changed, wrong)]
    assert said[0]["end"] == "done"
    assert "4 bands" in said[0]["output"] or "3 bands" in said[0]["output"]
    assert outside.is_error
    assert "outside of the folders" in outside.content[0].text
    assert said[1]["headline"]
    assert said[2]["end"].startswith("done")
    assert (tmp_path / "changed" / "summary.json").is_file()
    assert said[3]["end"].startswith("refused")
    assert any("Error:" in line for line in said[3]["messages"])


def test_the_verb_refuses_a_folder_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mcp", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["pre.tif\0", "a" * 5000, "a/" * 2000, "b" * 300])
def test_odd_names_are_refused(home: Path, path: str) -> None:
    with raises_naming(InputError, repr(path)[:20].rstrip("'")[1:]):
        Folders([home]).to_read(path)


@pytest.mark.parametrize("name", ["pre.tif.ovr", "pre.tif.msk", "pre.hdr", "pre.tif.aux.xml", "PRE.tfw"])
def test_files_that_are_opened_with_another_do_not_lead_out(home: Path, name: str) -> None:
    link = home / name
    link.symlink_to(home.parent / "secret.tif")
    try:
        with raises_naming(InputError, name):
            Folders([home]).to_read("pre.tif")
    finally:
        link.unlink()
    assert Folders([home]).to_read("pre.tif").is_file()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_what_is_no_file_is_not_waited_for(home: Path) -> None:
    pipe = home / "pipe.tif"
    os.mkfifo(pipe)
    try:
        with raises_naming(InputError, "pipe.tif", "neither a file nor a folder"):
            Folders([home]).to_read("pipe.tif")
    finally:
        pipe.unlink()


@pytest.mark.parametrize("hazard", ["x.yaml", "Flood=1", "../secret.json", "--set", "1", "a" * 99])
def test_a_hazard_is_a_word(home: Path, tmp_path: Path, hazard: str) -> None:
    with raises_naming(InputError, "hazard"):
        Tools(Folders([home], tmp_path)).damage("pre.tif", "post.tif", "-", "new", hazard)


def test_a_summary_that_is_none_is_refused(home: Path) -> None:
    (home / "odd").mkdir()
    (home / "odd" / "summary.json").write_text("[1]", encoding="utf-8")
    for folder in ("odd", "nothing", "linked"):
        with raises_naming(InputError, folder):
            Tools(Folders([home])).summary(folder)
    (home / "linked" / "summary.json").symlink_to(home.parent / "secret.tif")
    with raises_naming(InputError, "linked"):
        Tools(Folders([home])).summary("linked")


@pytest.mark.core("the only verbs that a server runs")
def test_verbs_end_with_the_server_and_two_work_at_a_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepnets4eo.assistant import server

    running: list[int] = []
    seen: list[int] = []

    def tool() -> None:
        running.append(1)
        seen.append(len(running))
        verb.run_verb("--version")
        running.pop()

    async def many() -> None:
        call = server._as_served(tool, asyncio.Semaphore(server.AT_ONCE))
        await asyncio.gather(*(call() for _ in range(4)))

    asyncio.run(many())
    assert len(seen) == 4
    assert max(seen) <= server.AT_ONCE


def test_a_verb_ends_when_its_request_is_cancelled_or_its_input_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    sleeping = "import threading, time; from deepnets4eo.assistant import verb; threading.Thread(target=verb._wait_for_end, daemon=True).start(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", sleeping], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 70
    with pytest.raises(KeyboardInterrupt), verb.ending_verbs():
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], text=True)
        started = verb._started.get()
        assert started is not None
        started.append(process)
        raise KeyboardInterrupt
    assert process.wait(30) != 0
