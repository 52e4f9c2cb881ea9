import pytest

from rewardranker.browsers import LOOPBACK, from_elsewhere


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LocalHost:9000", "[::1]:8000"])
def test_programs_and_our_own_pages_are_not_from_elsewhere(host: str) -> None:
    assert not from_elsewhere(host, None, None, LOOPBACK)
    assert not from_elsewhere(host, f"http://{host.lower()}", "same-origin", LOOPBACK)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.", "a:b", "::1", "", None],
)
def test_a_host_of_another_name_is(host: str | None) -> None:
    assert from_elsewhere(host, None, None, LOOPBACK)


def test_where_all_names_will_do_pages_of_other_sites_are_still() -> None:
    assert not from_elsewhere("ranker.example:8000", "https://ranker.example:8000", None)
    for origin in ("https://evil.example", "http://ranker.example:8001", "null", ""):
        assert from_elsewhere("ranker.example:8000", origin, None)
    for site in ("cross-site", "same-site"):
        assert from_elsewhere("ranker.example:8000", None, site)
