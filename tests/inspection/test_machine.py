"""`check` without files: one page about this computer, with a problem and its remedy for what is missing, old, or cannot be written."""

import json
from importlib.metadata import requires
from pathlib import Path

import pytest

from deepnets4eo import lazy
from deepnets4eo.cards import ShippedModel
from deepnets4eo.cli.main import main
from deepnets4eo.inspection import machine
from deepnets4eo.inspection.machine import REQUIREMENT
from deepnets4eo.version import __version__


def test_one_page_describes_a_sound_installation(capsys) -> None:
    assert main(["check"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "0 problems found\n"
    for line in (
        f"deepnets4eo: {__version__}",
        "libraries: ",
        "extras: ",
        "GDAL: ",
        "device: ",
        "weights: ",
        "writing: works",
    ):
        assert f"\n{line}" in f"\n{shown.out}"
    assert "formats: all that the toolbox reads and writes" in shown.out
    assert shown.out.count("\n") < 55
    assert str(Path.home()) + "/" not in shown.out


@pytest.mark.parametrize(
    ("home", "shown"), [("/home/ann", "~/maps/x"), ("/", "/home/ann/maps/x"), ("/home/an", "/home/ann/maps/x")]
)
def test_only_the_home_of_a_user_is_shortened(home: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os.path, "expanduser", lambda path: home)
    assert Path(machine._short("/home/ann/maps/x")).as_posix() == shown


def test_every_requirement_is_understood() -> None:
    lines = [line for line in requires("deepnets4eo") or () if not line.startswith("deepnets4eo[")]
    unbounded = [line for line in lines if not REQUIREMENT.fullmatch(line)]
    assert {line.partition(";")[0].strip() for line in unbounded} == {"pandas-stubs", "types-PyYAML"}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installation with old and missing libraries, no drivers, torn weights, and a folder that takes no files."""
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "weights.safetensors").write_bytes(b"version https://git-lfs")
    monkeypatch.setattr(
        machine, "requires", lambda name: ["numpy>=99.1", "nothing-such>=1", 'never>=2; extra == "deep"']
    )
    monkeypatch.setattr(machine, "RASTER_DRIVERS", ["GTiff", "ECW2"])
    monkeypatch.setattr(machine, "MIN_MEMORY", float("inf"))
    monkeypatch.setattr(lazy, "EXTRAS", {"no_such_module": "deep"})
    monkeypatch.setattr(ShippedModel, "names", staticmethod(lambda: ["torn"]))
    monkeypatch.setattr(ShippedModel, "folder", torn)

    def refuse(path: Path) -> None:
        raise OSError("Read-only file system")

    monkeypatch.setattr(machine, "output_lock", refuse)
    return tmp_path / "doctor.json"


def test_what_is_wrong_has_a_remedy(broken: Path, capsys) -> None:
    assert main(["check", "--json", str(broken)]) == 1
    parts = json.loads(broken.read_text(encoding="utf-8"))
    problems = {name: part["problems"] for name, part in parts.items() if part["problems"]}
    assert "Less than 2 GB of memory are free." in problems["deepnets4eo"][0]
    assert problems["libraries"][0].endswith("is older than 99.1. pip install --upgrade 'numpy>=99.1'")
    assert problems["libraries"][1:] == ["nothing-such is not installed. pip install 'nothing-such>=1'"]
    assert problems["GDAL"][0].startswith("GDAL has no ECW2: such files cannot be used.")
    assert "weights.safetensors cannot be read" in problems["weights"][0]
    assert len(problems["writing"]) == 2
    assert "Read-only file system). Write elsewhere" in problems["writing"][0]
    assert parts["extras"]["facts"]["deep"] == 'pip install "deepnets4eo[deep]" (without no_such_module)'
    assert capsys.readouterr().err == "7 problems found\n"


def test_an_old_gdal_is_said_with_what_to_do() -> None:
    assert machine._gdal_advice("3.13.0", "3.14.1") == "3.13 or newer, as advised"
    old = machine._gdal_advice("3.10.3", "3.13.0")
    assert old.startswith("3.10.3 of rasterio is older than 3.13, which is advised for files that you do not trust: ")
    assert ("PNG" in old, "PNG" in machine._gdal_advice("3.12.2", "3.12.4")) == (True, False)
    assert machine._gdal_advice("3.12.2", "3.12.4").startswith(
        "3.12.2 of rasterio and 3.12.4 of pyogrio are older than 3.13"
    )


def test_the_page_on_security_names_the_gdal_that_is_installed() -> None:
    """Its table has a row for each library and GDAL of constraints.txt."""
    import pyogrio
    import rasterio

    page = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    for library, gdal in (
        (rasterio, rasterio.__gdal_version__),
        (pyogrio, ".".join(map(str, pyogrio.__gdal_version__))),
    ):
        assert f"| {library.__name__} {library.__version__} | " in page
        assert f" | {gdal} | " in page
    pins = (Path(__file__).parents[2] / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for pin in pins:
        if pin.startswith(("rasterio==", "pyogrio==")):
            assert f"| {pin.partition(';')[0].replace('==', ' ')} | " in page
