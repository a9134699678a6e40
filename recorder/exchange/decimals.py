"""Write exact integers as the venue writes decimals: no exponent, no trailing zero, no float.

A price is a whole number of units of 10**-scale, so sums and products stay exact; only at the
edge does a number become text. "86505.1" and never "86505.10" or "8.65e4".
"""


def plain(value: int, scale: int) -> str:
    """Return `value` x 10**-scale as the venue prints it; a negative scale adds zeros."""
    if scale <= 0:
        return str(value * 10**-scale)
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, part = divmod(value, 10**scale)
    if not part:
        return f"{sign}{whole}"
    return f"{sign}{whole}." + str(part).zfill(scale).rstrip("0")


def parse(text: str, scale: int) -> int:
    """Read a decimal string as a whole number of 10**-scale.

    Raises ValueError if the text is no plain decimal or has more digits than `scale` keeps.
    """
    whole, _, part = text.partition(".")
    if len(part) > scale:
        kept, rest = part[:scale], part[scale:]
        if rest.strip("0"):
            raise ValueError(f"{text} has more than {scale} decimals")
        part = kept
    return int(whole + part.ljust(scale, "0"))


def decimals_of(text: str) -> int:
    """How many decimals `text` needs once its trailing zeros are gone."""
    return len(text.partition(".")[2].rstrip("0"))


def change(first: int, last: int) -> str:
    """(last - first) / first to four decimals, half away from zero: the ticker's `m`."""
    if first <= 0:
        return "0"
    size = (abs(last - first) * 20_000 + first) // (2 * first)
    return plain(size if last >= first else -size, 4)
