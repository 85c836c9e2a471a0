"""The miniature city: a synthetic scene with images, heights, labels, vectors, points, spectra and their truth."""

from deepnets4eo.synthetic.city import City, building_volumes
from deepnets4eo.synthetic.cube import MadeUpCube
from deepnets4eo.synthetic.event import GRADES, Event
from deepnets4eo.synthetic.scan import aerial_scan, scanner_positions, terrestrial_scan
from deepnets4eo.synthetic.style import Light, Season, Sensor

__all__ = [
    "GRADES",
    "City",
    "MadeUpCube",
    "Event",
    "Light",
    "Season",
    "Sensor",
    "aerial_scan",
    "building_volumes",
    "scanner_positions",
    "terrestrial_scan",
]
