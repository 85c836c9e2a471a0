"""The version of the package, in one place, and that of its code, which differs between releases as well."""

import hashlib
from functools import lru_cache
from pathlib import Path

__version__ = "0.1.0"


@lru_cache(maxsize=1)
def code_version() -> str:
    """The version and a hash of all code and settings in the package: what was computed by other code is not gone on with.

    >>> code_version().startswith(f"{__version__}+")
    True
    """
    root, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted(each for each in root.rglob("*") if each.suffix in (".py", ".yaml")):
        digest.update(f"{path.relative_to(root).as_posix()} ".encode() + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
