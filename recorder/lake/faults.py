"""Places where a test may stop the writer, as a power cut would. Outside tests `point` does nothing."""

from collections.abc import Callable

hook: Callable[[str], None] | None = None


def point(name: str) -> None:
    """A step of the protocol is about to be, or has just been, done; `name` says which."""
    if hook is not None:
        hook(name)
