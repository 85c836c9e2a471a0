"""State of a review while people still look: the count, what the map has learnt, what is looked at next, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.damage.review.answers import read_filled, write_looks
from deepnets4eo.damage.review.counts import review_counts
from deepnets4eo.damage.review.map_before import table_before
from deepnets4eo.damage.review.site_look import look_of_map
from deepnets4eo.damage.review.taught_map import chosen_files, next_file
from deepnets4eo.damage.review.teaching import MIN_ANSWERS, Taught, can_teach, choose_next, graded_answers, teach
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import InputError
from deepnets4eo.outputs.served_page import Answers

ROUND = 10  # answers after which the page says anew what they show
ENOUGH_WIDTH = 0.15  # of the interval of the damaged share
FEW_CHANGES = 0.01  # of the buildings are graded otherwise after a round that changed hardly any
QUIET_ROUNDS = 2


class Rounds:
    """The answers to a sample of the map in a folder. count : buildings of a round, half of them chosen; None: none are chosen."""

    def __init__(self, folder: Path, sample: Path, count: int | None = None) -> None:
        self.folder, self.sample, self.count = folder, sample, count
        filled = read_filled(sample, table_before(folder))
        for path in self.chosen:  # refused where they are of another map
            read_filled(path, table_before(folder))
        self.buildings = filled.buildings
        self._drawn = filled.sample
        self._row_of = dict(zip(self.buildings["id"], range(len(self.buildings)), strict=True))
        self.look: Floats | None = None
        self._share_seen: float | None = None
        self._damaged: Mask | None = None
        self._answers = self._quiet = 0
        self._changes: list[str] = []
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Answers of a round."""
        return self.count or ROUND

    @property
    def chosen(self) -> list[Path]:
        """Files of chosen buildings."""
        return [] if self.count is None else chosen_files(self.folder)

    def measure_look(self) -> Thread:
        """Start to measure the appearance of buildings, so that people need not wait for it."""

        def measure() -> None:
            try:
                self.look = look_of_map(self.folder, self._note_share)
            finally:
                self._share_seen = None

        self._share_seen = 0.0
        thread = Thread(target=measure, daemon=True)
        thread.start()
        return thread

    def state(self) -> dict[str, Any]:
        """Return lines for the page, whether enough is known, and the number of buildings chosen now. Errors: sqlite3.Error."""
        with self._lock:
            drawn, *others = (self._looks(path) for path in (self.sample, *self.chosen))
            line, enough = self._count_line(drawn)
            lines, added = [line], 0
            if self.count is not None:
                answers = _only_answers(
                    drawn | {row: answer for round_answers in others for row, answer in round_answers.items()}
                )
                learnt, sure = self._taught_lines(answers)
                lines, enough = [*lines, *learnt], enough and sure
                added = self._choose(answers, drawn, others)
            if enough:
                lines.append("This is enough: more answers will change little.")
            return {"lines": lines, "enough": enough, "added": added}

    def _looks(self, path: Path) -> dict[int, str | None]:
        """Row of the map → answer of all that a file shows; by SQLite, as another program may be writing."""
        return {self._row_of[row.id]: row.answer for row in Answers(path).rows() if row.id in self._row_of}

    def _count_line(self, drawn: dict[int, str | None]) -> tuple[str, bool]:
        """Return the damaged share by only the drawn buildings, and whether its interval is narrow."""
        if self._drawn is None:
            return "Chosen buildings teach the map and are not counted.", True
        try:
            reviewed = review_counts(self._drawn, _only_answers(drawn), self.buildings["damage"])
        except InputError:
            return "Nothing is counted yet.", False
        low, high = reviewed.share["interval_95"]
        narrow = high - low <= ENOUGH_WIDTH
        goal = "narrow enough" if narrow else f"go on until it is at most {ENOUGH_WIDTH * 100:.0f} points wide"
        seen = reviewed.looked_at + reviewed.left_out
        line = f"Damaged: {low:.0%} to {high:.0%} of the buildings, by {seen:,} that were drawn at random"
        return f"{line} (95 % interval, {goal}).", narrow

    def _taught_lines(self, answers: dict[int, str]) -> tuple[list[str], bool]:
        """Return what the map has learnt, and whether the last rounds changed hardly any grade."""
        number = len(graded_answers(self.buildings, answers))
        if not can_teach(number):
            return [f"From {MIN_ANSWERS} grades on they teach the map: {number} so far."], False
        taught = teach(self.buildings, answers, look=self.look)
        lines = [f"Taught by {number} grades: {taught.gain()}."]
        if self._share_seen is not None:
            lines.append(f"What the buildings look like is still measured: {self._share_seen:.0%}.")
        self._compare(taught, number)
        return lines + self._changes, self._quiet >= QUIET_ROUNDS

    def _compare(self, taught: Taught, number: int) -> None:
        """Note after a round how many buildings are on the other side of the damage by now."""
        if self._damaged is not None and number < self._answers + self.size:
            return
        damaged = Buildings(taught.buildings).damaged[Buildings(self.buildings).assessed]
        if self._damaged is not None:
            changed = int((damaged != self._damaged).sum())
            self._quiet = self._quiet + 1 if changed <= FEW_CHANGES * len(damaged) else 0
            last = number - self._answers
            self._changes = [f"The last {last} changed the side of {changed:,} of {len(damaged):,} buildings."]
        self._damaged, self._answers = damaged, number

    def _choose(
        self, answers: dict[int, str], drawn: dict[int, str | None], others: Sequence[dict[int, str | None]]
    ) -> int:
        """Choose half a round where all that were chosen are answered: how many."""
        done = all(all(round_answers.values()) for round_answers in others)
        if self.count is None or not done or not can_teach(len(graded_answers(self.buildings, answers))):
            return 0
        listed = np.array([row for round_answers in (drawn, *others) for row in round_answers], np.intp)
        rows = choose_next(self.buildings, answers, listed, max(1, self.count // 2), look=self.look)
        if len(rows):
            write_looks(next_file(self.folder), table_before(self.folder), self.buildings, rows, None)
        return len(rows)

    def _note_share(self, share: float) -> None:
        self._share_seen = share


def _only_answers(looks: Mapping[int, str | None]) -> dict[int, str]:
    return {row: answer for row, answer in looks.items() if answer}
