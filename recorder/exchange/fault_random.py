"""Draw faults at random, yet always the same ones from the same seed.

What is drawn are entries as a person would write them, read by the same parser; so every mixture can
be printed (`Script.toml`), shortened by hand and played again.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from recorder.exchange.fault_frames import EMPTIES, ERRORS, GARBAGE
from recorder.exchange.faults import KINDS, Mixture, Script, script_of

V1_TOPICS = ("trade", "depth", "kline", "realtimes")
V2_TOPICS = ("trade", "depth", "kline", "realtimes", "bbo")
BETWEEN = (0.05, 0.9)  # of the time: begun not before the first part, nor after the second

OWN_KEYS: dict[str, Callable[[Random], dict[str, Any]]] = {
    "cut": lambda random: {"reset": random.random() < 0.5},
    "close": lambda random: {"code": random.choice((1000, 1001, 1011, 1012, 4000))},
    "refuse": lambda random: {"mode": random.choice(("503", "drop", "hang"))},
    "mute": lambda random: {"until": until} if (until := random.choice(("", "resubscribe", "reconnect"))) else {},
    "delay": lambda random: {"seconds": round(random.uniform(0.1, 3.0), 3)},
    "duplicate": lambda random: {"count": random.randint(1, 20)},
    "reorder": lambda random: {"count": random.randint(1, 20)},
    "skip_counter": lambda random: {"count": random.randint(1, 3)},
    "error_frame": lambda random: {"shape": random.choice((*ERRORS, "all"))},
    "garbage": lambda random: {"shape": random.choice(tuple(GARBAGE))},
    "binary_gzip": lambda random: {"count": random.randint(1, 20)},
    "oversized": lambda random: {"bytes": random.choice((1 << 20, 2 << 20, 4 << 20))},
    "list_wrapped": lambda random: {"count": random.randint(1, 5), "size": random.randint(1, 4)},
    "empty_data": lambda random: {"shape": random.choice(EMPTIES), "count": random.randint(1, 5)},
    "clock_offset": lambda random: {"ms": random.choice((-60_000, -2_000, -250, 250, 2_000, 60_000))},
    "clock_step": lambda random: {"ms": random.choice((-5_000, -500, 500, 5_000))},
    "http": lambda random: {"answer": random.choice((429, 418, 500, 503, "empty", "html"))},
    "slow_rest": lambda random: {"seconds": round(random.uniform(0.5, 5.0), 3)},
}
LASTING = {
    "refuse", "half_open", "mute", "mute_all_but_pongs", "delay", "clock_offset", "http", "slow_rest", "restart",
    "delist",
}  # fmt: skip


def random_script(
    seed: int,
    seconds: float,
    *,
    count: int = 8,
    kinds: Sequence[str] = tuple(KINDS),
    symbols: Sequence[str] = ("BTCUSD", "ETHUSD"),
    spare: Sequence[str] = (),
    longest_seconds: float | None = None,
) -> Script:
    """`count` faults over the first `seconds` of exchange time; equal arguments give an equal script.

    `symbols` are the traded ones, `spare` those that `list` may add (each once; without any, `list` is
    not drawn). No fault lasts longer than `longest_seconds`, an eighth of the time if not given.
    Each symbol is delisted at most once, for a while.
    """
    random = Random(f"faults:{seed}")
    longest = longest_seconds or seconds / 8
    left, delistable = list(spare), list(symbols)
    entries: list[dict[str, Any]] = []
    while len(entries) < count:
        possible = [kind for kind in kinds if (kind != "list" or left) and (kind != "delist" or delistable)]
        if not possible:
            break
        kind = random.choice(possible)
        entry: dict[str, Any] = {"at": round(seconds * random.uniform(*BETWEEN), 3), "kind": kind}
        if kind == "list":
            entry["symbol"] = left.pop(random.randrange(len(left)))
        elif kind == "delist":
            entry["symbol"] = delistable.pop(random.randrange(len(delistable)))
        else:
            entry |= _targets(kind, random, symbols)
        if kind in OWN_KEYS:
            entry |= OWN_KEYS[kind](random)
        if kind in LASTING:
            entry["for"] = round(random.uniform(min(0.2, longest), longest), 3)
        entries.append(entry)
    entries.sort(key=lambda entry: float(entry["at"]))
    return script_of(entries, f"random, seed {seed}")


def _targets(kind: str, random: Random, symbols: Sequence[str]) -> dict[str, Any]:
    """One line, one stream, or all: each is drawn often enough to be met."""
    known, found = KINDS[kind].targets, {}
    if "api" in known and random.random() < 0.7:
        found["api"] = random.choice(("v1", "v2"))
    if "topic" in known and kind != "repeat_history" and random.random() < 0.5:
        found["topic"] = random.choice(V1_TOPICS if found.get("api") == "v1" else V2_TOPICS)
    if "symbol" in known and symbols and random.random() < 0.5:
        found["symbol"] = random.choice(list(symbols))
    if known == ("api", "conn") and random.random() < 0.5:
        found["conn"] = random.choice(("oldest", "newest"))
    return found


def drawn(script: Script, symbols: Sequence[str], spare: Sequence[str]) -> Script:
    """The script with its mixture, if it has one, written out behind its own faults."""
    mixture: Mixture | None = script.mixture
    if mixture is None:
        return script
    more = random_script(
        mixture.seed,
        mixture.over_seconds,
        count=mixture.count,
        kinds=mixture.kinds,
        symbols=symbols,
        spare=spare,
        longest_seconds=mixture.longest_seconds,
    )
    first = len(script.faults)
    faults = (replace(fault, number=first + fault.number) for fault in more.faults)
    return Script((*script.faults, *faults), None, script.name)
