"""Two damage maps of one place, of one tool or several, compared building by building."""
