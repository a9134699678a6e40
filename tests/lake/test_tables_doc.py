"""docs/tables.md says what schemas/ says."""

from pathlib import Path

from recorder.lake.schema import tables, views
from recorder.lake.tables_doc import check, tables_markdown, write

ROOT = Path(__file__).resolve().parents[2]


def test_every_table_view_and_column_is_told() -> None:
    text = tables_markdown()
    for table in tables().values():
        assert f"\n## {table.view}\n" in text
        assert all(f"| `{column.name}` |" in text for column in (*table.columns, *table.derived))
    assert all(f"\n## {view}\n" in text for view in views())
    for macro in ("ohlcv(symbol, interval, from, to)", "book_at(symbol, t)", "levels(symbol, from, to)"):
        assert f"### {macro}" in text


def test_every_row_of_a_table_has_five_cells() -> None:
    for line in tables_markdown().splitlines():
        if line.startswith("| `"):
            assert line.replace("\\|", "").count("|") == 6


def test_check_notices_a_change(tmp_path: Path) -> None:
    path = tmp_path / "tables.md"
    assert not check(path)
    write(path)
    assert check(path)
    path.write_text(path.read_text().replace("price", "prize", 1))
    assert not check(path)


def test_the_document_in_the_checkout_is_current() -> None:
    assert check(ROOT / "docs" / "tables.md"), "run `recorder tables`"
