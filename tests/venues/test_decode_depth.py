"""Books: the fast way (raw bytes) and the slow way (whole JSON) give the same rows, whatever the frame."""

import json
from decimal import Decimal
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recorder.venues.hashkey import depth
from tests.frames.arrivals import Row, arrived, decoded, depth_push

PRICES = st.decimals(0, 10**18 - 1, allow_nan=False, places=12).map(lambda d: f"{d:f}")
ODD = st.sampled_from(["", ".", ".5", "5.", "1e5", "-1", "1.2.3", "1" * 19, "0.0000000000001", "1.0" + "0" * 40, 7])
VALUES = st.one_of(st.from_regex(r"[0-9]{1,7}(\.[0-9]{1,5})?", fullmatch=True), PRICES)
LEVEL = st.lists(VALUES, min_size=2, max_size=2)
SIDE = st.lists(LEVEL, max_size=4)
ODD_LEVEL = st.one_of(LEVEL, st.lists(st.one_of(VALUES, ODD), max_size=3))
ODD_SIDE = st.one_of(SIDE, st.lists(ODD_LEVEL, max_size=4), st.none(), ODD)


def spaced(frame: bytes) -> bytes:
    """The same document in a form that the fast way does not take."""
    return json.dumps(orjson.loads(frame)).encode()


def rows(*frames: bytes) -> dict[str, list[Row]]:
    """Rows by table, without the bytes kept in quarantine."""
    made = decoded(*(arrived(frame, seq) for seq, frame in enumerate(frames, 1)))
    return {t: [{k: v for k, v in row.items() if k != "frame"} for row in found] for t, found in made.items()}


def test_an_everyday_book_takes_the_fast_way_and_a_spaced_one_does_not() -> None:
    frame = orjson.dumps(depth_push("X", [["2", "1"], ["1", "1"]], []))
    assert depth.cut(frame) is not None
    assert depth.cut(spaced(frame)) is None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=5))
def test_both_ways_agree_on_good_books(books: list[tuple[Any, Any]]) -> None:
    frames = [orjson.dumps(depth_push("X", bids, asks)) for bids, asks in books]
    made = rows(*frames)
    assert made == rows(*map(spaced, frames))
    for (bids, asks), row in zip(books, made["depth"], strict=True):
        assert row["bid_prices"] == sorted((Decimal(p) for p, _ in bids), reverse=True)
        assert row["ask_prices"] == sorted(Decimal(p) for p, _ in asks)
        assert sorted(row["bid_sizes"]) == sorted(Decimal(s) for _, s in bids)
        assert row["ask_price"] == (row["ask_prices"] or [None])[0]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(ODD_SIDE, ODD_SIDE), min_size=1, max_size=4))
def test_both_ways_agree_on_odd_books(books: list[tuple[Any, Any]]) -> None:
    frames = [orjson.dumps(depth_push("X", bids, asks)) for bids, asks in books]
    assert rows(*frames) == rows(*map(spaced, frames))


PLAIN = orjson.dumps(depth_push("X", [["12.5", "1"], ["12", "30"]], [["13", "0.5"], ["14", "7"]]))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(PLAIN)), st.integers(0, 3), st.text('0123456789."[],{}:ab ', max_size=4))
@example(PLAIN.index(b'"30"') + 4, 0, "5")  # a digit outside of the quotes
@example(PLAIN.index(b'"30"') - 1, 0, "5")
@example(PLAIN.index(b'"],["12"') + 2, 1, "")
@example(PLAIN.index(b'[["12.5') + 1, 0, "1")
@example(PLAIN.index(b'[["12.5') + 2, 0, "1")
def test_both_ways_agree_on_damaged_bytes(at: int, removed: int, inserted: str) -> None:
    frame = PLAIN[:at] + inserted.encode() + PLAIN[at + removed :]
    made = rows(PLAIN, frame)
    try:
        document = orjson.loads(frame)
    except orjson.JSONDecodeError:
        assert len(made["quarantine"]) == 1 and len(made["depth"]) == 1
    else:
        assert made == rows(PLAIN, json.dumps(document).encode())


def test_one_bad_number_sends_only_its_own_frame_to_quarantine() -> None:
    good, bad = depth_push("X", [["1", "1"]], []), depth_push("X", [["1.2.3", "1"]], [])
    made = decoded(good, bad, good)
    assert [row["seq"] for row in made["depth"]] == [1, 3]
    assert [row["seq"] for row in made["quarantine"]] == [2]


def test_levels_that_come_unsorted_are_put_best_first_with_their_sizes() -> None:
    bids = [["1", "10"], ["3", "30"], ["2", "20"]]
    asks = [["3", "30"], ["1", "10"], ["1", "11"]]
    in_order = depth_push("X", [["9", "1"], ["8", "1"]], [["10", "1"]])
    row = decoded(in_order, depth_push("X", bids, asks), in_order)["depth"][1]
    assert (row["bid_prices"], row["bid_sizes"]) == ([3, 2, 1], [30, 20, 10])
    assert (row["ask_prices"], row["ask_sizes"]) == ([1, 1, 3], [10, 11, 30])
    assert (row["bid_price"], row["bid_size"], row["ask_price"]) == (3, 30, 1)


def test_large_prices_are_sorted_by_all_their_digits() -> None:
    large = ["100000000000000000.000000000001", "999999999999999999", "9223372.036854775808", "5"]
    row = decoded(depth_push("X", [[p, "1"] for p in large], [[p, "1"] for p in large]))["depth"][0]
    assert row["ask_prices"] == sorted(map(Decimal, large))
    assert row["bid_prices"] == sorted(map(Decimal, large), reverse=True)


def test_a_side_that_a_push_does_not_name_is_empty() -> None:
    frame = depth_push("X", [["1", "1"]], [])
    del frame["data"][0]["a"]
    (row,) = decoded(frame)["depth"]
    assert (row["bid_prices"], row["ask_prices"], row["ask_price"]) == ([1], [], None)


def test_a_book_deeper_than_the_prepared_forms_is_read_too() -> None:
    bids = [[str(1000 - i), "1"] for i in range(300)]
    (row,) = decoded(depth_push("X", bids, []))["depth"]
    assert len(row["bid_prices"]) == 300


def test_several_books_in_one_frame_are_several_rows() -> None:
    frame = depth_push("X", [["1", "1"]], [])
    frame["data"] *= 2
    assert [row["idx"] for row in decoded(frame)["depth"]] == [0, 1]


def test_many_books_are_cast_in_pieces_without_a_seam() -> None:
    frames = [depth_push("X", [[str(900 - k), str(i + 1)] for k in range(90)], [["901", "1"]]) for i in range(400)]
    made = decoded(*frames)["depth"]
    assert 2 * depth.CHUNK_LEVELS < 400 * 91
    assert all(row["bid_sizes"] == [i + 1] * 90 and row["ask_prices"] == [901] for i, row in enumerate(made))


def test_a_delta_says_whether_it_is_a_snapshot() -> None:
    def delta(first: Any, counter: Any) -> Row:
        frame = depth_push("X", [["1", "0"]], []) | {"topic": "diffMergedDepth", "f": first}
        frame["data"][0]["o"] = counter
        del frame["data"][0]["s"]
        return decoded(frame)["depth_delta"][0]

    assert (delta(True, 0)["is_snapshot"], delta(False, 5)["is_snapshot"]) == (True, False)
    assert (delta(None, 0)["is_snapshot"], delta(False, 0)["is_snapshot"]) == (True, False)
    assert delta(False, 5)["bid_sizes"] == [0]
