"""Every error a user can cause: what we got, what was expected, what to do.

Raised at the door (readers, command line) before long work starts; kernels trust their input.
"""


class DeepNets4EOError(Exception):
    """Root of all errors of this package."""


class InputError(DeepNets4EOError, ValueError):
    """A file, value or option that cannot be used as given."""


class LabelError(InputError):
    """Label values or colours that are not in the legend."""


class GridError(InputError):
    """Rasters or vectors that do not lie where they should: CRS, overlap, shape."""


class RunError(InputError):
    """A run folder that is damaged, foreign, or does not fit the scene."""


class OutputError(DeepNets4EOError, OSError):
    """An output that cannot be written: it exists already, or the disk refused it."""
