"""The one way in for files of others: which formats are read, what they may refer to, how much they may unpack to.

GDAL chooses a driver by a file's content, and some drivers read other files, or go online. So the first bytes are read
first, and GDAL gets the one driver that belongs to them. Rasters through `rasters`, vectors through `vectors`."""
