"""Files for backtesters, made from a lake. `export` is the door; each target has its own module.

    from recorder.exports import export
    export("hftbacktest", "data", "BTCUSD", "2026-03-01", "2026-03-02", out="btc.npz")

Nothing here changes the lake. Numbers stay exact until a target wants doubles; times stay what they were; what is
missing is refused, split around, or (when asked) passed over, and told in the JSON beside each export.
"""

from recorder.exports.errors import CoverageError, ExportError
from recorder.exports.export import TARGETS, Target, export
from recorder.exports.files import ExportedFile, ExportReport

__all__ = ["TARGETS", "CoverageError", "ExportError", "ExportReport", "ExportedFile", "Target", "export"]
