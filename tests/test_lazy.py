"""Names of packages come when asked for, and no module hides one of them."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import deepnets4eo
from deepnets4eo.lazy import lazy_names

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


@pytest.mark.parametrize("package", LAZY)
def test_dir_of_a_package_shows_its_names_before_they_are_used(package):
    code = f"import {package} as package; print(set(package.__all__) <= set(dir(package)))"
    assert package == "deepnets4eo" or "__dir__" in vars(importlib.import_module(package))
    assert set(importlib.import_module(package).__all__) <= set(dir(importlib.import_module(package)))
    if package == "deepnets4eo.damage":  # one in a process of its own, where no test has used any name
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "True"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'deepnets4eo.fusion' has no attribute 'Fusion'"):
        importlib.import_module("deepnets4eo.fusion").Fusion  # noqa: B018


def test_a_name_that_a_module_would_hide_is_refused():
    with pytest.raises(ValueError, match=r"has modules called \['ensemble'\]"):
        lazy_names("deepnets4eo.segmenters", {".ensemble": "ensemble"})
