"""One order book: two sorted sides, a version, and the bytes they become on the wire.

Prices are kept as keys that sort best first on both sides (a bid's key is minus its price), so one
piece of code serves bids and asks. The text of each level and of each side is remembered until it
changes: making a push of 200 levels is then mostly one join.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping

from recorder.exchange.decimals import plain

VISIBLE = 100  # levels a side that the venue shows

Levels = list[tuple[int, int]]  # (price, size), best first


class Side:
    """Bids (sign -1) or asks (sign +1), deeper than the venue shows."""

    __slots__ = ("_price_scale", "_size_scale", "_text", "_texts", "keys", "sign", "sizes")

    def __init__(self, sign: int, price_scale: int, size_scale: int) -> None:
        self.sign = sign
        self.keys: list[int] = []  # ascending, so best first
        self.sizes: dict[int, int] = {}
        self._price_scale = price_scale
        self._size_scale = size_scale
        self._texts: dict[int, bytes] = {}
        self._text: bytes | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def set(self, price: int, size: int) -> None:
        """Put a level to `size`; zero removes it."""
        key = price * self.sign
        self._text = None
        self._texts.pop(key, None)
        if size:
            if key not in self.sizes:
                insort(self.keys, key)
            self.sizes[key] = size
        elif self.sizes.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def clear(self) -> None:
        self.keys.clear()
        self.sizes.clear()
        self._texts.clear()
        self._text = None

    def price(self, position: int) -> int:
        return self.keys[position] * self.sign

    def best(self) -> tuple[int, int] | None:
        """(price, size) at the top, or None for an empty side."""
        if not self.keys:
            return None
        key = self.keys[0]
        return key * self.sign, self.sizes[key]

    def levels(self, limit: int = VISIBLE) -> Levels:
        return [(key * self.sign, self.sizes[key]) for key in self.keys[:limit]]

    def text(self, limit: int = VISIBLE) -> bytes:
        """The side as JSON: [["86505.1","0.00024"],...]."""
        if limit != VISIBLE:
            return self._join(limit)
        if self._text is None:
            self._text = self._join(VISIBLE)
        return self._text

    def _join(self, limit: int) -> bytes:
        known = self._texts.get
        return b"[" + b",".join([known(key) or self._level(key) for key in self.keys[:limit]]) + b"]"

    def _level(self, key: int) -> bytes:
        price = plain(key * self.sign, self._price_scale)
        text = f'["{price}","{plain(self.sizes[key], self._size_scale)}"]'.encode()
        self._texts[key] = text
        return text

    def merged(self, step: int, limit: int = VISIBLE) -> dict[int, int]:
        """Levels grouped to multiples of `step`, away from the middle: bids down, asks up."""
        grouped: dict[int, int] = {}
        for key in self.keys:
            group = -(-key // step) * step * self.sign  # ceiling of the key is floor of a bid
            if group not in grouped and len(grouped) == limit:
                break
            grouped[group] = grouped.get(group, 0) + self.sizes[key]
        return grouped


class Book:
    """Both sides under one version: equal versions are equal books."""

    __slots__ = ("_price_scale", "_size_scale", "asks", "bids", "time", "version")

    def __init__(self, price_scale: int, size_scale: int) -> None:
        self.bids = Side(-1, price_scale, size_scale)
        self.asks = Side(+1, price_scale, size_scale)
        self.version = 0  # 0: there is no book (yet)
        self.time = 0  # ms of the last change
        self._price_scale = price_scale
        self._size_scale = size_scale

    def step(self, scale: int) -> int:
        """The group width of `dumpScale`: 2 is 0.01, -1 is 1, -2 is 10; 0 is read as -1."""
        decimals = scale if scale > 0 else -max(0, -scale - 1)
        return int(10 ** max(0, self._price_scale - decimals))

    def merged(self, scale: int) -> tuple[dict[int, int], dict[int, int]]:
        """(bids, asks) as {price: size} in order, grouped to `scale` decimals."""
        step = self.step(scale)
        return self.bids.merged(step), self.asks.merged(step)

    def text(self, levels: Mapping[int, int]) -> bytes:
        """{price: size} as JSON levels, in the order given."""
        rows = [
            f'["{plain(price, self._price_scale)}","{plain(size, self._size_scale)}"]' for price, size in levels.items()
        ]
        return b"[" + ",".join(rows).encode() + b"]"


def difference(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """The levels to send so that `before` becomes `after`; zero removes one."""
    changed = {price: size for price, size in after.items() if before.get(price) != size}
    changed.update((price, 0) for price in before if price not in after)
    return changed
