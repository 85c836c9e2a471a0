"""Writes the picture of the floors at the top of CONTRIBUTING.md: rooms, and what each is for.

A room is a folder or a file of the package. Each branch is a floor of its own. Run: python scripts/floors.py
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "deepnets4eo"
PAGE = ROOT / "CONTRIBUTING.md"
MIN_TITLE_WORDS = 4
FLOORS = {
    "doors": "cli xarray assistant",
    "branches": "damage change floods points depth hyperspectral classification baselines synthetic",
    "maps": "maps",
    "site": "registration footprints osm objects catalogues inspection sharpening interferometry",
    "learn": "segmenters training prediction evaluation segmentation fusion",
    "raster": "rasters read_as tiling zonal polygons terrain metrics",
    "ground": "formats outputs jobs cards display addresses arrays degree_boxes device errors files grid ground_area lazy options plugins prefetch processor "
    "reprojection system version",
}
ABOUT = {
    "doors": "parse, call one function, print a path",
    "branches": "use only each other's public face",
    "maps": "the job and the page of every map",
    "site": "how images and outlines lie on the ground",
    "learn": "recipe → run → label raster → score",
    "raster": "windows of values, with what is valid",
    "ground": "files of others in, files of ours out, jobs that go on",
}
FLOOR_OF = {
    room: {"depth": "points"}.get(room, room) if floor == "branches" else floor
    for floor, rooms in FLOORS.items()
    for room in rooms.split()
}  # a branch has the floor to itself; depth is one with points
WITHIN = {"damage": "the steps of the main job in files, all else in folders"}  # a room whose inside is shown, too
BEGIN, END = "<!-- floors: made by scripts/floors.py -->\n```\n", "```\n<!-- end of floors -->"


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file, parsed once per process for all scripts and tests."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def trees(package: Path = PACKAGE) -> dict[Path, ast.Module]:
    """Return the syntax trees of all files of the package."""
    return {path: parse(path) for path in sorted(package.rglob("*.py"))}


@cache
def names_across(package: Path = PACKAGE) -> dict[tuple[str, str], set[str]]:
    """(module, name) that files import from another floor → those files; of a module that is imported whole, what is used of it."""
    uses: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path, tree in trees(package).items():
        file = path.relative_to(package).as_posix()
        floor = FLOOR_OF.get(file.split("/")[0].removesuffix(".py"))
        for module, name in _imported(tree, package, within=path.name == "__init__.py"):
            room = module.split(".")[1] if "." in module else name
            if floor and room in FLOOR_OF and FLOOR_OF[room] != floor:
                uses[module, name].add(file)
    return uses


def _imported(tree: ast.Module, package: Path, *, within: bool) -> Iterator[tuple[str, str]]:
    """Module and name of everything of the package, but for what a face offers; within : it is an `__init__`."""
    offered = {id(node) for block in tree.body if within and is_offer(block) for node in getattr(block, "body", ())}
    whole: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            whole |= {item.asname or item.name: item.name for item in node.names if _is_module(item.name, package)}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module and id(node) not in offered:
            for item in node.names:
                if _is_module(node.module, package) and _is_module(f"{node.module}.{item.name}", package):
                    whole[item.asname or item.name] = f"{node.module}.{item.name}"
                elif _is_module(node.module, package):
                    yield node.module, item.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (module := whole.get(ast.unparse(node.value))) is not None:
            yield module, node.attr


def is_offer(node: ast.stmt) -> bool:
    """Whether a statement of an `__init__` lists what it offers, as type checkers see it."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and bool(node.orelse)


@cache
def _is_module(dotted: str, package: Path) -> bool:
    first, *parts = dotted.split(".")
    path = package.joinpath(*parts)
    return first == package.name and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())


def picture() -> str:
    """The floors from the top down, with one line a room."""
    lines = []
    for floor, rooms in FLOORS.items():
        lines += ["", f"{floor}: {ABOUT[floor]}"] if lines else [f"{floor}: {ABOUT[floor]}"]
        lines += [f"  {room:16}{_phrase(room)}" for room in rooms.split()]
    for room, about in WITHIN.items():
        files = sorted(path.stem for path in (PACKAGE / room).glob("*.py") if path.stem != "__init__")
        folders = sorted(path.parent.name for path in (PACKAGE / room).glob("*/__init__.py"))
        lines += ["", f"within {room}: {about}"]
        lines += [f"  {name:16}{_sentence(f'{room}/{name}')}" for name in files]
        lines += [f"  {name + '/':16}{_sentence(f'{room}/{name}')}" for name in folders]
    return "".join(f"{line}\n" for line in lines)


def _phrase(room: str) -> str:
    """Return what a room is for, in few words: its `_sentence` without what a colon adds after some words."""
    sentence = _sentence(room)
    title, _, details = sentence.partition(": ")
    return title if len(title.split()) >= MIN_TITLE_WORDS or not details else sentence


def _sentence(room: str) -> str:
    """Return the first sentence of the docstring of a folder or file, without what a bracket or a semicolon adds."""
    path = PACKAGE / room / "__init__.py" if (PACKAGE / room).is_dir() else PACKAGE / f"{room}.py"
    text = (ast.get_docstring(parse(path)) or "").partition("\n")[0]
    return re.split(r"[;.](?:\s|$)| \(", text)[0]


def page() -> str:
    """CONTRIBUTING.md with the picture as it is now."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + picture() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
