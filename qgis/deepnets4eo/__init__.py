"""The verbs of deepnets4eo as Processing algorithms of QGIS."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication


class Plugin:
    """Adds the provider while the plugin is loaded, in QGIS and in `qgis_process`."""

    def initProcessing(self) -> None:  # noqa: N802  QGIS calls it by this name
        """Add the provider."""
        from .provider import Provider

        self.provider = Provider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    initGui = initProcessing  # noqa: N815

    def unload(self) -> None:
        """Take the provider away."""
        QgsApplication.processingRegistry().removeProvider(self.provider)


def classFactory(iface: Any) -> Plugin:  # noqa: N802
    """Returns the plugin; QGIS calls this."""
    return Plugin()
