"""Commands start without Dask, which odc-geo imports if it is installed: a fifth of a second, a fifth of a quick command.

Only in processes of the command line: importing the toolbox changes no other library.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any


class WithoutDask(MetaPathFinder):
    """Finds the module of odc-geo that imports Dask. Without Dask in the process, no value is one of its collections."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module with its own test for collections; None for all other modules."""
        if fullname != "odc.geo._interop":
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.is_dask_collection = _is_dask_collection  # type: ignore[attr-defined]


def _is_dask_collection(value: Any) -> bool:
    dask = sys.modules.get("dask")
    return dask is not None and bool(dask.is_dask_collection(value))
