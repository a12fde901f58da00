"""Every way in which a connection fails, on real sockets and each interpreter: kind and cure are named."""

import asyncio
import contextlib
import socket
import ssl
import struct

import pytest
from wire import HOST, INTERPRETERS, Authority, listening_socket, run_child

V12 = ssl.TLSVersion.TLSv1_2
V13 = ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    (folder / "empty").mkdir()
    (folder / "junk").mkdir()
    (folder / "junk" / "root.der").write_bytes(b"\x30\x82 not a certificate")
    both = Authority(folder / "both")
    other = Authority(folder / "other")
    (both.folder / "another.der").write_bytes((other.folder / "root.der").read_bytes())
    (both.folder / "README.txt").write_text("ignored")
    return folder, both, other


async def echo(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        writer.write(b"echo " + await reader.readexactly(5) + b" and some more bytes than one read takes")
        await writer.drain()
    writer.close()


async def speak_http(reader, writer):
    with contextlib.suppress(OSError):
        await reader.read(5)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
    writer.close()


async def stay_silent(reader, writer):
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


async def hang_up(reader, writer):
    with contextlib.suppress(OSError):
        await reader.read(100000)
    writer.close()


async def reset(reader, writer):
    with contextlib.suppress(OSError):
        await reader.read(5)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def free_port():
    with contextlib.closing(listening_socket()) as sock:
        return sock.getsockname()[1]


@pytest.mark.parametrize("name", INTERPRETERS)
async def test_failures_and_their_texts(authorities, name):
    folder, authority, other = authorities
    roots = str(authority.folder)
    wrong_roots = str(other.folder)
    cases = []
    expected = []

    async with contextlib.AsyncExitStack() as stack:

        async def serve(handler, context=None):
            server = await asyncio.start_server(handler, sock=listening_socket(), ssl=context)
            stack.callback(server.close)
            return server.sockets[0].getsockname()[1]

        def expect(kind, text, port, roots, host=HOST, **options):
            cases.append(dict({"port": port, "roots": roots, "host": host}, **options))
            expected.append((kind, text))

        for version in (V12, V13):
            port = await serve(echo, authority.context(version))
            expect("ok", "echo hello and some more bytes than one read takes", port, roots, echo="takes")
            expect("ok", "echo hello", port, roots, host="somebody.else", echo="takes", verify=False)
            expect("tls", "no root certificate in tls_roots", port, wrong_roots)
            expect("tls", "not made out to somebody.else", port, roots, host="somebody.else")
        expect("ok", "echo hello", await serve(echo), "", echo="the end of the stream")
        expect("tls", "has expired", await serve(echo, authority.context(days=(-9, -2))), roots)
        expect("tls", "clock is behind", await serve(echo, authority.context(days=(3, 9))), roots)
        expect("tls", "does not speak TLS", await serve(speak_http), roots)
        expect("connect", "cut the connection", await serve(hang_up), roots)
        expect("connect", "cut the connection", await serve(reset), roots)
        expect("timeout", "TLS handshake", await serve(stay_silent), roots, timeout_ms=300)
        expect("connect", "refuses connections", free_port(), roots)
        expect("connect", "refuses connections", free_port(), "")
        expect("dns", "no address for no such host", 443, "", address="no such host")
        expect("config", "no *.der file", 443, str(folder / "empty"))
        expect("config", "no *.der file", 443, str(folder / "absent"))
        expect("config", "root.der is no certificate", 443, str(folder / "junk"))
        results = await run_child(name, "errors", {"cases": cases})

    assert len(results) == len(expected)
    for case, (kind, text), (got_kind, number, got_text) in zip(cases, expected, results):
        assert (got_kind, text in got_text) == (kind, True), (case, got_kind, got_text)
        if kind == "connect":
            assert number in (104, 111, 54, 61), (case, number)  # reset, refused; on Linux and on macOS
