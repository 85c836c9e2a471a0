"""Names of packages come when asked for, and no module hides one of them."""

import importlib
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


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'deepnets4eo.fusion' has no attribute 'Fusion'"):
        importlib.import_module("deepnets4eo.fusion").Fusion  # noqa: B018


def test_a_name_that_a_module_would_hide_is_refused():
    with pytest.raises(ValueError, match=r"has modules called \['voting'\]"):
        lazy_names("deepnets4eo.segmenters", {"voting": "deepnets4eo.segmenters.voting"})
