"""Imports run one way: the table of rooms in docs/architecture.md, held to the code."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "recorder"
TOP = {"cli", "service", "demo", "__main__"}  # the only files that know all parts
BASE = {"errors", "config", "logs", "__version__"}  # importable from everywhere

MAY_IMPORT: dict[str, set[str]] = {
    "venues": set(),
    "journal": set(),
    "capture": {"journal", "venues"},
    "lake": {"journal", "venues"},
    "quality": {"lake", "journal", "venues", "capture"},
    "exports": {"lake"},
    "exchange": {"lake"},
    "monitor": {"lake", "journal", "venues"},
}
ONLY_IN: dict[str, set[str]] = {
    "duckdb": {"lake"},
    "websockets": {"capture", "exchange"},
}
NEVER: dict[str, set[str]] = {
    "venues": {"socket", "asyncio", "aiohttp", "websockets", "time", "os", "pathlib", "io"},
    "journal": {"pyarrow", "orjson"},
    "capture": {"pyarrow", "pandas", "numpy"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else Path(parts[0]).stem


def imports(path: Path) -> set[str]:
    """Dotted names of every module that the file imports, also inside functions; not for type checkers only."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.dump(guard.test)
        for node in ast.walk(guard)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import; write the whole name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_what_the_table_allows(path: Path) -> None:
    room = room_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "recorder" and len(parts) > 1 and room in MAY_IMPORT:
            other = parts[1]
            assert other in MAY_IMPORT[room] | BASE | {room}, f"{room} may not import {name}"
        for library, rooms in ONLY_IN.items():
            if parts[0] == library:
                assert room in rooms, f"{library} belongs to {rooms}, not to {room}"
        assert parts[0] not in NEVER.get(room, set()), f"{room} may not import {name}"


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms <= set(MAY_IMPORT)
