"""Read single values exactly, or say why not.

Prices and sizes stay the venue's text until Arrow casts them; nothing here ever makes a float. What we
would have to guess (exponents, signs, more than 12 decimals) is Unreadable, and its frame is kept whole.
"""

import re
from typing import Any

# 18 digits before the point and 12 after it fit decimal128(30, 12); more zeros at either end change nothing.
EXACT = re.compile(r"(?:0*+[1-9][0-9]{0,17}|0+)(?:\.[0-9]{1,12}0*)?")
DIGITS = re.compile(r"[0-9]{1,19}")
VERSION = re.compile(r"([0-9]{1,19})(?:_-?[0-9]{1,4})?")
ZERO = re.compile(r"0+(?:\.0+)?")
SAFE_LENGTH = 30  # Arrow reads any EXACT text of this length; longer ones lose their idle zeros first
LARGEST_INT64 = 2**63 - 1
YEAR_10000_MS = 253_402_300_800_000  # later times no other tool could show
TRUTH = {True: True, False: False, "true": True, "false": False}


class Unreadable(ValueError):
    """A frame, or a row of it, cannot be decoded exactly; the text becomes `quarantine.reason`."""


def shown(value: Any) -> str:
    """`value` for a reason: short, whatever it is."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def decimal_text(value: Any, name: str) -> str:
    """The text of a price or size, fit for Arrow's cast. Raises Unreadable where that would not be exact."""
    if type(value) is not str or EXACT.fullmatch(value) is None:
        raise Unreadable(f"{name} is {shown(value)}, not a decimal that fits (30,12)")
    if len(value) <= SAFE_LENGTH:
        return value
    whole, _, fraction = value.partition(".")
    return f"{whole.lstrip('0') or '0'}.{fraction[:12] or '0'}"


def optional_decimal_text(value: Any, name: str) -> str | None:
    return None if value is None else decimal_text(value, name)


def quote_text(value: Any, name: str) -> str | None:
    """As decimal_text, but missing, "", "0" and null all mean: no quote on this side."""
    if value is None or value == "":
        return None
    text = decimal_text(value, name)
    return None if ZERO.fullmatch(text) else text


def integer(value: Any, name: str, largest: int = LARGEST_INT64) -> int:
    """A whole number, sent as number or as digits. Raises Unreadable where it is neither or too large."""
    if type(value) is str and DIGITS.fullmatch(value):
        value = int(value)
    if type(value) is not int or not 0 <= value <= largest:
        raise Unreadable(f"{name} is {shown(value)}, not a whole number that fits")
    return value


def optional_integer(value: Any, name: str) -> int | None:
    return None if value is None else integer(value, name)


def milliseconds(value: Any, name: str) -> int | None:
    """Unix ms as sent, number or text; None stays None."""
    return None if value is None else integer(value, name, YEAR_10000_MS - 1)


def microseconds(value: Any, name: str) -> int | None:
    """Unix ms as sent, in microseconds as `timestamp[us]` wants them; None stays None."""
    sent = milliseconds(value, name)
    return None if sent is None else sent * 1000


def version(value: Any) -> int | None:
    """The number before the `_` of `<version>_<scale>`, or a bare number; None for every other form."""
    if type(value) is int:
        return value if 0 <= value <= LARGEST_INT64 else None
    match = VERSION.fullmatch(value) if type(value) is str else None
    if match is None:
        return None
    number = int(match[1])
    return number if number <= LARGEST_INT64 else None


def truth(value: Any, name: str) -> bool:
    """A flag, sent as JSON boolean or, in one of the venue's tables, as text."""
    if type(value) in (bool, str) and value in TRUTH:
        return TRUTH[value]
    raise Unreadable(f"{name} is {shown(value)}, not true or false")


def word(value: Any, name: str) -> str:
    """A text that is there and not empty."""
    if type(value) is not str or not value:
        raise Unreadable(f"{name} is {shown(value)}, not a word")
    return value
