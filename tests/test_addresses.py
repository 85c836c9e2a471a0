"""What is shown and stored of an address: no user, no password, no signature, wherever it stands in a text."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff

from deepnets4eo.addresses import shown_address, without_secrets
from deepnets4eo.catalogues import Plan
from deepnets4eo.catalogues.candidates import PlannedImage
from deepnets4eo.cli.main import main
from deepnets4eo.cli.output import VisibleFormatter
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import write_json
from deepnets4eo.grid import whole
from deepnets4eo.outputs import describe, manifest
from deepnets4eo.rasters import CogWriter, Layer

SIGNED = "https://me:SECRET@store.example.org/a%20b/x.tif?sv=2&sig=SECRET%3D&se=SECRET"
SHOWN = "https://store.example.org/a%20b/x.tif"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SIGNED, SHOWN),
        (f"{SIGNED} could not be read: {SIGNED}.", f"{SHOWN} could not be read: {SHOWN}."),
        (f"/vsicurl/{SIGNED}", f"/vsicurl/{SHOWN}"),
        ("/vsicurl?empty_dir=yes&url=https%3A%2F%2Fa.org%2Fx.tif%3Fsig%3DSECRET", "/vsicurl"),
        (f"({SIGNED})", f"({SHOWN})"),
        (f"{SIGNED}#visual", f"{SHOWN}#visual"),
        ("https:/a.org/x.tif?sig=SECRET", "https:/a.org/x.tif"),  # as a path has it
        ("s3://key:SECRET@bucket/x.tif", "s3://bucket/x.tif"),
        ("postgresql://u:p@ss:SECRET@host/table", "postgresql://host/table"),
        ("--catalogue=https://a.org?token=SECRET", "--catalogue=https://a.org"),
        ("Is it https://a.org/x?", "Is it https://a.org/x?"),
        ("C:/data/a?b.tif", "C:/data/a?b.tif"),
        ("a.tif", "a.tif"),
        ("mail me@a.org: why?", "mail me@a.org: why?"),
    ],
)
def test_an_address_is_shown_without_user_and_query(text: str, expected: str) -> None:
    assert shown_address(text) == expected
    assert shown_address(expected) == expected
    assert without_secrets({text: [text, (text, 3)]}) == {expected: [expected, [expected, 3]]}


def test_errors_and_lines_of_the_log_have_no_secrets() -> None:
    for kind in (InputError, OutputError):
        assert str(kind(f"{SIGNED} is gone")) == f"{SHOWN} is gone"
    record = logging.LogRecord("x", logging.WARNING, "", 0, "reading %s", (SIGNED,), None)
    assert VisibleFormatter("%(message)s").format(record) == f"reading {SHOWN}"


def test_the_command_line_repeats_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = "http://me:SECRET@127.0.0.1:1/a.json?sig=SECRET"
    words = ["find", "--catalogue", address, "--bbox", "1", "1", "2", "2", "--date", "2020-01-01"]
    for command in (
        [*words, "--out", str(tmp_path / "p.yaml")], ["check", address, "--json", str(tmp_path / "c.json")],
        ["damage", "-", address.replace("json", "tif"), address, "--out", str(tmp_path / "out")], ["check", address, f"--{address}"],
    ):  # fmt: skip
        assert main(command) != 0
    printed = "".join(capsys.readouterr())
    assert "127.0.0.1:1/a.json" in printed
    assert "SECRET" not in printed
    assert all(b"SECRET" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_manifests_and_tags_have_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["deepnets4eo", "damage", SIGNED])
    summary: dict[str, Any] = {"product": "x", "synthetic": False, "event": {}, "findings": []}
    content = manifest(summary, {"water": SIGNED}, {"pre": describe(SIGNED), "post": [describe(SIGNED)]}, tmp_path, [])
    assert content["command"] == f"deepnets4eo damage {SHOWN}"
    assert content["inputs"]["pre"]["path"] == SHOWN
    assert "SECRET" not in write_json(tmp_path / "m.json", content).read_text()
    layer = Layer.open(np.zeros((1, 16, 16), np.uint8))
    with CogWriter(tmp_path / "a.tif", layer.grid, tags={"MADE_OF": SIGNED}) as writer:
        writer.write(whole(layer.grid), np.zeros((16, 16), np.uint8))
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.tags()["MADE_OF"] == SHOWN


def test_the_plan_alone_keeps_an_address_whole_and_says_so(tmp_path: Path) -> None:
    image = write_geotiff(tmp_path / "a.tif", np.zeros((1, 8, 8), np.uint8))
    for files, warns in (([SIGNED], True), ([str(image)], False)):
        plan = Plan(box=[3, 45, 4, 46], date="2023-02-06", after=PlannedImage(files=files))
        text = plan.save(tmp_path / "plan.yaml").read_text()
        assert ("have a password, a signature or a token" in text) == warns
        assert Plan.load(tmp_path / "plan.yaml").after.files == files
    assert "SECRET" not in json.dumps(without_secrets(plan.model_dump()))
