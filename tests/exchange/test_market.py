"""The market is a function of seed, start and rate."""

from itertools import pairwise

from recorder.exchange.instruments import choose
from recorder.exchange.market import Market
from recorder.exchange.source import MS, Traded
from tests.exchange.bench import START_MS, market


def story(source: Market, seconds: int, step_ms: int = 100) -> list[tuple[object, ...]]:
    told: list[tuple[object, ...]] = []
    for tick in range(0, seconds * 1000, step_ms):
        for event in source.advance((START_MS + tick + step_ms) * MS):
            what = event.trade if isinstance(event, Traded) else event.quote
            told.append((event.series.symbol, what))
    for symbol, series in source.series.items():
        told.append((symbol, series.book.version, series.book.time, series.book.bids.text(), series.book.asks.text()))
    return told


def test_the_same_seed_tells_the_same_story_and_another_seed_another() -> None:
    assert story(market(), 20) == story(market(), 20)
    assert story(market(), 20) != story(market(seed=2), 20)


def test_the_story_does_not_depend_on_how_often_we_ask() -> None:
    assert story(market(), 20, 100) == story(market(), 20, 5000)


def test_one_symbol_does_not_change_another() -> None:
    alone = [line for line in story(market("ETHUSD"), 20) if len(line) == 5]
    beside = [line for line in story(market("BTCUSD", "ETHUSD"), 20) if len(line) == 5 and line[0] == "ETHUSD"]
    assert alone == beside


def test_a_version_names_one_book_even_when_the_exchange_starts_at_another_time() -> None:
    books: dict[int, bytes] = {}
    for start in (START_MS, START_MS + 12_345):
        source = Market(choose(("BTCUSD",), 0), 1, start)
        for tick in range(100):
            list(source.advance((start + tick * 100) * MS))
            book = source.series["BTCUSD"].book
            assert books.setdefault(book.version, book.bids.text()) == book.bids.text()


def test_trade_ids_grow_across_symbols_and_skip() -> None:
    told = story(market("BTCUSD", "ETHUSD", "BTCUSDT", rate=5), 60)
    ids = [what.id for _, what in (line for line in told if len(line) == 2) if hasattr(what, "id")]
    assert len(ids) > 100
    assert ids == sorted(set(ids))
    assert all(later - earlier > 1 for earlier, later in pairwise(ids))


def test_events_come_in_order_and_next_time_tells_the_next() -> None:
    source = market()
    for _ in range(200):
        due = source.next_time()
        assert due is not None
        assert list(source.advance(due - 1)) == []
        list(source.advance(due))
        later = source.next_time()
        assert later is not None and later >= due


def test_a_rate_of_zero_is_a_market_that_stands_still() -> None:
    assert market(rate=0).next_time() is None


def test_contracts_have_marks_and_an_index_made_of_its_basket() -> None:
    source = market("BTCUSDT-PERPETUAL", "BTCUSD")
    (mark,) = source.marks(START_MS)
    (index,) = source.indices(START_MS)
    assert (mark.symbol, mark.time) == ("BTCUSDT-PERPETUAL", START_MS)
    assert index.name == "BTCUSDT"
    parts = [float(part.split("[")[0]) for part in index.formula.strip("()").split("+")]
    assert abs(sum(parts) / 5 - float(index.price)) < 1e-6
    assert index.average.startswith(index.price.split(".")[0])
