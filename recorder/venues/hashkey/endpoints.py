"""Where each venue lives: hosts, and the `site` that tells two exchanges on one host apart.

MENA is served by the Hong Kong hosts since June 2026; only `site` differs. Global has hosts of its own
and no `site`. Source: reference of the market data, section 1.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one venue. `site` goes into each request, '' where the host has only one."""

    rest: str
    ws_v1: str
    ws_v2: str
    site: str = ""


def _of(rest: str, stream: str, site: str = "") -> Endpoints:
    return Endpoints(f"https://{rest}", f"wss://{stream}/quote/ws/v1", f"wss://{stream}/quote/ws/v2", site)


_HK = ("api-pro.hashkey.com", "stream-pro.hashkey.com")
_HK_SANDBOX = ("api-pro.sim.hashkeydev.com", "stream-pro.sim.hashkeydev.com")
VENUES: dict[str, Endpoints] = {
    "hashkey": _of(*_HK),  # the default site of its host
    "hashkey-mena": _of(*_HK, "MENA"),
    "hashkey-global": _of("api-glb.hashkey.com", "stream-glb.hashkey.com"),
    "hashkey-sandbox": _of(*_HK_SANDBOX),
    "hashkey-mena-sandbox": _of(*_HK_SANDBOX, "MENA"),
    "hashkey-global-sandbox": _of("api-glb.sim.hashkeydev.com", "stream-glb.sim.hashkeydev.com"),
}


def endpoints(venue: str, rest_url: str = "", ws_v1_url: str = "", ws_v2_url: str = "") -> Endpoints:
    """The addresses of `venue`; one that is given replaces the venue's own."""
    own = VENUES[venue]
    return Endpoints(rest_url or own.rest, ws_v1_url or own.ws_v1, ws_v2_url or own.ws_v2, own.site)
