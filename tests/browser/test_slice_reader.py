"""What reads slices in the page: the same bytes and CRC-32, whatever the page may do."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import Page

import cognite_nb_upload

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCRIPT = Path(cognite_nb_upload.__file__).parent / "widgets" / "static" / "browser.js"
DATA = bytes(range(256)) * 40 + b"123"  # no multiple of eight

READ = """
async ([script, data, thread]) => {
    const real = Worker;
    window.began = 0;
    const refuse = class {
        constructor() { began++; throw new DOMException("no", "SecurityError"); }
    };
    const fail = class {
        constructor() { began++; }
        postMessage() { setTimeout(() => this.onerror(new Event("error")), 20); }
        terminate() {}
    };
    const count = class extends real { constructor(url) { super(url); began++; } };
    window.Worker = { count, refuse, fail }[thread];
    const { SliceReader } = await import(`data:text/javascript;base64,${script}`);
    const blob = new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]);
    const reader = new SliceReader();
    const ends = [[0, blob.size], [3, 1000], [0, 0], [blob.size - 5, blob.size + 5]];
    const told = await Promise.all(ends.map(([from, to]) => reader.read(blob.slice(from, to))));
    told.push(await reader.read(blob.slice(1, 2)));
    reader.close();
    const text = (bytes) => Array.from(new Uint8Array(bytes));
    return { began, told: told.map(({ bytes, crc }) => [text(bytes), crc]) };
}
"""


@pytest.mark.parametrize("thread", ["count", "refuse", "fail"])
def test_a_slice_is_read_in_a_thread_or_without(page: Page, thread: str) -> None:
    script, data = (base64.b64encode(one).decode() for one in (SCRIPT.read_bytes(), DATA))
    page.goto("about:blank")
    answer = page.evaluate(READ, [script, data, thread])
    wanted = [DATA, DATA[3:1000], b"", DATA[-5:], DATA[1:2]]
    assert answer["told"] == [[list(one), zlib.crc32(one)] for one in wanted]
    assert answer["began"] == 1
