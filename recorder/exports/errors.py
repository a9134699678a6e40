"""What can go wrong with an export: a wrong wish, or data that is not there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recorder.errors import RecorderError

if TYPE_CHECKING:
    from recorder.exports.coverage import Gap


class ExportError(RecorderError):
    """The export cannot be made as asked."""


class CoverageError(ExportError):
    """The range is not whole; `gaps` says where, the text says which ways there are."""

    def __init__(self, text: str, gaps: Sequence["Gap"] = ()) -> None:
        super().__init__(text)
        self.gaps = list(gaps)
