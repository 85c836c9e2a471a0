"""Measures the processor time of `--smoke` of each script of the lineage, for docs/lineage.md.

Run: python scripts/smoke_times.py SAMPLES [SCRIPT …]; SAMPLES is the folder of real samples. Scripts that are not named and have a time are left out.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import lineage_page

ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def processor() -> str:
    """Return the name of this computer's processor."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", info.read_text(encoding="utf-8")) if info.is_file() else []
    return names[0] if names else platform.processor()


def seconds_of(script: str, samples: Path) -> float:
    """Run --smoke of a script with one thread; returns user and system seconds. Errors: CalledProcessError."""
    with tempfile.TemporaryDirectory() as out:
        words = lineage_page.smoke_words(script, samples, out)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(lineage_page.ROOT)}
        subprocess.run(
            [sys.executable, *words], cwd=lineage_page.ROOT, env=environment, check=True, capture_output=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(samples: Path, *named: str) -> int:
    """Measure, and store after each script; returns the number of scripts that failed."""
    stored = lineage_page.smoke_times()
    todo = named or [name for name in lineage_page.smoked() if name not in stored]
    failed = 0
    for script in todo:
        try:
            seconds = round(seconds_of(script, samples.resolve()))
        except subprocess.CalledProcessError as error:
            failed += 1
            print(f"{script}: {error.stderr.decode(errors='replace')[-500:]}", file=sys.stderr, flush=True)
            continue
        stored = dict(sorted((stored | {script: {"seconds": seconds, "processor": processor()}}).items()))
        lineage_page.SMOKE_TIMES.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        print(script, seconds, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
