"""Jobs that write an output: one at a time, in parts, followed, and continued from what was finished."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .blocks import DoBlock, Executor, FinishBlocks, RemoteSteps, WorkerRefusedError, block_of_step
    from .executors import Workers
    from .file_job import FileJob as FileJob
    from .identities import file_state, identity, identity_hash, name_hash
    from .journal import Journal
    from .kept_files import KeptFiles
    from .lock import output_lock as output_lock
    from .output import JobOutput, Scratch, new_output
    from .parts import Part as Part, Progress, between
    from .records import JobRecord
    from .row_journal import RowJournal
    from .shared_work import Arrays, ComputeBlock, SharedWork
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".file_job": ["FileJob"],
            ".lock": ["output_lock"],
            ".parts": ["Part"],
        },
        internal={
            ".blocks": ["DoBlock", "Executor", "FinishBlocks", "RemoteSteps", "WorkerRefusedError", "block_of_step"],
            ".executors": ["Workers"],
            ".identities": ["file_state", "identity", "identity_hash", "name_hash"],
            ".journal": ["Journal"],
            ".kept_files": ["KeptFiles"],
            ".output": ["JobOutput", "Scratch", "new_output"],
            ".parts": ["Progress", "between"],
            ".records": ["JobRecord"],
            ".row_journal": ["RowJournal"],
            ".shared_work": ["Arrays", "ComputeBlock", "SharedWork"],
        },
    )
