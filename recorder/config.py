"""Settings: `config.toml`, then the environment, each key checked before anything starts.

A wrong key or value becomes one ConfigError that names the file, the key and a valid value.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from recorder.errors import ConfigError

VenueName = Literal[
    "hashkey",
    "hashkey-mena",
    "hashkey-global",
    "hashkey-sandbox",
    "hashkey-mena-sandbox",
    "hashkey-global-sandbox",
]
Stream = Literal["trade", "depth", "kline", "bbo", "ticker", "depth_delta", "index", "mark_price"]
Interval = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M"]
SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

EXAMPLES = {
    "venue.name": 'name = "hashkey"',
    "venue.rest_url": 'rest_url = "https://host" or ""',
    "venue.ws_v1_url": 'ws_v1_url = "wss://host/quote/ws/v1" or ""',
    "venue.ws_v2_url": 'ws_v2_url = "wss://host/quote/ws/v2" or ""',
    "record.symbols": 'symbols = ["BTCUSD"] or ["*"]',
    "record.streams": 'streams = ["trade", "depth", "kline", "bbo", "ticker"]',
    "record.kline_intervals": 'kline_intervals = ["1m"]',
    "record.backfill": "backfill = true",
    "record.redundancy": "redundancy = 1",
    "data.dir": 'dir = "data"',
    "data.recorder": 'recorder = "main"',
    "journal.sync_ms": "sync_ms = 250",
    "journal.segment_seconds": "segment_seconds = 15",
    "journal.keep_raw_days": "keep_raw_days = 0",
    "journal.reserve_mb": "reserve_mb = 512",
    "retention.trade_days": "trade_days = 400",
    "retention.depth_days": "depth_days = 90",
    "retention.depth_delta_days": "depth_delta_days = 400",
    "retention.kline_days": "kline_days = 400",
    "retention.bbo_days": "bbo_days = 400",
    "retention.ticker_days": "ticker_days = 400",
    "retention.mark_price_days": "mark_price_days = 400",
    "retention.index_price_days": "index_price_days = 400",
    "retention.clock_days": "clock_days = 400",
    "retention.instrument_days": "instrument_days = 400",
    "retention.session_days": "session_days = 400",
    "retention.gap_days": "gap_days = 400",
    "retention.quarantine_days": "quarantine_days = 400",
    "monitor.host": 'host = "127.0.0.1"',
    "monitor.port": "port = 9101",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Venue(_Part):
    name: VenueName = "hashkey"
    rest_url: str = ""
    ws_v1_url: str = ""
    ws_v2_url: str = ""

    @field_validator("rest_url")
    @classmethod
    def _http(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("an address that starts with http:// or https:// is needed")
        return url.rstrip("/")

    @field_validator("ws_v1_url", "ws_v2_url")
    @classmethod
    def _ws(cls, url: str) -> str:
        if url and not url.startswith(("ws://", "wss://")):
            raise ValueError("an address that starts with ws:// or wss:// is needed")
        return url


class Record(_Part):
    symbols: tuple[str, ...] = ("*",)
    streams: tuple[Stream, ...] = ("trade", "depth", "kline", "bbo", "ticker")
    kline_intervals: tuple[Interval, ...] = ("1m",)
    backfill: bool = True
    redundancy: int = Field(default=1, ge=1, le=2)

    @field_validator("symbols")
    @classmethod
    def _symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if not symbols:
            raise ValueError("the list is empty; name at least one symbol")
        for symbol in symbols:
            if symbol != "*" and not SYMBOL.fullmatch(symbol):
                raise ValueError(f"{symbol!r} is not a symbol (letters, digits, '.', '_', '-')")
        if "*" in symbols and len(symbols) > 1:
            raise ValueError('"*" means all that trade and stands alone')
        return tuple(dict.fromkeys(symbols))

    @field_validator("streams", "kline_intervals")
    @classmethod
    def _unique(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if not values:
            raise ValueError("the list is empty; name at least one")
        return tuple(dict.fromkeys(values))


class Data(_Part):
    dir: Path = Path("data")
    recorder: str = Field(default="main", pattern=r"^[a-z0-9-]+$")


class JournalSettings(_Part):
    sync_ms: int = Field(default=250, ge=1, le=10_000)
    segment_seconds: float = Field(default=15, ge=0.2, le=3600)
    keep_raw_days: int = Field(default=0, ge=0)
    reserve_mb: int = Field(default=512, ge=0)


class Retention(_Part):
    """Days after which sealed files of a table are removed; 0 keeps them for ever."""

    trade_days: int = Field(default=0, ge=0)
    depth_days: int = Field(default=0, ge=0)
    depth_delta_days: int = Field(default=0, ge=0)
    kline_days: int = Field(default=0, ge=0)
    bbo_days: int = Field(default=0, ge=0)
    ticker_days: int = Field(default=0, ge=0)
    mark_price_days: int = Field(default=0, ge=0)
    index_price_days: int = Field(default=0, ge=0)
    clock_days: int = Field(default=0, ge=0)
    instrument_days: int = Field(default=0, ge=0)
    session_days: int = Field(default=0, ge=0)
    gap_days: int = Field(default=0, ge=0)
    quarantine_days: int = Field(default=0, ge=0)

    def arguments(self) -> list[str]:
        """For the writer process, which does it."""
        asked = {key.removesuffix("_days"): days for key, days in self.model_dump().items() if days}
        return [text for table, days in asked.items() for text in ("--keep", f"{table}={days}")]


class Monitor(_Part):
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class Settings(BaseSettings):
    """All settings; arguments come from the file, the environment wins over the file."""

    model_config = SettingsConfigDict(env_prefix="RECORDER__", env_nested_delimiter="__", extra="forbid", frozen=True)
    venue: Venue = Venue()
    record: Record = Record()
    data: Data = Data()
    journal: JournalSettings = JournalSettings()
    retention: Retention = Retention()
    monitor: Monitor = Monitor()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def load(path: Path | None = None, data: Path | None = None) -> Settings:
    """Read settings from `path` (default: config.toml here, if there is one) and the environment.

    `data` overrides [data] dir. Raises ConfigError, one line: place, key, valid value.
    """
    place = path or Path("config.toml")
    raw = _read(place, required=path is not None)
    _reject_unknown_environment()
    if data is not None:
        raw = {**raw, "data": {**_table(raw, "data", place), "dir": data}}
    try:
        settings = Settings(**raw)
    except ValidationError as error:
        raise ConfigError(_explain(error, place)) from error
    if data is not None and settings.data.dir != data:  # an argument wins over the environment too
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"dir": data})})
    return settings


def _read(path: Path, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"{path}: no such file; name an existing one with -c, or leave -c out") from error
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _table(raw: dict[str, Any], name: str, place: Path) -> dict[str, Any]:
    value = raw.get(name, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: {name} must be a table, as in [{name}]")
    return value


def _reject_unknown_environment() -> None:
    """pydantic passes over an unknown RECORDER__X__Y; a typo there must not go unnoticed."""
    known = {"RECORDER__" + key.replace(".", "__").upper(): key for key in EXAMPLES}
    for name in os.environ:
        if name.upper().startswith("RECORDER__") and name.upper() not in known:
            raise ConfigError(f"environment {name}: unknown setting; known ones: {', '.join(sorted(known))}")


def _explain(error: ValidationError, place: Path) -> str:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    section, key = where[0], where[1] if len(where) > 1 else ""
    variable = f"RECORDER__{section}__{key}".upper()
    source = f"environment {variable}" if variable in os.environ else str(place)
    if first["type"] == "extra_forbidden":
        names = Settings.model_fields if not key else Settings.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
        kind = "key" if key else "table"
        spot = f"[{section}] {key}" if key else f"[{section}]"
        return f"{source}: {spot}: unknown {kind}; known: {', '.join(names)}"
    if not key:
        return f"{source}: {section} must be a table, as in [{section}]"
    message = first["msg"].removeprefix("Value error, ")
    example = EXAMPLES.get(f"{section}.{key}", "")
    return f"{source}: [{section}] {key}: {message}" + (f"; for example {example}" if example else "")


STREAMS: tuple[str, ...] = get_args(Stream)
