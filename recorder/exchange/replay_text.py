"""Columns of the lake as the venue's text: whole columns at a time, since a book has hundreds of numbers.

A number is written as the venue does: no exponent, no trailing zero, never through a float. Successive books
repeat most of their levels, so each one is written once a batch and taken from there.
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
    return _words(coded.dictionary).take(coded.indices)


def sides(prices: pa.Array, sizes: pa.Array) -> pa.Array:
    """Lists of prices and sizes as one text a row: ["86505.1","0.00024"],["86499.91","0.00034"]; "" if empty."""
    price, size = prices.flatten().dictionary_encode(), sizes.flatten().dictionary_encode()
    width = max(1, len(size.dictionary))
    pair = pc.add(pc.multiply(price.indices.cast(pa.int64()), width), size.indices.cast(pa.int64()))
    pair = pair.dictionary_encode()
    price_at = pc.divide(pair.dictionary, width)
    size_at = pc.subtract(pair.dictionary, pc.multiply(price_at, width))
    levels = joined('["', _words(price.dictionary).take(price_at), '","', _words(size.dictionary).take(size_at), '"]')
    starts = prices.offsets
    lists = pa.ListArray.from_arrays(pc.subtract(starts, starts[0]), levels.take(pair.indices))
    return pc.binary_join(lists, ",")


def joined(*pieces: Any) -> pa.Array:
    """Texts put together row by row; a piece is a column, or a word for all rows. Null where a column is."""
    return pc.binary_join_element_wise(*pieces, "")


def whole(column: pa.Array) -> pa.Array:
    """Whole numbers as text."""
    return column.cast(TEXT)


def optional(before: str, column: pa.Array, after: Any) -> pa.Array:
    """The column between two words; nothing at all where it is null."""
    return pc.coalesce(joined(before, column, after), pa.scalar("", TEXT))


def filled(column: pa.Array, word: str) -> pa.Array:
    """`word` where it is null."""
    return pc.coalesce(column, pa.scalar(word, TEXT))


def bytes_of(column: pa.Array) -> list[Any]:
    """As Python's bytes; None where it is null."""
    found: list[Any] = column.cast(pa.binary()).to_pylist()
    return found


def _words(dictionary: pa.Array) -> pa.Array:
    """Each number once. Arrow writes all decimals of a number, and small ones with an exponent."""
    text = dictionary.cast(TEXT)
    words = pc.ascii_rtrim(pc.ascii_rtrim(text, "0"), ".")
    small = pc.fill_null(pc.match_substring(text, "E"), False)
    if not pc.any(small).as_py():
        return words
    return pc.replace_with_mask(
        words, small, pa.array([plain(value) for value in dictionary.filter(small).to_pylist()], TEXT)
    )
