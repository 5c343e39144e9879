from __future__ import annotations

import pytest

from cognite_nb_upload.core.cancel import CancelToken


def test_one_who_cannot_be_woken_keeps_no_other_asleep(caplog: pytest.LogCaptureFixture) -> None:
    stop, woken = CancelToken(), list[str]()

    def gone() -> None:
        raise RuntimeError("its loop is closed")

    with stop.waking(gone), stop.waking(lambda: woken.append("awake")):
        stop.set("cancelled")
    assert woken == ["awake"]
    assert stop.reason == "cancelled"
    assert "its loop is closed" in caplog.text
