"""The definitions of a Python file and what each mentions, kept by the digest of the file so that unchanged files are parsed once."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PACKAGE = "deepnets4eo"
MODULE = "<module>"  # statements of a module that define nothing
DOCSTRINGS = "<docstrings>"
CACHE_VERSION = 1  # of what is kept; raised whenever Source changes
LONGEST_TEXT = 60  # of the package: longer texts are prose, by which nothing is looked up
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Definition:
    """What the code of one definition mentions. syntax : a digest of the code without comments and docstrings."""

    names: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)  # name and attribute of `name.attribute`
    attributes: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    syntax: str = ""

    def read(self, node: ast.AST, *, is_package: bool) -> None:
        """Add what a node mentions."""
        self.syntax = hashlib.sha1((self.syntax + ast.unparse(node)).encode()).hexdigest()
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                self.names.add(part.id)
            elif isinstance(part, ast.Attribute):
                self.attributes.add(part.attr)
                if isinstance(part.value, ast.Name):
                    self.pairs.add((part.value.id, part.attr))
            elif isinstance(part, ast.arg):
                self.names.add(part.arg)  # of a fixture
            elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                self._read_text(part.value, is_package=is_package)

    def _read_text(self, text: str, *, is_package: bool) -> None:
        if not is_package or len(text) <= LONGEST_TEXT or PACKAGE in text:
            self.texts.add(text)
        if text.isidentifier():
            self.attributes.add(text)  # as getattr takes it


@dataclass
class Source:
    """The definitions of one file, and what its imports are called.

    Parameters
    ----------
    definitions : name, or "Class.method" → what it mentions
    imports : alias → module and name; the name is "" for a module
    methods : class → methods that run only where their name is mentioned
    called_by_others : class → methods that Python or another package calls
    """

    module: str
    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    methods: dict[str, list[str]] = field(default_factory=dict)
    called_by_others: dict[str, list[str]] = field(default_factory=dict)
    fixtures: set[str] = field(default_factory=set)
    autouse: set[str] = field(default_factory=set)
    docstrings: str = ""

    @classmethod
    def parse(cls, path: str, text: str) -> Source:
        """Read the text of the file at a path below the root."""
        module = module_of(path)
        source, tree = cls(module, {MODULE: Definition()}), ast.parse(text)
        package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                source._take_import(node, package)
            elif isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
                source._take_docstring(node)
        for statement in tree.body:
            source._take(statement)
        return source

    @property
    def names(self) -> set[str]:
        """All names that its code mentions."""
        return set().union(*(one.names for one in self.definitions.values()))

    @property
    def example_names(self) -> set[str]:
        """Names in the examples of its docstrings."""
        lines = re.findall(r"^\s*(?:>>>|\.\.\.)(.*)$", self.docstrings, re.MULTILINE)
        return set(re.findall(r"\w+", "\n".join(lines)))

    def changes(self, before: Source | None) -> set[str]:
        """Return the definitions, and the names of imports, that differ from an earlier state of the file."""
        if before is None:
            return set(self.definitions)
        own, other = ({name: one.syntax for name, one in source.definitions.items()} for source in (self, before))
        names = {name for name, _ in own.items() ^ other.items()}
        names |= {name for name, _ in self.imports.items() ^ before.imports.items()}
        return names | ({DOCSTRINGS} if self.docstrings != before.docstrings else set())

    def _take_import(self, node: ast.Import | ast.ImportFrom, package: str) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name if alias.asname else alias.name.partition(".")[0]
                self.imports[alias.asname or first] = (first, "")
                self.definitions[MODULE].texts.add(alias.name)  # `import a.b` loads both
            return
        parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
        home = ".".join([*parents, *([node.module] if node.module else [])])
        for alias in node.names:
            self.imports[alias.asname or alias.name] = (home, alias.name)

    def _take_docstring(self, node: Any) -> None:
        text = ast.get_docstring(node, clean=False)
        if text is not None:
            self.docstrings += text + "\n"
            node.body = node.body[1:] or [ast.Pass()]

    def _take(self, node: ast.stmt) -> None:
        if isinstance(node, FUNCTIONS):
            self._read(node.name, node)
            decorators = [ast.unparse(one) for one in node.decorator_list]
            if any("fixture" in decorator for decorator in decorators):
                self.fixtures.add(node.name)
                self.autouse |= {node.name} if any("autouse=True" in one for one in decorators) else set()
        elif isinstance(node, ast.ClassDef):
            self._take_class(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}:
                self._read(name, node)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            self._read(MODULE, node)

    def _take_class(self, node: ast.ClassDef) -> None:
        methods, called = self.methods.setdefault(node.name, []), self.called_by_others.setdefault(node.name, [])
        foreign = any(self._is_foreign(base) for base in node.bases)
        self.definitions.setdefault(node.name, Definition())
        for part in node.body:
            if isinstance(part, FUNCTIONS):
                self._read(f"{node.name}.{part.name}", part)
                hooked = any(isinstance(one, ast.Call) for one in part.decorator_list)  # as validators are
                special = part.name.startswith("__") and part.name.endswith("__")
                (called if foreign or hooked or special else methods).append(part.name)
            else:
                self._read(node.name, part)
        for part in [*node.bases, *node.keywords, *node.decorator_list]:
            self._read(node.name, part)

    def _is_foreign(self, base: ast.expr) -> bool:
        """Return whether a base class is of another package, which may call any method."""
        root = ast.unparse(base).partition("[")[0].split(".")[0]
        home = self.imports.get(root, (self.module, ""))[0]
        return home != self.module and not home.startswith((PACKAGE, "typing", "abc", "enum"))

    def _read(self, name: str, node: ast.AST) -> None:
        definition = self.definitions.setdefault(name, Definition())
        definition.read(node, is_package=self.module.startswith(PACKAGE))

    def to_json(self) -> dict[str, Any]:
        """Return the source as plain values."""
        values = asdict(self)
        for definition in values["definitions"].values():
            definition.update({key: sorted(value) for key, value in definition.items() if isinstance(value, set)})
        return values | {key: sorted(values[key]) for key in ("fixtures", "autouse")}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Source:
        """Return the source of plain values."""
        definitions = {}
        for name, one in values["definitions"].items():
            pairs = {(first, second) for first, second in one["pairs"]}
            definitions[name] = Definition(
                set(one["names"]), pairs, set(one["attributes"]), set(one["texts"]), one["syntax"]
            )
        imports = {alias: (module, name) for alias, (module, name) in values["imports"].items()}
        sets = {key: set(values[key]) for key in ("fixtures", "autouse")}
        return cls(**(values | sets | {"definitions": definitions, "imports": imports}))


def parse_sources(texts: dict[str, str], cache: Path | None = None) -> dict[str, Source]:
    """Return module → source of the Python files of a checkout; cache : a file that keeps what was parsed."""
    kept = _read_cache(cache)
    sources, keep = {}, {}
    for path, text in texts.items():
        if module := module_of(path):
            digest = hashlib.sha1(f"{CACHE_VERSION} {path}\n{text}".encode()).hexdigest()
            sources[module] = Source.from_json(kept[digest]) if digest in kept else Source.parse(path, text)
            keep[digest] = kept.get(digest) or sources[module].to_json()
    if cache is not None and keep.keys() != kept.keys():
        cache.parent.mkdir(parents=True, exist_ok=True)
        beside = cache.with_suffix(".new")
        beside.write_text(json.dumps(keep), encoding="utf-8")
        beside.replace(cache)
    return sources


def _read_cache(cache: Path | None) -> dict[str, Any]:
    try:
        return {} if cache is None else json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def module_of(path: str) -> str:
    """Return the name by which a file is imported; '' for a file that is none of ours.

    Helpers of the tests, experiments and scripts are imported by their own names.
    """
    if not path.endswith(".py"):
        return ""
    parts = path.removesuffix(".py").split("/")
    if parts[0] == "tests":
        is_helper = not parts[-1].startswith("test_") and parts[-1] not in ("conftest", "__init__")
        return parts[-1] if is_helper else ".".join(parts)
    if parts[0] in ("experiments", "scripts"):
        parts = parts[1:]
    elif parts[0] != PACKAGE:
        return ""
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names_of_asset(path: str) -> Iterable[str]:
    """Return the texts by which code finds a file that is no Python: its name and path, and for a card its folder's name."""
    file = Path(path)
    names = {file.name, path}
    if file.parts[0] in ("models", "datasets"):
        names |= {file.stem, "/".join(file.parts[1:-1])}
    return names - {"", "recipe", "card", "recipe.yaml", "card.md", "weights", "card.json"}
