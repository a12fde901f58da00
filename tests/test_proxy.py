"""The proxy that spoils connections does what it says, and nothing else."""

import asyncio
import contextlib
import time

import pytest

from tools.soak.proxy import Proxy

DATA = bytes(range(256)) * 40


@contextlib.asynccontextmanager
async def echo_through_a_proxy():
    """(proxy, open): what is sent comes back; open() is a new connection."""

    async def echo(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        writers = []

        async def connect():
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writers.append(writer)
            return reader, writer

        yield proxy, connect
        for writer in writers:
            writer.close()
    server.close()


async def echo(connection, data=DATA):
    reader, writer = connection
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 10)


async def test_a_clean_way_passes_everything_on_and_its_end():
    async with echo_through_a_proxy() as (proxy, connect):
        reader, writer = await connect()
        assert await echo((reader, writer)) == DATA
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert proxy.up.bytes == proxy.down.bytes == len(DATA)


async def test_pieces_and_throttles_lose_nothing():
    async with echo_through_a_proxy() as (proxy, connect):
        proxy.up.piece_bytes, proxy.down.piece_bytes = 1, 7
        assert await echo(await connect(), DATA[:500]) == DATA[:500]
        proxy.clean()
        proxy.down.bytes_per_s = 5000
        began_s = time.monotonic()
        assert await echo(await connect(), DATA[:1000]) == DATA[:1000]
        assert time.monotonic() - began_s >= 0.15


async def test_a_stall_holds_everything_back_until_it_goes_on():
    async with echo_through_a_proxy() as (proxy, connect):
        reader, writer = await connect()
        proxy.down.stall()
        writer.write(b"hello")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(5), 0.1)
        proxy.down.go_on()
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"


async def test_a_cut_is_an_end_a_reset_is_an_error_and_the_next_connection_lives():
    async with echo_through_a_proxy() as (proxy, connect):
        reader, writer = await connect()
        await echo((reader, writer))
        proxy.cut()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        reader, writer = await connect()
        await echo((reader, writer))
        proxy.reset()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.read(), 5)
        assert await echo(await connect()) == DATA


async def test_a_forgotten_connection_takes_bytes_and_says_nothing():
    async with echo_through_a_proxy() as (proxy, connect):
        reader, writer = await connect()
        await echo((reader, writer))
        proxy.forget()
        for _ in range(3):
            writer.write(DATA)
            await writer.drain()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.05)
        assert await echo(await connect()) == DATA


async def test_refusing_is_for_new_connections_only():
    async with echo_through_a_proxy() as (proxy, connect):
        old = await connect()
        await echo(old)
        proxy.is_refusing = True
        with pytest.raises(ConnectionError):
            reader, writer = await connect()
            if not await reader.read(1):
                raise ConnectionResetError
        assert await echo(old) == DATA
        proxy.clean()
        assert await echo(await connect()) == DATA
