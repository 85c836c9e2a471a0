"""The page of recipes has every key of every task, with its meaning."""

from __future__ import annotations

import re
from typing import Any

import pytest
from source_trees import ROOT, load_script

from deepnets4eo.plugins import plugins_of
from deepnets4eo.training import Recipe

pytest.importorskip("mkdocs")


@pytest.fixture(scope="module")
def hooks() -> Any:
    return load_script("docs_hooks", ROOT / "docs" / "hooks.py")


@pytest.fixture(scope="module")
def page(hooks: Any) -> str:
    """Filling the page refuses keys without a meaning."""
    return str(hooks.on_page_markdown((ROOT / "docs" / "reference" / "recipes.md").read_text(encoding="utf-8")))


@pytest.mark.beyond_core
def test_every_task_has_its_keys_on_the_page(page: str) -> None:
    named = re.findall(r"^`task: ([\w-]+)`", page, re.MULTILINE)
    own = {name for name, entry in plugins_of("training.tasks").items() if entry.value.startswith("deepnets4eo.")}
    assert set(named) == own
    for section, field in Recipe.model_fields.items():
        for name in getattr(field.annotation, "model_fields", {}):
            assert f"- `{section}.{name}`" in page
    assert "`train.epochs` = 50: " in page


def test_a_key_without_a_meaning_stops_the_page(hooks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_keys", lambda _: iter([("train", ""), ("train.speed", " = 3")]))
    with pytest.raises(hooks.PluginError, match="train.speed"):
        hooks.recipe_keys("segmentation")
