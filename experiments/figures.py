"""The queue of figures: every row of the lineage made again, one process at a time, in the order of what its hours are worth.

Usage: python experiments/figures.py --list [--out FOLDER]
       python experiments/figures.py --data SAMPLES [--only NAME …] [--budget HOURS] --out FOLDER
Stages are in figures.yaml. Each goes on where it was stopped: trainings resume bit for bit, and rows that are finished are read. Its results.json
goes to experiments/results with the commit that made it, also of a stage that was stopped, as far as it came; then docs/lineage.md is made again.
Use a clone of its own: a stage is finished for one commit, and a file that is not committed is in no figure.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from printed_figures import write_figures
from script import RESULTS, plain_errors

from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
STAGES, STORED = ROOT / "experiments" / "figures.yaml", ROOT / "experiments" / "results"
LINEAGE = ROOT / "docs" / "lineage.yaml"
COMMITS = "commits"
STOP_S = 120  # that a stage has to end by itself
POLL_S = 1.0


@dataclass(frozen=True)
class Stage:
    """One command of the queue.

    hours : of one core. adds : keep rows of a stored result that this stage does not run. cut : why it is not run by itself. folder : that it
    writes to, by default its name; stages of one folder read each other's finished rows.
    """

    name: str
    script: str
    hours: float
    words: str = ""
    adds: bool = False
    cut: str = ""
    folder: str = ""

    def folder_in(self, out: Path) -> Path:
        """Return its folder in the folder of the queue."""
        return out / (self.folder or self.name)

    def end_file(self, out: Path) -> Path:
        """Return the file that states how it ended."""
        return self.folder_in(out) / f"done-{self.name}.json"

    @property
    def stored(self) -> Path:
        """The results of its script that the pages quote."""
        return STORED / f"{Path(self.script).stem}.json"

    def command(self, data: Path, out: Path) -> list[str]:
        """Return the words of the command."""
        words = [word.format(data=data, repo=ROOT) for word in shlex.split(self.words)]
        return [sys.executable, str(ROOT / "experiments" / self.script), *words, f"--out={out}"]

    def state(self, out: Path) -> str:
        """Return how far the stage came in a folder of the queue, and whose commit made the stored results."""
        done = read_json(self.end_file(out)) if self.end_file(out).is_file() else {}
        stored = read_json(self.stored).get(COMMITS, {}) if self.stored.is_file() else {}
        made = f", stored of {stored[self.name][:8]}" if self.name in stored else ""
        if self.cut:
            return f"not run: {self.cut}{made}"
        if not done:
            return ("begun" if self.folder_in(out).is_dir() and not self.folder else "open") + made
        return f"{done['state']} at {done['commit'][:8]} after {done['seconds'] / 3600:.1f} h{made}"


def stages() -> list[Stage]:
    """Return all stages in their order."""
    return [Stage(**entry) for entry in yaml.safe_load(STAGES.read_text(encoding="utf-8"))]


def choose(names: Sequence[str] | None) -> list[Stage]:
    """Return the stages of these names in the order of the queue; all if none is given. Errors: InputError for unknown ones."""
    every = stages()
    unknown = set(names or ()) - {stage.name for stage in every}
    if unknown:
        raise InputError(f"no stage is called {', '.join(sorted(unknown))}. --list shows the names.")
    return [stage for stage in every if not names or stage.name in names]


def systems_of(script: str) -> list[str]:
    """Return the rows of the lineage whose figures a script makes."""
    lineage = yaml.safe_load(LINEAGE.read_text(encoding="utf-8"))
    return [one["system"] for family in lineage["families"] for one in family["systems"] if one["script"] == script]


def table(out: Path) -> str:
    """Return every row of the lineage with its stages, their hours and states, as Markdown; rows by path need data of others."""
    lineage = yaml.safe_load(LINEAGE.read_text(encoding="utf-8"))
    every = stages()
    lines = ["| row of the lineage | stage | hours | state |", "|---|---|---:|---|"]
    for one in (one for family in lineage["families"] for one in family["systems"]):
        of_script = [stage for stage in every if stage.script == one["script"]]
        lines += [f"| {one['system']} | {stage.name} | {stage.hours:g} | {stage.state(out)} |" for stage in of_script]
        if not of_script:
            lines.append(f"| {one['system']} | – | – | {one['kind']} |")
    total = sum(stage.hours for stage in every if not stage.cut)
    return "\n".join([*lines, "", f"{len(every)} stages, {total:.1f} hours of one core in all."])


def run_stage(stage: Stage, data: Path, out: Path, commit: str, seconds: float) -> bool:
    """Run a stage for at most so many seconds and store its results as far as they go; returns whether it came to its end."""
    folder = stage.folder_in(out)
    folder.mkdir(parents=True, exist_ok=True)
    if stage.adds and stage.stored.is_file():
        write_json(folder / RESULTS, read_json(stage.stored))
    before = (folder / RESULTS).read_bytes() if (folder / RESULTS).exists() else b""
    started, status = time.monotonic(), None
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(stage.command(data, folder), cwd=ROOT, stdout=log, stderr=log)
        try:
            status = _wait(process, seconds)
        finally:  # what a stage has when the queue is stopped is stored, too
            _stop(process)
            state = "finished" if status == 0 else "stopped" if status is None else f"failed ({status}), see log.txt"
            seconds_taken = round(time.monotonic() - started, 1)
            write_json(stage.end_file(out), {"state": state, "commit": commit, "seconds": seconds_taken})
            if (folder / RESULTS).exists() and (folder / RESULTS).read_bytes() != before:
                results: dict[str, Any] = read_json(folder / RESULTS)
                earlier = read_json(stage.stored).get(COMMITS, {}) if stage.stored.is_file() else {}
                write_json(stage.stored, results | {COMMITS: {**earlier, stage.name: commit}})
    return status == 0


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Return the exit status of a process, None if it was stopped since its time was over."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > end:
            _stop(process)
            return None
        time.sleep(POLL_S)
    return process.returncode


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a stage as Ctrl-C does, so that its training writes a checkpoint."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def commit_of(root: Path = ROOT) -> str:
    """Return the commit of the checkout. Errors: InputError if tracked files differ from it, but for results and the page of the lineage."""
    git = ["git", "-C", str(root)]
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
    )
    of_queue = ("experiments/results/", "docs/lineage.md")
    others = [line[3:] for line in changed.stdout.splitlines() if not line[3:].startswith(of_queue)]
    if others:
        raise InputError(
            f"{', '.join(others[:3])} differ from the commit, so no figure could name what made it. Commit them, or use a clone."
        )
    return subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="show every row with its stage, cost and state")
    parser.add_argument("--only", nargs="+", help="names of stages")
    parser.add_argument(
        "--budget", type=float, default=30.0, help="hours by the clock, after which the stage that runs is stopped"
    )
    parser.add_argument("--data", type=Path, help="the folder of real samples")
    parser.add_argument("--out", type=Path, default=None, help="folder of the queue; with --list its states are shown")
    chosen = parser.parse_args()
    if chosen.list:
        print(table(chosen.out or Path("no queue yet")))
        return
    if chosen.data is None or chosen.out is None:
        parser.error("--data and --out are needed: the folder of real samples, and that of the queue")
    commit, end = commit_of(), time.monotonic() + 3600 * chosen.budget
    os.environ["PYTHONPATH"] = str(ROOT)
    for stage in choose(chosen.only):
        state = stage.state(chosen.out)
        left = end - time.monotonic()
        if left <= 0:
            print("The budget is used up; the same command goes on.")
            break
        if stage.cut or state.startswith(f"finished at {commit[:8]}"):
            print(f"{stage.name}: {state}")
            continue
        run_stage(stage, chosen.data.resolve(), chosen.out.resolve(), commit, left)
        print(f"{stage.name}: {stage.state(chosen.out)}", flush=True)
    print(*write_figures(), sep="\n")
    subprocess.run([sys.executable, str(ROOT / "scripts" / "lineage_page.py")], check=True)


if __name__ == "__main__":
    with plain_errors():
        main()
