"""Clouds and buildings for viewing: a page that needs no other file, glTF and PLY."""
