"""Displays of objects: a short text, a small table in a notebook and a figure; no file is read."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .figures import FigureStyle, add_key, color_patches, draw_image, drawn_text, make_axes, make_row, stretch
    from .progress import progress_bar, watched_progress
    from .summary import MAX_NAMES, ColorRow, Summary, WithSummary, count_text, grid_facts, list_and_count, list_names
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        internal={
            ".figures": [
                "FigureStyle",
                "add_key",
                "color_patches",
                "draw_image",
                "drawn_text",
                "make_axes",
                "make_row",
                "stretch",
            ],
            ".progress": ["progress_bar", "watched_progress"],
            ".summary": [
                "MAX_NAMES",
                "ColorRow",
                "Summary",
                "WithSummary",
                "count_text",
                "grid_facts",
                "list_and_count",
                "list_names",
            ],
        },
    )
