"""The plugin for QGIS: its description of the verbs follows the command line, and QGIS runs it, where QGIS is installed."""

import ast
import configparser
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio

from deepnets4eo.version import __version__

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "qgis" / "deepnets4eo"
OLDEST_PYTHON = (3, 9)  # of QGIS 3.22 on Windows
QGIS = shutil.which("qgis_process.bin") or shutil.which(
    "qgis_process"
)  # Debian's own wrapper adds an option that it does not have


def _module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return _module("qgis_plugin", ROOT / "scripts" / "qgis_plugin.py")


@pytest.fixture(scope="module")
def archive(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return script.write_plugin(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def verbs(archive: Path) -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(archive) as packed:
        return {row["name"]: row for row in json.loads(packed.read("deepnets4eo/verbs.json"))}


def test_every_kind_of_parameter_is_one_that_the_plugin_knows(verbs) -> None:
    tree = ast.parse((PLUGIN / "verb.py").read_text(encoding="utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, ast.AnnAssign) and node.target.id == "KINDS"]
    known = {key.value for key in tables[0].keys} | {"flag"}
    kinds = {row["kind"] for verb in verbs.values() for row in verb["parameters"]}
    assert kinds <= known
    assert known - kinds == set()


def test_files_without_a_suffix_can_be_named() -> None:
    for path in PLUGIN.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "QgsProcessingParameterFile" in {
                ast.unparse(each) for each in (node.func, *node.args)
            }:
                assert {"fileFilter", "behavior"} & {each.arg for each in node.keywords}, ast.unparse(node)


def test_names_that_stand_for_layers_are_parameters_of_the_verbs(script, verbs) -> None:
    rows = [(verb["words"][0], row["name"]) for verb in verbs.values() for row in verb["parameters"]]
    names = {name for _, name in rows} | {f"{verb}.{name}" for verb, name in rows}
    assert set(script.KINDS) <= names
    assert set(script.OUTPUTS) <= names
    assert "damaged_share" not in names, "a value of --set has no parameter of its own"


def test_the_description_has_what_a_window_needs(verbs) -> None:
    damage = {row["name"]: row for row in verbs["damage"]["parameters"]}
    assert (damage["pre"]["kind"], damage["pre"]["empty"], damage["pre"]["optional"]) == ("raster", "-", True)
    assert damage["footprints"].keys() & {"tiles"} == set()
    assert (damage["pre"]["tiles"], damage["post"]["tiles"], damage["post"]["optional"]) == ("optional", "needed", True)
    assert (damage["post"]["kind"], damage["post"]["advanced"]) == ("raster", False)
    rubble = {row["name"]: row for row in verbs["rubble"]["parameters"]}
    assert (rubble["post"]["kind"], rubble["post"]["optional"]) == ("file", False), "a cloud of points or a raster"
    assert (damage["out"]["kind"], damage["out"]["flag"]) == ("folder-out", "--out")
    assert damage["pre"]["label"] == "Pre: Image before the event"
    assert "part" not in damage
    assert "Map building damage" in verbs["damage"]["help"]
    assert "damaged_share" in verbs["damage"]["help"]
    change = {row["name"]: row for row in verbs["change"]["parameters"]}
    assert change["refine"]["choices"] == ["--refine", "--no-refine"]
    assert change["device"]["choices"] == ["auto", "cpu", "cuda"]
    assert (change["min_area_m2"]["min"], change["method"]["default"]) == (0, "ir-mad")


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The plugin's module without QGIS."""
    core = ModuleType("core")
    core.__dict__.update(QgsApplication=object, QgsProcessingException=RuntimeError, QgsProcessingFeedback=object)
    settings = ModuleType("settings")
    settings.ProcessingConfig = object  # type: ignore[attr-defined]
    for name, module in (("qgis.core", core), ("processing.core.ProcessingConfig", settings)):
        monkeypatch.setitem(sys.modules, name, module)
    return _module("command_line", PLUGIN / "command_line.py")


@pytest.mark.parametrize("windows", [False, True])
def test_further_words_are_split_as_the_system_writes_paths(command_line, windows, monkeypatch) -> None:
    monkeypatch.setattr(command_line, "WINDOWS", windows)
    monkeypatch.setattr(command_line, "home", lambda: Path("home"))
    assert command_line.split("--areas 'two words.gpkg' --set \"a=b c\" # d") == [
        "--areas", "two words.gpkg", "--set", "a=b c", "#", "d",
    ]  # fmt: skip
    path = r"C:\new folder\a.tif"
    assert command_line.split(f'dsm="{path}"' if windows else "dsm=new\\ folder/a.tif") == [
        f"dsm={path}" if windows else "dsm=new folder/a.tif"
    ]
    assert command_line.program("python").as_posix() == ("home/Scripts/python.exe" if windows else "home/bin/python")


def test_a_cancelled_command_that_goes_on_is_ended(command_line, monkeypatch) -> None:
    monkeypatch.setattr(command_line, "GRACE_S", 0.2)
    text = "import signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('on', file=sys.stderr, flush=True); time.sleep(60)"
    said: list[str] = []
    feedback = SimpleNamespace(pushCommandInfo=str, pushInfo=said.append, isCanceled=lambda: bool(said))
    with pytest.raises(RuntimeError, match="^on$"):  # no success, after which its files would be looked for
        command_line.run([sys.executable, "-c", text], feedback)
    assert said == ["on"]


def test_the_same_sources_give_the_same_zip(script, archive: Path, tmp_path: Path) -> None:
    assert script.write_plugin(tmp_path).read_bytes() == archive.read_bytes()


def test_the_plugin_is_of_this_version_and_of_an_old_python() -> None:
    about = configparser.ConfigParser()
    about.read(PLUGIN / "metadata.txt", encoding="utf-8")
    assert about["general"]["version"] == __version__
    for path in PLUGIN.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        ast.parse(text, feature_version=OLDEST_PYTHON)
        assert "from __future__ import annotations" in text
        others = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)) - {"qgis", "processing"}
        assert others <= sys.stdlib_module_names


@pytest.mark.skipif(QGIS is None or os.name != "posix", reason="qgis_process is not installed")
def test_qgis_runs_an_algorithm_by_the_command_line(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "plugins")
    settings = tmp_path / "config/profiles/default/QGIS/QGIS3.ini"
    settings.parent.mkdir(parents=True)
    settings.write_text("[PythonPlugins]\ndeepnets4eo=true\n", encoding="utf-8")
    command = tmp_path / "deepnets4eo"
    command.write_text(
        f'#!/bin/sh\nexec env PYTHONPATH="{ROOT}" "{sys.executable}" -m deepnets4eo "$@"\n', encoding="utf-8"
    )
    command.chmod(0o755)
    surface = np.zeros((1, 24, 24), np.float32)
    surface[0, 8:16, 8:16] = 6.0
    with rasterio.open(
        tmp_path / "dsm.tif",
        "w",
        "GTiff",
        24,
        24,
        1,
        "EPSG:32631",
        rasterio.transform.from_origin(5e5, 5e6, 1, 1),
        "float32",
    ) as written:
        written.write(surface)
    environment = os.environ | {
        "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "config"), "QGIS_PLUGINPATH": str(tmp_path / "plugins"),
        "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(tmp_path), "DEEPNETS4EO_COMMAND": str(command),
    }  # fmt: skip
    words = ["dsm=dsm.tif", "channels=dsm,ndsm", "max_building_m=12", f"out={tmp_path / 'heights.tif'}"]
    done = subprocess.run(
        [str(QGIS), "run", "deepnets4eo:layers_heights", "--", *words],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bands: dsm, ndsm" in done.stdout
    with rasterio.open(tmp_path / "heights.tif") as heights:
        assert heights.read(2)[12, 12] == pytest.approx(6.0, abs=0.1)
