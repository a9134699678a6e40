"""A Nautilus engine replays the catalog and holds the lake's books."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.data import OrderBookDelta, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, BookAction, BookType, OmsType
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.instruments import CryptoPerpetual, CurrencyPair
from nautilus_trader.model.objects import Currency, Money
from nautilus_trader.persistence.catalog import ParquetDataCatalog
from nautilus_trader.trading.strategy import Strategy

from recorder.exports import CoverageError, ExportError, export
from tests.exports.lakes import SECOND_NS, Made, market_lake

F_LAST, F_SNAPSHOT = 128, 32
Levels = list[tuple[Decimal, Decimal]]
MS = 1_000_000


class Watcher(Strategy):  # type: ignore[misc]
    """Keeps each book that it sees, whole, with the time at which it saw it."""

    def __init__(self, instrument: Any) -> None:
        super().__init__()
        self.instrument = instrument
        self.seen: dict[int, tuple[Levels, Levels]] = {}
        self.ticks: list[Any] = []

    def on_start(self) -> None:
        self.subscribe_order_book_deltas(self.instrument.id, book_type=BookType.L2_MBP)
        self.subscribe_trade_ticks(self.instrument.id)

    def on_order_book_deltas(self, deltas: Any) -> None:
        book = self.cache.order_book(self.instrument.id)
        self.seen[deltas.ts_init] = levels(book.bids()), levels(book.asks())

    def on_trade_tick(self, tick: Any) -> None:
        self.ticks.append(tick)


def levels(side: list[Any]) -> Levels:
    return [(level.price.as_decimal(), sum(order.size.as_decimal() for order in level.orders())) for level in side]


def replay(catalog: ParquetDataCatalog) -> Watcher:
    (instrument,) = catalog.instruments()
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("HASHKEY"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=None,
        starting_balances=[Money(1_000_000, Currency.from_str("USD"))],
        book_type=BookType.L2_MBP,
    )
    engine.add_instrument(instrument)
    engine.add_data(catalog.order_book_deltas([instrument.id.value]))
    engine.add_data(catalog.trade_ticks([instrument.id.value]))
    watcher = Watcher(instrument)
    engine.add_strategy(watcher)
    engine.run()
    engine.dispose()
    return watcher


def recorded(made: Made, shift: int = 0) -> dict[int, tuple[Levels, Levels]]:
    return {
        row["receive_ns"] + shift: (
            list(zip(row["bid_prices"], row["bid_sizes"], strict=True)),
            list(zip(row["ask_prices"], row["ask_sizes"], strict=True)),
        )
        for row in made.books
    }


@pytest.fixture(scope="module")
def watcher(catalog: Path) -> Watcher:
    """What an engine saw of the whole lake."""
    return replay(ParquetDataCatalog(str(catalog)))


def test_the_engine_holds_every_book_of_the_lake_at_its_time_and_ends_with_the_same(
    whole_lake: Made, watcher: Watcher
) -> None:
    books = recorded(whole_lake)
    changed = {at: book for at, book in watcher.seen.items() if books.get(at) != book}
    assert not changed
    assert len(watcher.seen) > 0.9 * len(books)  # a push without a change of the visible book brings no delta
    assert watcher.seen[max(watcher.seen)] == books[max(books)]


def test_trades_keep_id_side_numbers_and_both_times(whole_lake: Made, watcher: Watcher) -> None:
    assert [
        (
            tick.trade_id.value,
            tick.price.as_decimal(),
            tick.size.as_decimal(),
            tick.aggressor_side == AggressorSide.SELLER,
            tick.ts_init,
        )
        for tick in watcher.ticks
    ] == [
        (str(row["trade_id"]), row["price"], row["size"], row["buyer_is_maker"], row["receive_ns"])
        for row in whole_lake.trades
    ]


def test_each_event_ends_with_f_last_and_snapshots_are_marked(broken_lake: Made, out: Path) -> None:
    export("nautilus", broken_lake.path, broken_lake.symbol, out=out, on_gap="ignore", interval="10s", progress=False)
    deltas = ParquetDataCatalog(str(out)).order_book_deltas()
    ends = {delta.ts_init: delta.flags for delta in deltas}  # the last of each time wins
    assert all(flags & F_LAST for flags in ends.values())
    assert sum(bool(delta.flags & F_LAST) for delta in deltas) == len(ends)
    clears = [delta for delta in deltas if delta.action == BookAction.CLEAR]
    assert len(clears) == 3  # at the start and after each of two gaps
    assert all(delta.flags & F_SNAPSHOT for delta in clears)
    snapshots = {delta.ts_init for delta in deltas if delta.flags & F_SNAPSHOT}
    assert snapshots == {delta.ts_init for delta in clears}


@pytest.mark.slow
def test_the_real_book_comes_through_too(capture: Made, out: Path) -> None:
    shift = 1_270 * MS
    export("nautilus", capture.path, capture.symbol, out=out, interval="10s", clock_offset=shift, progress=False)
    catalog = ParquetDataCatalog(str(out))
    (instrument,) = catalog.instruments()
    assert isinstance(instrument, CryptoPerpetual)
    watcher = replay(catalog)
    books = recorded(capture, shift)
    assert len(watcher.seen) > 100
    assert all(books[at] == book for at, book in watcher.seen.items())


def test_the_instrument_is_what_exchange_info_says(catalog: Path) -> None:
    (instrument,) = ParquetDataCatalog(str(catalog)).instruments()
    assert isinstance(instrument, CurrencyPair)
    assert (str(instrument.id), instrument.base_currency.code, instrument.quote_currency.code) == (
        "BTCUSD.HASHKEY",
        "BTC",
        "USD",
    )
    assert (str(instrument.price_increment), str(instrument.size_increment)) == ("0.01", "0.00001")


def test_bars_are_known_at_their_close_not_before(whole_lake: Made, catalog: Path) -> None:
    bars = ParquetDataCatalog(str(catalog)).bars()
    assert len(bars) == 12
    for number, bar in enumerate(bars, 1):
        assert bar.ts_init == bar.ts_event == whole_lake.start_ns + number * 10 * SECOND_NS
        low, high = bar.ts_event - 10 * SECOND_NS, bar.ts_event
        prices = [row["price"] for row in whole_lake.trades if low <= exchange_ns(row) < high]
        assert (bar.open.as_decimal(), bar.high.as_decimal(), bar.low.as_decimal(), bar.close.as_decimal()) == (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
        )


def exchange_ns(row: dict[str, Any]) -> int:
    from recorder.exports.times import to_ns

    return to_ns(row["exchange_time"])


def test_ranges_and_symbols_share_a_catalog_but_never_overlap(whole_lake: Made, out: Path) -> None:
    lake, symbol, cut = whole_lake.path, whole_lake.symbol, whole_lake.at(60)
    export("nautilus", lake, symbol, end=cut, out=out, interval="10s", progress=False)
    with pytest.raises(ExportError, match="already holds"):
        export("nautilus", lake, symbol, out=out, interval="10s", progress=False)
    before = len(ParquetDataCatalog(str(out)).trade_ticks())
    assert before == sum(row["exchange_time"] < cut for row in whole_lake.trades)
    export("nautilus", lake, symbol, start=whole_lake.at(61), out=out, interval="10s", progress=False)
    assert len(ParquetDataCatalog(str(out)).instruments()) == 1
    deltas = ParquetDataCatalog(str(out)).order_book_deltas()
    assert [delta.ts_init for delta in deltas] == sorted(delta.ts_init for delta in deltas)


def test_gaps_are_refused_or_split_into_catalogs(broken_lake: Made, out: Path) -> None:
    lake, symbol = broken_lake.path, broken_lake.symbol
    with pytest.raises(CoverageError, match="--on-gap split"):
        export("nautilus", lake, symbol, out=out, interval="10s", progress=False)
    export("nautilus", lake, symbol, out=out, interval="10s", on_gap="split", progress=False)
    stretches = ((0, 30), (40.05, 80), (81, 120))
    for number, (first, last) in enumerate(stretches, 1):
        catalog = ParquetDataCatalog(str(out / f"{number:03d}"))
        times = [row.ts_init - broken_lake.start_ns for row in catalog.query(OrderBookDelta)]
        times += [row.ts_init - broken_lake.start_ns for row in catalog.query(TradeTick)]
        assert first * SECOND_NS <= min(times) <= max(times) <= last * SECOND_NS


def test_negative_latency_is_refused(late_clock_lake: Made, out: Path) -> None:
    with pytest.raises(ExportError, match="before they happened"):
        export("nautilus", late_clock_lake.path, late_clock_lake.symbol, out=out, progress=False)


def test_rows_of_short_windows_wait_for_their_turn(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = market_lake(tmp_path / "lake", seconds=25)
    monkeypatch.setattr("recorder.exports.source.HOUR_NS", SECOND_NS)
    export("nautilus", made.path, made.symbol, out=out, interval="10s", progress=False)
    catalog = ParquetDataCatalog(str(out))
    assert len(catalog.get_intervals(OrderBookDelta, "BTCUSD.HASHKEY")) > 20
    watcher = replay(catalog)
    books = recorded(made)
    assert all(books[at] == book for at, book in watcher.seen.items())
    assert len(watcher.ticks) == len(made.trades)


def test_finer_numbers_than_the_tick_widen_the_precision(tmp_path: Path, out: Path) -> None:
    made = market_lake(tmp_path / "lake", seconds=10, tick=Decimal("0.1"))
    export("nautilus", made.path, made.symbol, out=out, interval="1s", progress=False)
    catalog = ParquetDataCatalog(str(out))
    (instrument,) = catalog.instruments()
    assert instrument.price_precision == 2
    assert str(instrument.price_increment) == "0.10"
    assert replay(catalog).seen
