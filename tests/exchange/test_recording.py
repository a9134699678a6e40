import gzip
from pathlib import Path

import pytest

from recorder.exchange.errors import ExchangeError
from recorder.exchange.recording import open_recording, play
from tests.exchange.recordings import BEGIN, REAL, Tape, short


def test_a_recording_knows_its_market_and_its_steps(tmp_path: Path) -> None:
    recording = open_recording(short().write(tmp_path / "a.gz"))
    one = recording.instrument
    assert (one.symbol, one.base, one.quote, one.contract) == ("BTCUSDT", "BTC", "USDT", False)
    assert (one.price_scale, one.price_decimals, one.size_scale, one.size_decimals) == (8, 0, 8, 2)
    assert recording.first_time == BEGIN


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not on this machine")
@pytest.mark.parametrize(
    ("name", "symbol", "decimals", "inverse", "multiplier"),
    [
        ("spot_btcusdt_20240808.gz", "BTCUSDT", 2, False, 1),
        ("usdm_btcusdt_20240808.gz", "BTCUSDT-PERPETUAL", 1, False, 1),
        ("cm_ethusd_perp_20240808.gz", "ETHUSD-PERPETUAL", 2, True, 10),
    ],
)
def test_the_real_recordings_are_recognised(
    name: str, symbol: str, decimals: int, inverse: bool, multiplier: int
) -> None:
    one = open_recording(REAL / name).instrument
    assert (one.symbol, one.price_decimals, one.inverse, one.multiplier) == (symbol, decimals, inverse, multiplier)


def test_files_of_one_market_follow_one_another_in_time(tmp_path: Path) -> None:
    later = Tape(BEGIN + 1_000_000_000)
    later.trade(0, 8000, "100.00000000", "1.00000000", True)
    paths = [later.write(tmp_path / "b.gz"), short().write(tmp_path / "a.gz")]
    times = [line.time for line in play([open_recording(path) for path in paths])]
    assert times == sorted(times)
    assert len(times) == 9


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"plain text", "not a recording"),
        (gzip.compress(b"hello\n", mtime=0), "line 1"),
        (gzip.compress(b"1 [1]\n", mtime=0), "no JSON object"),
        (gzip.compress(b"", mtime=0), "no trade or depth message"),
    ],
)
def test_another_format_is_an_error_that_names_the_file(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(ExchangeError, match=says) as caught:
        open_recording(path)
    assert str(path) in str(caught.value)
