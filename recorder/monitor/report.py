"""Print what the other rooms found: tables for people, one JSON document for programs."""

import sys
from typing import Any

import orjson
from rich.console import Console


def print_json(found: Any) -> None:
    sys.stdout.write(orjson.dumps(found, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_findings(findings: list[dict[str, Any]]) -> None:
    console = Console()
    for finding in findings:
        mark = "[green]ok[/]  " if finding["ok"] else "[red]FAIL[/]"
        console.print(f"{mark} [bold]{finding['check']}[/]: {finding['detail']}", soft_wrap=True)
        if finding["remedy"]:
            console.print(f"     -> {finding['remedy']}", soft_wrap=True)
