"""Names of packages come when asked for, and no module hides one of them."""

import ast
import compileall
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from refusals import raises_naming

import deepnets4eo

ROOT = Path(deepnets4eo.__file__).parent
LAZY = sorted(
    ".".join(("deepnets4eo", *path.parent.relative_to(ROOT).parts))
    for path in ROOT.rglob("__init__.py")
    if "lazy_names(" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("package", LAZY)
def test_every_public_name_is_there_and_stays_after_its_module_was_imported(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        first = getattr(module, name)
        assert getattr(module, name) is first
        assert not isinstance(first, ModuleType) or package == "deepnets4eo"


def test_no_module_of_a_face_has_the_name_of_what_the_face_imports():
    """It would hide the name, or the name would hide it."""
    assert [
        f"{path.parent.name}: {item.name}"
        for path in ROOT.rglob("__init__.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for item in node.names
        if (path.parent / f"{item.name}.py").exists() and item.name == node.module
    ] == []


@pytest.mark.parametrize("package", LAZY)
def test_dir_of_a_package_shows_its_names_before_they_are_used(package):
    code = f"import {package} as package; print(set(package.__all__) <= set(dir(package)))"
    assert package == "deepnets4eo" or "__dir__" in vars(importlib.import_module(package))
    assert set(importlib.import_module(package).__all__) <= set(dir(importlib.import_module(package)))
    if package == "deepnets4eo.damage":  # one in a process of its own, where no test has used any name
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "True"


EVERYTHING = """
import sys
from importlib import import_module
from pathlib import Path
import odc.geo.geobox, odc.geo.math
paths, hooks = list(sys.meta_path), list(sys.path_hooks)
before = {name: dict(vars(module)) for name, module in sys.modules.items() if name.startswith("odc.")}
import deepnets4eo
root = Path(deepnets4eo.__file__).parent
modules = [path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py") if path.stem != "__main__"]
for module in modules:
    import_module(".".join(module.parts).removesuffix(".__init__"))
assert (paths, hooks) == (sys.meta_path, sys.path_hooks)
print(len(modules), [name for name, values in before.items() for key in values if vars(sys.modules[name])[key] is not values[key]])
print([
    (name, key)
    for name, module in list(sys.modules.items())
    if name.partition(".")[0] not in ("deepnets4eo", "__main__")
    for key, value in list(getattr(module, "__dict__", {}).items())
    if callable(value) and str(getattr(value, "__module__", "")).startswith("deepnets4eo")
])
"""


@pytest.mark.beyond_core  # it imports torch
def test_importing_all_modules_changes_no_other_library():
    """No finder of modules, no function of odc-geo; and no module of others has a function or class of ours."""
    done = subprocess.run([sys.executable, "-c", EVERYTHING], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    changed, patched = done.stdout.splitlines()
    assert int(changed.split()[0]) > 500
    assert (changed.split(maxsplit=1)[1], patched) == ("[]", "[]")


def test_unknown_names_are_attribute_errors():
    with raises_naming(AttributeError, "'deepnets4eo.fusion'", "'Fusion'"):
        importlib.import_module("deepnets4eo.fusion").Fusion  # noqa: B018


def listed_twice(path: Path) -> tuple[dict[str, dict[str, list[str]]], dict[str, dict[str, list[str]]]]:
    """What a face imports for type checkers and what it offers: public or internal → module → names."""
    block = next(node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.If))
    seen: dict[str, dict[str, list[str]]] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for item in node.names:
            modules = seen.setdefault("public" if item.asname else "internal", {})
            modules.setdefault("." * node.level + (node.module or ""), []).append(item.name)
    call = block.orelse[0].value
    return seen, {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}


@pytest.mark.parametrize("package", [*LAZY, "experiments.world"])
def test_a_face_offers_what_type_checkers_see_and_no_module_hides_a_name(package):
    seen, offered = listed_twice(ROOT.parent.joinpath(*package.split("."), "__init__.py"))
    assert offered == seen
    assert [
        name for homes in seen.values() for module, names in homes.items() for name in names if module == f".{name}"
    ] == []


def make_face(folder: Path, monkeypatch: pytest.MonkeyPatch, offered: str) -> ModuleType:
    """Import a package in a folder, which offers names of its modules `part` and `broken`."""
    package = folder / f"face_{folder.name}"
    package.mkdir()
    text = f"from deepnets4eo.lazy import lazy_names\n__getattr__, __dir__, __all__ = lazy_names(__name__, {offered})\n"
    (package / "__init__.py").write_text(text, encoding="utf-8")
    (package / "part.py").write_text("whole = 1\n", encoding="utf-8")
    (package / "broken.py").write_text("raise RuntimeError('imported too early')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module(package.name)


def test_a_face_offers_names_of_other_packages_and_modules_too(tmp_path, monkeypatch):
    offered = """public={"json": ["dumps"], ".part": ["whole"]}, internal={"json": ["loads"], ".": ["part"]}"""
    face = make_face(tmp_path, monkeypatch, offered)
    assert face.__all__ == ["dumps", "whole"]
    assert (face.loads, face.part.whole, face.whole) == (json.loads, 1, 1)
    assert {"dumps", "loads", "part", "whole"} <= set(dir(face))


def test_a_face_imports_a_module_when_one_of_its_names_is_used(tmp_path, monkeypatch):
    face = make_face(tmp_path, monkeypatch, """internal={".broken": ["late"], ".part": ["whole"]}""")
    assert face.whole == 1
    with pytest.raises(RuntimeError, match="imported too early"):
        face.late  # noqa: B018


@pytest.mark.beyond_core  # it compiles the package
def test_an_installation_without_sources_works(tmp_path):
    """As zipped bytecode and PyInstaller have it."""
    compiled = tmp_path / "deepnets4eo"
    shutil.copytree(ROOT, compiled, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("models", "datasets"):
        (tmp_path / folder).symlink_to(ROOT.parent / folder)
    compileall.compile_dir(compiled, quiet=2, legacy=True)
    for path in compiled.rglob("*.py"):
        path.unlink()
    code = "from deepnets4eo.cards import Legend; print(Legend.load('isprs').num_classes, Legend.__module__)"
    for words in (["-c", code], ["-m", "deepnets4eo", "--help"]):
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": ""}
        )
        assert done.returncode == 0, done.stderr
