"""What one stream tells of another, over two lines that are not equally fast; time is a number."""

from types import SimpleNamespace
from typing import Any

from recorder.capture.state import TopicState
from recorder.capture.streams import Event
from recorder.capture.tempo import Tempo
from recorder.capture.watch import Watch

SYMBOL = "BTCUSD"
SECOND = 1_000_000_000
TOPICS = {"v1": {"trade": "trade", "kline_1m": "kline"}, "v2": {"trade": "trade"}}


class Lines:
    """V1 with trades and candles, V2 with trades; a connection each, on which we say what came."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.holes: list[str] = []
        self.lines: dict[int, Any] = {}
        for number, (api, topics) in enumerate(TOPICS.items(), 1):
            line = SimpleNamespace(number=number, is_being_replaced=False, state=SimpleNamespace(name=api))
            line.leg = SimpleNamespace(line=line, conn=number, is_open=True, opened_monotonic_ns=0, hole=self._hole)
            line.leg.topics = {
                (topic, SYMBOL): TopicState(channel, topic, SYMBOL, is_proved=True) for topic, channel in topics.items()
            }
            self.lines[number] = line
        state: Any = SimpleNamespace(stale=0, looks=0)
        rest: Any = None
        self.watch = Watch(self.lines, rest, state, Tempo(), "", self.events.extend)

    def _hole(self, topic: TopicState) -> list[Event]:
        self.holes.append(topic.topic)
        return [{"event": "gap"}]

    def came(self, second: float, number: int, topic: str, is_known: bool = False) -> None:
        """A frame; `is_known`: of a trade that the other line has brought."""
        state = self.lines[number].leg.topics[topic, SYMBOL]
        at = int(second * SECOND)
        state.longest_ns = max(state.longest_ns, at - state.heard_ns)
        state.heard_ns = state.news_ns = at
        state.frames += 1
        if topic == "trade" and not is_known:
            state.told_ns = at

    def look(self, second: float) -> int:
        """Questions that it wants to ask."""
        asked = self.watch.look(int(second * SECOND))
        for question in asked:
            question.close()
        return len(asked)

    def a_trade(self, second: float) -> None:
        """As it goes when all is well: V2 first, then V1 with its candle."""
        self.came(second, 2, "trade")
        self.came(second + 0.3, 1, "trade", is_known=True)
        self.came(second + 0.3, 1, "kline_1m")


def trading(until: int) -> Lines:
    lines = Lines()
    for second in range(until):
        lines.a_trade(float(second))
        assert lines.look(second + 0.9) == 0
    return lines


def test_a_candle_that_does_not_follow_a_trade_is_asked_about_and_is_a_hole_when_it_comes_back() -> None:
    lines = trading(60)
    lines.came(64.0, 2, "trade")
    lines.came(64.3, 1, "trade", is_known=True)
    assert sum(lines.look(float(second)) for second in range(65, 70)) == 1
    lines.a_trade(71.0)
    lines.look(72.0)
    assert lines.holes == ["kline_1m"]


def test_a_trade_that_comes_late_by_one_line_calls_for_no_candle() -> None:
    lines = trading(60)
    lines.came(63.0, 2, "trade")
    lines.came(63.3, 1, "kline_1m")
    lines.came(66.0, 1, "trade", is_known=True)  # V1's trades are held up
    assert [lines.look(float(second)) for second in range(66, 71)] == [0] * 5
    lines.a_trade(71.0)
    lines.look(72.0)
    assert lines.holes == []
