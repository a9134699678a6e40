"""Which streams are whole. Times are small numbers; a connection has the number of its line where there is one each."""

from recorder.capture.streams import Event, Streams

V1, V2 = 1, 2


def trades_on_two_lines() -> Streams:
    streams = Streams()
    streams.want(V2, "trade", "trade", "BTC")
    streams.want(V1, "trade", "trade", "BTC")
    return streams


def prove(streams: Streams, line: int, now: int, seq: int = 9, topic: str = "trade") -> list[Event]:
    return streams.proved(line, line, topic.partition("_")[0], topic, "BTC", now, seq)


def names(events: list[Event]) -> list[str]:
    return [event["event"] for event in events]


def gaps(events: list[Event]) -> list[tuple[int, int]]:
    return [(event["from_ns"], event["to_ns"]) for event in events if event["event"] == "gap"]


def test_a_stream_is_live_once_it_is_proved_and_its_first_start_leaves_no_gap() -> None:
    streams = trades_on_two_lines()
    assert prove(streams, V2, 100) == [{"event": "live", "conn": V2, "channel": "trade", "symbol": "BTC"}]
    assert streams.live() == [("trade", "BTC")]
    assert prove(streams, V2, 101) == []


def test_a_channel_of_several_topics_is_live_when_all_of_them_are() -> None:
    streams = Streams()
    for interval in ("1m", "1h"):
        streams.want(V1, "kline", f"kline_{interval}", "BTC")
    assert prove(streams, V1, 100, topic="kline_1m") == []
    assert names(prove(streams, V1, 101, topic="kline_1h")) == ["live"]


def test_a_lost_stream_is_told_at_once_and_its_gap_when_it_ends() -> None:
    streams = Streams()
    streams.want(V2, "depth", "depth", "BTC")
    prove(streams, V2, 100, topic="depth")
    assert streams.conn_lost(V2, 200, "disconnect", seq_before=55) == [
        {"event": "lost", "channel": "depth", "symbol": "BTC", "since_ns": 200, "reason": "disconnect"}
    ]
    events = prove(streams, V2, 300, seq=60, topic="depth")
    assert events[1] == {
        "event": "gap",
        "channel": "depth",
        "symbol": "BTC",
        "reason": "disconnect",
        "from_ns": 200,
        "to_ns": 300,
        "seq_before": 55,
        "seq_after": 60,
        "healed": False,
    }


def test_a_line_that_goes_again_before_the_stream_was_proved_prolongs_the_same_gap() -> None:
    streams = Streams()
    streams.want(V2, "depth", "depth", "BTC")
    prove(streams, V2, 100, topic="depth")
    streams.conn_lost(V2, 200, "disconnect", 1)
    assert streams.conn_lost(V2, 250, "silent", 2) == []
    assert gaps(prove(streams, V2, 300, topic="depth")) == [(200, 300)]


def test_a_stream_on_two_lines_is_whole_while_one_of_them_lives() -> None:
    streams = trades_on_two_lines()
    prove(streams, V2, 100)
    prove(streams, V1, 110)
    assert streams.conn_lost(V1, 200, "disconnect", 1) == []
    assert names(prove(streams, V1, 300)) == ["live"]
    assert streams.conn_lost(V2, 400, "disconnect", 2) == []
    assert names(streams.conn_lost(V1, 500, "disconnect", 3)) == ["lost"]


def test_with_both_lines_gone_the_gap_begins_when_the_last_of_them_was_certain() -> None:
    streams = trades_on_two_lines()
    prove(streams, V1, 100)
    prove(streams, V2, 100)
    streams.conn_lost(V2, 500, "disconnect", 1)
    (lost,) = streams.conn_lost(V1, 300, "silent", 2)  # found out later, died earlier
    assert lost["since_ns"] == 500
    assert gaps(prove(streams, V1, 900)) == [(500, 900)]


def test_a_line_found_dead_after_the_other_came_back_leaves_a_hole_before_that() -> None:
    streams = trades_on_two_lines()
    prove(streams, V1, 100)
    prove(streams, V2, 100)
    streams.conn_lost(V1, 200, "disconnect", 1)
    prove(streams, V1, 400, seq=44)
    events = streams.conn_lost(V2, 300, "silent", 2)  # it was silent since 300, V1 back only at 400
    assert gaps(events) == [(300, 400)]
    assert events[0]["seq_after"] == 44
    assert streams.is_live("trade", "BTC")


def test_a_line_found_dead_while_the_other_was_there_all_the_time_leaves_none() -> None:
    streams = trades_on_two_lines()
    prove(streams, V1, 100)
    prove(streams, V2, 100)
    assert streams.conn_lost(V2, 150, "silent", 2) == []


def test_the_loss_of_one_line_touches_only_what_it_brought() -> None:
    streams = trades_on_two_lines()
    streams.want(V1, "ticker", "realtimes", "BTC")
    prove(streams, V2, 100)
    streams.proved(V1, V1, "ticker", "realtimes", "BTC", 100, 1)
    lost = streams.conn_lost(V1, 200, "clean close", 1)
    assert [(event["channel"], event["reason"]) for event in lost] == [("ticker", "clean close")]


def test_a_topic_that_is_refused_on_an_open_line_is_lost() -> None:
    streams = Streams()
    streams.want(V2, "depth", "depth", "BTC")
    prove(streams, V2, 100, topic="depth")
    assert names(streams.unproved(V2, "depth", "depth", "BTC", 200, "refused")) == ["lost"]
    assert streams.unproved(V2, "depth", "depth", "BTC", 200, "refused") == []


def test_dropped_frames_are_a_gap_of_all_that_is_live_and_widen_what_is_open() -> None:
    streams = Streams()
    streams.want(V2, "depth", "depth", "BTC")
    streams.want(V2, "bbo", "bbo", "BTC")
    streams.want(V1, "ticker", "realtimes", "BTC")
    prove(streams, V2, 100, topic="depth")
    streams.proved(V1, V1, "ticker", "realtimes", "BTC", 100, 1)
    streams.conn_lost(V1, 350, "disconnect", 1)
    events = streams.frames_lost(300, 400, "disk")
    assert [(event["channel"], event["reason"]) for event in events] == [("depth", "disk")]
    assert gaps(streams.proved(V1, V1, "ticker", "realtimes", "BTC", 500, 2)) == [(300, 500)]


def test_a_stream_that_is_not_wanted_any_more_ends_its_gap() -> None:
    streams = Streams()
    streams.want(V2, "depth", "depth", "BTC")
    prove(streams, V2, 100, topic="depth")
    streams.conn_lost(V2, 200, "disconnect", 1)
    assert gaps(streams.unwant("depth", "BTC", 300)) == [(200, 300)]
    assert prove(streams, V2, 400, topic="depth") == []
    assert streams.head() == {"open": [], "live": []}


def test_the_head_of_a_segment_tells_what_lives_and_which_gaps_are_open() -> None:
    streams = trades_on_two_lines()
    streams.want(V2, "depth", "depth", "BTC")
    prove(streams, V1, 100)
    prove(streams, V2, 100, topic="depth")
    assert streams.head() == {"open": [], "live": [["trade", ["BTC"]], ["depth", ["BTC"]]]}
    streams.conn_lost(V2, 200, "silent", 1)
    assert streams.head() == {"open": [["depth", "BTC", 200, "silent"]], "live": [["trade", ["BTC"]]]}


def test_stopping_loses_everything_from_then_on() -> None:
    streams = trades_on_two_lines()
    prove(streams, V1, 100)
    prove(streams, V2, 100)
    (lost,) = streams.stop(500)
    assert (lost["since_ns"], lost["reason"]) == (500, "stopped")
    assert streams.head() == {"open": [["trade", "BTC", 500, "stopped"]], "live": []}


def test_a_connection_that_takes_over_before_the_other_is_closed_leaves_no_gap() -> None:
    streams = Streams()
    streams.want(V2, "depth", "depth", "BTC")
    streams.proved(V2, 7, "depth", "depth", "BTC", 100, 1)
    assert names(streams.proved(V2, 8, "depth", "depth", "BTC", 200, 2)) == ["live"]
    assert streams.conn_lost(7, 250, "replaced", 3) == []
    (lost,) = streams.conn_lost(8, 240, "silent", 4)
    assert lost["since_ns"] == 250, "until then the first one was certain"


def test_a_hole_on_a_live_connection_is_a_gap_unless_another_brought_the_stream_all_the_time() -> None:
    streams = trades_on_two_lines()
    prove(streams, V2, 100)
    assert gaps(streams.hole(V2, "trade", "BTC", 50, 200, "stale")) == [(100, 200)]
    prove(streams, V1, 300)
    assert streams.hole(V2, "trade", "BTC", 310, 350, "stale") == []
    assert gaps(streams.hole(V2, "trade", "BTC", 250, 350, "stale")) == [(250, 300)], "from then on the other did"
    assert gaps(streams.hole(V2, "trade", "BTC", 290, 350, "stale", margin_ns=20)) == [(270, 300)]
    assert streams.hole(V2, "trade", "BTC", 310, 350, "stale", margin_ns=20) == [], "one after the other"
    assert streams.is_live("trade", "BTC")
