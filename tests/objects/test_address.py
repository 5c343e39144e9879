"""What is shown and remembered of an address has nothing that opens a store."""

from __future__ import annotations

import pytest

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.objects.address import Address


@pytest.mark.parametrize(
    ("text", "shown", "name"),
    [
        ("az://c/b.las?sp=r&se=2026-12-01&sv=2024&sig=PLANTED", "az://c/b.las", "b.las"),
        ("az://c/b.las?sv=2024&sig=PLANTED", "az://c/b.las", "b.las"),
        ("abfs://c@account/d/b.las", "abfs://c@account/d/b.las", "b.las"),
        ("s3://user:PLANTED@bucket/a", "s3://bucket/a", "a"),
        ("s3://bucket/what?no=1", "s3://bucket/what?no=1", "what?no=1"),
        (
            "zip://a.csv::https://user:PLANTED@host/x.zip?X-Amz-Signature=PLANTED",
            "zip://a.csv::https://host/x.zip",
            "a.csv",
        ),
        ("zip://a.csv::az://c/x.zip?sp=r&sig=PLANTED", "zip://a.csv::az://c/x.zip", "a.csv"),
        ("zip://a::http://u:PLANTED@[fe80::1]/x", "zip://a::http://[fe80::1]/x", "a"),
        ("https://host/x.bin?sig=PLANTED#here", "https://host/x.bin", "x.bin"),
    ],
)
def test_a_signature_and_a_password_are_cut_off(text: str, shown: str, name: str) -> None:
    address = Address(text)
    assert (address.shown, address.name) == (shown, name)
    assert "PLANTED" not in f"{address!r}{address}"
    assert address.reveal() == text


@pytest.mark.parametrize(
    ("text", "sent", "name"),
    [
        ("https://host/a b.csv", "https://host/a%20b.csv", "a b.csv"),
        ("https://host/a%20b.csv\n", "https://host/a%20b.csv", "a b.csv"),
        ("https://høst/ä.csv?q=ö", "https://xn--hst-0na/%C3%A4.csv?q=%C3%B6", "ä.csv"),
        ("https://host/o/folder%2Fa.csv?alt=media", None, "a.csv"),
        ("https://host/a|b^{c}.csv?sig=%2B/=", None, "a|b^{c}.csv"),
        ("https://host/dir/", None, "dir"),
        ("https://host:8443/", None, ""),
        ("https://host", None, ""),
    ],
)
def test_an_address_of_the_web_is_sent_as_a_request_can_carry_it(
    text: str, sent: str | None, name: str
) -> None:
    """And letter for letter where it can, since a signature is of these letters."""
    address = Address(text)
    assert (address.reveal(), address.name) == (sent or text, name)


@pytest.mark.parametrize(
    "text", ["http://[::1", "http://h:99999/a", "http://h:x/a", "https://a..b/"]
)
def test_an_address_that_no_connection_can_be_made_to_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="of the form https://host/path"):
        Address(text)
