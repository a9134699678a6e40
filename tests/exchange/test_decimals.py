import pytest

from recorder.exchange.decimals import change, decimals_of, parse, plain


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (8650510, 2, "86505.1"),
        (100, 2, "1"),
        (0, 5, "0"),
        (24, 5, "0.00024"),
        (1, 18, "0.000000000000000001"),
        (6, 0, "6"),
        (3, -2, "300"),
        (-597, 4, "-0.0597"),
    ],
)
def test_a_number_is_written_plainly_without_trailing_zeros_or_exponent(value: int, scale: int, text: str) -> None:
    assert plain(value, scale) == text


@pytest.mark.parametrize("text", ["61837.63000000", "61837.63", "0.5", "7"])
def test_parsing_keeps_every_digit(text: str) -> None:
    assert plain(parse(text, 8), 8) == (text.rstrip("0").rstrip(".") if "." in text else text)


def test_a_number_with_more_digits_than_we_keep_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 2 decimals"):
        parse("1.001", 2)
    assert parse("1.0100", 2) == 101


def test_decimals_are_counted_without_trailing_zeros() -> None:
    assert [decimals_of(text) for text in ("61837.63000000", "5", "0.100")] == [2, 0, 1]


def test_the_change_of_a_ticker_is_a_fraction_of_the_open_with_four_decimals() -> None:
    assert change(9159299, 8612713) == "-0.0597"  # the venue's own sample
    assert change(100, 100) == "0"
    assert change(8774012, 8891071) == "0.0133"
