"""Damaged files of every kind: each reader returns a result or an error of the package, and nothing else.

`fuzz_readers.py` does the same for thousands of files, and counts crashes of native libraries.
"""

import contextlib
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzzing import harness
from fuzzing.byte_mutators import BYTE_MUTATORS
from fuzzing.harness import ACCEPTED, REFUSED, TRACEBACK, alarm, broken_cases, read_within, run_case
from fuzzing.make_seeds import make_seeds
from fuzzing.reader import Reader
from fuzzing.readers import READERS
from fuzzing.seed import Seed
from fuzzing.tree_mutators import mutate_tree

from deepnets4eo.errors import InputError, Reading

CASES = 240
MAX_SOUND_S = 20.0  # that a reader takes for a sound file: all 22 together take 0.7 s
SLOW = {
    "damage whole",
    "damage outlines",
    "damage --model",
    "register",
    "layers osm tags",
    "layers osm --rules",
    "DecisionModel",
    "check pairs",
}
BOUNDED = {
    "Layer", "Scene", "Cube", "open_cloud", "Legend", "DatasetCard", "load_recipe", "RuleTable", "OsmRules", "ShakeMapGrid",
    "DamageModel", "load_run", "read_tensors", "read_footprints", "xview2", "STAC", "check plan", "check raster", "check vector",
    "check cube", "check points", "check run",
}  # fmt: skip
REFUSED_ALWAYS = {"train", "first weights", "options"}  # they look for data, a whole VGG, sensible words


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Seed]]:
    return make_seeds(tmp_path_factory.mktemp("sound"))


def test_damaged_files_end_in_a_result_or_an_error_of_the_package(sound: dict[str, list[Seed]], tmp_path: Path) -> None:
    numbers = [number for number in range(2 * CASES) if READERS[number % len(READERS)].name not in SLOW][:CASES]
    outcomes = [run_case(number, 0, sound, tmp_path) for number in numbers]
    assert [(one.number, one.reader, one.detail[-1500:]) for one in broken_cases(outcomes)] == []
    counts = Counter(one.ending for one in outcomes)
    assert counts[ACCEPTED] > CASES / 10, "mutators that damage everything find nothing"
    assert counts[REFUSED] > CASES / 10, "mutators that damage nothing find nothing"


def test_each_reader_takes_some_of_its_sound_files(sound: dict[str, list[Seed]], tmp_path: Path) -> None:
    """A reader that refuses all sound files would not be tested by damaged ones."""
    quick = [reader for reader in READERS if reader.name not in SLOW | REFUSED_ALWAYS]
    assert len(quick) > 40
    for reader in quick:
        endings = (
            read_within(reader, seed.path, tmp_path / f"{reader.name}-{kind}-{number}", sound)
            for kind in reader.kinds
            for number, seed in enumerate(sound[kind])
        )
        refused: list[str] = []
        for ending, detail in endings:
            if ending == ACCEPTED:
                break
            refused.append(detail[-300:])
        else:
            pytest.fail(f"{reader.name} refuses all its sound files: {refused}")


def test_every_reader_passes_through_the_boundary(
    sound: dict[str, list[Seed]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that opens its file outside of `Reading` lets errors of libraries through."""
    entered: list[str] = []
    monkeypatch.setattr(Reading, "__enter__", lambda self: entered.append(str(self._name)))
    outside = []
    for reader in READERS:
        if reader.name not in BOUNDED:
            continue
        entered.clear()
        seed = sound[reader.kinds[0]][0]
        (tmp_path / reader.name).mkdir()
        with contextlib.suppress(InputError), alarm(MAX_SOUND_S):
            reader.read(seed.path, tmp_path / reader.name, sound)
        if not any(part in name for name in entered for part in (seed.path.stem, seed.path.parent.name)):
            outside.append(reader.name)
    assert outside == []


def test_a_case_is_the_same_each_time(sound: dict[str, list[Seed]], tmp_path: Path) -> None:
    number = next(number for number, reader in enumerate(READERS) if reader.name == "read_footprints")
    first, second = (_files(number, sound, tmp_path / name) for name in ("a", "b"))
    assert first == second


def _files(number: int, sound: dict[str, list[Seed]], folder: Path) -> dict[str, bytes]:
    rng = np.random.default_rng([0, number])
    harness.damaged_copy(READERS[number], sound, folder, rng)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), MemoryError(), KeyError("x")])
def test_anything_else_that_is_raised_breaks_the_contract(error: BaseException, tmp_path: Path) -> None:
    def fail(main: Path, out: Path, sound: object) -> object:
        raise error

    ending, detail = read_within(Reader("broken", (), fail), tmp_path, tmp_path / "out", {})
    assert ending == TRACEBACK
    assert type(error).__name__ in detail


@pytest.mark.skipif(not hasattr(__import__("signal"), "setitimer"), reason="this system has no such alarms")
def test_a_reader_that_does_not_end_is_a_hang(tmp_path: Path) -> None:
    def turn(main: Path, out: Path, sound: object) -> object:
        while True:
            pass

    ending, _ = read_within(Reader("endless", (), turn), tmp_path, tmp_path / "out", {}, limit_s=0.2)
    assert ending == harness.HANG


def test_every_mutator_changes_bytes_and_takes_no_bytes_at_all() -> None:
    data = b'{"name": "a", "value": 12, "rows": [1, 2, 3]}' * 20
    for mutator in BYTE_MUTATORS:
        changed = [mutator(data, np.random.default_rng(seed)) for seed in range(20)]
        assert any(one != data for one in changed), mutator.__name__
        assert isinstance(mutator(b"", np.random.default_rng(0)), bytes)


def test_changed_trees_differ_and_leave_the_original_alone() -> None:
    tree = {"a": [1, {"b": "text"}], "c": None}
    changed = [mutate_tree(tree, np.random.default_rng(seed), yaml=True) for seed in range(50)]
    assert sum(repr(one) != repr(tree) for one in changed) > 40
    assert tree == {"a": [1, {"b": "text"}], "c": None}
