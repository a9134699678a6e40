"""Columns of the lake as the venue's text: whole columns at a time, since a book has hundreds of numbers.

A number is written as the venue does: no exponent, no trailing zero, never through a float. Successive books
repeat most of their numbers, so each one is written once a batch and taken from there.
"""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.string()


def plain(value: Decimal) -> str:
    """A stored decimal as the venue prints it."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def numbers(column: pa.Array) -> pa.Array:
    """Decimals as text; null stays null."""
    coded = column.dictionary_encode()
    words = pa.array([None if value is None else plain(value) for value in coded.dictionary.to_pylist()], TEXT)
    return words.take(coded.indices)


def sides(prices: pa.Array, sizes: pa.Array) -> pa.Array:
    """One text a row: ["86505.1","0.00024"],["86499.91","0.00034"]; empty where the side is."""
    levels = joined('["', numbers(prices.flatten()), '","', numbers(sizes.flatten()), '"]')
    return pc.binary_join(pa.ListArray.from_arrays(offsets(prices), levels), ",")


def offsets(lists: pa.Array) -> pa.Array:
    """Where each row's items begin in `flatten()`, also of a slice."""
    starts = lists.offsets
    return pc.subtract(starts, starts[0])


def joined(*pieces: Any) -> pa.Array:
    """Texts put together row by row; a piece is a column or one word for all rows."""
    return pc.binary_join_element_wise(*pieces, "")


def whole(column: pa.Array) -> pa.Array:
    """Whole numbers as text."""
    return column.cast(TEXT)


def optional(before: str, column: pa.Array, after: str) -> pa.Array:
    """The column between two words, nothing at all where it is null."""
    return pc.coalesce(joined(before, column, after), pa.scalar("", TEXT))


def texts(column: pa.Array) -> list[Any]:
    """As Python's bytes; None where it is null."""
    found: list[Any] = column.cast(pa.binary()).to_pylist()
    return found
