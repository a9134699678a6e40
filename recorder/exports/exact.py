"""Exact numbers on the way from the lake's decimals to what a target wants.

A column of decimal128(30, 12) becomes int64 in the fewest decimal places that hold all of its values, so that
prices are compared as integers. They become float64 only at the very end, each by one correctly rounded division:
the nearest double, the same that Python makes of the venue's string.
"""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recorder.exports.errors import ExportError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
STORED_PLACES = 12
EXACT_IN_DOUBLE = 2**53  # integers up to here are doubles, and so are powers of ten up to 10**22


class Places:
    """How many decimal places the numbers of one column need; grows as numbers come, never shrinks."""

    def __init__(self, places: int = 0) -> None:
        self.places = places

    def ints(self, values: pa.Array) -> Ints:
        """Decimals as whole numbers of 10**-places. Raises ExportError for what does not fit in 64 bits."""
        if len(values) == 0:
            return np.empty(0, np.int64)
        if values.null_count:
            raise ExportError("a price or size is null where a number is needed; run `recorder verify`")
        low, high = _halves(values)
        if not high.any() and low[low.argmax()] < 2**63:
            while self.places < STORED_PLACES:
                unit = np.uint64(10 ** (STORED_PLACES - self.places))
                whole = low // unit
                if np.array_equal(whole * unit, low):
                    return whole.astype(np.int64)
                self.places += 1
            return low.astype(np.int64)
        return self._wide(values)

    def floats(self, ints: Ints) -> Floats:
        """The doubles nearest to ints x 10**-places."""
        if ints.size == 0 or max(int(ints.max()), -int(ints.min())) < EXACT_IN_DOUBLE:
            return ints / 10.0**self.places
        return np.array([float(Decimal(int(value)).scaleb(-self.places)) for value in ints], np.float64)

    def _wide(self, values: pa.Array) -> Ints:
        """The same for numbers above 9.2 million, whose 12 stored places need more than 64 bits."""
        while self.places <= STORED_PLACES:
            try:
                low, high = _halves(values.cast(pa.decimal128(38, self.places)))
            except pa.ArrowInvalid:  # it would lose digits
                self.places += 1
                continue
            if high.any() or low[low.argmax()] >= 2**63:
                break
            return low.astype(np.int64)
        raise ExportError(f"a number does not fit in 64 bits at {self.places} decimal places; export a shorter range")


def rescaled(ints: Ints, before: int, after: int) -> Ints:
    """What was kept in `before` places, in `after` places, of which there are no fewer."""
    return ints * np.int64(10 ** (after - before)) if after > before else ints


def to_float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _halves(values: Any) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The low and the high 64 bits of decimal128 values, which must not be negative."""
    words = np.frombuffer(values.buffers()[1], np.uint64)[2 * values.offset : 2 * (values.offset + len(values))]
    return words[0::2], words[1::2]
