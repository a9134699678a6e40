"""Records: what is packed is read back, and reading stops before the first byte that cannot be trusted."""

import struct
import zlib

import pytest

from recorder.journal.format import HEADER_SIZE, Kind, Line, Record, pack, scan

FIRST = Record(7, 1_790_128_265_172_000_123, 55, 497_257, 3, Kind.TEXT, Line.WS_V2, b'{"topic":"bbo"}')
SECOND = Record(8, 1_790_128_265_173_000_000, 56, 497_257, 4, Kind.BINARY, Line.WS_V1, b"\x1f\x8b\x08\x00")


def test_a_record_has_40_bytes_of_little_endian_header_and_a_crc_over_all_after_it() -> None:
    data = pack(*FIRST)
    length, crc = struct.unpack_from("<II", data)
    assert (HEADER_SIZE, length) == (40, len(FIRST.payload))
    assert crc == zlib.crc32(data[8:])
    assert struct.unpack_from("<QQQIHBB", data, 8) == FIRST[:7]


def test_what_is_packed_is_read_back() -> None:
    found = scan(pack(*FIRST) + pack(*SECOND))
    assert list(found) == [FIRST, SECOND]
    assert found.is_whole


@pytest.mark.parametrize("cut", [1, 15, 16, 40, 54])
def test_a_record_that_is_cut_short_ends_the_reading_before_it(cut: int) -> None:
    whole = pack(*FIRST)
    found = scan(whole + pack(*FIRST)[: len(whole) - cut])
    assert list(found) == [FIRST]
    assert found.good == len(whole)
    assert not found.is_corrupt


@pytest.mark.parametrize("at", [4, 8, 20, 38, 39, 41])
def test_any_changed_byte_ends_the_reading_and_counts_as_damage(at: int) -> None:
    data = bytearray(pack(*FIRST) + pack(*SECOND))
    data[at] ^= 0x40
    found = scan(bytes(data))
    assert list(found) == []
    assert found.is_corrupt


def test_a_tail_of_zeros_as_power_loss_leaves_it_holds_no_record() -> None:
    found = scan(pack(*FIRST) + bytes(4096))
    assert list(found) == [FIRST]


def test_reading_can_go_on_from_an_offset() -> None:
    assert list(scan(pack(*FIRST) + pack(*SECOND), len(pack(*FIRST)))) == [SECOND]
