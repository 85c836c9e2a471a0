"""The algorithm that makes the environment of the command line: one click, in its own folder, with pip."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
)

from .command_line import ANY_FILE, home, program, run

OLD = "import sys; sys.version_info >= (3, 11) or sys.exit(f'{sys.executable} is Python {sys.version.split()[0]}: name one of 3.11 or later')"


class SetUp(QgsProcessingAlgorithm):
    """Makes a virtual environment beside the settings of QGIS and installs the command line there."""

    def name(self) -> str:
        """Returns the id."""
        return "set_up"

    def displayName(self) -> str:  # noqa: N802
        """Returns the name in the toolbox."""
        return "Set up the command line"

    def shortHelpString(self) -> str:  # noqa: N802
        """Returns the help."""
        return (
            f"<p>Makes an environment in {home()} and installs deepnets4eo there, from the Internet or from a wheel. The Python of QGIS "
            "is left as it is. Run it again to renew the environment. Not needed where deepnets4eo is installed "
            "already: name its command in Settings &gt; Options &gt; Processing &gt; Providers.</p>"
        )

    def createInstance(self) -> SetUp:  # noqa: N802
        """Returns another one."""
        return SetUp()

    def initAlgorithm(self, configuration: Any = None) -> None:  # noqa: N802
        """Add the parameters."""
        self.addParameter(
            QgsProcessingParameterFile(
                "wheel",
                "Wheel, or folder of the source; empty for the package index",
                optional=True,
                fileFilter=ANY_FILE,
            )
        )
        self.addParameter(QgsProcessingParameterBoolean("deep", "With networks (3 GB instead of 1 GB)", True))
        self.addParameter(
            QgsProcessingParameterFile(
                "python", "Python 3.11 or later; empty for that of QGIS", optional=True, fileFilter=ANY_FILE
            )
        )
        self.addOutput(QgsProcessingOutputString("VERSION", "What was installed"))

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, str]:
        """Make the environment."""
        source = self.parameterAsString(parameters, "wheel", context) or "deepnets4eo"
        if self.parameterAsBool(parameters, "deep", context):
            source += "[all]"
        interpreter = self.parameterAsString(parameters, "python", context) or _own_python()
        version: list[str] = []
        for share, words in enumerate(
            (
                [interpreter, "-c", OLD],
                [interpreter, "-m", "venv", "--clear", str(home())],
                [str(program("python")), "-m", "pip", "install", "--disable-pip-version-check", source],
                [str(program("deepnets4eo")), "--version"],
            )
        ):
            feedback.setProgress(25 * share)
            version = run(words, feedback)
            if feedback.isCanceled():
                return {}
        return {"VERSION": version[0]}


def _own_python() -> str:
    """The interpreter of QGIS, whose own program is QGIS itself on Windows and macOS."""
    beside = (Path(sys.executable or "/").with_name(name) for name in ("python3", "python.exe"))
    inside = (Path(sys.exec_prefix) / name for name in ("python.exe", "bin/python3"))
    found = next((str(path) for path in (*inside, *beside) if path.is_file()), shutil.which("python3"))
    if found is None:
        raise QgsProcessingException("No Python was found. Name one of 3.11 or later.")
    return found
