"""Version of the package, in one place, and version of its code, which differs between releases as well."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"


@cache
def code_version() -> str:
    """Return the version and a hash of all code and settings in the package: jobs begun with other code are not continued.

    >>> code_version().startswith(f"{__version__}+")
    True
    """
    return f"{__version__}+{code_hash(Path(__file__).parent)}"


def code_hash(folder: Path) -> str:
    """Return 12 hexadecimal digits of all code and settings in a folder: other digits, other code.

    >>> code_version().endswith(code_hash(Path(__file__).parent))
    True
    """
    digest = hashlib.sha256()
    for parts in sorted(_code_files(folder)):
        digest.update(f"{'/'.join(parts)} ".encode() + folder.joinpath(*parts).read_bytes())
    return digest.hexdigest()[:12]


def modules_hash(names: Iterable[str]) -> str:
    """Return 12 hexadecimal digits of the code and settings of top modules, as `code_hash`; a module that is absent counts as empty."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} ".encode())
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):  # a module without a spec, such as one that a program made
            continue
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or ():
            digest.update(code_hash(Path(folder)).encode())
        if not spec.submodule_search_locations and spec.origin is not None and Path(spec.origin).is_file():
            digest.update(Path(spec.origin).read_bytes())
    return digest.hexdigest()[:12]


def _code_files(root: Path) -> Iterator[tuple[str, ...]]:
    """Yield the parts of the names of all files of code and settings in a folder, without the folders of bytecode."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        inner = Path(folder).relative_to(root).parts
        yield from ((*inner, name) for name in files if name.endswith((".py", ".yaml")))
