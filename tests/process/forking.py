"""A program that forks workers from a client: `python forking.py HOW FILES FOLDER`.

HOW says what the parent's connections do at that moment: idle, one, eight (each in the middle of a
part), all (as many uploads as may go at once), thread (idle, and a thread forks).
It prints, as JSON, the ids of the workers' files, and of the parent's own, by their seeds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from forks import raw_fork
from upload_rig import PART, Gate, content_of, short_of, until_true

from cognite_nb_upload import CogniteClient

WORKERS = 3
Finish = Callable[[], dict[int, int]]

client = CogniteClient.from_env()


def job(path: Path) -> tuple[int, int]:
    """Upload one file with the client that was inherited."""
    done = client.files.upload(path, name=path.stem, part_size=PART, verify="checksum")
    assert done.id is not None
    return int(path.stem), done.id


def gate_of(seed: int) -> Gate:
    """One part, of which the first half can be read."""
    return Gate(content_of(1, seed), PART // 2, name=f"p{seed}")


def until_in_the_middle(gate: Gate) -> None:
    until_true(lambda: any(offset + size > PART // 2 for offset, size in tuple(gate.reads)))


def idle() -> Finish:
    return lambda: {}


def uploads(at_least: int) -> Finish:
    """Uploads in the middle of a part, until there are so many or no more may go at once."""
    lanes, gates, running = client.files.limits.lanes, [], []
    while len(gates) < at_least and lanes.busy < lanes.limit:
        seed = 100 + len(gates)
        gates.append(gate_of(seed))
        running.append(client.files.start_upload(gates[-1], name=f"p{seed}", part_size=PART))
        until_in_the_middle(gates[-1])

    def finish() -> dict[int, int]:
        for gate in gates:
            gate.open()
        return {100 + no: upload.result(60).id or 0 for no, upload in enumerate(running)}

    return finish


def parts(count: int) -> Finish:
    """A session of so many parts, each in the middle."""
    gates = [gate_of(200 + no) for no in range(count)]
    session = client.files.multipart_upload_session("p", count)
    senders = [
        threading.Thread(target=session.send, args=(no, gate, 0, PART))
        for no, gate in enumerate(gates)
    ]
    for sender in senders:
        sender.start()
    for gate in gates:
        until_in_the_middle(gate)

    def finish() -> dict[int, int]:
        for gate in gates:
            gate.open()
        for sender in senders:
            sender.join(60)
        with session:
            pass
        assert session.file_metadata.id is not None
        return {200: session.file_metadata.id}

    return finish


def fork_workers(paths: list[Path]) -> dict[int, int]:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        return dict(pool.map(job, paths))


def fork_in_a_thread(paths: list[Path]) -> dict[int, int]:
    done: dict[int, int] = {}
    thread = threading.Thread(target=lambda: done.update(fork_workers(paths)))
    thread.start()
    thread.join()
    return done


def fork_in_c(paths: list[Path]) -> dict[int, int]:
    """Workers whose fork no hook of Python's has seen."""
    children = []
    for no in range(WORKERS):
        mine, theirs = os.pipe()
        if pid := raw_fork():
            os.close(theirs)
            children.append((pid, mine))
            continue
        try:
            os.write(theirs, json.dumps(dict(map(job, paths[no::WORKERS]))).encode())
        finally:
            os._exit(0)
    done: dict[int, int] = {}
    for pid, answer in children:
        with open(answer) as told:
            done.update({int(seed): number for seed, number in json.load(told).items()})
        os.waitpid(pid, 0)
    return done


BUSY: dict[str, Callable[[], Finish]] = {
    "idle": idle,
    "one": lambda: uploads(1),
    "eight": lambda: parts(8),
    "all": lambda: uploads(99),
    "thread": idle,
    "c": lambda: uploads(99),
}
FORKS = {"thread": fork_in_a_thread, "c": fork_in_c}


def main(how: str, count: int, folder: Path) -> None:
    paths = [folder / f"{seed}.bin" for seed in range(count)]
    for seed, path in enumerate(paths):
        path.write_bytes(short_of(seed))
    warm = job(paths[0])[1]  # leaves connections idle, and a journal behind
    finish = BUSY[how]()
    done = FORKS.get(how, fork_workers)(paths)
    mine = finish()
    again = job(paths[0])[1]
    print(json.dumps({"workers": done, "parent": mine, "warm": [warm, again]}))
    client.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
