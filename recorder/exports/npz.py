"""A .npz with one array, written piece by piece: the same file that numpy.savez_compressed makes, in little memory.

The header of an .npy says how many rows follow, so the rows wait uncompressed in a file beside it until all are known.
"""

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from recorder.exports.files import whole

BLOCK_BYTES = 1 << 22
LEVEL = 4  # of deflate: half the time of the usual 6 for 3 % more bytes


class NpzWriter:
    """Append arrays of `dtype`; `close` publishes them as the array `data` of `path`."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path = path
        self.rows = 0
        self._dtype = dtype
        path.parent.mkdir(parents=True, exist_ok=True)
        self._waiting = path.with_name(path.name + ".rows")
        self._file: IO[bytes] = self._waiting.open("wb")

    def append(self, rows: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)

    def close(self) -> None:
        self._file.close()
        header = {
            "descr": npy.dtype_to_descr(self._dtype),  # type: ignore[no-untyped-call]
            "fortran_order": False,
            "shape": (self.rows,),
        }
        with (
            whole(self.path) as partial,
            zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive,
            archive.open("data.npy", "w", force_zip64=True) as member,
            self._waiting.open("rb") as rows,
        ):
            npy.write_array_header_1_0(member, header)  # type: ignore[no-untyped-call]
            while block := rows.read(BLOCK_BYTES):
                member.write(block)
        self._waiting.unlink()

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._waiting.unlink(missing_ok=True)


def save(path: Path, rows: NDArray[Any]) -> None:
    """A small array at once."""
    writer = NpzWriter(path, rows.dtype)
    writer.append(rows)
    writer.close()
