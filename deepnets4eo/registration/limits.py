"""Limits that registration and the verbs that use it share."""

MAX_ROTATION_DEG = 3.0  # georeferenced pairs seldom lie turned by more
