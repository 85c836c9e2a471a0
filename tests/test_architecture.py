"""Who may import whom: the core no branch, branches each other's public face alone, the command line nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from source_trees import ROOT, nodes, parse, source_files

sys.path.insert(0, str(ROOT / "scripts"))
import coupling
import floors
import walk

PACKAGE = ROOT / "deepnets4eo"
BRANCHES = set(floors.FLOORS["branches"].split())
CORE_PACKAGES = (
    {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - BRANCHES - set(floors.FLOORS["doors"].split())
)
HEAVY = {"torch", "segmentation_models_pytorch", "sklearn", "skimage", "skops", "scipy",
         "matplotlib", "bokeh", "geopandas", "pandas", "pyogrio", "rasterio", "shapely", "odc", "open3d", "laspy",
         "dask", "distributed"}  # fmt: skip
NOT_EVERYWHERE = {"fcntl", "resource", "msvcrt", "winreg", "pwd", "grp", "termios", "tty", "pty", "syslog"}
NOT_IN_SIGNAL = {
    "SIGKILL",
    "SIGHUP",
    "SIGUSR1",
    "SIGUSR2",
    "SIGALRM",
    "SIGCHLD",
    "SIGPIPE",
    "alarm",
    "setitimer",
    "pthread_kill",
}
NOT_IN_OS = {
    "fork",
    "forkpty",
    "setsid",
    "setpgrp",
    "getuid",
    "geteuid",
    "getpgid",
    "killpg",
    "mkfifo",
    "sysconf",
    "nice",
}


@cache
def imports(path: Path, *, top_only: bool = False) -> tuple[tuple[int, str], ...]:
    """(line, dotted name) of everything imported; `from a import b` counts as a and as a.b."""
    return tuple(_imports(path, top_only))


def _imports(path: Path, top_only: bool) -> Iterator[tuple[int, str]]:
    for node in at_import_time(parse(path)) if top_only else nodes(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(path, node)
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{name.name}") for name in node.names)


def at_import_time(tree: ast.Module) -> Iterator[ast.AST]:
    """Statements that run when the module is imported: not those of functions, nor those for type checkers."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
    return ".".join([*parts, node.module] if node.module else parts)


def branch_of(path: Path) -> str | None:
    top = path.relative_to(PACKAGE).parts[0]
    return top if top in BRANCHES else None


def modules(*, of: str) -> list[Path]:
    files = source_files("deepnets4eo")
    core = CORE_PACKAGES | {PACKAGE.name}
    kind = {"core": lambda p: p.parent.name in core and p not in (PACKAGE / "__main__.py", PACKAGE / "__init__.py"), "cli": lambda p: p.relative_to(PACKAGE).parts[0] == "cli",
            "branch": lambda p: branch_of(p) is not None}[of]  # fmt: skip
    return [path for path in files if kind(path)]


def module_exists(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def report(offenders: list[tuple[Path, int, str]]) -> str:
    return "\n".join(f"{path.relative_to(ROOT)}:{line}: {what}" for path, line, what in offenders)


def test_the_core_never_imports_a_branch_nor_the_command_line():
    forbidden = BRANCHES | {"cli"}
    offenders = [
        (path, line, f"imports {name}")
        for path in modules(of="core")
        for line, name in imports(path)
        if name.startswith("deepnets4eo.") and name.split(".")[1] in forbidden
    ]
    assert not offenders, report(offenders)


def test_a_branch_imports_only_the_public_face_of_another():
    offenders = []
    for path in modules(of="branch"):
        for line, name in imports(path):
            parts = name.split(".")
            if parts[0] != "deepnets4eo" or len(parts) < 2:
                continue
            if parts[1] == "cli":
                offenders.append((path, line, f"imports {name}: branches do not import the command line"))
            elif parts[1] in BRANCHES - {branch_of(path)} and len(parts) > 2 and module_exists(name):
                offenders.append((path, line, f"imports {name}: only names of deepnets4eo.{parts[1]} itself"))
    assert not offenders, report(offenders)


def in_circles(graph: dict[str, set[str]]) -> set[str]:
    """Names that are left when those without imports and those without users are removed, again and again."""
    left = {name: targets & graph.keys() for name, targets in graph.items()}
    while True:
        used = {target for targets in left.values() for target in targets}
        kept = {name for name, targets in left.items() if targets and name in used}
        if len(kept) == len(left):
            return kept
        left = {name: left[name] & kept for name in kept}


@pytest.mark.parametrize("folder", ["deepnets4eo", "experiments"])
def test_no_modules_import_each_other_in_a_circle(folder):
    """Imports within functions and for type checkers count; the faces of packages, which import their modules, do not."""
    root = ROOT if folder == "deepnets4eo" else ROOT / folder
    paths = [path for path in source_files(folder) if path.name != "__init__.py"]
    names = {path: ".".join(path.relative_to(root).with_suffix("").parts) for path in paths}
    graph = {name: {target for _, target in imports(path)} - {name} for path, name in names.items()}
    assert not in_circles(graph)


def room_of(dotted: str) -> str | None:
    """The folder of the package, or the file of its ground, that a module belongs to; None outside the package."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "deepnets4eo" and len(parts) > 1 else None


def rooms() -> dict[str, set[str]]:
    """Room or file of the ground → those that it imports, in functions and for type checkers too."""
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    ground = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    graph: dict[str, set[str]] = {name: set() for name in folders | ground}
    for path in source_files("deepnets4eo"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room in graph:
            graph[room] |= {room_of(name) for _, name in imports(path)} & graph.keys() - {room}
    return graph


def test_no_rooms_import_each_other_in_a_circle():
    assert not in_circles(rooms())


def test_no_rooms_of_damage_import_each_other_in_a_circle() -> None:
    """Structure and evidences use networks, the decision both, products the decision; the job uses all of them."""
    graph: dict[str, set[str]] = {}
    for path in source_files("deepnets4eo"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] == "damage" and path.name != "__init__.py":
            names = (name.split(".") for _, name in imports(path) if name.startswith("deepnets4eo.damage."))
            graph.setdefault(parts[1], set()).update(name[2] for name in names if name[2] != parts[1])
    assert {"structure", "evidences", "network", "decision", "products", "review", "job"} <= set(graph)
    assert not in_circles(graph)


def test_the_ground_imports_no_room():
    """Files beside the rooms are what rooms stand on."""
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    graph = rooms()
    assert not {name: graph[name] & folders for name in graph.keys() - folders if graph[name] & folders}


def faces() -> dict[str, dict[str, bool]]:
    """Package → names that its face imports for type checkers, and whether each is public."""
    found: dict[str, dict[str, bool]] = {}
    for path in PACKAGE.rglob("__init__.py"):
        blocks = [node for node in parse(path).body if floors.is_offer(node)]
        items = [item for block in blocks for node in block.body for item in getattr(node, "names", ())]
        found[".".join(path.parent.relative_to(ROOT).parts)] = {item.name: item.asname is not None for item in items}
    return found


def test_every_room_has_a_floor_and_says_what_it_is_for():
    assert set(floors.FLOOR_OF) == set(rooms())
    for room in floors.FLOOR_OF:
        path = PACKAGE / room / "__init__.py" if (PACKAGE / room).is_dir() else PACKAGE / f"{room}.py"
        assert len((ast.get_docstring(parse(path)) or "").split()) >= 3, path


def test_what_crosses_a_border_comes_from_a_face():
    """A package that offers it, or a file of the ground; a module that is used whole is offered too."""
    offered = faces()
    offenders = []
    for (module, name), files in floors.names_across().items():
        package, _, last = module.rpartition(".")
        is_face = module in offered or package == "deepnets4eo" or last in offered.get(package, {})
        if not is_face:
            offenders += [f"{file} imports {module}.{name}, which no __init__ offers" for file in sorted(files)]
    assert not offenders, "\n".join(offenders)


def test_faces_offer_nothing_that_neither_users_nor_other_floors_use():
    across = floors.names_across()
    used = {f"{module}.{name}" for module, name in across} | {module for module, _ in across}
    unused = [
        f"{package}.{name}"
        for package, names in faces().items()
        for name, public in names.items()
        if not public and f"{package}.{name}" not in used
    ]
    assert not unused


def test_a_name_across_a_border_counts_however_it_is_reached(tmp_path):
    package = tmp_path / "deepnets4eo"
    files = {
        "rasters/__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from deepnets4eo.files import late\nelse:\n    pass\n",
        "rasters/cog.py": "from deepnets4eo.rasters import scene\nfrom deepnets4eo.files import write as put, read\n",
        "cli/verb.py": "def f():\n    from deepnets4eo.rasters import cog as c\n    return c.first(c.second)\n",
        "cli/other.py": "import deepnets4eo.rasters.cog\ndeepnets4eo.rasters.cog.third\n",
        "files.py": "",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    assert floors.names_across(package) == {
        ("deepnets4eo.files", "write"): {"rasters/cog.py"},
        ("deepnets4eo.files", "read"): {"rasters/cog.py"},
        ("deepnets4eo.rasters.cog", "first"): {"cli/verb.py"},
        ("deepnets4eo.rasters.cog", "second"): {"cli/verb.py"},
        ("deepnets4eo.rasters.cog", "third"): {"cli/other.py"},
    }


def test_the_picture_of_the_floors_is_as_the_code_is():
    assert floors.PAGE.read_text(encoding="utf-8") == floors.page(), "run: python scripts/floors.py"


def test_a_circle_is_found_behind_modules_that_are_in_none():
    assert in_circles({"a": {"b"}, "b": {"c", "os"}, "c": set()}) == set()
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b", "c"}


def test_the_command_line_imports_nothing_heavy_at_its_top():
    offenders = [
        (path, line, f"imports {name} at the top; import it in the function")
        for path in modules(of="cli")
        for line, name in imports(path, top_only=True)
        if name.split(".")[0] in HEAVY
    ]
    assert not offenders, report(offenders)


def test_the_package_and_the_help_of_every_verb_load_nothing_heavy_and_names_come_through_the_package():
    code = """
import sys
from importlib import import_module
from pathlib import Path
import deepnets4eo.cli
for path in Path(deepnets4eo.cli.__file__).parent.glob("*.py"):
    import_module(f"deepnets4eo.cli.{path.stem}") if path.stem != "__init__" else None
print(*sorted({name.split(".")[0] for name in sys.modules}))
print(deepnets4eo.metrics.ConfusionMatrix.__name__, deepnets4eo.Legend.__name__)
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    modules, names = loaded.stdout.splitlines()
    assert not HEAVY & set(modules.split())
    assert names == "ConfusionMatrix Legend"


NOT_BY_MAPS = ("deepnets4eo.training", "deepnets4eo.prediction", "torch", "scipy.optimize", "scipy.spatial")


@pytest.mark.parametrize("job", ["damage.files.job", "damage.job", "floods.job", "change.job", "points.rubble.job"])
def test_a_map_job_loads_nothing_of_training_and_of_networks_before_it_needs_them(job):
    """The last two are only of what starts without points."""
    code = f"import sys, deepnets4eo.{job}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    forbidden = NOT_BY_MAPS[:3] if job.startswith("points") else NOT_BY_MAPS
    assert not [name for name in loaded.stdout.split() if name.startswith(forbidden)]


def test_imports_in_functions_and_relative_ones_are_seen(tmp_path):
    """A reader of imports that misses these would let the tests above pass on anything."""
    path = PACKAGE / "damage" / "imaginary.py"
    tree = "def f():\n    from ..synthetic.insides import g\n"
    node = ast.parse(tree).body[0].body[0]
    assert absolute(path, node) == "deepnets4eo.synthetic.insides"
    sample = tmp_path / "sample.py"
    sample.write_text("import typing\nif typing.TYPE_CHECKING:\n    import torch\ndef f():\n    import scipy\n")
    assert {name for _, name in imports(sample)} == {"typing", "torch", "scipy"}
    assert [name for _, name in imports(sample, top_only=True)] == ["typing"]


# of what the program itself has written, in this or an interrupted run
OWN_FILES = {
    "formats/rasters.py",
    "rasters/cog.py",
    "baselines/superpixels/scene.py",
    "baselines/superpixels/segmenting.py",
    "prediction/clicked_scene.py",
}
WITHIN_CHECKED = {"formats/vectors.py", "formats/vector_layers.py"}  # called by those who hold a vector_file
READERS = {"rasterio.open", "pyogrio.read_dataframe", "pyogrio.read_info", "pyogrio.list_layers", "gpd.read_file",
           "gpd.read_parquet", "geopandas.read_file", "geopandas.read_parquet"}  # fmt: skip


def test_files_of_others_are_opened_through_formats_alone():
    """GDAL chooses a driver by a file's content, so that no reader gets a path that was not checked first."""
    offenders = []
    for path in source_files("deepnets4eo"):
        text = path.read_text(encoding="utf-8")
        calls = [node for node in nodes(path) if isinstance(node, ast.Call)]
        called = {(node.lineno, ast.unparse(node.func)) for node in calls} if any(r in text for r in READERS) else set()
        name = path.relative_to(PACKAGE).as_posix()
        for line, call in called:
            allowed = (
                name in OWN_FILES if call == "rasterio.open" else "with vector_file(" in text or name in WITHIN_CHECKED
            )
            if call in READERS and not allowed:
                offenders.append((path, line, f"{call} opens a file that was not checked; use deepnets4eo.formats"))
    assert not offenders, report(offenders)


def test_only_one_module_uses_what_some_systems_lack() -> None:
    offenders = []
    for path in source_files("deepnets4eo"):
        for node in nodes(path):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names if name.name in NOT_EVERYWHERE]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                names = [node.attr] if node.attr in NOT_IN_OS or node.attr.startswith("sched_") else []
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "signal":
                names = [node.attr] if node.attr in NOT_IN_SIGNAL else []
            offenders += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in names]
    assert [line for line in offenders if not line.startswith("deepnets4eo/system.py")] == []
    assert offenders


def test_a_walk_follows_a_value_through_faces_and_other_names() -> None:
    steps = walk.walk("pre", ("deepnets4eo.damage.job.assess",))
    assert {"deepnets4eo.damage.opening", "deepnets4eo.rasters.layer"} <= steps.files
    assert ("deepnets4eo.rasters.layer", "deepnets4eo.rasters.layer.Layer.open", "source") in steps.stays


def test_a_name_counts_where_it_is_defined_whatever_offers_it() -> None:
    assert coupling.home("deepnets4eo.cards", "Legend") == "deepnets4eo.cards.legend"
    assert coupling.home("deepnets4eo.damage.site.site", "Site") == "deepnets4eo.damage.site.site"


def test_a_name_has_one_address_outside_its_folder() -> None:
    scene = ("deepnets4eo.rasters.scene", "Scene")
    assert coupling.address("deepnets4eo.tiling.sampling", *scene) == "deepnets4eo.rasters"
    assert coupling.address("deepnets4eo.rasters.display", *scene) == "deepnets4eo.rasters.scene"
    assert coupling.address("", *scene) == "deepnets4eo.rasters"


def test_imports_of_tests_pages_and_docstrings_are_seen():
    text = "from deepnets4eo.rasters import (\n    Layer,  # of files\n    Scene as S,\n)\n  >>> from deepnets4eo import cards\n"
    assert [names.split() for _, names in coupling.IMPORT.findall(text)][1] == ["cards"]
    assert coupling.EXAMPLE.findall(text) == [("deepnets4eo", "cards")]
    files = {file.split("/")[0] for file, _, _ in coupling.taken_outside()}
    assert {"tests", "experiments", "docs", "README.md", "deepnets4eo"} <= files


def test_no_source_hooks_into_imports() -> None:
    """Other packages are imported as they are; what is slow is imported where it is needed."""
    hooks = {"meta_path", "path_hooks", "path_importer_cache"}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.attr}"
        for path in source_files("deepnets4eo")
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in hooks
    ]
    assert found == []


def test_one_function_writes_tables_of_outlines_by_pyogrio() -> None:
    """Pyogrio warns of outlines without a CRS, which pixels do not have; the function keeps that to itself."""
    writers = {
        path.name
        for path in source_files("deepnets4eo")
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in ("write_dataframe", "to_file")
    }
    assert writers <= {"vector_writing.py"}
