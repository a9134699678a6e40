"""A disk that runs full under a capture: it says so, corrupts nothing, goes on by itself, and the loss is a gap."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from recorder.capture.tempo import Options as Timing
from recorder.capture.tempo import Tempo
from recorder.config import Settings
from recorder.exchange.app import Exchange, Options, serve
from recorder.journal import disk
from recorder.journal.format import Kind
from recorder.journal.reader import scan_segment, segments
from tests.capture.test_run import SYMBOLS, events, recording, records, settings
from tests.small_disk import mounted

pytestmark = pytest.mark.slow
SIZE_MB = 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes of its own."""
    with mounted(tmp_path / "disk", SIZE_MB) as place:
        yield place


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with serve(Options(symbols=SYMBOLS, rate=5, speed=3)) as running:
        yield running


def with_reserve(config: Settings, megabytes: int) -> Settings:
    return config.model_copy(update={"journal": config.journal.model_copy(update={"reserve_mb": megabytes})})


def fill(place: Path) -> Path:
    """Take all that is left."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


async def test_a_full_disk_becomes_a_gap_and_nothing_else_is_harmed(
    small_disk: Path, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "RETRY", 0.05)
    config = with_reserve(settings(exchange, small_disk), SIZE_MB - 1)
    async with recording(config, Timing(Tempo(3.0), max_queued=50_000)) as run:
        await run.until(lambda run: run.state.live == 5 * len(SYMBOLS))
        ballast = await asyncio.to_thread(fill, small_disk)
        await run.until(lambda run: run.state.disk_low)
        await run.until(lambda run: run.state.journal.dropped > 20, 20)
        assert run.state.journal_state == "failing"
        assert "No space left" in run.state.journal.error
        for path in segments(small_disk / "journal" / "main"):
            scan = scan_segment(path)
            assert list(scan)
            assert scan.is_whole, "what could not be written whole was cut back"
        ballast.unlink()
        await run.until(lambda run: run.state.journal_state == "ok")
        await run.until_event("drop")
        await run.until_event("gap", len(SYMBOLS), channel="trade", healed=True)
    gaps = events(small_disk, "gap", reason="disk")
    first = [gap for gap in gaps if not gap["healed"]]
    assert {(gap["channel"], gap["symbol"]) for gap in first} == {
        (channel, symbol) for channel in ("trade", "depth", "kline", "bbo", "ticker") for symbol in SYMBOLS
    }
    drop = events(small_disk, "drop")[0]
    assert (drop["reason"], drop["from_ns"], drop["to_ns"]) == ("disk", first[0]["from_ns"], first[0]["to_ns"])
    inside = [r for r in records(small_disk) if r.kind == Kind.TEXT and drop["from_ns"] < r.receive_ns < drop["to_ns"]]
    assert inside == []
    seqs = [r.seq for r in records(small_disk)]
    assert seqs == list(range(1, len(seqs) + 1)), "a number is given only to what is kept"
    told = [json.loads(r.payload)["event"] for r in records(small_disk) if r.kind == Kind.EVENT]
    assert {"disk_low", "journal_writes_again", "drop"} <= set(told)


async def test_frames_that_come_faster_than_a_healthy_disk_takes_them_are_an_overload(
    tmp_path: Path, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recording(settings(exchange, tmp_path), Timing(Tempo(3.0), max_queued=30_000)) as run:
        await run.until(lambda run: run.state.live == 5 * len(SYMBOLS))
        monkeypatch.setattr(disk, "NAP", 0.5)
        await run.until_event("drop", seconds=20)
        monkeypatch.undo()
    assert events(tmp_path, "drop")[0]["reason"] == "overload"
    assert {gap["reason"] for gap in events(tmp_path, "gap")} == {"overload"}
