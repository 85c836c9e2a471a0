"""The real places that nothing is fitted to: how their files are read, and how results on them are scored."""
