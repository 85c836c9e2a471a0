"""Names of a package that are imported when first used, so that `import deepnets4eo` stays quick (PEP 562).

Takes a package's table of names; gives the function that its `__getattr__` is.
Refuses names that are not in the table, and names that a module of the package has, which would hide them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for a package.

    homes : name → module it lives in. Errors: AttributeError for other names; ValueError for a name that is called as
    its own module is, since importing that would put the module in the name's place.

    >>> lazy_names("deepnets4eo", {"Legend": "deepnets4eo.cards.legend"})("Legend").__name__
    'Legend'
    """
    hidden = [name for name, module in homes.items() if module == f"{package}.{name}"]
    if hidden:
        raise ValueError(f"{package} has modules called {hidden}, as names in them are. Rename the modules.")

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return find
