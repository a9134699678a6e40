"""Numbers of the lake are written as the venue writes them."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.exchange.replay_text import numbers, optional, plain, sides

DECIMAL = pa.decimal128(30, 12)
LIST = pa.list_(DECIMAL)
WRITTEN = {
    "86505.100000000000": "86505.1",
    "100.000000000000": "100",
    "0.000000000000": "0",
    "0.000000000001": "0.000000000001",
    "0.000240000000": "0.00024",
    "123456789012345678.000000000001": "123456789012345678.000000000001",
}


@pytest.mark.parametrize(("stored", "written"), WRITTEN.items())
def test_a_number_has_no_exponent_and_no_trailing_zero(stored: str, written: str) -> None:
    assert plain(Decimal(stored)) == written
    assert numbers(pa.array([Decimal(stored)], DECIMAL)).to_pylist() == [written]


@settings(deadline=None)
@given(st.lists(st.none() | st.decimals(0, 10**17, places=12)))
def test_a_column_is_written_as_its_numbers_are(values: list[Decimal | None]) -> None:
    written = [None if value is None else plain(value) for value in values]
    assert numbers(pa.array(values, DECIMAL)).to_pylist() == written
    assert all(text is None or Decimal(text) == value for text, value in zip(written, values, strict=True))


LEVELS = st.lists(st.tuples(*[st.decimals(0, 1000, places=3)] * 2), max_size=5)


@settings(deadline=None)
@given(st.lists(LEVELS, min_size=1, max_size=5), st.integers(0, 4))
def test_sides_pair_prices_and_sizes_row_by_row_also_in_a_slice(
    rows: list[list[tuple[Decimal, Decimal]]], at: int
) -> None:
    prices = pa.array([[price for price, _ in row] for row in rows], LIST).slice(at)
    sizes = pa.array([[size for _, size in row] for row in rows], LIST).slice(at)
    expected = [",".join(f'["{plain(price)}","{plain(size)}"]' for price, size in row) for row in rows[at:]]
    assert sides(prices, sizes).to_pylist() == expected


def test_what_is_null_is_left_out_with_its_name() -> None:
    assert optional('"t":', pa.array(["7", None]), ",").to_pylist() == ['"t":7,', ""]
