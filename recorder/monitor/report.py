"""Print what the other rooms found: tables for people, one JSON document for programs."""

import sys
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recorder.monitor.doctor import LARGE_OFFSET_MS

MIB = 2**20


def console() -> Console:
    """For stdout; wide enough for our tables where nobody's terminal says how wide."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def print_json(found: Any) -> None:
    sys.stdout.write(orjson.dumps(found, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_findings(findings: list[dict[str, Any]]) -> None:
    """Of `recorder doctor`: a line each, and what to do about those that are not well."""
    out = console()
    for finding in findings:
        mark = "[green]ok[/]  " if finding["ok"] else "[red]FAIL[/]"
        out.print(f"{mark} [bold]{finding['check']}[/]: {finding['detail']}", soft_wrap=True)
        if finding["remedy"]:
            out.print(f"     -> {finding['remedy']}", soft_wrap=True)


def print_status(found: dict[str, Any]) -> None:
    """Of `recorder status`: the recorder, the streams by channel, what is missing, writer, disk, clock."""
    out = console()
    if found["running"]:
        writer = "" if found["writer_running"] else ", [red]its writer is not[/]"
        out.print(
            f"[green]recording[/] into {found['data']} (recorder {found['recorder']}, process {found['pid']}){writer}"
        )
    else:
        out.print(
            f"[yellow]not recording[/] into {found['data']} (recorder {found['recorder']}); `recorder run` starts it"
        )
    if found["streams"]:
        out.print(_channels(found["streams"]))
    _print_open_gaps(out, found["streams"])
    waiting, disk, clock = found["writer"], found["disk"], found["clock"]
    age = f", oldest {_ago(waiting['oldest_age_seconds'])} old" if waiting["segments_waiting"] else ""
    out.print(f"writer  {waiting['segments_waiting']} segments waiting, {waiting['bytes_waiting'] / MIB:.1f} MiB{age}")
    left = f", lasts {disk['days_left']:,.0f} days at this rate" if disk["days_left"] else ""
    out.print(f"disk    lake {disk['lake_bytes'] / MIB:,.1f} MiB, {disk['free_bytes'] / 2**30:,.1f} GiB free{left}")
    _print_disk_state(out, disk)
    _print_raw(out, found["raw"])
    _print_retention(out, found["retention"])
    if clock:
        out.print(
            f"clock   ours is {-clock['offset_ns'] / 1e6:+.1f} ms from the venue's, "
            f"round trip {clock['round_trip_ns'] / 1e6:.1f} ms, told {_ago(clock['age_seconds'])} ago"
        )
        if abs(clock["offset_ns"]) >= LARGE_OFFSET_MS * 1e6:
            out.print("[yellow]clock   is wrong by more than a second[/]; set this machine's clock (chrony or ntpd)")


DISK_STATES = {
    "low": "[bold red]disk runs short[/]",
    "failing": "[bold red]disk takes nothing, what arrives is being lost[/]",
}


def _print_disk_state(out: Console, disk: dict[str, Any]) -> None:
    if disk["state"] != "ok":
        since = f"since {disk['state_since']}: {escape(disk['state_detail'])}"
        out.print(f"{DISK_STATES[disk['state']]} {since}; free some space", soft_wrap=True)


def _print_raw(out: Console, raw: dict[str, Any]) -> None:
    if raw["bytes"]:
        out.print(f"raw     {raw['bytes'] / MIB:,.1f} MiB of frames, {raw['first_date']} to {raw['last_date']}")
    if raw["is_stopped"]:
        out.print("[red]raw     frames are not archived until there is room again[/]; the tables go on")


def _print_retention(out: Console, retention: dict[str, Any], most: int = 3) -> None:
    if retention["files"]:
        out.print(
            f"removed {retention['files']} files, {retention['bytes'] / MIB:,.1f} MiB so far, as asked for; last:"
        )
    for run in retention["last"][:most]:
        what = f"{run['files']} files, {run['bytes'] / MIB:,.1f} MiB, {run['rows']:,} rows"
        out.print(f"        {run['time']} {run['rule']}: {what}")


def _ago(seconds: float) -> str:
    """What arrived after we began to look is of now."""
    return f"{max(0.0, seconds):,.0f} s"


def _channels(streams: list[dict[str, Any]]) -> Table:
    table = Table(header_style="dim", box=None, pad_edge=False)
    for name in ("channel", "symbols", "rows", "last frame", "slowest", "gaps", "gap seconds", "open gaps"):
        table.add_column(name, justify="left" if name == "channel" else "right")
    for channel in dict.fromkeys(stream["channel"] for stream in streams):
        of = [stream for stream in streams if stream["channel"] == channel]
        ages = [stream["age_seconds"] for stream in of if stream["age_seconds"] is not None]
        missing = sum(stream["status"] == "gap" for stream in of)
        table.add_row(
            channel,
            str(len(of)),
            f"{sum(stream['rows'] for stream in of):,}",
            f"{_ago(min(ages))} ago" if ages else "never",
            f"{_ago(max(ages))} ago" if ages else "never",
            str(sum(stream["gaps"] for stream in of)),
            f"{sum(stream['gap_seconds'] for stream in of):,.1f}",
            f"[red]{missing}[/]" if missing else "0",
        )
    return table


def _print_open_gaps(out: Console, streams: list[dict[str, Any]], most: int = 10) -> None:
    missing = [stream for stream in streams if stream["status"] == "gap"]
    for stream in missing[:most]:
        what = f"{stream['channel']} {stream['symbol']}"
        out.print(f"[red]missing[/] {what} since {stream['since']}: {escape(stream['reason'])}")
    if len(missing) > most:
        out.print(f"… and {len(missing) - most} more: `recorder coverage`")


def print_seal(report: Any) -> None:
    """Of `recorder seal`: what was merged and removed on stdout; what went wrong on stderr."""
    out = console()
    out.print(f"merged {len(report.merged)} files, {report.rows:,} rows; removed {len(report.removed)} merged inputs")
    for line in (*report.cut, *report.damaged, *report.copied, *report.failed):
        sys.stderr.write(f"{line}\n")


def print_from_raw(report: Any) -> None:
    """Of `recorder seal --from-raw`: what was decoded on stdout; what is missing or damaged on stderr."""
    out = console()
    out.print(f"decoded {report.records:,} records of {report.sources} files into {report.rows:,} rows")
    for line in (*report.damaged, *report.holes):
        sys.stderr.write(f"{line}\n")
    print_seal(report.sealed)


def print_backfill(found: dict[str, Any]) -> None:
    """Of `recorder backfill`: what was asked and healed, and what stays open and why."""
    out = console()
    out.print(f"{found['requests']} requests, {found['rows']:,} rows, {len(found['healed'])} gaps healed")
    for gap in found["left"]:
        out.print(f"open: {gap['channel']} {gap['symbol']}: {gap['detail']}", soft_wrap=True)
    if found["unfinished"]:
        sys.stderr.write(f"not finished: {found['unfinished']}\n")


def print_verify(findings: list[Any]) -> None:
    """Of `recorder verify`: one line a finding with file and remedy."""
    for finding in findings:
        sys.stdout.write(f"{'' if finding.is_problem else 'note: '}{finding}\n")
    problems = sum(finding.is_problem for finding in findings)
    sys.stderr.write(f"{problems} problems found\n" if problems else "no problem found\n")
