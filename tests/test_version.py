"""The version of the code is that of all files that shape results."""

import hashlib
from pathlib import Path

import deepnets4eo.version
from deepnets4eo.version import __version__, code_version


def test_the_version_of_the_code_is_the_hash_of_all_code_and_settings_in_order_of_their_names():
    root = Path(deepnets4eo.version.__file__).parent
    files = [path for kind in ("py", "yaml") for path in root.rglob(f"*.{kind}")]
    text = b"".join(f"{path.relative_to(root).as_posix()} ".encode() + path.read_bytes() for path in sorted(files))
    assert code_version() == f"{__version__}+{hashlib.sha256(text).hexdigest()[:12]}"
