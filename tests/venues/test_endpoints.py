"""Where each venue lives."""

from recorder.config import Venue
from recorder.venues.hashkey.endpoints import VENUES, endpoints


def test_hong_kong_and_mena_share_their_hosts_and_differ_by_site() -> None:
    hk, mena = endpoints("hashkey"), endpoints("hashkey-mena")
    assert (hk.rest, hk.ws_v1, hk.ws_v2) == (
        "https://api-pro.hashkey.com",
        "wss://stream-pro.hashkey.com/quote/ws/v1",
        "wss://stream-pro.hashkey.com/quote/ws/v2",
    )
    assert (mena.rest, mena.ws_v1, mena.ws_v2) == (hk.rest, hk.ws_v1, hk.ws_v2)
    assert (hk.site, mena.site) == ("", "MENA")


def test_an_address_of_ones_own_replaces_the_venues() -> None:
    ours = endpoints("hashkey-mena", ws_v2_url="ws://127.0.0.1:9000/quote/ws/v2")
    assert ours.ws_v2 == "ws://127.0.0.1:9000/quote/ws/v2"
    assert (ours.rest, ours.site) == ("https://api-pro.hashkey.com", "MENA")


def test_every_venue_that_can_be_configured_has_addresses() -> None:
    names = Venue.model_json_schema()["properties"]["name"]["enum"]
    assert set(names) == set(VENUES)
