"""The plugin for QGIS: its description of the verbs follows the command line, and QGIS runs it, where QGIS is installed."""

import ast
import configparser
import enum
import importlib
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
from source_trees import ROOT, load_script

from deepnets4eo.version import __version__

PLUGIN = ROOT / "qgis" / "deepnets4eo"
OLDEST_PYTHON = (3, 9)  # of QGIS 3.22 on Windows
QGIS = shutil.which("qgis_process.bin") or shutil.which(
    "qgis_process"
)  # Debian's own wrapper adds an option that it does not have


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("qgis_plugin", ROOT / "scripts" / "qgis_plugin.py")


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
    return load_script("command_line", PLUGIN / "command_line.py")


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


class _Scoped(type):
    """A class of the made-up host: what it has not, it lacks; Qt 6 has no enumerator outside of its enumeration."""

    def __getattr__(cls, name: str) -> Any:
        scope = SCOPES.get(f"{cls.__name__}.{name}")
        if scope is None:
            raise AttributeError(f"{cls.__name__} has no {name}")
        return enum.Flag(name, scope)


SCOPES = {
    "QgsProcessing.SourceType": ["TypeRaster", "TypeFile"],
    "QgsProcessingParameterDefinition.Flag": ["FlagAdvanced"],
    "QgsProcessingParameterFile.Behavior": ["File", "Folder"],
    "QgsProcessingParameterNumber.Type": ["Integer", "Double"],
    "QgsWkbTypes.GeometryType": ["PolygonGeometry"],
    "QgsWkbTypes.Type": ["NoGeometry"],
    "QgsMapLayer.LayerType": ["VectorLayer"],
}


class _Host(metaclass=_Scoped):
    """Takes any arguments and keeps them, as parameters and algorithms of QGIS do."""

    def __init__(self, *values: Any, **named: Any) -> None:
        self.values, self.named, self.kept, self.marks = values, named, [], None

    def flags(self) -> Any:
        return type(self.marks)(0) if self.marks is not None else _Zero()

    def setFlags(self, marks: Any) -> None:  # noqa: N802
        self.marks = marks

    def setHelp(self, text: str) -> None:  # noqa: N802
        self.named["help"] = text

    def _keep(self, one: Any) -> None:
        self.kept.append(one)

    addParameter = addOutput = addAlgorithm = _keep  # noqa: N815


class _Zero:
    def __or__(self, other: Any) -> Any:
        return other


@pytest.fixture
def host(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plugin, imported with a made-up QGIS around PyQt6."""
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    gui = pytest.importorskip(
        "PyQt6.QtGui", reason="PyQt6 is not installed: pip install -c constraints.txt PyQt6", exc_type=ImportError
    )
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    core = ModuleType("qgis.core")
    core.__getattr__ = lambda name: _Scoped(name, (_Host,), {})  # type: ignore[method-assign]
    core.QgsApplication = SimpleNamespace(qgisSettingsDirPath=lambda: str(tmp_path))  # type: ignore[attr-defined]
    settings = ModuleType("processing.core.ProcessingConfig")
    settings.ProcessingConfig, settings.Setting = SimpleNamespace, SimpleNamespace  # type: ignore[attr-defined]
    modules = {
        "qgis": ModuleType("qgis"), "qgis.core": core, "qgis.PyQt": ModuleType("qgis.PyQt"), "qgis.PyQt.QtGui": gui,
        "processing": ModuleType("processing"), "processing.core": ModuleType("processing.core"),
        "processing.core.ProcessingConfig": settings,
    }  # fmt: skip
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = f"deepnets4eo_{tmp_path.name}"  # the package itself has the plugin's name
    (tmp_path / "deepnets4eo").rename(tmp_path / own)
    yield importlib.import_module(f"{own}.provider")
    for name in [name for name in sys.modules if name.partition(".")[0] == own]:
        del sys.modules[name]


def test_every_algorithm_is_made_in_a_host_of_qt_6(host: Any, verbs: dict[str, dict[str, Any]]) -> None:
    """Where an enumerator without its enumeration is an error."""
    provider = host.Provider()
    provider.loadAlgorithms()
    made = {algorithm.name(): algorithm for algorithm in provider.kept}
    assert made.keys() == {*verbs, "set_up"}
    for algorithm in provider.kept:
        algorithm.initAlgorithm()
        assert algorithm.kept
    change = {one.named.get("name"): one for one in made["change"].kept}
    assert change["min_area_m2"].named["type"].name == "Double"
    assert change["min_area_m2"].marks.name == "FlagAdvanced"
    assert type(provider.icon()).__module__ == "PyQt6.QtGui"


def test_the_plugin_is_switched_on_and_off_in_a_host_of_qt_6(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its modules are imported, and its icon is drawn without a screen."""
    from PyQt6.QtCore import QSize
    from PyQt6.QtWidgets import QApplication

    package = host.__package__
    for path in PLUGIN.glob("*.py"):
        importlib.import_module(package if path.stem == "__init__" else f"{package}.{path.stem}")
    providers: list[Any] = []
    registry = SimpleNamespace(addProvider=providers.append, removeProvider=providers.remove)
    core = sys.modules["qgis.core"]
    monkeypatch.setattr(core.QgsApplication, "processingRegistry", lambda: registry, raising=False)
    monkeypatch.setattr(host.Provider, "refreshAlgorithms", host.Provider.loadAlgorithms, raising=False)
    settings: list[str] = []
    config = SimpleNamespace(
        settingIcons={}, addSetting=lambda one: settings.append(one.name), readSettings=lambda: None,
        removeSetting=settings.remove,
    )  # fmt: skip
    monkeypatch.setattr(host, "ProcessingConfig", config)
    monkeypatch.setattr(host, "Setting", type("Setting", (), {"FILE": "file", "__init__": _keep_name}))
    plugin = sys.modules[package].classFactory(None)
    plugin.initGui()
    (provider,) = providers
    assert provider.load()
    assert len(provider.kept) > 14
    assert settings == [host.SETTING]
    screen = QApplication.instance() or QApplication([])  # kept: without it Qt ends the process
    assert screen.platformName() == "offscreen"
    assert config.settingIcons["deepnets4eo"].pixmap(QSize(24, 24)).toImage().pixelColor(12, 12).alpha() > 0
    provider.unload()
    plugin.unload()
    assert (providers, settings) == ([], [])


def _keep_name(setting: Any, group: str, name: str, *words: Any, **named: Any) -> None:
    setting.name = name


def test_the_plugin_names_enumerations_in_full_and_imports_qt_through_qgis() -> None:
    classes = {scope.partition(".")[0]: [] for scope in SCOPES}
    for path in PLUGIN.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "PyQt" not in text.replace("qgis.PyQt", "")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in classes:
                classes[node.value.id].append(f"{node.value.id}.{node.attr}")
    named = {name for names in classes.values() for name in names}
    assert named == set(SCOPES)


def test_the_description_of_the_plugin_has_what_its_repository_asks_for() -> None:
    about = configparser.ConfigParser()
    about.read(PLUGIN / "metadata.txt", encoding="utf-8")
    general = about["general"]
    assert {"repository", "tracker", "homepage", "changelog"} <= set(general)
    assert (general["supportsQt6"], general["qgisMaximumVersion"]) == ("True", "4.99")
    assert re.search(r"makes that environment .* 1 GB, or 3 GB with networks", general["about"])


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
