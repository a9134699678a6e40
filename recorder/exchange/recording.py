"""Read raw market recordings: gzip, one message a line, `<our ns> <the venue's JSON as it came>`.

This file knows only where messages are and what market they belong to; `capture.py` gives them a
meaning. Several files of one market are one stream, in order of time.
"""

import gzip
import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from recorder.exchange.decimals import decimals_of
from recorder.exchange.errors import ExchangeError
from recorder.exchange.instruments import Instrument

PROBE_LINES = 4000  # enough to meet every kind of message and the finest price
QUOTES = ("FDUSD", "USDT", "USDC", "USD", "BTC", "ETH")
COIN_CONTRACT = {"BTC": 100}  # USD in one coin-margined contract; 10 for every other coin

Message = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One message: when it was received (ns), whose it is, and what it says."""

    time: int
    symbol: str
    message: Message


@dataclass(frozen=True)
class Recording:
    """One file, and the instrument it records."""

    path: Path
    first_time: int
    instrument: Instrument

    def lines(self) -> Iterator[Line]:
        for time, message in _read(self.path):
            yield Line(time, self.instrument.symbol, message)


def open_recording(path: Path) -> Recording:
    """Look into a file. Raises ExchangeError if it is missing or in another format."""
    probe = list(itertools.islice(_read(path), PROBE_LINES))
    streams = [message["data"] for _, message in probe if "data" in message]
    told = [data for data in streams if data.get("e") in ("trade", "depthUpdate")]
    if not told:
        raise _unreadable(path, "no trade or depth message")
    return Recording(path, probe[0][0], _instrument(streams, told[0]))


def play(recordings: Sequence[Recording]) -> Iterator[Line]:
    """All lines in order of time; the files of one market follow one another."""
    ordered = sorted(recordings, key=lambda recording: recording.first_time)
    markets: dict[str, list[Recording]] = {}
    for recording in ordered:
        markets.setdefault(recording.instrument.symbol, []).append(recording)
    streams: list[Iterable[Line]] = [
        itertools.chain.from_iterable(file.lines() for file in files) for files in markets.values()
    ]
    return heapq.merge(*streams, key=lambda line: line.time)


def _read(path: Path) -> Iterator[tuple[int, Message]]:
    number = 0
    try:
        with gzip.open(path) as file:
            for number, line in enumerate(file, 1):
                time, _, text = line.partition(b" ")
                message = orjson.loads(text)
                if not isinstance(message, dict):
                    raise _unreadable(path, f"line {number} is no JSON object")
                yield int(time), message
    except FileNotFoundError as error:
        raise ExchangeError(f"--capture {path}: no such file; give the path of a recording") from error
    except (OSError, EOFError, ValueError) as error:
        raise _unreadable(path, f"line {number or 1}: {error}") from error


def _unreadable(path: Path, why: str) -> ExchangeError:
    return ExchangeError(
        f"--capture {path}: not a recording ({why}); it must be gzip text of lines `<ns> <Binance JSON>`"
    )


def _instrument(streams: Sequence[Message], told: Message) -> Instrument:
    """Which market it is: coin-margined by its name, USD-margined by keys that spot does not have."""
    name = str(told["s"])
    price_scale, price_decimals = _digits(streams, ("p", "b", "a"))
    size_scale, size_decimals = _digits(streams, ("q", "B", "A"))
    inverse = name.endswith("_PERP")
    contract = inverse or "pu" in told or "X" in told
    pair = name.removesuffix("_PERP")
    quote = next((quote for quote in QUOTES if pair.endswith(quote)), "")
    base = pair.removesuffix(quote)
    return Instrument(
        pair + ("-PERPETUAL" if contract else ""),
        base,
        quote,
        price_scale,
        size_scale,
        price_decimals,
        size_decimals,
        contract=contract,
        inverse=inverse,
        # Sizes stay as recorded, so a USD-margined contract is one whole coin here.
        multiplier=COIN_CONTRACT.get(base, 10) if inverse else 1,
        index=pair if contract else "",
    )


def _digits(streams: Sequence[Message], keys: Sequence[str]) -> tuple[int, int]:
    """(decimals printed, decimals needed) of the plain numbers under `keys`."""
    texts = [data[key] for data in streams for key in keys if isinstance(data.get(key), str)]
    printed = max((len(text.partition(".")[2]) for text in texts), default=0)
    return printed, max(map(decimals_of, texts), default=0)
