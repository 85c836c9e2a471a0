"""Late imports: names of a package when they are first used, and packages that only an extra installs.

So `import deepnets4eo` stays quick (PEP 562), and an installation without PyTorch does all that needs no network."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec
from typing import Any, cast

from deepnets4eo.errors import MissingExtraError

EXTRAS = {
    "torch": "deep",
    "ukis_csmask": "clouds",
    "segmentation_models_pytorch": "deep",
    "timm": "deep",
    "torchvision": "deep",
    "huggingface_hub": "deep",
    "onnx": "onnx",
    "onnx_ir": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "dask": "dask",
    "distributed": "dask",
    "kornia": "match",
    "open_clip": "clip",
    "laspy": "points",
    "lazrs": "points",
    "lonboard": "notebook",
    "mapclassify": "notebook",
    "folium": "notebook",
    "h3": "h3",
    "mlflow": "mlflow",
    "numba": "radar",
    "open3d": "open3d",
    "openvino": "openvino",
    "overturemaps": "overture",
    "tensorboardX": "tensorboard",
    "wandb": "wandb",
    "xarray": "xarray",
}  # imported module → extra of setup.cfg that installs it


@contextmanager
def name_missing_extra() -> Iterator[None]:
    """Raise MissingExtraError, naming the extra, where a module of `EXTRAS` is missing within the context or function.

    >>> with name_missing_extra():
    ...     raise ModuleNotFoundError("No module named 'torch'", name="torch")
    Traceback (most recent call last):
    deepnets4eo.errors.MissingExtraError: torch is not installed. Install it: pip install "deepnets4eo[deep]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        raise MissingExtraError(_how_to_install([module], [EXTRAS[module]])) from error


def check_extra(*extras: str, install: str | None = None) -> None:
    """Refuse work whose extras are not installed, by one MissingExtraError; install : the extra to name."""
    missing = {extra: module for extra in extras if (module := _missing_module(extra)) is not None}
    if missing:
        raise MissingExtraError(_how_to_install(list(missing.values()), [install] if install else list(missing)))


def _missing_module(extra: str) -> str | None:
    modules = (module for module, needed in EXTRAS.items() if needed == extra)
    return next((module for module in modules if not is_installed(module)), None)


def is_installed(module: str) -> bool:
    """Return whether a module can be imported; nothing is imported.

    >>> is_installed("numpy"), is_installed("no_such_module")
    (True, False)
    """
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of an import hook that hides it
        return False


def _how_to_install(modules: Sequence[str], extras: Sequence[str]) -> str:
    are, them = ("are", "them") if len(modules) > 1 else ("is", "it")
    return f'{" and ".join(modules)} {are} not installed. Install {them}: pip install "deepnets4eo[{",".join(extras)}]"'


def lazy_names(package: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package: a face, which imports names under `if TYPE_CHECKING:` when they are first used.

    So type checkers and readers see ordinary imports, and the list of names is written once. A name that is imported `as` itself
    is public: documented in the reference, part of `__all__`. The others are for the rooms of other floors. Errors: ValueError
    for a name equal to the name of one of the package's modules, whose import would take its place. The function raises
    AttributeError for other names, MissingExtraError if a package is missing.

    >>> lazy_names("deepnets4eo.cards")("Legend").__name__
    'Legend'
    """
    own = vars(sys.modules[package])
    offered = cache(partial(_offered_names, package))

    def find(name: str) -> Any:
        homes = offered()
        if name == "__all__":
            return [public for public, (_, is_public) in homes.items() if is_public]
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _ = homes[name]
        with name_missing_extra():
            if module.endswith("."):
                return import_module(module + name, package)
            return getattr(import_module(module, package), name)

    own.setdefault("__dir__", lambda: sorted({*own, *offered(), "__all__"}))
    return find


def _offered_names(package: str) -> dict[str, tuple[str, bool]]:
    """Return name → its module, relative if it is within the package, and whether it is public; by the source of a face."""
    specification = sys.modules[package].__spec__
    loader = None if specification is None else cast(InspectLoader, specification.loader)
    tree = ast.parse((loader and loader.get_source(package)) or "")
    blocks = [node.body for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block if isinstance(node, ast.ImportFrom)]
    homes = {
        name.name: (f"{'.' * node.level}{node.module or ''}", name.asname is not None)
        for node in imports
        for name in node.names
    }
    hidden = [name for name, (module, _) in homes.items() if module == f".{name}"]
    if hidden:
        raise ValueError(f"{package} has modules called {hidden}, as names in them are. Rename the modules.")
    return homes
