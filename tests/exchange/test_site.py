"""Which site speaks, and to whom."""

import pytest

from recorder.exchange.site import HK, Site, site_of


@pytest.mark.parametrize(
    ("venue", "site"),
    [
        ("hashkey", HK),
        ("hashkey-sandbox", HK),
        ("hashkey-mena", Site("mena", "MENA")),
        ("hashkey-mena-sandbox", Site("mena", "MENA")),
        ("hashkey-global", Site("", "BMU")),
        ("hashkey-sg", Site("sg", "SG")),  # one that is not known yet, as frames would name it
    ],
)
def test_a_venue_has_its_site(venue: str, site: Site) -> None:
    assert site_of(venue) == site


def test_a_frame_names_the_site_unless_its_host_has_only_one() -> None:
    assert (HK.tail, HK.named) == (b',"site":"hk"', {"site": "hk"})
    assert (site_of("hashkey-global").tail, site_of("hashkey-global").named) == (b"", {})


def test_it_serves_those_who_ask_for_it_or_for_none() -> None:
    mena = site_of("hashkey-mena")
    assert [mena.serves(asked) for asked in (None, "", "MENA", "mena", "HK")] == [True, True, True, True, False]
    assert site_of("hashkey-global").serves("HK")  # where there is one site, nobody looks at the word
