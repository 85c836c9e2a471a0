"""The command line in its own environment: where it is, and how it is run with progress, cancel and log.

QGIS changes the environment of what it starts (Python's home, GDAL's and PROJ's files); another Python with another GDAL would fail
with these, so they are taken out."""

from __future__ import annotations

import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import QgsApplication, QgsProcessingException, QgsProcessingFeedback

SETTING = "DEEPNETS4EO_COMMAND"  # of Processing, and an environment variable
WINDOWS = sys.platform == "win32"
FOREIGN = re.compile(r"PYTHON\w*|GDAL_(DATA|DRIVER_PATH)|PROJ_(LIB|DATA)|QT_\w+|LD_PRELOAD|OSGEO4W_ROOT|VIRTUAL_ENV")
SHARE = re.compile(r": (\d+) %")
WORTHLESS = 3  # exit status of a map that was written, but must not be used
ANY_FILE = "All files (*)"  # the filter of QGIS's own, *.*, refuses files without a suffix, such as python3
POLL_S = 0.2
GRACE_S = 30.0  # for a job that is cancelled, to keep what is finished; then it is ended, and its journal has that too


def home() -> Path:
    """Returns the folder of the environment that `SetUp` makes: beside the settings of QGIS."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "deepnets4eo"


def program(name: str) -> Path:
    """Returns a program of that environment, such as python."""
    return home() / ("Scripts" if WINDOWS else "bin") / (f"{name}.exe" if WINDOWS else name)


def command() -> str:
    """Returns the command: of Processing's settings, of the environment variable, that which was set up, or on the path."""
    own = program("deepnets4eo")
    named = (
        ProcessingConfig.getSetting(SETTING)
        or os.environ.get(SETTING)
        or (str(own) if own.exists() else shutil.which("deepnets4eo"))
    )
    if not named:
        raise QgsProcessingException(
            "The command deepnets4eo was not found. Run the algorithm 'Set up the command line', or name it in "
            "Settings > Options > Processing > Providers > deepnets4eo."
        )
    return str(named)


def split(text: str) -> list[str]:
    """Returns the words of a line as a shell takes them; on Windows a backslash stands for itself."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    lexer.escape = "" if WINDOWS else lexer.escape
    return list(lexer)


def run(words: list[str], feedback: QgsProcessingFeedback) -> list[str]:
    """Run a command; its messages go to the log. Returns the lines that it prints, which are the files of its result. A cancelled
    one is interrupted, so that it can be resumed; that, and errors, are raised with the last message."""
    feedback.pushCommandInfo(subprocess.list2cmdline(words))
    environment = {key: value for key, value in os.environ.items() if not FOREIGN.fullmatch(key)}
    with tempfile.TemporaryFile() as printed:
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
            env=environment | {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1"},
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW if WINDOWS else 0,
        ) as process:  # fmt: skip
            last = _follow(process, feedback)
        printed.seek(0)
        lines = printed.read().decode("utf-8", "replace").splitlines()
    if feedback.isCanceled():
        raise QgsProcessingException(last or "cancelled")
    if process.returncode == WORTHLESS:
        feedback.reportError(last)
    elif process.returncode:
        raise QgsProcessingException(last or f"{words[0]} ended with status {process.returncode}")
    return lines


def _follow(process: subprocess.Popen[str], feedback: QgsProcessingFeedback) -> str:
    """Show the messages of a process until it ends; where the user cancels it is interrupted, and ended if it goes on. Returns the
    last message."""
    assert process.stderr is not None
    messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process.stderr, messages), daemon=True).start()
    last, ends = "", float("inf")
    while True:
        if feedback.isCanceled() and ends == float("inf"):
            ends = time.monotonic() + GRACE_S
            with suppress(OSError):  # on Windows where QGIS has no console
                process.send_signal(signal.CTRL_BREAK_EVENT if WINDOWS else signal.SIGINT)
        if time.monotonic() > ends:
            process.kill()
        try:
            line = messages.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if line is None:
            return last
        if line:
            last = line
            feedback.pushInfo(line)
        if share := SHARE.search(line):
            feedback.setProgress(float(share[1]))


def _read(stream: IO[str], messages: queue.SimpleQueue[str | None]) -> None:
    """Put every line of a stream into the queue, then None."""
    for line in stream:
        messages.put(line.rstrip())
    messages.put(None)
