"""Writing beside other jobs and over no input: one lock an output, inputs kept, cells that no spreadsheet runs."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "csv_text": "deepnets4eo.outputs.csv_cells",
    "locked": "deepnets4eo.outputs.lock",
    "refuse_inputs": "deepnets4eo.outputs.input_files",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
