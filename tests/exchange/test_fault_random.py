"""Mixtures: drawn once, the same for ever."""

import pytest

from recorder.exchange.fault_random import drawn, random_script
from recorder.exchange.faults import KINDS, SECOND, parse


def test_a_seed_draws_the_same_script_again_and_another_seed_another() -> None:
    assert random_script(7, 600, count=50) == random_script(7, 600, count=50)
    assert random_script(7, 600, count=50).toml() != random_script(8, 600, count=50).toml()


def test_faults_are_in_order_within_the_time_and_not_too_long() -> None:
    for seed in range(50):
        faults = random_script(seed, 100, count=20, longest_seconds=5).faults
        assert len(faults) == 20
        assert [fault.at_ns for fault in faults] == sorted(fault.at_ns for fault in faults)
        assert all(5 * SECOND <= fault.at_ns <= 90 * SECOND for fault in faults)
        assert all(fault.lasts_ns is None or fault.lasts_ns <= 5 * SECOND for fault in faults)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_drawn_alone_and_ends_unless_it_cannot(kind: str) -> None:
    faults = random_script(1, 100, count=3, kinds=[kind], spare=["XRPUSD", "ADAUSD", "DOTUSD"]).faults
    assert {fault.kind for fault in faults} == {kind}
    if "for" in KINDS[kind].keys:
        assert all(fault.lasts_ns or fault.count or kind == "garbage" for fault in faults)


def test_all_kinds_are_met_over_many_seeds() -> None:
    met = {fault.kind for seed in range(200) for fault in random_script(seed, 100, spare=["XRPUSD"]).faults}
    assert met == set(KINDS)


def test_a_symbol_is_listed_or_delisted_once() -> None:
    faults = random_script(3, 100, count=40, kinds=["list", "delist"], spare=["XRPUSD"]).faults
    assert sorted(fault.symbols[0] for fault in faults) == ["BTCUSD", "ETHUSD", "XRPUSD"]


def test_a_mixture_in_a_file_is_the_function_of_the_same_name_behind_the_entries_written() -> None:
    script = parse(
        '[[fault]]\nat = 1\nkind = "cut"\n[random]\nseed = 5\ncount = 9\nover_seconds = 50\nkinds = ["mute", "delay"]'
    )
    whole = drawn(script, ["BTCUSD"], [])
    alone = random_script(5, 50, count=9, kinds=["mute", "delay"], symbols=["BTCUSD"])
    assert [fault.number for fault in whole.faults] == list(range(1, 11))
    assert [fault.entry for fault in whole.faults[1:]] == [fault.entry for fault in alone.faults]
    assert parse(whole.toml()).faults == whole.faults
