"""Notebook 03 runs from top to bottom, and its two strategies trade."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "03_backtest.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def test_it_is_kept_without_outputs() -> None:
    for cell in read().cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
def test_it_runs_and_both_strategies_trade(tmp_path: Path) -> None:
    pytest.importorskip("hftbacktest")
    pytest.importorskip("backtesting")
    place = tmp_path / "notebooks"  # it writes beside its own folder
    place.mkdir()
    notebook = read()
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(place)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    told = "".join(output.get("text", "") for output in outputs)
    fills = re.search(r"(\d+) fills", told)
    assert fills is not None
    assert int(fills[1]) > 0
    assert "| lake" in told
