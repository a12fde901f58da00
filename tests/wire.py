"""What the host tests of real sockets share: interpreters, certificates, and a plain WebSocket server of their own."""

import asyncio
import base64
import datetime
import hashlib
import json
import os
import socket
import ssl
import sys
import tempfile
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tools import mpy

ROOT = Path(__file__).resolve().parent.parent
HOST = "pipit.test"
TIME_LIMIT_S = 90


def interpreter(name):
    """The command line of "cpython", "micropython64" or "micropython32"; skips when it may be missing and is."""
    if name == "cpython":
        return [sys.executable]
    try:
        return [str(mpy.launcher(64 if name.endswith("64") else 32))]
    except mpy.MissingMicroPython as error:
        if os.environ.get("ALLOW_NO_MPY"):
            pytest.skip(str(error))
        raise


INTERPRETERS = ("cpython", "micropython64", "micropython32")


async def run_child(name, mode, settings):
    """Run tests/link_child.py and return what it reports."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.json"
        path.write_text(json.dumps(settings))
        child = await asyncio.create_subprocess_exec(
            *interpreter(name), "tests/link_child.py", mode, str(path), cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(child.communicate(), TIME_LIMIT_S)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    lines = out.decode().splitlines()
    assert child.returncode == 0 and lines, out.decode() + err.decode()
    return json.loads(lines[-1])


class Authority:
    """A certificate authority; `folder` holds its root as a DER file."""

    def __init__(self, folder):
        self._ca = trustme.CA()
        self.folder = Path(folder)
        self.folder.mkdir()
        (self.folder / "root.der").write_bytes(to_der(self._ca.cert_pem.bytes()))

    def context(self, version=None, days=None, host=HOST):
        """A server's SSLContext. version: only this ssl.TLSVersion; days: (from, to) of validity, counted from now."""
        dates = {}
        if days is not None:
            now = datetime.datetime.now(datetime.timezone.utc)
            dates = {
                "not_before": now + datetime.timedelta(days=days[0]),
                "not_after": now + datetime.timedelta(days=days[1]),
            }
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        self._ca.issue_cert(host, **dates).configure_cert(context)
        return context


def to_der(pem):
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def listening_socket(receive_buffer_bytes=0):
    sock = socket.socket()
    if receive_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


async def accept_upgrade(reader, writer):
    """Read the request and answer 101."""
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = [line[19:] for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key: ")][0]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    writer.write(
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: %s\r\n\r\n" % accept
        ).encode()
    )
    await writer.drain()


async def read_frame(reader):
    """(opcode, payload) of the next client frame."""
    head = await reader.readexactly(2)
    assert head[0] & 0xF0 == 0x80 and head[1] & 0x80, "final, no reserved bits, masked"
    n = head[1] & 0x7F
    if n >= 126:
        n = int.from_bytes(await reader.readexactly(2 if n == 126 else 8), "big")
    key = await reader.readexactly(4)
    payload = await reader.readexactly(n)
    whole = int.from_bytes(payload, "little") ^ int.from_bytes((key * (n // 4 + 1))[:n], "little")
    return head[0] & 0x0F, whole.to_bytes(n, "little")


def server_frame(opcode, payload):
    n = len(payload)
    if n < 126:
        return bytes([0x80 | opcode, n]) + payload
    return bytes([0x80 | opcode, 126]) + n.to_bytes(2, "big") + payload
