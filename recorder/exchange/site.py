"""Which of the venue's sites speaks: pushes, acknowledgements and lists of instruments name it.

Hong Kong and MENA live on the same hosts and are told apart by `site` alone; Global has hosts of its own, and its
frames name no site. The simulator is Hong Kong's; a replay is that of the venue it replays.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Site:
    """`word` stands in frames, '' where they name none; `listed` in a whole exchangeInfo."""

    word: str
    listed: str

    @property
    def tail(self) -> bytes:
        """What a frame says of it, behind its other keys."""
        return f',"site":"{self.word}"'.encode() if self.word else b""

    @property
    def named(self) -> dict[str, str]:
        """The same for a frame that is still a dict."""
        return {"site": self.word} if self.word else {}

    def serves(self, asked: object) -> bool:
        """Whether a request is for this site; one that names none is."""
        return not asked or not self.word or str(asked).lower() == self.word


HK = Site("hk", "HK")
SITES = {"hashkey": HK, "hashkey-mena": Site("mena", "MENA"), "hashkey-global": Site("", "BMU")}


def site_of(venue: str) -> Site:
    """The site of a venue of the lake, or of its sandbox."""
    word = venue.removesuffix("-sandbox").removeprefix("hashkey-")
    return SITES.get(venue.removesuffix("-sandbox"), Site(word, word.upper()))
