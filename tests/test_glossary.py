"""One name per concept: banned synonyms do not come in as names of our own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# word banned anywhere between underscores → the word to use
BANNED_WORDS = {"img": "image", "imgs": "images", "gt": "reference", "preds": "prediction"}
# whole names, with or without something before or after them
BANNED_NAMES = {
    "n_classes": "num_classes",
    "nb_classes": "num_classes",
    "n_labels": "num_classes",
    "num_bands_in": "in_channels",
    "patch_size": "tile_px or patch_px",
    "tile_size": "tile_px",
    "pixel_size": "gsd_m",
    "ignore_index": "void",
    "label_map": "labels or legend",
}


def own_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that the code gives: variables, arguments, functions, classes, attributes it sets.

    Keywords of calls and attributes that are read belong to whoever is called, and may be a library's.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def better(name: str) -> str | None:
    """The glossary's word where `name` is a banned synonym."""
    words = name.lower().strip("_").split("_")
    for word in words:
        if word in BANNED_WORDS:
            return BANNED_WORDS[word]
    joined = f"_{'_'.join(words)}_"
    return next((use for banned, use in BANNED_NAMES.items() if f"_{banned}_" in joined), None)


@pytest.mark.parametrize("folder", ["deepnets4eo", "experiments"])
def test_no_banned_synonym_is_a_name_of_ours(folder):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name} — say {use}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, name in own_names(ast.parse(path.read_text(encoding="utf-8")))
        if (use := better(name))
    ]
    assert not found, "\n".join(found)


def test_names_are_split_at_underscores_and_library_keywords_are_let_through():
    assert better("gt_mask") == "reference"
    assert better("img") == "image"
    assert better("self_n_classes") == "num_classes"
    for name in ("imgaug", "height", "weight", "label_mapping", "predsort", "tile_sizes"):
        assert better(name) is None, name
    names = {name for _, name in own_names(ast.parse("loss = Loss(ignore_index=255)\nk = model.n_classes_\n"))}
    assert names == {"loss", "k"}
