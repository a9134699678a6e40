"""The script: what it may say, and what it says to someone who wrote it wrong."""

import re
from pathlib import Path

import pytest

from recorder.exchange.errors import ExchangeError
from recorder.exchange.faults import COMMON, KINDS, LONGEST_FRAME, RANDOM, SECOND, load, parse

GUIDE = Path(__file__).resolve().parents[2] / "docs/faults.md"


def test_an_entry_is_a_time_a_kind_filters_and_the_keys_of_its_kind() -> None:
    (fault,) = parse(
        """
        [[fault]]
        at = 12.5
        kind = "delay"
        for = 3
        api = "v1"
        topic = ["depth", "kline_1m"]
        symbol = "BTCUSD"
        conn = 2
        seconds = 0.75
        """
    ).faults
    assert (fault.number, fault.kind, fault.at_ns, fault.lasts_ns) == (1, "delay", 12.5 * SECOND, 3 * SECOND)
    assert (fault.api, fault.topics, fault.symbols, fault.conns) == ("v1", ("depth", "kline_1m"), ("BTCUSD",), (2,))
    assert fault.keys["seconds"] == 0.75


def test_filters_that_are_left_out_let_everything_pass() -> None:
    (fault,) = parse('[[fault]]\nat = 1\nkind = "mute"').faults
    assert fault.concerns("v1", "depth", "BTCUSD")
    (fault,) = parse('[[fault]]\nat = 1\nkind = "mute"\ntopic = "kline_1m"').faults
    assert fault.concerns("v2", "kline", "ETHUSD", "1m")
    assert not fault.concerns("v2", "kline", "ETHUSD", "5m")


def test_what_counts_hits_once_unless_told_otherwise() -> None:
    text = '[[fault]]\nat = 1\nkind = "duplicate"\n'
    assert [parse(text + more).faults[0].count for more in ("", "count = 4", "for = 2")] == [1, 4, None]


def test_times_and_every_repeat_an_entry() -> None:
    faults = parse('[[fault]]\nat = 2\nkind = "cut"\ntimes = 100\nevery = 0.5').faults
    assert len(faults) == 100
    assert [fault.number for fault in faults] == list(range(1, 101))
    assert [fault.at_ns for fault in faults[:3]] == [2 * SECOND, 2.5 * SECOND, 3 * SECOND]


def test_a_script_can_be_written_out_and_read_again() -> None:
    text = """
        [[fault]]
        at = 1
        kind = "close"
        code = 1012
        reason = "so \\"long\\""
        conn = "newest"
        [[fault]]
        after = "subscribed"
        kind = "garbage"
        symbol = ["BTCUSD", "ETHUSD"]
        replace = true
        times = 2
        every = 3
    """
    script = parse(text)
    assert parse(script.toml()).faults == script.faults


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[fault]\nat = 1", r"not TOML: .*line 1.*begins with \[\[fault\]\]"),
        ("[[faults]]\nat = 1", r"line 1: faults is not known here; write \[\[fault\]\]"),
        ("fault = 3", "fault must be a list of entries"),
        ("[[fault]]\nat = 1", r"line 1, \[\[fault\]\] 1: kind is missing; give one of cut, .*kind = \"cut\""),
        ('[[fault]]\nat = 1\nkind = "muet"', r"line 3, \[\[fault\]\] 1: kind = \"muet\".*mean kind = \"mute\""),
        ('[[fault]]\nkind = "cut"', r"\(cut\): at is missing, as in at = 12.5"),
        ('[[fault]]\nat = -1\nkind = "cut"', r"line 2.*at = -1 must be a number of 0 or more, as in at = 12.5"),
        ('[[fault]]\nat = "1"\nkind = "cut"', r"at = \"1\" must be a number"),
        ('[[fault]]\nat = true\nkind = "cut"', "at = true must be a number"),
        ('[[fault]]\nat = nan\nkind = "cut"', "at = nan must be a number"),
        ('[[fault]]\nafter = "start"\nkind = "cut"', 'after = "start" must be one of "subscribed"'),
        ('[[fault]]\nat = 1\nkind = "cut"\nfor = 3', r"line 4.*for is no key of it; its keys are kind, at"),
        ('[[fault]]\nat = 1\nkind = "mute"\nfro = 3', r"line 4.*fro is no key of it; did you mean for = 10\?"),
        ('[[fault]]\nat = 1\nkind = "mute"\ntopic = "depht"', 'topic = "depht" must be one of trade, depth, .*"depth"'),
        ('[[fault]]\nat = 1\nkind = "mute"\ntopic = []', r"topic = \[\] must be a name, or a list of names"),
        ('[[fault]]\nat = 1\nkind = "mute"\napi = "v3"', 'api = "v3" must be one of "v1", "v2"'),
        ('[[fault]]\nat = 1\nkind = "cut"\nconn = 0', 'conn = 0 must be a connection.*"oldest" or "newest"'),
        ('[[fault]]\nat = 1\nkind = "delay"', r"\(delay\): seconds is missing, as in seconds = 0.8"),
        ('[[fault]]\nat = 1\nkind = "http"\nanswer = 200', "answer = 200 must be an HTTP status from 400 to 599"),
        ('[[fault]]\nat = 1\nkind = "restart"', "for is missing, as in for = 10"),
        ('[[fault]]\nat = 1\nkind = "cut"\ntimes = 3', "times and every go together; add every = 5"),
        ('[[fault]]\nat = 1\nkind = "garbage"\ncount = 3', "add replace = true"),
        ('[[fault]]\nat = 1\nkind = "error_frame"\nshape = "v3"', 'shape = "v3" must be one of "v1"'),
        ('[[fault]]\nat = 1\nkind = "oversized"\nbytes = 0', f"from 1 to {LONGEST_FRAME}"),
        ('[[fault]]\nat = 1\nkind = "repeat_history"\ntopic = "bbo"', "has no history"),
        ("[random]\nseed = 1\ncount = 3", r"line 1, \[random\]: over_seconds is missing"),
        ('[random]\nseed = 1\ncount = 3\nover_seconds = 9\nkinds = ["cut", "nope"]', r"line 5.*\(nope is none\)"),
    ],
)
def test_a_wrong_script_is_refused_with_its_line_its_key_and_a_valid_value(text: str, says: str) -> None:
    with pytest.raises(ExchangeError, match=says) as caught:
        parse(text, "faults.toml")
    assert str(caught.value).startswith("--faults faults.toml")
    assert "\n" not in str(caught.value)


def test_the_line_is_that_of_the_right_entry() -> None:
    text = '[[fault]]\nat = 1\nkind = "cut"\n\n[[fault]]\nkind = "mute"\nfor = 1\nat = "soon"\n'
    with pytest.raises(ExchangeError, match=r"line 8, \[\[fault\]\] 2 \(mute\): at"):
        parse(text)


def test_symbols_must_be_those_of_the_exchange() -> None:
    script = parse('[[fault]]\nat = 1\nkind = "list"\nsymbol = "XRPUSD"\n[[fault]]\nat=2\nkind="mute"\nsymbol="XRPUSD"')
    script.check_symbols(["BTCUSD"], ["BTCUSD", "XRPUSD"])
    with pytest.raises(ExchangeError, match="a recording brings its own symbols"):
        script.check_symbols(["BTCUSD"], [])
    with pytest.raises(ExchangeError, match='XRPUSD is traded from the start; list another one, as in symbol = "A"'):
        script.check_symbols(["XRPUSD"], ["XRPUSD", "A"])


def test_a_file_that_cannot_be_read_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match=r"No such file.*give a TOML file"):
        load(tmp_path / "nothing.toml")
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    with pytest.raises(ExchangeError, match="not UTF-8"):
        load(tmp_path / "odd.toml")


def test_the_guide_explains_every_kind_and_every_key_and_its_scripts_are_valid() -> None:
    text = GUIDE.read_text()
    for name, kind in KINDS.items():
        row = next((line for line in text.splitlines() if line.startswith(f"| `{name}` ")), "")
        assert row, f"{name} has no row"
        for key in kind.keys:
            assert f"`{key}`" in row, f"{name}: {key}"
    for key in (*COMMON, "api", "topic", "symbol", "conn", *RANDOM):
        assert f"`{key}`" in text
    scripts = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert scripts
    for script in scripts:
        parse(script)
