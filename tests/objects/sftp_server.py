"""An SFTP server on this machine, over real SSH, that counts the bytes it gives."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko

USER, PASSWORD = "reader", "planted-sftp"


class SftpStore:
    """The files of one folder, behind SSH.

    Attributes:
        port: where it listens.
        folder: what it shows as `/`.
        given: bytes that reads got.
        reads: how many there were.
        fault: is asked before each read, with its first byte; True has it fail.
        fired: how many failed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self.given = self.reads = self.fired = 0
        self.fault: Callable[[int], bool] = lambda offset: False
        self.lock = threading.Lock()


@contextmanager
def sftp_store(folder: Path) -> Iterator[SftpStore]:
    """A server of its own, until the block ends."""
    store, key = SftpStore(folder), paramiko.ECDSAKey.generate()
    listener = socket.create_server(("127.0.0.1", 0))
    store.port = listener.getsockname()[1]
    transports: list[paramiko.Transport] = []

    def accept() -> None:
        with suppress(OSError):  # it was closed
            while True:
                client = listener.accept()[0]
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as OpenSSH does
                transport = paramiko.Transport(client)
                transports.append(transport)
                transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, store)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Login())

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield store
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for transport in transports:
            transport.close()
            transport.join()


class _Login(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: Any, store: SftpStore) -> None:
        super().__init__(server)
        self._store = store

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(self._real(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    lstat = stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        try:
            file = self._real(path).open("rb")
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        handle = _Open(flags, self._store)
        handle.readfile = file
        return handle

    def _real(self, path: str) -> Path:
        return self._store.folder / path.lstrip("/")


class _Open(paramiko.SFTPHandle):
    def __init__(self, flags: int, store: SftpStore) -> None:
        super().__init__(flags)
        self._store = store

    def read(self, offset: int, length: int) -> Any:
        store = self._store
        with store.lock:
            store.reads += 1
            if store.fault(offset):
                store.fired += 1
                return paramiko.SFTP_FAILURE
        data = super().read(offset, length)
        if isinstance(data, bytes):
            with store.lock:
                store.given += len(data)
        return data

    def stat(self) -> Any:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))
