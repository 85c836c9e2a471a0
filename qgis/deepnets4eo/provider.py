"""The provider: one algorithm a row of verbs.json, which the make target writes from the command line's own description, and the
algorithm that sets up the command line."""

from __future__ import annotations

import json
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .command_line import SETTING
from .set_up import SetUp
from .verb import Verb

HERE = Path(__file__).parent


class Provider(QgsProcessingProvider):
    """The verbs of deepnets4eo."""

    def id(self) -> str:
        """Returns the beginning of the algorithms' ids."""
        return "deepnets4eo"

    def name(self) -> str:
        """Returns the name in the toolbox."""
        return "deepnets4eo"

    def icon(self) -> QIcon:
        """Returns the plugin's icon."""
        return QIcon(str(HERE / "icon.svg"))

    def load(self) -> bool:
        """Add the setting that names the command, then the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        ProcessingConfig.addSetting(
            Setting(
                self.name(), SETTING, "Command (empty: the one that was set up, or found)", "", valuetype=Setting.FILE
            )
        )
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Take the setting away."""
        ProcessingConfig.removeSetting(SETTING)

    def loadAlgorithms(self) -> None:  # noqa: N802
        """Add the algorithms."""
        verbs = json.loads((HERE / "verbs.json").read_text(encoding="utf-8"))
        for algorithm in (*map(Verb, verbs), SetUp()):
            self.addAlgorithm(algorithm)
