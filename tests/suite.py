"""The levels of the suite: what `make test` runs, and what only `make test-all` runs.

The environment variable DEEPNETS4EO_SUITE chooses: core, rest or all (the default). A test is in the core suite if it takes at most 0.3 seconds of processor time, or if its file says why it is core:
`pytest.mark.core("the main job")`. What a test costs stands in `durations.tsv`, which `make durations` writes anew.
"""

from __future__ import annotations

import os
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings

STORED = Path(__file__).with_name("durations.tsv")
LATEST = Path(".pytest_cache") / "durations"  # below the root: what the last run took, a file for each process
MAX_CORE_S = 0.3  # of processor time of an idle machine; a longer test needs a reason to be core
MAX_SUITE_S = 360.0  # of processor time, all tests of the core suite together
MIN_STORED_S = 0.05  # shorter tests are summed up by file
BEYOND_CORE = ("beyond_core", "browser", "slow", "nightly")  # markers
LEVEL = os.environ.get("DEEPNETS4EO_SUITE", "all")
EXAMPLES = {"core": 15, "rest": 200, "all": 50}  # of Hypothesis, for each property


@dataclass
class Costs:
    """Seconds of processor time.

    Parameters
    ----------
    tests : node id → seconds of the test without the fixtures that it shares with others
    shared : path of a file and name of a fixture → seconds of a fixture of a module, class or session
    short : path of a file → seconds of its tests below `MIN_STORED_S`
    """

    tests: dict[str, float] = field(default_factory=dict)
    shared: dict[tuple[str, str], float] = field(default_factory=dict)
    short: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @classmethod
    def read(cls, path: Path) -> Costs:
        """Read a table of `write`; nothing is known if it is absent."""
        costs = cls()
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            kind, seconds, *names = line.split("\t")
            if kind == "test":
                costs.tests[names[0]] = float(seconds)
            elif kind == "fixture":
                costs.shared[names[0], names[1]] = float(seconds)
            else:
                costs.short[names[0]] += float(seconds)
        return costs

    def write(self, path: Path) -> None:
        """Write a table that sorts the same whatever the order of the tests."""
        rows = [f"test\t{seconds:.2f}\t{name}" for name, seconds in self.tests.items() if seconds >= MIN_STORED_S]
        rows += [f"fixture\t{seconds:.2f}\t{file}\t{name}" for (file, name), seconds in self.shared.items() if seconds >= MIN_STORED_S]  # fmt: skip
        short = defaultdict(float, self.short)
        for name, seconds in self.tests.items():
            if seconds < MIN_STORED_S:
                short[file_of(name)] += seconds
        rows += [f"short\t{seconds:.2f}\t{file}" for file, seconds in short.items()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(sorted(rows)) + "\n", encoding="utf-8")

    def fixtures_of(self, nodeid: str, names: list[str]) -> list[tuple[str, str]]:
        """Return the shared fixtures that a test uses and that cost something."""
        return [key for name in names if (key := (file_of(nodeid), name)) in self.shared]

    def of(self, nodeid: str, names: list[str]) -> float:
        """Return what a test and the shared fixtures that it names take, each fixture as if nobody shared it."""
        return self.tests.get(nodeid, 0.0) + sum(self.shared[key] for key in self.fixtures_of(nodeid, names))


class Suite:
    """Chooses the tests of a level, and measures what they take.

    Parameters
    ----------
    level : a key of `EXAMPLES`
    """

    def __init__(self, level: str = LEVEL) -> None:
        self.level = level
        self.stored = Costs.read(STORED)
        self.measured = Costs()
        self._shared_s = 0.0  # of fixtures that the current test set up for others too
        self._inner: list[float] = []
        settings.register_profile(
            "deepnets4eo", deadline=None, derandomize=True, database=None, max_examples=EXAMPLES[level]
        )
        settings.load_profile("deepnets4eo")

    def is_core(self, item: pytest.Item) -> bool:
        """Return whether a test is in the core suite."""
        if marker := item.get_closest_marker("core"):
            if not marker.args:
                raise pytest.UsageError(f"{item.nodeid} is marked core; expected a reason, as in core('the main job')")
            return True
        if any(item.get_closest_marker(name) for name in BEYOND_CORE) or "browser" in _fixture_names(item):
            return False
        return self.stored.of(item.nodeid, _fixture_names(item)) <= MAX_CORE_S

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out the tests of the other level."""
        if self.level == "all":
            return
        chosen = [
            item for item in items if self.is_core(item) == (self.level == "core") or self._has_more_examples(item)
        ]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen

    def _has_more_examples(self, item: pytest.Item) -> bool:
        """Return whether a property of the core suite runs again, with more examples."""
        return self.level == "rest" and hasattr(getattr(item, "obj", None), "hypothesis")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> Iterator[None]:
        """Measure fixtures that several tests share apart from the test that sets them up."""
        start = processor_s()
        self._inner.append(0.0)
        try:
            return (yield)
        finally:
            inner = self._inner.pop()
            seconds = processor_s() - start
            is_shared = fixturedef.scope != "function"
            if self._inner:
                self._inner[-1] += seconds if is_shared else inner
            if is_shared:
                self._shared_s += seconds - inner
                key = file_of(request.node.nodeid), fixturedef.argname
                self.measured.shared[key] = self.measured.shared.get(key, 0.0) + seconds - inner

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Measure a test."""
        start, self._shared_s = processor_s(), 0.0
        try:
            return (yield)
        finally:
            self.measured.tests[item.nodeid] = processor_s() - start - self._shared_s

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Keep what the tests of this process took."""
        if self.measured.tests:
            worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
            self.measured.write(config.rootpath / LATEST / f"{self.level}-{worker}.tsv")


def processor_s() -> float:
    """Return the processor time of this process and of those that it started and waited for, in seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def file_of(nodeid: str) -> str:
    """Return the path in a node id."""
    return nodeid.partition("::")[0]


def _fixture_names(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", ()))


def main() -> None:
    """Store what the tests took last: tests that did not run keep what is stored, if their files still exist."""
    costs = Costs.read(STORED)
    for path in sorted(LATEST.glob("*.tsv")):
        latest = Costs.read(path)
        costs.tests |= latest.tests
        costs.shared |= latest.shared
        costs.short |= latest.short
    root = STORED.parents[1]
    costs.tests = {name: seconds for name, seconds in costs.tests.items() if (root / file_of(name)).is_file()}
    costs.write(STORED)


if __name__ == "__main__":
    main()
