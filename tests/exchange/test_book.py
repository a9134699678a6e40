import json

from recorder.exchange.book import Book, Side, difference


def side(sign: int, *levels: tuple[int, int]) -> Side:
    made = Side(sign, 2, 3)
    for price, size in levels:
        made.set(price, size)
    return made


def test_both_sides_are_best_first() -> None:
    assert side(-1, (100, 1), (102, 2), (101, 3)).levels() == [(102, 2), (101, 3), (100, 1)]
    assert side(+1, (105, 1), (103, 2)).best() == (103, 2)
    assert side(+1).best() is None


def test_size_zero_removes_a_level_and_an_unknown_level_is_no_harm() -> None:
    bids = side(-1, (100, 1), (101, 2))
    bids.set(101, 0)
    bids.set(99, 0)
    assert bids.levels() == [(100, 1)]


def test_the_text_follows_every_change() -> None:
    asks = side(+1, (27500, 1000), (27510, 14500))
    assert asks.text() == b'[["275","1"],["275.1","14.5"]]'
    asks.set(27500, 2000)
    assert json.loads(asks.text()) == [["275", "2"], ["275.1", "14.5"]]
    asks.clear()
    assert asks.text() == b"[]"


def test_only_a_hundred_levels_are_shown() -> None:
    asks = side(+1, *((price, 1) for price in range(1, 131)))
    assert len(json.loads(asks.text())) == 100
    assert len(json.loads(asks.text(20))) == 20
    assert len(asks) == 130


def test_merging_rounds_bids_down_and_asks_up_and_adds_sizes() -> None:
    book = Book(2, 0)
    for price in (10019, 10011, 10009):
        book.bids.set(price, 1)
    for price in (10021, 10030, 10031):
        book.asks.set(price, 1)
    assert book.merged(1) == ({10010: 2, 10000: 1}, {10030: 2, 10040: 1})


def test_a_scale_of_minus_one_means_whole_units_and_the_own_scale_merges_nothing() -> None:
    book = Book(2, 0)
    assert [book.step(scale) for scale in (2, 1, 0, -1, -2, 5)] == [1, 10, 100, 100, 1000, 1]


def test_a_difference_turns_one_book_into_the_next() -> None:
    before, after = {1: 10, 2: 20, 3: 30}, {2: 21, 3: 30, 4: 40}
    assert difference(before, after) == {2: 21, 4: 40, 1: 0}
