"""Work out which test files reach which definitions of the package, by reading sources only.

A symbol is a top-level function, class, method or constant. The code of a symbol mentions others: by names, through imports and
faces; by texts that hold dotted names, code of a subprocess, or the group of plugins. A method counts as mentioned once its class is reached and
its name stands behind a dot. Verbs of the command line and plugins that are chosen by name are looked up in the texts of the tests.
"""

from __future__ import annotations

import configparser
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property, reduce
from operator import or_
from pathlib import Path

from definitions import MODULE, PACKAGE, Definition, Source, module_of

DOTTED = re.compile(rf"\b{PACKAGE}(?:\.\w+)+")
FROM_IMPORT = re.compile(rf"from ({PACKAGE}[\w.]*) import ([\w, ]+)")
GROUP_PREFIX = f"{PACKAGE}."
CHOSEN_BY_NAME = {"networks", "segmenters", "point_labellers", "training.tasks", "heads"}  # groups of plugins
Key = tuple[str, str]  # module and name in it; "Class.method" for a method


class Reach:
    """The graph of mentions of a checkout.

    Parameters
    ----------
    sources : module → its definitions
    setup : text of setup.cfg, for its entry points
    """

    def __init__(self, sources: dict[str, Source], setup: str) -> None:
        self.sources = sources
        self.plugins = entry_points(setup)
        self.keys = [(name, symbol) for name, source in sources.items() for symbol in source.definitions]
        self.number = {key: number for number, key in enumerate(self.keys)}
        self._resolved: dict[Key, tuple[Key, ...]] = {}

    def mask(self, keys: Iterable[Key]) -> int:
        """Return a set of symbols as the bits of a number."""
        return reduce(or_, (1 << self.number[key] for key in keys if key in self.number), 0)

    def reaches(self, roots: Iterable[Key], words: set[str], targets: int) -> bool:
        """Return whether symbols reach one of the targets; words : texts of the tests, which choose verbs and plugins."""
        symbols, attributes = self._with_methods(*self._closure_of(roots), targets)
        if symbols & targets:
            return True
        more, names = self._closure_of(key for key, condition in self._chosen_by(words) if symbols & condition)
        return bool(self._with_methods(symbols | more, attributes | names, targets)[0] & targets)

    def _chosen_by(self, words: set[str]) -> Iterator[tuple[Key, int]]:
        """Yield symbols that words choose, each with the symbols that look it up."""
        main = self.mask([(f"{PACKAGE}.cli.main", "main")])
        for word in words:
            verb = f"{PACKAGE}.cli.{word.replace('-', '_')}"
            for name in self.sources[verb].definitions if verb in self.sources else ():
                yield (verb, name), main
        for group in CHOSEN_BY_NAME & self.plugins.keys():
            for name, target in self.plugins[group].items():
                if name in words or not words.isdisjoint(re.split(r"[/-]", name)):
                    for key in self.resolve(*target):
                        yield key, self._users_of_group[group]

    def _closure_of(self, keys: Iterable[Key]) -> tuple[int, frozenset[str]]:
        closures = [self._closures[self.number[key]] for key in keys if key in self.number]
        return reduce(or_, (one[0] for one in closures), 0), frozenset().union(*(one[1] for one in closures))

    def _with_methods(self, symbols: int, attributes: frozenset[str], targets: int) -> tuple[int, frozenset[str]]:
        """Add methods whose class is reached and whose name is mentioned, and what they mention, until a target is reached."""
        waiting, seen = set(attributes), set()
        pending: dict[int, list[int]] = {}  # class → methods whose name is mentioned but whose class is not reached
        owners = 0  # the classes of `pending`
        while waiting and not symbols & targets:
            seen |= waiting
            for owner, method in (pair for name in waiting for pair in self._methods_named.get(name, ())):
                pending.setdefault(owner, []).append(method)
                owners |= 1 << owner
            waiting = set()
            while ready := symbols & owners:
                owners &= ~ready
                for method in (method for owner in bits_of(ready) for method in pending.pop(owner)):
                    if not symbols >> method & 1:
                        more, names = self._closures[method]
                        symbols |= more
                        waiting |= names - seen
        return symbols, frozenset(seen)

    @cached_property
    def _methods_named(self) -> dict[str, list[tuple[int, int]]]:
        named: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for module, source in self.sources.items():
            for owner, methods in source.methods.items():
                for method in methods:
                    named[method].append((self.number[module, owner], self.number[module, f"{owner}.{method}"]))
        return named

    @cached_property
    def _users_of_group(self) -> dict[str, int]:
        users: dict[str, int] = defaultdict(int)
        for number, (module, name) in enumerate(self.keys):
            for group in self.sources[module].definitions[name].texts & CHOSEN_BY_NAME:
                users[group] |= 1 << number
        return users

    @cached_property
    def _closures(self) -> list[tuple[int, frozenset[str]]]:
        """For each symbol all symbols that it mentions, directly or not, and the names behind dots in them."""
        mentioned = [
            sorted({self.number[key] for key in self._mentions(*key) if key in self.number}) for key in self.keys
        ]
        closures: list[tuple[int, frozenset[str]]] = [(0, frozenset())] * len(self.keys)
        for component in components(mentioned):
            symbols = reduce(or_, (1 << number for number in component))
            names = set().union(*(self._attributes(number) for number in component))
            for target in {target for number in component for target in mentioned[number]} - set(component):
                symbols |= closures[target][0]
                names |= closures[target][1]
            closure = symbols, frozenset(names)
            for number in component:
                closures[number] = closure
        return closures

    def _attributes(self, number: int) -> frozenset[str]:
        module, name = self.keys[number]
        return self.sources[module].definitions[name].attributes & self._names_of_methods

    @cached_property
    def _names_of_methods(self) -> frozenset[str]:
        return frozenset(self._methods_named)

    def _mentions(self, module: str, name: str) -> Iterator[Key]:
        source = self.sources[module]
        definition = source.definitions[name]
        yield from self._loaded_with(module)
        yield from ((module, f"{name}.{method}") for method in source.called_by_others.get(name, ()))
        for mentioned in definition.names:
            yield from self.resolve(module, mentioned)
        for alias, attribute in definition.pairs:
            homes = [home for home, what in self.resolve(module, alias) if what == MODULE]
            for home in {*homes, *([source.imports[alias][0]] if alias in source.imports else [])}:
                yield from self.resolve(home, attribute)
        for text in definition.texts:
            yield from self._mentioned_by(text)

    def _loaded_with(self, module: str) -> Iterator[Key]:
        """Yield the statements of a module and of its packages, which run when it is imported."""
        while module:
            yield module, MODULE
            module = module.rpartition(".")[0]

    def _mentioned_by(self, text: str) -> Iterator[Key]:
        for target in self.plugins.get(text, {}).values() if text not in CHOSEN_BY_NAME else ():
            yield from self.resolve(*target)
        if PACKAGE in text:
            yield from self.mentioned_in_code(text)

    def mentioned_in_code(self, text: str) -> Iterator[Key]:
        """Yield the symbols of dotted names and imports in a text."""
        for dotted in DOTTED.findall(text):
            parts = dotted.split(".")
            count = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in self.sources), 0)
            module = ".".join(parts[:count])
            yield module, MODULE
            if count < len(parts):
                yield from self.resolve(module, parts[count])
        for module, names in FROM_IMPORT.findall(text):
            for name in re.findall(r"\w+", names):
                yield from self.resolve(module, name)

    def resolve(self, module: str, name: str) -> tuple[Key, ...]:
        """Return the symbols that a name of a module may be: its own, and what it imports, through faces."""
        key = module, name
        if key not in self._resolved:
            self._resolved[key] = tuple(self._resolve(key))
        return self._resolved[key]

    def _resolve(self, key: Key) -> Iterator[Key]:
        seen: set[Key] = set()
        waiting = [key]
        while waiting:
            module, name = key = waiting.pop()
            if key in seen:
                continue
            seen.add(key)
            if f"{module}.{name}" in self.sources:
                yield f"{module}.{name}", MODULE
            source = self.sources.get(module)
            if source is not None and name in source.definitions:
                yield key
            if source is not None and name in source.imports:
                waiting.append(source.imports[name])


class TestRoots:
    """What the run of a test file begins with: its own definitions, fixtures that it names, and examples of docstrings."""

    def __init__(self, reach: Reach, module: str, conftests: Iterable[str]) -> None:
        source = reach.sources[module]
        self.keys: set[Key] = {(module, name) for name in source.definitions}
        self.words = words_of(source.definitions.values())
        if not module.startswith("tests."):
            self.keys |= set(reach.mentioned_in_code(source.docstrings))
            self.keys |= {key for name in source.example_names for key in reach.resolve(module, name)}
        for home in conftests:
            named = reach.sources[home].fixtures
            for fixture in named & ({*self.words} | source.names | reach.sources[home].autouse):
                self.keys.add((home, fixture))
                self.words |= words_of([reach.sources[home].definitions[fixture]])
        for helper in {
            home for home, _ in source.imports.values() if home in reach.sources and not home.startswith(PACKAGE)
        }:
            self.words |= words_of(reach.sources[helper].definitions.values())


def words_of(definitions: Iterable[Definition]) -> set[str]:
    """Return the texts of definitions and the words in them."""
    texts = set().union(*(one.texts for one in definitions))
    return texts | {word for text in texts for word in re.findall(r"[\w-]+", text)}


def bits_of(number: int) -> Iterator[int]:
    """Yield the positions of the bits that are set."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def components(edges: list[list[int]]) -> Iterator[list[int]]:
    """Yield the strongly connected components of a graph, those that others lead to first (Tarjan 1972)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in range(len(edges)):
        if root in index:
            continue
        work = [(root, iter(edges[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            fresh = None
            for target in targets:
                if target not in index:
                    fresh = target
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            if fresh is not None:
                index[fresh] = low[fresh] = len(index)
                stack.append(fresh)
                on_stack.add(fresh)
                work.append((fresh, iter(edges[fresh])))
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == index[node]:
                component = []
                while not component or component[-1] != node:
                    component.append(stack.pop())
                    on_stack.remove(component[-1])
                yield component


def conftests_of(path: str) -> list[str]:
    """Return the modules of the conftest files that a test file uses."""
    folders = [Path(path).parent, *Path(path).parent.parents]
    return [module_of((folder / "conftest.py").as_posix()) for folder in folders]


def entry_points(setup: str) -> dict[str, dict[str, Key]]:
    """Return group → name → (module, attribute) of the entry points in a setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read_string(setup)
    groups = {}
    section = parser["options.entry_points"] if parser.has_section("options.entry_points") else {}
    for group, lines in section.items():
        rows = (line.split("=", 1) for line in lines.splitlines() if "=" in line)
        targets = {name.strip(): target.strip().partition(":") for name, target in rows}
        groups[group.removeprefix(GROUP_PREFIX)] = {
            name: (module, what.partition(".")[0]) for name, (module, _, what) in targets.items()
        }
    return groups
