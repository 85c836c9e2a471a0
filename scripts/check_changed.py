"""Check the changed files: ruff, mypy, and the rules on names and wording. `python scripts/check_changed.py [BASE]`."""

from __future__ import annotations

import os
import subprocess
import sys

from changed_tests import ROOT, changed_paths, merge_base

RULES = "tests/test_glossary.py"
TYPED = ("deepnets4eo/", "experiments/")


def main() -> int:
    """Return 0 if everything holds."""
    base = sys.argv[1] if len(sys.argv) > 1 else merge_base()
    paths = [path for path in changed_paths(base) if path.endswith(".py") and (ROOT / path).is_file()]
    if not paths:
        print("no Python file has changed")
        return 0
    commands = [
        ["ruff", "check", *paths],
        ["ruff", "format", "--check", *paths],
        ["pytest", "-q", "--assert=plain", RULES],
    ]
    if any(path.startswith(TYPED) for path in paths):
        commands.append(["mypy"])  # whole, since a type is used elsewhere; what did not change is read from its cache
    environment = os.environ | {"DEEPNETS4EO_CHECK_ONLY": "\n".join(paths)}
    running = [subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environment) for command in commands]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    sys.exit(main())
