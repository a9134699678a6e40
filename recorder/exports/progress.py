"""A bar on stderr while something long is made; nothing where stderr is no terminal."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def steps(items: Iterable[Item], title: str, shown: bool) -> Iterator[Item]:
    """`items` one by one; each that is taken moves the bar."""
    todo = list(items)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    hidden = not shown or not console.is_terminal or len(todo) < 2
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden) as bar:
        yield from bar.track(todo, description=title)
