"""The script of what shall go wrong, and when: its words, how it is read, and how it is refused.

A script is TOML: `[[fault]]` entries and, perhaps, a `[random]` table that stands for many of them.
KINDS is the whole vocabulary; docs/faults.md explains it and a test holds the two together. Nothing
here acts or knows the time: `fault_plan.py` decides with a script, `injector.py` does it.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recorder.exchange.candles import INTERVALS
from recorder.exchange.errors import ExchangeError
from recorder.exchange.fault_frames import EMPTIES, ERRORS, GARBAGE

SECOND = 1_000_000_000  # ns
LONGEST_FRAME = 64 << 20  # bytes
TOPICS = (
    "trade", "depth", "bbo", "kline", "realtimes", "mergedDepth", "diffMergedDepth", "index", "markPrice",
)  # fmt: skip
ALL_TOPICS = (*TOPICS, *(f"kline_{interval}" for interval in INTERVALS))


@dataclass(frozen=True)
class Key:
    """One key of an entry: how its value is read (ValueError says what it must be), and an example in TOML."""

    read: Callable[[Any], Any]
    example: str
    default: Any = None


def _number(least: float, least_is_fine: bool = True) -> Callable[[Any], float]:
    words = f"a number of {least:g} or more" if least_is_fine else f"a number above {least:g}"

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise ValueError(words)
        if value < least or (value == least and not least_is_fine):
            raise ValueError(words)
        return float(value)

    return read


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return read


def _choice(*names: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names or not isinstance(value, str):
            raise ValueError("one of " + ", ".join(f'"{name}"' for name in names))
        return value

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text in quotes")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _names(value: Any) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
        raise ValueError("a name, or a list of names")
    return tuple(found)


def _topics(value: Any) -> tuple[str, ...]:
    found = _names(value)
    if any(name not in ALL_TOPICS for name in found):
        raise ValueError("one of " + ", ".join(TOPICS) + " or kline_<interval>, or a list of them")
    return found


def _kinds(value: Any) -> tuple[str, ...]:
    found = _names(value)
    wrong = [name for name in found if name not in KINDS]
    if wrong:
        raise ValueError(f"a list of kinds ({wrong[0]} is none); the kinds are " + ", ".join(KINDS))
    return found


def _conns(value: Any) -> tuple[int, ...] | str:
    if value in ("oldest", "newest"):
        return str(value)
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in found):
        raise ValueError('a connection\'s number as in the ledger, a list of them, "oldest" or "newest"')
    return tuple(found)


def _answer(value: Any) -> int | str:
    if value in ("empty", "html"):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 400 <= value <= 599:
        raise ValueError('an HTTP status from 400 to 599, "empty" or "html"')
    return value


COMMON = {
    "kind": Key(_text, 'kind = "cut"'),
    "at": Key(_number(0), "at = 12.5", 0.0),
    "after": Key(_choice("subscribed"), 'after = "subscribed"', ""),
    "times": Key(_whole(1, 100_000), "times = 100", 1),
    "every": Key(_number(0, least_is_fine=False), "every = 5"),
}
FOR = {"for": Key(_number(0, least_is_fine=False), "for = 10")}
COUNT = {"count": Key(_whole(1, 1_000_000), "count = 3")}
TARGETS = {
    "api": Key(_choice("v1", "v2"), 'api = "v1"', ""),
    "topic": Key(_topics, 'topic = "depth"', ()),
    "symbol": Key(_names, 'symbol = "BTCUSD"', ()),
    "conn": Key(_conns, "conn = 2", ()),
}
LINES = ("api", "conn")
STREAMS = ("api", "topic", "symbol", "conn")
SECONDS = {"seconds": Key(_number(0, least_is_fine=False), "seconds = 0.8")}
MS = {"ms": Key(_whole(-(10**12), 10**12), "ms = -1500")}
MODE = {"mode": Key(_choice("503", "drop", "hang"), 'mode = "503"', "503")}
PATH = {"path": Key(_names, 'path = "/quote/v1/trades"', ())}
REPLACE = {"replace": Key(_flag, "replace = true", False)}


def _shape(shapes: Collection[str], default: str) -> dict[str, Key]:
    return {"shape": Key(_choice(*shapes, "all"), f'shape = "{default}"', default)}


@dataclass(frozen=True)
class Kind:
    """One thing that can go wrong. `keys` are its own; with `count` among them, neither `for` nor `count` means 1."""

    does: str
    targets: tuple[str, ...] = ()
    keys: Mapping[str, Key] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def known(self) -> dict[str, Key]:
        return COMMON | {name: TARGETS[name] for name in self.targets} | dict(self.keys)


KINDS: dict[str, Kind] = {
    "cut": Kind("the line is dropped, no close frame", LINES, {"reset": Key(_flag, "reset = true", False)}),
    "close": Kind(
        "a close frame, then the end",
        LINES,
        {"code": Key(_whole(1000, 4999), "code = 1001", 1001), "reason": Key(_text, 'reason = "maintenance"', "")},
    ),
    "refuse": Kind("new sockets are turned away", ("api",), FOR | COUNT | MODE),
    "half_open": Kind("nothing more is sent or read, no FIN", LINES, FOR),
    "mute": Kind(
        "streams are silent on a healthy socket",
        STREAMS,
        FOR | {"until": Key(_choice("resubscribe", "reconnect"), 'until = "resubscribe"', "")},
    ),
    "mute_all_but_pongs": Kind(
        "only pongs come", LINES, FOR | {"until": Key(_choice("reconnect"), 'until = "reconnect"', "")}
    ),
    "delay": Kind("frames come late, in order", STREAMS, FOR | SECONDS, ("seconds",)),
    "duplicate": Kind("a push comes again", STREAMS, FOR | COUNT | {"copies": Key(_whole(1, 100), "copies = 1", 1)}),
    "reorder": Kind("a push comes after the next one of its stream", STREAMS, FOR | COUNT),
    "skip_counter": Kind("a diffMergedDepth push is left out", ("symbol", "conn"), FOR | COUNT),
    "repeat_history": Kind("V1's first push (f true) comes again", ("topic", "symbol", "conn")),
    "error_frame": Kind("an error nobody asked for", STREAMS, _shape(ERRORS, "all")),
    "garbage": Kind("what is not JSON", STREAMS, FOR | COUNT | _shape(GARBAGE, "all") | REPLACE),
    "binary_gzip": Kind("a push as gzip in a binary frame", STREAMS, FOR | COUNT),
    "oversized": Kind("one huge frame", LINES, {"bytes": Key(_whole(1, LONGEST_FRAME), "bytes = 4194304", 4 << 20)}),
    "list_wrapped": Kind("pushes in a list", STREAMS, FOR | COUNT | {"size": Key(_whole(1, 1000), "size = 2", 2)}),
    "empty_data": Kind("a push without data", STREAMS, FOR | COUNT | _shape(EMPTIES, "list") | REPLACE),
    "clock_offset": Kind("the server's clock is wrong for a while", (), FOR | MS, ("ms",)),
    "clock_step": Kind("the server's clock jumps and stays", (), MS, ("ms",)),
    "http": Kind(
        "REST answers with something else",
        (),
        FOR
        | COUNT
        | PATH
        | {"answer": Key(_answer, "answer = 429"), "retry_after": Key(_whole(0, 10**6), "retry_after = 5")},
        ("answer",),
    ),
    "slow_rest": Kind("REST takes its time", (), FOR | COUNT | PATH | SECONDS, ("seconds",)),
    "restart": Kind(
        "all lines are dropped; back later with lower versions",
        (),
        FOR
        | {"mode": Key(_choice("503", "drop", "hang"), 'mode = "drop"', "drop")}
        | {"lower": Key(_flag, "lower = false", True)},
        ("for",),
    ),
    "delist": Kind("a symbol leaves", ("symbol",), FOR, ("symbol",)),
    "list": Kind("a symbol comes", ("symbol",), {}, ("symbol",)),
}


@dataclass(frozen=True)
class Fault:
    """One fault. Times are exchange time; `keys` holds what only its kind has, with defaults filled in."""

    number: int  # from 1; `fault` in the ledger
    kind: str
    at_ns: int  # after the start, or after the subscription it waits for
    after: str  # "" or "subscribed"
    lasts_ns: int | None
    count: int | None  # how many frames, requests or handshakes it hits at most
    api: str
    topics: tuple[str, ...]
    symbols: tuple[str, ...]
    conns: tuple[int, ...] | str
    keys: Mapping[str, Any]
    entry: Mapping[str, Any]  # as written

    def concerns(self, api: str, topic: str = "", symbol: str = "", variant: str = "") -> bool:
        """Whether its filters let this stream pass; `conn` is not looked at."""
        if self.api and api != self.api:
            return False
        if self.topics and topic not in self.topics and f"{topic}_{variant}" not in self.topics:
            return False
        return not self.symbols or symbol in self.symbols


@dataclass(frozen=True)
class Mixture:
    """`[random]`: stands for `count` faults drawn from `kinds` over the first `over_seconds`."""

    seed: int
    count: int
    over_seconds: float
    kinds: tuple[str, ...] = tuple(KINDS)
    longest_seconds: float | None = None


RANDOM = {
    "seed": Key(_whole(0, 2**63 - 1), "seed = 7"),
    "count": Key(_whole(1, 100_000), "count = 20"),
    "over_seconds": Key(_number(0, least_is_fine=False), "over_seconds = 600"),
    "kinds": Key(_kinds, 'kinds = ["cut", "mute"]', tuple(KINDS)),
    "longest_seconds": Key(_number(0, least_is_fine=False), "longest_seconds = 30"),
}


@dataclass(frozen=True)
class Script:
    """Faults in the order written, and a mixture still to be drawn."""

    faults: tuple[Fault, ...] = ()
    mixture: Mixture | None = None
    name: str = "script"  # for errors: the file it came from

    def toml(self) -> str:
        """The script as a file: what a mixture became can be kept and played again."""
        return "\n".join(
            "[[fault]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in fault.entry.items())
            for fault in self.faults
        )

    def check_symbols(self, traded: Collection[str], catalogue: Collection[str]) -> None:
        """Raise ExchangeError for a symbol that this exchange never has; `catalogue` is what `list` can add."""
        gone = {symbol for fault in self.faults if fault.kind == "delist" for symbol in fault.symbols}
        come = {symbol for fault in self.faults if fault.kind == "list" for symbol in fault.symbols}
        for fault in self.faults:
            place = f"--faults {self.name}: fault {fault.number} ({fault.kind})"
            for symbol in fault.symbols:
                if fault.kind == "list":
                    spare = sorted(set(catalogue) - set(traded))
                    if symbol in traded and symbol not in gone:
                        raise ExchangeError(
                            f"{place}: {symbol} is traded from the start; list another one"
                            + (f', as in symbol = "{spare[0]}"' if spare else ", or delist it before")
                        )
                    if symbol not in traded and symbol not in catalogue:
                        raise ExchangeError(
                            f"{place}: {symbol} cannot be added here; "
                            + ("choose from " + ", ".join(spare) if spare else "a recording brings its own symbols")
                        )
                elif symbol not in traded and symbol not in come:
                    raise ExchangeError(f"{place}: {symbol} is not traded here; choose from {', '.join(traded)}")


def load(path: Path) -> Script:
    """Read a script. Raises ExchangeError that names the line, the key and a valid value."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ExchangeError(f"--faults {path}: {why}; give a TOML file, see docs/faults.md") from error
    return parse(text, str(path))


def parse(text: str, name: str = "script") -> Script:
    """Read a script from text; `name` is what errors call it."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExchangeError(f"--faults {name}: not TOML: {error}; an entry begins with [[fault]]") from error
    lines = text.splitlines()
    for key in found:
        if key not in ("fault", "random"):
            line = _line(lines, 0, key)
            raise ExchangeError(
                f"--faults {name}{line}: {key} is not known here; write [[fault]] entries or one [random] table"
            )
    entries, mixture = found.get("fault", []), found.get("random")
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise ExchangeError(f"--faults {name}: fault must be a list of entries; begin each one with [[fault]]")
    headers = [index for index, line in enumerate(lines) if re.match(r"\s*\[\[\s*fault\s*\]\]", line)]
    faults: list[Fault] = []
    for index, entry in enumerate(entries):
        # An inline list has no headers; then the number of the entry must do.
        start = headers[index] if len(headers) == len(entries) else None
        place = _Place(name, f"[[fault]] {index + 1}", lines, start)
        faults += read_entry(entry, len(faults) + 1, place)
    if mixture is not None:
        start = next((index for index, line in enumerate(lines) if re.match(r"\s*\[\s*random\s*\]", line)), None)
        mixture = _mixture(mixture, _Place(name, "[random]", lines, start))
    return Script(tuple(faults), mixture, name)


def script_of(entries: Sequence[Mapping[str, Any]], name: str = "script") -> Script:
    """A script from entries as TOML would give them."""
    faults: list[Fault] = []
    for index, entry in enumerate(entries):
        faults += read_entry(entry, len(faults) + 1, _Place(name, f"fault {index + 1}", [], None))
    return Script(tuple(faults), name=name)


@dataclass(frozen=True)
class _Place:
    """Where an entry stands, so that an error can point at it."""

    name: str
    entry: str
    lines: Sequence[str]
    start: int | None

    def wrong(self, key: str, what: str) -> ExchangeError:
        line = "" if self.start is None else _line(self.lines, self.start, key)
        return ExchangeError(f"--faults {self.name}{line}, {self.entry}: {what}")


def read_entry(entry: Mapping[str, Any], number: int, place: _Place) -> list[Fault]:
    """The fault of an entry; as many as its `times` says."""
    if "kind" not in entry:
        raise place.wrong("", f'kind is missing; give one of {", ".join(KINDS)}, as in kind = "cut"')
    kind = KINDS.get(entry["kind"]) if isinstance(entry["kind"], str) else None
    if kind is None:
        near = difflib.get_close_matches(str(entry["kind"]), KINDS, 1) or ["cut"]
        raise place.wrong(
            "kind", f'kind = {_toml(entry["kind"])} is not one of {", ".join(KINDS)}; did you mean kind = "{near[0]}"?'
        )
    place = replace(place, entry=f"{place.entry} ({entry['kind']})")
    values = _read(entry, kind.known, place)
    for key in kind.needs:
        if key not in entry:
            raise place.wrong("", f"{key} is missing, as in {kind.known[key].example}")
    if "at" not in entry and "after" not in entry:
        raise place.wrong("", 'at is missing, as in at = 12.5 (seconds after the start), or after = "subscribed"')
    if ("times" in entry) != ("every" in entry):
        missing = "every" if "times" in entry else "times"
        raise place.wrong("times", f"times and every go together; add {COMMON[missing].example}")
    if entry["kind"] == "garbage" and not values["replace"] and ("for" in entry or "count" in entry):
        raise place.wrong("for", "for and count are for pushes that are replaced; add replace = true")
    if entry["kind"] == "repeat_history" and "bbo" in values["topic"]:
        raise place.wrong("topic", 'topic = "bbo" has no history; V1 has trade, depth, kline, as in topic = "trade"')
    count = values.pop("count", None)
    lasts = values.pop("for", None)
    if count is None and lasts is None and "count" in kind.keys and entry["kind"] != "garbage":
        count = 1
    if entry["kind"] == "garbage" and values["replace"] and count is None and lasts is None:
        count = 1
    times, every, at = values.pop("times"), values.pop("every", None) or 0.0, values.pop("at")
    own = {key: values[key] for key in kind.keys if key in values}
    written = {key: value for key, value in entry.items() if key not in ("at", "times", "every")}
    return [
        Fault(
            number + turn,
            entry["kind"],
            round((at + turn * every) * SECOND),
            values["after"],
            None if lasts is None else round(lasts * SECOND),
            count,
            values.get("api", ""),
            values.get("topic", ()),
            values.get("symbol", ()),
            values.get("conn", ()),
            own,
            {"at": round(at + turn * every, 9)} | written,
        )
        for turn in range(times)
    ]


def _mixture(found: Any, place: _Place) -> Mixture:
    if not isinstance(found, dict):
        raise place.wrong("", "write [random] as a table, with seed, count and over_seconds")
    values = _read(found, RANDOM, place)
    for key in ("seed", "count", "over_seconds"):
        if key not in found:
            raise place.wrong("", f"{key} is missing, as in {RANDOM[key].example}")
    return Mixture(
        values["seed"], values["count"], values["over_seconds"], values["kinds"], values.get("longest_seconds")
    )


def _read(entry: Mapping[str, Any], known: Mapping[str, Key], place: _Place) -> dict[str, Any]:
    values = {name: key.default for name, key in known.items()}
    for name, value in entry.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {known[near[0]].example}?" if near else f"its keys are {', '.join(known)}"
            raise place.wrong(name, f"{name} is no key of it; {hint}")
        try:
            values[name] = known[name].read(value)
        except ValueError as error:
            raise place.wrong(name, f"{name} = {_toml(value)} must be {error}, as in {known[name].example}") from error
    return values


def _line(lines: Sequence[str], start: int, key: str) -> str:
    """` line N` of `key` in the block that begins at `start`; of the block itself if it is not found."""
    for index in range(start, len(lines)):
        if index > start and re.match(r"\s*\[", lines[index]):
            break
        if key and re.match(rf"\s*(\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*[\]=.]", lines[index]):
            return f" line {index + 1}"
    return f" line {start + 1}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
