"""Which addresses are never routed: a pure question, and nothing is contacted to answer it."""

from __future__ import annotations

import pytest

from cognite_nb_upload.http import is_link_local


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",  # the same as one number
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fe80::1%eth0",
    ],
)
def test_a_link_local_address_is_known_in_every_spelling(host: str) -> None:
    assert is_link_local(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "::", "8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1", "a.b", ""]
)
def test_others_are_not(host: str) -> None:
    assert not is_link_local(host)
