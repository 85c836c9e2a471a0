"""An option that is handed to a function by its name has the function's default, so that both do the same without a word."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.core(
    "the only comparison of all defaults; what it takes is importing modules that other tests import too"
)
PACKAGE = Path(__file__).parents[1] / "deepnets4eo"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
SEVERAL = ast.FunctionDef | ast.AsyncFunctionDef
ON_PURPOSE = {  # function and parameter → the option's default, where the function's differs on purpose
    "Camera.indoors.distances_m": (5.0, 10.0, 20.0),  # the options are those of views outdoors
    "Diffusion.steps": 30,  # as many as a training can wait for; a map has those that are published
    "SplitRule.buffer_px": 32,  # without one it follows the side of the blocks
    "bootstrap.draws": 0,  # intervals of no draws are none; whoever calls the function wants some
    "change_polygons.workers": 2,  # without one there is a thread per core
    "check_overwrite.resume": False,  # without one nothing can be resumed
}


class Handed(NamedTuple):
    """A value of an option class, where it goes to, and the defaults of both."""

    where: str
    option: Any
    parameter: Any


def option_classes(module: ModuleType) -> dict[str, type]:
    """Return the option groups, sections of recipes and dataclasses of options that a module names."""
    kinds = {name: each for name, each in vars(module).items() if isinstance(each, type)}
    return {
        name: each
        for name, each in kinds.items()
        if hasattr(each, "__pydantic_fields__") or dataclasses.is_dataclass(each) and each.__name__.endswith("Options")
    }


def default_of(kind: type, name: str) -> Any:
    """Return the default of a field; MISSING if it has none, or is no field."""
    if (known := getattr(kind, "__pydantic_fields__", None)) is not None:
        of_group = name in known and not known[name].is_required()
        return known[name].get_default(call_default_factory=True) if of_group else dataclasses.MISSING
    return next((each.default for each in dataclasses.fields(kind) if each.name == name), dataclasses.MISSING)


def named_class(annotation: ast.expr | None, classes: dict[str, type]) -> type | None:
    """Return the option class that an annotation names, quoted or not."""
    text = "" if annotation is None else ast.unparse(annotation).strip("'\"")
    return classes.get(text.removesuffix(" | None"))


def calls_by(module: ModuleType, tree: ast.Module) -> Iterator[tuple[ast.Call, dict[str, type]]]:
    """Yield the calls of a module, each with the arguments around it that are of an option class."""
    classes = option_classes(module)

    def within(node: ast.AST, known: dict[str, type], owner: type | None) -> Iterator[tuple[ast.Call, dict[str, type]]]:
        for child in ast.iter_child_nodes(node):
            inner, of = known, owner
            if isinstance(child, ast.ClassDef):
                of = classes.get(child.name)
            elif isinstance(child, SEVERAL):
                taken = [*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs]
                kinds = {
                    each.arg: owner if each.arg == "self" else named_class(each.annotation, classes) for each in taken
                }
                inner = known | {name: kind for name, kind in kinds.items() if kind is not None}
            elif isinstance(child, ast.Call):
                yield child, known
            yield from within(child, inner, of)

    yield from within(tree, {}, None)


def function_of(module: ModuleType, call: ast.Call) -> Callable[..., Any] | None:
    """Return what a call by a dotted name calls, if it is of the package."""
    try:
        found = reduce(getattr, ast.unparse(call.func).split("."), module)
    except AttributeError:
        return None
    own = str(getattr(found, "__module__", "")).partition(".")[0] == module.__name__.partition(".")[0]
    return found if own and callable(found) else None


def handed(module: ModuleType, tree: ast.Module) -> Iterator[Handed]:
    """Yield the options that a module hands on to functions which have a default for them."""
    for call, known in calls_by(module, tree):
        values = [*((None, each) for each in call.args), *((each.arg, each.value) for each in call.keywords)]
        options = {
            (name, number): (known[value.value.id], value.attr)
            for number, (name, value) in enumerate(values)
            if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id in known
        }
        function = function_of(module, call) if options else None
        if function is None:
            continue
        parameters = inspect.signature(function).parameters
        order = [name for name, each in parameters.items() if each.kind is not each.KEYWORD_ONLY]
        for (name, number), (kind, field) in options.items():
            parameter = name or dict(enumerate(order)).get(number)
            option = default_of(kind, field)
            default = parameters[parameter].default if parameter in parameters else inspect.Parameter.empty
            default = getattr(default, "default", default)  # of pydantic's fields
            if option is not dataclasses.MISSING and default is not inspect.Parameter.empty:
                yield Handed(f"{function.__qualname__}.{parameter}", option, default)


@pytest.mark.parametrize("room", ROOMS)
def test_options_have_the_defaults_of_the_functions_that_take_them(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "self." not in text and "options." not in text or path.name == "__init__.py":
            continue
        dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for each in handed(import_module(dotted), ast.parse(text)):
            assert each.option in (each.parameter, ON_PURPOSE.get(each.where, each.parameter)), each


MADE_UP = """
from dataclasses import dataclass

@dataclass(frozen=True)
class SmoothingOptions:
    radius_px: int = 2
    rounds: int = 1
    name: str = "a"
    seed: int = None

    def apply(self, image):
        return smooth(image, self.radius_px, rounds=self.rounds, other=self.seed)

def smooth(image, radius_px=3, *, rounds=1, other=0, more=5):
    return image

def by_options(options: "SmoothingOptions | None", image: int):
    return smooth(image, rounds=options.rounds, more=image.radius_px)
"""


def test_differing_defaults_are_found_by_position_and_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("made_up")
    monkeypatch.setitem(sys.modules, "made_up", module)
    exec(compile(MADE_UP, "made_up", "exec"), vars(module))
    found = list(handed(module, ast.parse(MADE_UP)))
    assert found == [("smooth.radius_px", 2, 3), ("smooth.rounds", 1, 1), ("smooth.other", None, 0), ("smooth.rounds", 1, 1)]  # fmt: skip
