"""`browser.js` in a page of its own: the same bytes and CRC-32, whatever the page may do."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import Page

import cognite_nb_upload

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCRIPT = base64.b64encode(
    (
        Path(cognite_nb_upload.__file__).parent / "widgets" / "browser" / "static" / "browser.js"
    ).read_bytes()
).decode()
DATA = bytes(range(256)) * 40 + b"123"  # no multiple of sixteen

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
    answer = page.evaluate(READ, [SCRIPT, base64.b64encode(DATA).decode(), thread])
    wanted = [DATA, DATA[3:1000], b"", DATA[-5:], DATA[1:2]]
    assert answer["told"] == [[list(one), zlib.crc32(one)] for one in wanted]
    assert answer["began"] == 1


ANSWER = """
async (script) => {
    const { Holder } = await import(`data:text/javascript;base64,${script}`);
    let holder, key;
    const told = await new Promise((done) => {
        holder = new Holder((message, buffers) => {
            if (message.kind === "chosen") key = message.files[0].key;
            if (message.kind === "slice") done({ message, buffers });
        });
        holder.choose([new File(["0123456789"], "digits.txt")]);
        holder.heard({ kind: "read", no: 7, key, pieces: [[1, 2], [8, 5], [4, 1]] });
    });
    return { ...told.message, text: new TextDecoder().decode(told.buffers[0]) };
}
"""


def test_a_slice_may_be_of_several_pieces(page: Page) -> None:
    assert page.evaluate(ANSWER, SCRIPT) == {
        "kind": "slice",
        "no": 7,
        "crc": zlib.crc32(b"12894"),
        "text": "12894",
    }


FAILED = """
async (script) => {
    const { Holder } = await import(`data:text/javascript;base64,${script}`);
    const real = Blob.prototype.arrayBuffer, told = [];
    const looking = new Promise((done) => {
        Blob.prototype.arrayBuffer = function () {
            done();
            return free.then(() => real.call(this));
        };
    });
    let key, letGo;
    const free = new Promise((done) => { letGo = done; });
    const over = new Promise((done) => {
        const holder = window.holder = new Holder((message) => {
            if (message.kind === "chosen") key = message.files[0].key;
            if (message.kind === "pong") told.push(message.working);
            if (message.kind === "put") { told.push(message.status); setTimeout(done); }
        });
    });
    holder.choose([new File(["0123456789"], "digits.txt")]);
    holder.heard({ kind: "put", no: 7, key, at: 0, size: 5, url: "http://127.0.0.1:1/" });
    await looking;
    holder.heard({ kind: "ping", no: 8 });
    letGo();
    await over;
    holder.heard({ kind: "ping", no: 9 });
    return told;
}
"""


def test_a_page_that_looks_why_a_part_failed_is_at_work_on_it(page: Page) -> None:
    assert page.evaluate(FAILED, SCRIPT) == [[7], 0, []]


PROGRESS = """
async (script) => {
    const { Holder } = await import(`data:text/javascript;base64,${script}`);
    const told = [];
    const holder = new Holder((message) => told.push(message.sent));
    holder.progress(7, 100);
    holder.progress(7, 200);
    const atOnce = structuredClone(told);
    while (told.length < 2) await new Promise((done) => setTimeout(done, 10));
    while (holder.telling) await new Promise((done) => setTimeout(done, 10));
    holder.progress(8, 300);
    return [atOnce, told];
}
"""


def test_the_first_bytes_to_a_store_are_told_at_once_and_those_that_follow_together(
    page: Page,
) -> None:
    at_once, told = page.evaluate(PROGRESS, SCRIPT)
    assert at_once == [[[7, 100]]]
    assert told == [[[7, 100]], [[7, 200]], [[8, 300]]]
