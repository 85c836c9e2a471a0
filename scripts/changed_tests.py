"""Name the test files that a change reaches, a line each: `python scripts/changed_tests.py [BASE [HEAD]]`.

The change is that of the checkout, with files that git does not track, from its merge base with `main`; on `main` itself
from the commit before. With HEAD it is the change between two commits.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from definitions import DOCSTRINGS, Source, module_of, names_of_asset, parse_sources
from reach import Key, Reach, TestRoots, conftests_of

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".pytest_cache" / "definitions.json"
READS_SOURCES = ("source_trees", "source_files")  # of tests that read all sources
KINDS = {".py", ".cfg", ".toml", ".md", ".yaml", ".yml", ".sh", ".js", ".css", ".html", ".json", ".qml", ".txt"}


def main() -> None:
    """Print the paths of the test files."""
    base, head = (sys.argv[1:] + [None, None])[:2]
    print("\n".join(changed_tests(read_tree(head), read_tree(base or merge_base()))))


def changed_tests(now: dict[str, str], before: dict[str, str]) -> list[str]:
    """Return the test files that the change between two states reaches; each state is path → text."""
    changed = {path for path in now.keys() | before.keys() if now.get(path) != before.get(path)}
    sources = parse_sources(now, CACHE)
    reach = Reach(sources, now.get("setup.cfg", ""))
    symbols = changed_symbols(sources, before, changed)
    targets = reach.mask(symbols | mentioning(sources, [path for path in changed if not path.endswith(".py")]))
    if any(path.endswith(".py") for path in changed):
        targets |= reach.mask([READS_SOURCES])
    chosen = []
    for path in test_paths(now, sources):
        module = module_of(path)
        own = path in changed and (path.startswith("tests/") or (module, DOCSTRINGS) in symbols)
        roots = TestRoots(reach, module, [home for home in conftests_of(path) if home in sources])
        if own or reach.reaches(roots.keys, roots.words, targets):
            chosen.append(path)
    return chosen


def changed_paths(base: str) -> list[str]:
    """Return the paths that differ between a commit and the checkout, with files that git does not track."""
    tracked = git("diff", "--name-only", base).splitlines()
    return sorted({*tracked, *git("ls-files", "--others", "--exclude-standard").splitlines()})


def test_paths(texts: dict[str, str], sources: dict[str, Source]) -> list[str]:
    """Return the files that hold tests: test files, and files with examples in their docstrings."""
    return sorted(
        path
        for path in texts
        if (module := module_of(path))
        and (
            Path(path).name.startswith("test_")
            or (not path.startswith("tests/") and ">>> " in sources[module].docstrings)
        )
    )


def changed_symbols(sources: dict[str, Source], before: dict[str, str], changed: set[str]) -> set[Key]:
    """Return the definitions that were added or changed, and the users of those that are gone."""
    symbols: set[Key] = set()
    for path in changed:
        if module := module_of(path):
            earlier = Source.parse(path, before[path]) if path in before else None
            source = sources.get(module) or Source(module)
            symbols |= {(module, name) for name in source.changes(earlier)}
    gone = {name for module, name in symbols if module not in sources or name not in sources[module].definitions}
    for module, source in sources.items():
        symbols |= {(module, name) for name, one in source.definitions.items() if not gone.isdisjoint(one.names)}
    return symbols


def mentioning(sources: dict[str, Source], assets: list[str]) -> set[Key]:
    """Return the definitions whose texts name a file that is no Python."""
    names = {name for path in assets for name in names_of_asset(path)}
    return {
        (module, name)
        for module, source in sources.items()
        for name, one in source.definitions.items()
        if not names.isdisjoint(one.texts)
    }


def merge_base() -> str:
    """Return the commit that the checkout is compared with."""
    branch = git("rev-parse", "--abbrev-ref", "HEAD").strip()
    return "HEAD~1" if branch == "main" else git("merge-base", "main", "HEAD").strip()


def read_tree(commit: str | None) -> dict[str, str]:
    """Return path → text of a commit, or of the checkout with files that git does not track."""
    if commit is None:
        listed = git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
        paths = [path for path in listed if Path(path).suffix in KINDS and (ROOT / path).is_file()]
        return {path: (ROOT / path).read_text(encoding="utf-8", errors="replace") for path in paths}
    rows = (line.split("\t", 1) for line in git("ls-tree", "-r", "-z", commit).split("\0") if line)
    blobs = {path: about.split()[2] for about, path in rows if Path(path).suffix in KINDS}
    command, wanted = ["git", "cat-file", "--batch"], "\n".join(blobs.values()).encode()
    stream = subprocess.run(command, input=wanted, capture_output=True, check=True, cwd=ROOT).stdout
    texts, start = {}, 0
    for path in blobs:
        end = stream.index(b"\n", start)
        size = int(stream[start:end].split()[2])
        texts[path] = stream[end + 1 : end + 1 + size].decode("utf-8", errors="replace")
        start = end + 2 + size
    return texts


def git(*command: str) -> str:
    """Return what a command of git prints."""
    return subprocess.run(["git", *command], capture_output=True, text=True, check=True, cwd=ROOT).stdout


if __name__ == "__main__":
    main()
