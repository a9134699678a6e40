"""The command line: verbs that wire the rooms together. Data goes to stdout, words to stderr.

Exit status: 0 good, 1 found a problem, 2 wrong use. Imports of the heavy rooms stay inside the verbs, so that
`recorder run` does not carry DuckDB in its memory and `recorder --help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from recorder import signals
from recorder.config import Settings, load
from recorder.errors import RecorderError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Records HashKey Exchange market data: nothing received is lost, everything missing is known.",
)
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The lake. Default: \\[data] dir.")]
Config = Annotated[Path | None, typer.Option("-c", "--config", metavar="FILE", help="Default: config.toml here.")]
From = Annotated[str | None, typer.Option("--from", metavar="T", help="ISO 8601, UTC.")]
To = Annotated[str | None, typer.Option("--to", metavar="T", help="ISO 8601, UTC; not included.")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="One JSON document on stdout.")]


OutputFormat = Literal["table", "csv", "json", "parquet"]
Timing = Literal["receive", "exchange"]
Target = Literal["hftbacktest", "nautilus", "freqtrade", "bars", "tardis"]
OnGap = Literal["refuse", "split", "ignore"]


def main() -> NoReturn:
    """Run the command; a known error is one line on stderr and exit status 2."""
    try:
        app(standalone_mode=True)
    except RecorderError as error:
        print(f"recorder: {error}", file=sys.stderr)  # noqa: T201 the one place that speaks to people
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)  # the reader of our output had enough, as in `recorder sql … | head`
    sys.exit(0)


@app.command()
def run(data: Data = None, config: Config = None) -> None:
    """Record until SIGTERM or SIGINT; then drain, make parts, and exit 0."""
    signals.listen()
    from recorder.logs import set_up_logs
    from recorder.service import run as serve

    settings = load(config, data)
    set_up_logs()
    raise typer.Exit(serve(settings))


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=1, help="How long to record.")] = 20,
    data: Annotated[Path, typer.Option("--data", metavar="DIR")] = Path("demo-data"),
) -> None:
    """Simulated exchange, recorder, first queries; no network."""
    from recorder.demo import demo as show

    raise typer.Exit(show(data, seconds))


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 0,
    seed: int = 1,
    symbols: Annotated[str, typer.Option(metavar="A,B", help="Symbols to offer.")] = "",
    pairs: Annotated[int, typer.Option(min=0, help="38: the whole Hong Kong venue.")] = 0,
    rate: Annotated[float, typer.Option(help="How busy, times normal.")] = 1.0,
    speed: Annotated[float, typer.Option(help="Exchange time runs this much faster.")] = 1.0,
    faults: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    ledger: Annotated[Path | None, typer.Option(metavar="FILE", help="One line a frame sent.")] = None,
    capture: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="Serve a real recording.")] = None,
) -> None:
    """Our own exchange: WS V1, V2 and REST on one port, whose addresses are the first line of stdout."""
    from recorder.exchange.app import Options
    from recorder.exchange.app import simulate as serve

    options = Options(
        port=port,
        seed=seed,
        symbols=tuple(s for s in symbols.split(",") if s),
        pairs=pairs,
        rate=rate,
        speed=speed,
        faults=faults,
        ledger=ledger,
        captures=tuple(capture or ()),
    )
    raise typer.Exit(serve(options))


@app.command()
def replay(
    start: From = None,
    end: To = None,
    speed: Annotated[str, typer.Option(metavar="X|max", help="Times as fast as it was; max: as fast as read.")] = "1",
    symbols: Annotated[str, typer.Option(metavar="A,B", help="Default: all that were recorded.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 0,
    timing: Annotated[Timing, typer.Option(help="In order of arrival, or of the venue's own times.")] = "receive",
    venue: Annotated[str | None, typer.Option(metavar="V", help="Needed if the lake has several.")] = None,
    faults: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    ledger: Annotated[Path | None, typer.Option(metavar="FILE", help="One line a frame sent.")] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """The exchange with the lake as its source, for an unchanged bot; starts when a client has subscribed."""
    from recorder.exchange.replay import ReplayOptions, speed_of
    from recorder.exchange.replay import replay as serve

    options = ReplayOptions(
        load(config, data).data.dir,
        start=start,
        end=end,
        speed=speed_of(speed),
        symbols=tuple(s for s in symbols.split(",") if s),
        port=port,
        timing=timing,
        venue=venue,
        faults=faults,
        ledger=ledger,
    )
    raise typer.Exit(serve(options))


@app.command()
def export(
    target: Annotated[Target, typer.Argument(help="Who shall read it.", show_default=False)],
    symbol: Annotated[str, typer.Option(metavar="S")],
    out: Annotated[Path, typer.Option(metavar="PATH", help="A file for hftbacktest and bars, else a folder.")],
    start: From = None,
    end: To = None,
    on_gap: Annotated[OnGap, typer.Option(help="What to do where the range is not whole.")] = "refuse",
    interval: Annotated[str, typer.Option(metavar="I", help="Of bars: 1s, 1m, 4h, 1d, …")] = "1m",
    incomplete: Annotated[
        bool, typer.Option("--incomplete", metavar="", help="Of bars: also those that a gap touches.")
    ] = False,
    clock_offset: Annotated[str | None, typer.Option(metavar="measured|NS", help="Added to receive times.")] = None,
    venue: Annotated[str | None, typer.Option(metavar="V", help="Needed if the lake has several.")] = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Write what a backtester reads; refuses a range with gaps unless told what to do with them."""
    from recorder.exports import export as make
    from recorder.monitor.report import print_json

    made = make(
        target,
        load(config, data).data.dir,
        symbol,
        start,
        end,
        out,
        on_gap=on_gap,
        interval=interval,
        clock_offset=clock_offset,
        incomplete=incomplete,
        venue=venue,
    )
    if json:
        print_json(made.as_dict())
    typer.echo(str(made), err=True)


@app.command()
def status(data: Data = None, config: Config = None, json: Json = False) -> None:
    """What is recorded, how fresh it is, what is missing, and how long the disk lasts."""
    from recorder.lake.status import status as read
    from recorder.monitor.report import print_json, print_status

    settings = load(config, data)
    found = read(settings.data.dir, settings.data.recorder)
    (print_json if json else print_status)(found)


@app.command()
def coverage(
    table: Annotated[str | None, typer.Option(metavar="T", help="trade, depth, kline, …")] = None,
    symbol: Annotated[str | None, typer.Option(metavar="S")] = None,
    start: From = None,
    end: To = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Intervals that are whole, and those that are not, with the reason."""
    from recorder.lake.query import answer as write
    from recorder.lake.query import coverage_query

    query = coverage_query(table, symbol, start, end)
    write(_lake(config, data), query, "json" if json else "table", None)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='As in "SELECT count(*) FROM trade".')],
    format: Annotated[OutputFormat, typer.Option(help="How to print it.")] = "table",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of stdout.")] = None,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Ask the lake; reads only. `recorder sql "SHOW TABLES"` lists the views."""
    from recorder.lake.query import answer

    answer(_lake(config, data), query, "json" if json else format, out)


@app.command()
def backfill(
    start: From = None,
    end: To = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Heal now what REST can still prove, and confirm closed candles; `recorder run` does it by itself."""
    from recorder.logs import set_up_logs
    from recorder.monitor.report import print_backfill, print_json
    from recorder.quality.backfill import backfill as heal

    settings = load(config, data)
    set_up_logs()
    report = heal(settings, start, end)
    (print_json if json else print_backfill)(report.document())
    raise typer.Exit(1 if report.unfinished else 0)


@app.command()
def seal(
    from_raw: Annotated[
        Path | None, typer.Option("--from-raw", metavar="DIR", help="Make the lake from raw frames or a journal.")
    ] = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Recover and seal everything that is closed; the recorder must be stopped."""
    from recorder.journal.format import BACKFILL
    from recorder.lake.seal_all import seal_all
    from recorder.logs import set_up_logs
    from recorder.monitor.report import print_from_raw, print_json, print_seal

    settings = load(config, data)
    set_up_logs()
    if from_raw is not None:
        from recorder.lake.raw_seal import seal_from_raw

        made = seal_from_raw(from_raw, settings.data.dir, settings.data.recorder)
        (print_json if json else print_from_raw)(made)
        raise typer.Exit(0 if made.is_whole else 1)
    report = seal_all(settings.data.dir, settings.data.recorder)
    also = settings.data.recorder + BACKFILL
    if (settings.data.dir / "journal" / also).is_dir():
        report += seal_all(settings.data.dir, also)
    (print_json if json else print_seal)(report)
    raise typer.Exit(1 if report.failed or report.damaged or report.copied else 0)


@app.command()
def verify(
    start: From = None,
    end: To = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Hold the files against their names, each other and the manifest; a line a finding, exit 1 on any."""
    from recorder.logs import set_up_logs
    from recorder.monitor.report import print_json, print_verify
    from recorder.quality.verify import verify as look

    settings = load(config, data)
    set_up_logs()
    found = look(settings.data.dir, start, end)
    (print_json if json else print_verify)(found)
    raise typer.Exit(1 if any(finding.is_problem for finding in found) else 0)


@app.command()
def tables(
    check: Annotated[bool, typer.Option("--check", metavar="", help="Only say whether it is up to date.")] = False,
    out: Annotated[Path, typer.Option(metavar="FILE")] = Path("docs/tables.md"),
) -> None:
    """Write docs/tables.md from schemas/."""
    from recorder.lake import tables_doc

    if not check:
        tables_doc.write(out)
        typer.echo(f"wrote {out}", err=True)
    elif not tables_doc.check(out):
        typer.echo(f"{out} is not what schemas/ says; run `recorder tables`", err=True)
        raise typer.Exit(1)


@app.command()
def doctor(data: Data = None, config: Config = None, json: Json = False) -> None:
    """Configuration, disk, clock, reachability, versions; what to do about each."""
    from recorder.monitor.doctor import examine
    from recorder.monitor.report import print_findings, print_json

    settings = load(config, data)
    findings = examine(settings)
    (print_json if json else print_findings)(findings)
    raise typer.Exit(1 if any(not finding["ok"] for finding in findings) else 0)


def _lake(config: Path | None, data: Path | None) -> "Lake":  # type: ignore[name-defined]  # noqa: F821
    from recorder.lake.reader import open_lake

    settings: Settings = load(config, data)
    return open_lake(settings.data.dir)
