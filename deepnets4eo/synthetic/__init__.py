"""The miniature city: a synthetic scene with images, heights, labels, vectors, points, spectra and their truth."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .city import City as City, building_volumes as building_volumes
    from .cube import MadeUpCube as MadeUpCube
    from .event import GRADES as GRADES, Event as Event
    from .scan import (
        aerial_scan as aerial_scan,
        scanner_positions as scanner_positions,
        terrestrial_scan as terrestrial_scan,
    )
    from .style import Light as Light, Season as Season, Sensor as Sensor
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".city": ["City", "building_volumes"],
            ".cube": ["MadeUpCube"],
            ".event": ["GRADES", "Event"],
            ".scan": ["aerial_scan", "scanner_positions", "terrestrial_scan"],
            ".style": ["Light", "Season", "Sensor"],
        },
    )
