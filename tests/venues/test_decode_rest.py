"""REST bodies: instruments at start and at each change; candles and trades where the request says so."""

from typing import Any

import orjson

from recorder.journal.format import Record
from recorder.venues.hashkey.decode import Context, decode
from tests.frames.arrivals import Row, as_rows, decoded, reply, sample

SITE: dict[str, Any] = orjson.loads(sample("rest-exchangeInfo"))
TRADES = "/quote/v1/trades"


def changed(status: str) -> dict[str, Any]:
    """The reply with another status of its spot pair."""
    pair = SITE["symbols"][0] | {"status": status}
    return SITE | {"symbols": [pair]}


def instruments(*records: Record) -> list[Row]:
    return as_rows(decode(list(records), Context("hashkey"))).get("instrument", [])


def test_every_symbol_is_told_at_a_start_and_later_only_what_changed() -> None:
    rows = instruments(
        reply(SITE, seq=1),
        reply(SITE, seq=2, reason="hourly"),
        reply(changed("HALT"), seq=3, reason="hourly"),
        reply(changed("HALT"), seq=4, reason="start"),
    )
    assert sorted((row["seq"], row["symbol"], row["status"]) for row in rows) == [
        (1, "BTCUSDT", "TRADING"),
        (1, "BTCUSDT-PERPETUAL", "TRADING"),
        (3, "BTCUSDT", "HALT"),
        (4, "BTCUSDT", "HALT"),
        (4, "BTCUSDT-PERPETUAL", "TRADING"),
    ]


def test_what_the_lake_knows_is_no_change() -> None:
    raw = {("hashkey", row["symbol"]): row["raw"] for row in instruments(reply(SITE))}
    again = decode([reply(SITE, reason="hourly")], Context("hashkey", instruments=dict(raw)))
    assert again == {}


def test_a_pair_that_cannot_be_read_does_not_hide_the_others() -> None:
    odd = SITE["symbols"][0] | {"filters": [{"filterType": "PRICE_FILTER", "tickSize": "1e-8"}]}
    made = decoded(reply(SITE | {"symbols": [odd]}))
    assert [row["symbol"] for row in made["instrument"]] == ["BTCUSDT-PERPETUAL"]
    assert made["quarantine"][0]["reason"].startswith("BTCUSDT: tickSize is '1e-8'")


def test_a_reply_without_its_json_goes_to_quarantine_and_a_refusal_does_not() -> None:
    html = b"<html><body><h2>404 Not found</h2></body></html>"
    assert decoded(reply(html, status=404)) == {}
    for body in (html, b"", b"[]", b"{}"):
        (row,) = decoded(reply(body))["quarantine"]
        assert (row["channel"], row["source"]) == ("instrument", "rest")


def test_trades_of_one_reply_are_counted_and_a_bad_one_is_told() -> None:
    body = [{"t": 1, "p": "1", "q": "1", "ibm": True}, {"t": 2}, {"t": 3, "p": "2", "q": "1", "ibm": False}]
    made = decoded(reply(body, TRADES, use="store", params={"symbol": "A", "site": "MENA"}))
    assert [(r["venue"], r["symbol"], r["idx"]) for r in made["trade"]] == [
        ("hashkey-mena", "A", 0),
        ("hashkey-mena", "A", 1),
    ]
    assert made["quarantine"][0]["reason"] == "p is None, not a decimal that fits (30,12)"


def test_a_sandbox_stays_a_sandbox() -> None:
    rows = decoded(reply(SITE | {"site": "HK"}), venue="hashkey-sandbox")["instrument"]
    assert {row["venue"] for row in rows} == {"hashkey-sandbox"}
