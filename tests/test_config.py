"""Settings: what is given is taken, what is wrong is one error that names place, key and a valid value."""

from pathlib import Path

import pytest

from recorder.config import EXAMPLES, Settings, load
from recorder.errors import ConfigError

CONFIG = Path(__file__).resolve().parents[1] / "config.toml"


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_the_shipped_file_says_the_defaults() -> None:
    assert load(CONFIG) == Settings()


def test_an_empty_file_is_enough(tmp_path: Path) -> None:
    assert load(write(tmp_path, "")).record.symbols == ("*",)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, '[record]\nsymbols = ["BTCUSD"]\nstreams = ["bbo"]\n')
    monkeypatch.setenv("RECORDER__RECORD__SYMBOLS", '["ETHUSD"]')
    monkeypatch.setenv("RECORDER__VENUE__REST_URL", "http://127.0.0.1:9/")
    settings = load(path)
    assert settings.record.symbols == ("ETHUSD",)
    assert settings.record.streams == ("bbo",)
    assert settings.venue.rest_url == "http://127.0.0.1:9"


def test_the_data_argument_wins_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER__DATA__DIR", "elsewhere")
    settings = load(write(tmp_path, '[data]\ndir = "here"\n'), tmp_path / "there")
    assert settings.data.dir == tmp_path / "there"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[record]\nfoo = 1", ["[record] foo", "unknown key", "symbols"]),
        ("[recrod]\nsymbols = []", ["[recrod]", "unknown table", "record"]),
        ("[record]\nsymbols = []", ["[record] symbols", "empty", '["BTCUSD"]']),
        ('[record]\nsymbols = ["../etc"]', ["[record] symbols", "'../etc' is not a symbol"]),
        ('[record]\nsymbols = ["*", "BTCUSD"]', ["[record] symbols", "stands alone"]),
        ('[record]\nstreams = ["trades"]', ["[record] streams", "'trade'"]),
        ('[record]\nkline_intervals = ["7m"]', ["[record] kline_intervals", "'1m'"]),
        ('[journal]\nsync_ms = "soon"', ["[journal] sync_ms", "integer", "sync_ms = 250"]),
        ("[journal]\nsync_ms = 0", ["[journal] sync_ms", "greater than or equal to 1"]),
        ('[venue]\nname = "binance"', ["[venue] name", "'hashkey'"]),
        ('[venue]\nrest_url = "api.example"', ["[venue] rest_url", "http"]),
        ('[data]\nrecorder = "My Recorder"', ["[data] recorder", "pattern"]),
        ("data = 3", ["data", "table"]),
        ("[record", ["not valid TOML"]),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_file_key_and_a_valid_value(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path, None if text.startswith("data") else tmp_path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message.removeprefix(str(path)).split(": ", 1)[0]
    for word in words:
        assert word in message


def test_a_wrong_value_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER__JOURNAL__SYNC_MS", "soon")
    with pytest.raises(ConfigError, match="environment RECORDER__JOURNAL__SYNC_MS"):
        load()


def test_an_unknown_variable_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER__VENUE__REST_ULR", "http://127.0.0.1")
    with pytest.raises(ConfigError, match="RECORDER__VENUE__REST_ULR: unknown setting"):
        load()


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.toml")


def test_every_setting_has_an_example_for_its_error() -> None:
    keys = {
        f"{table}.{key}"
        for table, field in Settings.model_fields.items()
        for key in field.annotation.model_fields  # type: ignore[union-attr]
    }
    assert keys == set(EXAMPLES)
