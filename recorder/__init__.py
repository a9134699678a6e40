"""A market-data recorder for HashKey Exchange. `recorder.open_lake(path)` is the door for Python users."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Lake", "open_lake"]

if TYPE_CHECKING:
    from recorder.lake.reader import Lake, open_lake


def __getattr__(name: str) -> Any:
    # Imported when asked for: the capture process must not carry DuckDB and pyarrow in its memory.
    if name in __all__:
        from recorder.lake import reader

        return getattr(reader, name)
    raise AttributeError(f"module 'recorder' has no attribute {name!r}")
