"""Outputs: none replaces an input, and no cell of a CSV table is a formula."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .event import LONGEST, EventInfo, SeriesEvent, iso_day, iso_time
    from .findings import (
        LABELS,
        Finding,
        Severity,
        count_of,
        duration_text,
        image_of,
        one_or_many,
        worst_first,
    )
    from .headline import Headline as Headline, IntervalBar, bar_of
    from .input_files import check_not_inputs as check_not_inputs, label_raster_files
    from .provenance import (
        add_event,
        add_styles,
        categories_qml,
        describe,
        file_facts,
        filled_qml,
        manifest,
        product_time,
        register_table,
        write_event,
        write_styles,
    )
    from .quantity import Quantity as Quantity, Unit as Unit
    from .reasons import ReasonCode
    from .safe_text import (
        COLOURS,
        asset_text,
        csv_text as csv_text,
        document_head,
        fill_template,
        image_address,
        markdown_text,
        script_safe,
        table_csv,
        wide,
    )
    from .wording import InLanguage, Language, Phrase, number_text
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".headline": ["Headline"],
            ".input_files": ["check_not_inputs"],
            ".quantity": ["Quantity", "Unit"],
            ".safe_text": ["csv_text"],
        },
        internal={
            ".event": ["LONGEST", "EventInfo", "SeriesEvent", "iso_day", "iso_time"],
            ".findings": [
                "LABELS",
                "Finding",
                "Severity",
                "count_of",
                "duration_text",
                "image_of",
                "one_or_many",
                "worst_first",
            ],
            ".headline": ["IntervalBar", "bar_of"],
            ".input_files": ["label_raster_files"],
            ".provenance": [
                "add_event",
                "add_styles",
                "categories_qml",
                "describe",
                "file_facts",
                "filled_qml",
                "manifest",
                "product_time",
                "register_table",
                "write_event",
                "write_styles",
            ],
            ".reasons": ["ReasonCode"],
            ".safe_text": [
                "COLOURS",
                "asset_text",
                "document_head",
                "fill_template",
                "image_address",
                "markdown_text",
                "script_safe",
                "table_csv",
                "wide",
            ],
            ".wording": ["InLanguage", "Language", "Phrase", "number_text"],
        },
    )
