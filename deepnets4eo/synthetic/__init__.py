"""The miniature city: every modality of one made-up place, with its truth, from a seed."""

from deepnets4eo.synthetic.city import City
from deepnets4eo.synthetic.event import GRADES, Event
from deepnets4eo.synthetic.style import Light, Season, Sensor

__all__ = ["GRADES", "City", "Event", "Light", "Season", "Sensor"]
