"""Rasters as files: opened one by one or as mosaics, read ahead, written as COG."""

import warnings

from rasterio.errors import NotGeoreferencedWarning

# Images without georeference are ordinary input here. Set once: filters set and restored by threads undo each other.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
