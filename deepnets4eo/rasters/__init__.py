"""Rasters as files: opened one by one or as mosaics, read ahead, written as COG."""
