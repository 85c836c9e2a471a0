"""The page of a map: both images in panels, the objects of the map over them, their list, and files of what is listed.

Takes layers on one grid and packed objects; writes one HTML file that loads nothing.

What an object is, and the text about it, comes as scripts of the kind of map.
"""

from .page import MISSING, MapKind, PageLanguage, Payload, rings_in_pixels, share_codes, write_map_page
from .panels import CLOUD_COLOUR, WATER_COLOUR, Overlay, picture_px, render_window, stretch_of, three_bands
from .words import is_right_to_left, page_language, words_of
