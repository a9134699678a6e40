"""Changes between books, against the plainest program that could make them."""

import random
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from recorder.exports.changes import ADD, CLEAR, REMOVE, SNAPSHOT, UPDATE, Changes, Differ
from recorder.exports.exact import Places
from recorder.exports.source import Scales

Side = dict[Decimal, Decimal]
Book = tuple[int, int, Side, Side]  # exchange_ns, receive_ns, bids, asks
LIST = pa.list_(pa.decimal128(30, 12))


def batch(books: Sequence[Book]) -> pa.RecordBatch:
    def lists(side: int, size: bool) -> pa.Array:
        ordered = [sorted((book[2], book[3])[side - 2].items(), reverse=side == 2) for book in books]
        return pa.array([[level[size] for level in levels] for levels in ordered], LIST)

    columns = {
        "exchange_ns": pa.array([book[0] for book in books], pa.int64()),
        "receive_ns": pa.array([book[1] for book in books], pa.int64()),
        "seq": pa.array(range(len(books)), pa.int64()),
        "version": pa.array(range(1, len(books) + 1), pa.int64()),
        "bid_prices": lists(2, False),
        "bid_sizes": lists(2, True),
        "ask_prices": lists(3, False),
        "ask_sizes": lists(3, True),
    }
    return pa.RecordBatch.from_pydict(columns)


def random_books(seed: int, number: int, decimals: int = 2) -> list[Book]:
    chooser = random.Random(seed)
    unit = Decimal(1).scaleb(-decimals)
    bids = {(1000 - n) * unit: Decimal(n + 1) for n in range(12)}
    asks = {(1001 + n) * unit: Decimal(n + 1) for n in range(12)}
    books = []
    for at in range(number):
        for side in (bids, asks):
            for _ in range(chooser.randrange(3)):
                if side and chooser.random() < 0.5:
                    del side[chooser.choice(list(side))]
                elif side and chooser.random() < 0.5:
                    side[chooser.choice(list(side))] = chooser.randrange(1, 10**6) * Decimal("0.00001")
            if chooser.random() < 0.03:
                side.clear()
        for sign, side in ((-1, bids), (1, asks)):
            price = 1000 * unit + sign * chooser.randrange(1, 40) * unit
            side[price] = chooser.randrange(1, 10**6) * Decimal("0.00001")
        books.append((at * 100, at * 100 + 7, dict(bids), dict(asks)))
    return books


def applied(changes: Changes, scales: Scales, books: dict[bool, Side]) -> list[tuple[Side, Side]]:
    """The book after each `last` row; asserts that every row says what it does."""
    seen = []
    for n in range(len(changes)):
        kind, side = changes.kind[n], books[bool(changes.bid[n])]
        price = Decimal(int(changes.price[n])).scaleb(-scales.price.places)
        size = Decimal(int(changes.size[n])).scaleb(-scales.size.places)
        if kind == CLEAR:
            side.clear()
        elif kind == REMOVE:
            del side[price]
        else:
            assert (price in side) == (kind == UPDATE)
            assert kind in (ADD, UPDATE, SNAPSHOT)
            assert side.get(price) != size
            side[price] = size
        if changes.last[n]:
            seen.append((dict(books[True]), dict(books[False])))
    return seen


def run(
    books: Sequence[Book], at_a_time: int, resets: list[int] | None = None
) -> tuple[list[tuple[Side, Side]], Differ]:
    scales = Scales(Places(), Places())
    differ, state, seen = Differ(scales, resets or []), dict[bool, Side]({True: {}, False: {}}), []
    for start in range(0, len(books), at_a_time):
        seen += applied(differ.feed(batch(books[start : start + at_a_time])), scales, state)
    return seen, differ


def distinct(books: Sequence[Book]) -> list[tuple[Side, Side]]:
    """Each book that differs from the one before."""
    return [(b[2], b[3]) for n, b in enumerate(books) if n == 0 or b[2:] != books[n - 1][2:]]


@pytest.mark.parametrize("at_a_time", [1, 2, 7, 1000])
@pytest.mark.parametrize("seed", range(6))
def test_applied_one_by_one_they_give_every_book(seed: int, at_a_time: int) -> None:
    books = random_books(seed, 150)
    assert run(books, at_a_time)[0] == distinct(books)


def test_what_has_gone_comes_before_what_is_new_so_that_no_book_crosses_on_the_way() -> None:
    first = (0, 0, {Decimal(10): Decimal(1)}, {Decimal(11): Decimal(1)})
    second = (1, 1, {Decimal(12): Decimal(1)}, {Decimal(13): Decimal(1)})
    scales = Scales(Places(), Places())
    changes = Differ(scales, []).feed(batch([first, second]))
    assert list(changes.kind) == [CLEAR, CLEAR, SNAPSHOT, SNAPSHOT, REMOVE, REMOVE, ADD, ADD]


def test_more_decimals_may_come_at_any_time() -> None:
    books = random_books(1, 20, decimals=0) + random_books(2, 20, decimals=5)
    books = [(n, n, bids, asks) for n, (_, _, bids, asks) in enumerate(books)]
    for at_a_time in (1, 3, 40):
        assert run(books, at_a_time)[0] == distinct(books)


def test_only_asks_with_more_decimals_do_not_bend_the_bids() -> None:
    books = [(n, n, {Decimal(10): Decimal(n + 1)}, {Decimal("11.125") + n: Decimal("0.5")}) for n in range(5)]
    for at_a_time in (1, 5):
        assert run(books, at_a_time)[0] == distinct(books)


def test_prices_far_apart_are_told_apart() -> None:
    far = {Decimal("0.000000000001"): Decimal(1), Decimal("9000000"): Decimal(2)}
    books: list[Book] = [(n, n, {}, {price: size + n for price, size in far.items()}) for n in range(2000)]
    assert run(books, 2000)[0] == distinct(books)


def test_big_sizes_keep_their_decimals() -> None:
    big = Decimal("123456789012.345")
    books = [(n, n, {Decimal("0.00001"): big + n}, {Decimal("0.00002"): big}) for n in range(3)]
    assert run(books, 2)[0] == distinct(books)


def test_after_a_reset_the_book_is_given_whole() -> None:
    books = random_books(3, 10)
    scales = Scales(Places(), Places())
    changes = Differ(scales, [books[4][1]]).feed(batch(books))
    whole = changes.kind == CLEAR
    assert set(changes.receive_ns[whole]) == {books[0][1], books[4][1]}
    assert run(books, 3, [books[4][1]])[0][-1] == (books[-1][2], books[-1][3])


def test_a_book_older_than_the_one_before_is_left_out_and_counted() -> None:
    books = random_books(4, 6)
    late: Book = (books[1][0], books[5][1] + 1, {Decimal(1): Decimal(1)}, {})
    seen, differ = run([*books, late], 2)
    assert seen == distinct(books)
    assert differ.stale == 1


def test_local_time_never_goes_back() -> None:
    books = [
        (n, receive, bids, asks) for (n, _, bids, asks), receive in zip(random_books(5, 4), (5, 3, 9, 8), strict=True)
    ]
    scales = Scales(Places(), Places())
    differ = Differ(scales, [])
    changes = differ.feed(batch(books))
    assert sorted(changes.receive_ns) == list(changes.receive_ns)
    assert set(changes.receive_ns) == {5, 9}
    assert differ.stepped == 2


def test_doubles_are_those_of_the_text() -> None:
    chooser = random.Random(6)
    texts = [f"{chooser.randrange(10**9)}.{chooser.randrange(10**6):06d}" for _ in range(5000)]
    texts += ["60123.45", "0.1", "0.000001", "99999999.999999"]
    places = Places()
    ints = places.ints(pa.array([Decimal(text) for text in texts], pa.decimal128(30, 12)))
    assert list(places.floats(ints)) == [float(text) for text in texts]
    assert list(places.floats(np.array([2**53 + 1], np.int64))) == [float(Decimal(2**53 + 1).scaleb(-places.places))]
