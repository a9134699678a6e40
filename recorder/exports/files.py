"""Files that are whole or not there, and the JSON that tells what an export holds."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from recorder import __version__
from recorder.exports.errors import ExportError


@dataclass
class ExportedFile:
    """One file or folder; first and last are exchange times of its rows, Unix ns."""

    path: Path
    rows: int
    first_ns: int | None = None
    last_ns: int | None = None


@dataclass
class ExportReport:
    """What was exported; `sidecar` is the JSON beside it that says the same."""

    target: str
    venue: str
    symbol: str
    sidecar: Path
    on_gap: str = "refuse"
    files: list[ExportedFile] = field(default_factory=list)
    range: dict[str, Any] = field(default_factory=dict)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    clock: dict[str, Any] = field(default_factory=dict)
    latency: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    instrument: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    made_at: str = ""

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def __str__(self) -> str:
        """For people: what was written, where, and what to know of it."""
        lines = [f"{file.rows:,} rows  {file.path}" for file in self.files]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, f"what it holds and what it does not: {self.sidecar}"])

    def as_dict(self) -> dict[str, Any]:
        """What the JSON beside the files says."""
        document = {key: value for key, value in asdict(self).items() if key != "sidecar"}
        for file in document["files"]:
            file["path"] = str(file["path"])
        return document | {"rows": self.rows}

    def write(self, *packages: str) -> "ExportReport":
        """Put the JSON beside the files; `packages` are those whose versions matter."""
        self.versions = {"hashkey-recorder": __version__, "python": platform.python_version()}
        for package in ("numpy", "pyarrow", *packages):
            try:
                self.versions[package] = version(package)
            except PackageNotFoundError:
                continue
        self.made_at = datetime.now(UTC).isoformat(timespec="seconds")
        with whole(self.sidecar) as partial:
            partial.write_text(json.dumps(self.as_dict(), indent=1) + "\n")
        return self


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path` when all went well, and is removed when it did not."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def beside(out: Path, suffix: str) -> Path:
    """`day.npz` and 'snapshot' give `day.snapshot.npz`."""
    return out.with_name(f"{out.stem}.{suffix}{out.suffix}")


def numbered(out: Path, number: int, split: bool) -> Path:
    """The file of the n-th clean stretch: `day-001.npz`. Without split `out` itself."""
    return out.with_name(f"{out.stem}-{number:03d}{out.suffix}") if split else out


def numbered_folder(out: Path, number: int, split: bool) -> Path:
    """The folder of the n-th clean stretch: `out/001`. Without split `out` itself."""
    return out / f"{number:03d}" if split else out


def need(module: str) -> Any:
    """An optional package. Raises ExportError that names the extra."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ExportError(
            f"{name} is not installed ({error}); run `pip install 'hashkey-recorder[backtest]'`"
        ) from error
