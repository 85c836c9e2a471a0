"""A look at clouds: a page that needs no other file, a window of Open3D, pictures along a flight."""
