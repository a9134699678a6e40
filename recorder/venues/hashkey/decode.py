"""From journal records to Arrow columns by table. No I/O, no clock, and never an exception.

Records are read in order, for a `segment` event says which venue and session those after it belong to.
What cannot be decoded exactly becomes a row of `quarantine` with its bytes; the good rows of the same
frame stay. Own events, REST bodies and books have modules of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from recorder.venues.hashkey import decode_rest, depth
from recorder.venues.hashkey.columns import IN_ORDER, Columns, Row, table_columns
from recorder.venues.hashkey.decode_events import event_rows, read_event
from recorder.venues.hashkey.frames import (
    BINARY,
    OWN_EVENT,
    REST_BODY,
    SOURCES,
    TEXT,
    Arrival,
    Push,
    messages,
    parse,
    read_push,
    text_of,
)
from recorder.venues.hashkey.instruments import Known
from recorder.venues.hashkey.topics import reader_of
from recorder.venues.hashkey.values import Unreadable, microseconds, shown

MOST_ROWS = 2**15  # of one table from one frame: `idx` is an int16
MOST_CONN = 2**15 - 1


@dataclass
class Context:
    """What earlier records say about later ones. `instruments` is what the lake holds at the start."""

    venue: str = ""
    session: str = ""
    instruments: Known = field(default_factory=dict)


def decode(records: Iterable[Arrival], context: Context) -> dict[str, Columns]:
    """Columns of each table that gets rows, sorted by (venue, symbol, seq, idx). Moves `context` on."""
    batch = _Batch(context)
    for record in records:
        try:
            batch.take(record)
        except MemoryError:
            raise  # not the frame's fault: the caller tries again
        except Exception as error:
            # A mistake of ours must cost one frame, kept whole, and not stop all that come after it.
            _Frame(batch, record, context.venue).fail(f"decoder: {type(error).__name__}")
    return batch.columns()


class _Batch:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.rows: dict[str, list[Row]] = {}
        self.books: dict[str, list[depth.Book]] = {}
        self.quick: list[tuple[Arrival, str]] = []  # records whose books were cut out, with their venue

    def take(self, record: Arrival) -> None:
        if record.kind == TEXT and self._take_book(record):
            return
        if record.kind in (TEXT, BINARY):
            _Frame(self, record, self.context.venue).read()
        elif record.kind == OWN_EVENT:
            _Frame(self, record, self.context.venue).read_event()
        elif record.kind == REST_BODY:
            _Frame(self, record, self.context.venue).read_rest()

    def _take_book(self, record: Arrival) -> bool:
        """The fast way; False if this is not an everyday book."""
        sides = depth.cut(record.payload)
        if sides is None:
            return False
        try:
            push = read_push(parse(sides.rest), self.context.venue)
            if push is None or push.topic not in depth.TABLES or len(push.items) != 1:
                return False
            (item,) = push.items
            if not depth.is_what_was_cut(item):
                return False
            common = common_values(record, push, microseconds(item.get("t"), "t"), 0)
            book = depth.book(common, depth.read_own(item, push), sides)
        except Unreadable:
            return False  # the slow way says why
        self.books.setdefault(depth.TABLES[push.topic], []).append(book)
        self.quick.append((record, self.context.venue))
        return True

    def columns(self) -> dict[str, Columns]:
        try:
            made = self._book_columns()
        except depth.Doubtful:
            quick = {record.seq for record, _ in self.quick}
            for table, books in self.books.items():
                self.books[table] = [book for book in books if book.common[SEQ] not in quick]
            for record, venue in self.quick:
                _Frame(self, record, venue).read()
            made = self._book_columns()
        return made | {table: table_columns(table, rows) for table, rows in self.rows.items()}

    def _book_columns(self) -> dict[str, Columns]:
        made = {}
        for table, books in self.books.items():
            books.sort(key=lambda book: IN_ORDER(book.common))
            if books:
                made[table] = depth.book_columns(table, books)
        return made


SEQ = 5  # place of `seq` in the common values


class _Frame:
    """One record on its way to rows; whatever fails on the way makes one quarantine row of it."""

    def __init__(self, batch: _Batch, record: Arrival, venue: str) -> None:
        self.batch = batch
        self.record = record
        self.venue = venue
        self.counts: dict[str, int] = {}
        self.channel = ""
        self.symbol = ""
        self.routed = venue  # of the first push, for quarantine
        self.faults: list[str] = []

    def read(self) -> None:
        try:
            document = parse(text_of(self.record))
        except Unreadable as error:
            self.faults.append(str(error))
        else:
            for message in messages(document):
                self._read_message(message)
        self._quarantine()

    def _read_message(self, message: Any) -> None:
        if type(message) is dict and type(message.get("topic")) is str:
            self.channel = self.channel or message["topic"]
        try:
            push = read_push(message, self.venue)
            if push is None:
                return
            if not self.symbol:
                self.symbol, self.routed = push.symbol, push.venue
            if push.topic not in depth.TABLES:
                reader_of(push.topic)
        except Unreadable as error:
            self.faults.append(str(error))
            return
        for item in push.items:
            try:
                self._read_item(push, item)
            except Unreadable as error:
                self.faults.append(str(error))

    def _read_item(self, push: Push, item: Any) -> None:
        if type(item) is not dict:
            raise Unreadable(f"row is {shown(item)}, not an object")
        if push.topic in depth.TABLES:
            table = depth.TABLES[push.topic]
            common = common_values(self.record, push, microseconds(item.get("t"), "t"), self._next(table))
            book = depth.read_book(common, depth.read_own(item, push), item)
            self.batch.books.setdefault(table, []).append(book)
        else:
            table, reader = reader_of(push.topic)
            time, own = reader(item, push)
            self._add(table, common_values(self.record, push, time, self._next(table)) + own)
        self.counts[table] = self.counts.get(table, 0) + 1

    def read_event(self) -> None:
        try:
            event = read_event(self.record.payload)
            if event.get("event") == "segment":
                self.batch.context.venue = str(event.get("venue", ""))
                self.batch.context.session = str(event.get("session", ""))
            self.channel = "own event"
            for table, symbol, time, own in event_rows(event, self.batch.context.session):
                self._add_made(table, (self.venue, symbol, time, own))
        except Unreadable as error:
            self.faults.append(str(error))
        self._quarantine()

    def read_rest(self) -> None:
        try:
            reply = decode_rest.read_reply(self.record.payload)
            if reply is not None:
                self.channel = reply.table
                for made in decode_rest.rows(reply, self.venue, self.batch.context.instruments):
                    if isinstance(made, Unreadable):
                        self.faults.append(str(made))
                    else:
                        self._add_made(reply.table, made)
        except Unreadable as error:
            self.faults.append(str(error))
        self._quarantine()

    def _add_made(self, table: str, made: decode_rest.Made) -> None:
        venue, symbol, time, own = made
        record = self.record
        source = "rest" if record.kind == REST_BODY else ""
        conn = min(record.conn, MOST_CONN)
        idx = self._next(table)
        self._add(table, (venue, symbol, time, record.receive_ns, None, record.seq, idx, conn, source, *own))
        self.counts[table] = idx + 1

    def _next(self, table: str) -> int:
        idx = self.counts.get(table, 0)
        if idx >= MOST_ROWS:
            raise Unreadable(f"more than {MOST_ROWS} rows")
        return idx

    def _add(self, table: str, row: Row) -> None:
        self.batch.rows.setdefault(table, []).append(row)

    def fail(self, reason: str) -> None:
        """Keep the frame for a reason from outside."""
        self.faults.append(reason)
        self._quarantine()

    def _quarantine(self) -> None:
        if not self.faults:
            return
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        record = self.record
        source = SOURCES.get(record.line, "")
        conn = min(record.conn, MOST_CONN)
        common = (self.routed, self.symbol, None, record.receive_ns, None, record.seq, 0, conn, source)
        self._add("quarantine", (*common, self.channel, self.faults[0] + more, record.payload))


def common_values(record: Arrival, push: Push, time: int | None, idx: int) -> Row:
    """The columns that every table starts with."""
    conn = min(record.conn, MOST_CONN)
    source = SOURCES.get(record.line, "")
    return push.venue, push.symbol, time, record.receive_ns, push.send_ms, record.seq, idx, conn, source
