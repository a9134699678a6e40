"""What makes every test quicker and proves nothing less: a disk of memory, and byte code that is kept.

The tests sync files and folders tens of thousands of times, as the recorder must. What a lost sync would cost is
shown by shims (tests/scenarios/power.py), not by pulling a plug: a real disk adds minutes and no proof. Name a
real one with TMPDIR.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH = 4 << 30  # bytes free there; a run needs a tenth of it


def _use_memory() -> None:
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # look again


def _keep_byte_code() -> None:
    """Some machines forbid it; then each of our some hundred processes would compile all its modules again."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


_use_memory()
_keep_byte_code()
