"""Plain words: one name a concept, functions named by verbs, no literary verbs in docstrings and messages."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest
from source_trees import ROOT, parse, source_files

FOLDERS = ["deepnets4eo", "experiments"]

# word banned anywhere between underscores → the word to use
BANNED_WORDS = {
    "img": "image",
    "imgs": "images",
    "gt": "reference",
    "preds": "prediction",
    "told": "output, report, … : the value it is",
    "heard": "mask, weights, … : the value it is",
    "judge": "model, decision",
    "judged": "assessed, checked",
    "voice": "method, network",
}
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
# whole names that are no word for a value: they have been class indices, windows, scenes, sites, any result at all
VAGUE_NAMES = {
    "place": "class_index, window, scene, site, position",
    "places": "class_indices, windows, scenes, sites, positions",
    "placed": "what it is: outlines, grid, …",
    "found": "what it is: registration, outlines, scores, …",
    "shown": "what it is: labels, bands, text, …",
    "given": "what it is: options, names, …",
    "said": "what it is: message, reason, …",
    "asked": "what it is: requested names, options, …",
}

# names of a loop that are no word for what it holds
HOLLOW_NAMES = {"one", "each", "at", "known", "own", "seen"}

# irregular ones that are also the verb's first form (cut, put, read, run, set, split, spread) are left out: they are verbs
PARTICIPLE = re.compile(
    r"[a-z]{2,}ed|begun|bent|bought|bound|broken|brought|built|caught|chosen|dealt|done|drawn|driven|fallen|felt|"
    r"forgotten|found|frozen|given|gone|grown|heard|held|hidden|kept|known|laid|left|lent|lost|made|met|paid|said|seen|"
    r"sent|shaken|shown|sold|sought|spent|spoken|stolen|strewn|struck|stuck|sunk|swept|taken|taught|thought|thrown|told|"
    r"torn|understood|woken|won|worn|woven|written"
)
NO_PARTICIPLES = {"embed", "exceed", "feed", "infrared", "need", "proceed", "seed", "shed", "speed"}

LITERARY = re.compile(
    r"\b(tell|tells|told|telling|hear|hears|heard|hearing|voice|voices|judge|judges|judged|judging|speak|speaks|spoke|"
    r"spoken|speaking|ask|asks|asked|asking|want|wants|nobody|somebody|whoever|means to|learn of|learns of)\b",
    re.IGNORECASE,
)

# a row "name : meaning" in the middle of a line whose text before it has not ended: "None where tags decide boxes : (N, 4) …"
SWALLOWED_ROW = re.compile(r"[\w`)\]] (?<!and )`?[a-z_][\w.]*`? : ")


def own_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that the code defines: variables, arguments, functions, classes, attributes it sets.

    Keywords of calls and attributes that are read belong to the code that is called, which may be a library.
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


def loop_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that loops and comprehensions give to what they go through."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            yield from own_names(node.target)


@cache
def better(name: str) -> str | None:
    """The glossary's word where `name` is banned."""
    words = name.lower().strip("_").split("_")
    for word in words:
        if word in BANNED_WORDS:
            return BANNED_WORDS[word]
    whole = "_".join(words)
    if whole in VAGUE_NAMES:
        return VAGUE_NAMES[whole]
    return next((use for banned, use in BANNED_NAMES.items() if f"_{banned}_" in f"_{whole}_"), None)


def public_functions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Public functions of the module and methods of its classes; properties are values, not functions."""
    owners: list[ast.Module | ast.ClassDef] = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    for owner in owners:
        for node in owner.body:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.name.startswith("_"):
                continue
            if not any(ast.unparse(one).endswith("property") for one in node.decorator_list):
                yield node.lineno, node.name


def is_participle(name: str) -> bool:
    """Whether a name is a past participle alone: `joined`, `drawn`; not `read`, `joined_parts`."""
    return name not in NO_PARTICIPLES and PARTICIPLE.fullmatch(name) is not None


def documented_names() -> set[str]:
    """Public names of packages, which their faces import as themselves: they keep working whatever they are called."""
    imports = [
        node
        for path in (ROOT / "deepnets4eo").rglob("__init__.py")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom)
    ]
    return {item.name for node in imports for item in node.names if item.asname == item.name}


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield from literals(first)


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Docstrings, and the literals in errors, warnings, log records and help texts of options."""
    yield from docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield from literals(node.exc)
        elif isinstance(node, ast.Call) and is_message(node.func):
            yield from literals(node)
        elif isinstance(node, ast.keyword) and node.arg == "help":
            yield from literals(node.value)


def is_message(func: ast.expr) -> bool:
    """Whether a function that is called is an error, a warning, or a method of `log`."""
    if isinstance(func, ast.Attribute):
        return func.attr == "warn" or (isinstance(func.value, ast.Name) and func.value.id in ("log", "LOG"))
    return isinstance(func, ast.Name) and func.id.endswith(("Error", "Warning"))


def literals(node: ast.AST) -> Iterator[tuple[int, str]]:
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.lineno, one.value


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_banned_synonym_is_a_name_of_ours(folder):
    offenders = [
        f"{path.relative_to(ROOT)}:{line}: {name} — use {use}"
        for path in source_files(folder)
        for line, name in own_names(parse(path))
        if (use := better(name))
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("folder", FOLDERS)
def test_public_functions_are_not_named_by_a_participle(folder):
    documented = documented_names()
    offenders = [
        f"{path.relative_to(ROOT)}:{line}: {name} — a verb, or what it returns"
        for path in source_files(folder)
        for line, name in public_functions(parse(path))
        if is_participle(name) and name not in documented
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_and_messages_use_plain_verbs(folder):
    offenders = {
        f"{path.relative_to(ROOT)}:{line + text.count(chr(10), 0, match.start())}: {match[0]} — returns, takes, uses, …"
        for path in source_files(folder)
        for line, text in texts(parse(path))
        for match in LITERARY.finditer(text)
    }
    assert not offenders, "\n".join(sorted(offenders))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_row_of_a_docstring_begins_its_line_or_follows_a_full_stop(folder):
    offenders = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]} — begins a line, or follows a full stop"
        for path in source_files(folder)
        for line, text in docstrings(parse(path))
        for match in SWALLOWED_ROW.finditer(text)
    ]
    assert not offenders, "\n".join(offenders)


def test_loops_name_what_they_hold():
    offenders = [
        f"{path.relative_to(ROOT)}:{line}: {name} — window, layer, band, path, … : what it is"
        for path in source_files("deepnets4eo")
        for line, name in loop_names(parse(path))
        if name in HOLLOW_NAMES
    ]
    assert not offenders, "\n".join(offenders)


def test_a_row_without_the_full_stop_before_it_is_found():
    assert SWALLOWED_ROW.search("known to be of; None where tags decide boxes : (N, 4) left, bottom")
    for text in (
        "rows : one\nboxes : two",
        "the first. boxes : two",
        "a; b, c : two",
        "values : (h, w) and valid : (h, w)",
    ):
        assert not SWALLOWED_ROW.search(text), text


def test_names_are_split_at_underscores_and_library_keywords_are_let_through():
    assert better("gt_mask") == "reference"
    assert better("img") == "image"
    assert better("self_n_classes") == "num_classes"
    assert better("_place") == VAGUE_NAMES["place"]
    assert better("told_by_network") == BANNED_WORDS["told"]
    for name in ("imgaug", "height", "weight", "label_mapping", "predsort", "tile_sizes", "placement", "not_found"):
        assert better(name) is None, name
    names = {name for _, name in own_names(ast.parse("loss = Loss(ignore_index=255)\nk = model.n_classes_\n"))}
    assert names == {"loss", "k"}


def test_names_of_loops_and_comprehensions_are_found_but_not_other_variables():
    source = """
one = [at for at in known if (seen := at)]
for number, (own, *others) in pairs:
    each = {a: b for a in own for b in a}
"""
    assert sorted(name for _, name in loop_names(ast.parse(source))) == ["a", "at", "b", "number", "others", "own"]


def test_participles_are_found_among_functions_and_methods_but_not_among_properties():
    source = """
def joined(): ...
def _joined(): ...
def joined_parts(): ...
def seed(): ...
class Box:
    def grown(self): ...
    @property
    def clip(self): ...
    @functools.cached_property
    def colored(self): ...
"""
    names = [name for _, name in public_functions(ast.parse(source))]
    assert names == ["joined", "joined_parts", "seed", "grown"]
    assert [name for name in names if is_participle(name)] == ["joined", "grown"]


def test_verbs_are_found_in_docstrings_errors_and_help_but_not_in_comments_and_data():
    source = '''
"""What the network tells."""
KEYS = "nobody"
def f(x=Option(help="who asks")):
    # told
    raise InputError(f"{x}: the file wants {x}")
'''
    words = [match[0] for _, text in texts(ast.parse(source)) for match in LITERARY.finditer(text)]
    assert sorted(set(words)) == ["asks", "tells", "wants"]
    assert not LITERARY.search("an intellectual task with wanted invoices")
