"""A TCP proxy that spoils connections: it stalls, throttles, splits, cuts, resets, and lets them go half-open.

    async with Proxy(cloud.port) as proxy:
        connect(proxy.port)
        proxy.down.piece_bytes = 1            # what the cloud sends arrives byte by byte
        proxy.up.bytes_per_s = 2000           # what the speaker sends goes out so slowly
        proxy.down.stall(); proxy.down.go_on()
        proxy.reset()                         # every connection of now; the next ones live

It sees bytes only, so TLS stays between the two ends. It keeps no bytes of its own beside those of one read, and gives
its sockets small buffers, so that a slow way is felt by whoever sends into it, as behind a slow router.
"""

import asyncio
import contextlib
import socket
import struct

_READ_BYTES = 16_384
_BUFFER_BYTES = 4096  # of the kernel, for either side of the proxy; the kernel doubles it for its own book-keeping
_SLOW_STEPS_PER_S = 50
_SEGMENT_BYTES = 1400
_PIECES_IN_A_ROW = 8


class Way:
    """What happens to the bytes of one direction, of every connection, from now on.

    bytes_per_s   0: as fast as they come
    piece_bytes   0: as they come; else every send holds so many at the most
    is_deaf       bytes are taken and thrown away, and an end is kept to itself
    hides_end     the end of the stream is kept to itself, what came before it is not
    bytes         passed on so far
    """

    def __init__(self):
        self.bytes_per_s = 0
        self.piece_bytes = 0
        self.is_deaf = False
        self.hides_end = False
        self.bytes = 0
        self._is_open = asyncio.Event()
        self._is_open.set()

    def stall(self):
        """Neither take nor pass on anything; both ends believe that the connection lives."""
        self._is_open.clear()

    def go_on(self):
        self._is_open.set()

    def clean(self):
        """As new."""
        self.bytes_per_s = self.piece_bytes = 0
        self.is_deaf = self.hides_end = False
        self.go_on()

    async def pump(self, source, target):
        """Pass bytes on until the source ends. OSError when either socket fails."""
        loop = asyncio.get_running_loop()
        while True:
            await self._is_open.wait()
            data = await loop.sock_recv(source, self._step_bytes())
            await self._is_open.wait()  # what was on its way stops as well
            if not data:
                return
            if not self.is_deaf:
                await self._pass_on(data, target)

    def _step_bytes(self):
        return max(1, self.bytes_per_s // _SLOW_STEPS_PER_S) if self.bytes_per_s else _READ_BYTES

    async def _pass_on(self, data, target):
        loop = asyncio.get_running_loop()
        step = self.piece_bytes or len(data)
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            await loop.sock_sendall(target, piece)
            self.bytes += len(piece)
            if self.piece_bytes and at // step % _PIECES_IN_A_ROW == 0:
                await asyncio.sleep(0)  # others want to live, and a reader who is waiting sees the pieces one by one
        if self.bytes_per_s:
            await asyncio.sleep(len(data) / self.bytes_per_s)


class Proxy:
    """target_port: where connections go on to, on target_host. Listens on loopback, on a free port."""

    def __init__(self, target_port, target_host="127.0.0.1"):
        self.up = Way()  # from whoever connects to the target
        self.down = Way()
        self.port = 0
        self.accepted = 0
        self.is_refusing = False  # new connections are reset at once
        self._target = (target_host, target_port)
        self._listener = None
        self._pairs = {}  # task -> [client's socket, target's socket]
        self._accepting = None

    async def __aenter__(self):
        listener = self._listener = _new_socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        self.port = listener.getsockname()[1]
        self._accepting = asyncio.ensure_future(self._accept())
        return self

    async def __aexit__(self, *_):
        self._accepting.cancel()
        tasks = [self._accepting, *self._pairs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    # What happens to the connections of now

    def cut(self):
        """End every connection in order at the level of TCP: in the middle of whatever TLS or WebSocket were saying."""
        self._end_all(False)

    def reset(self):
        """End every connection with RST."""
        self._end_all(True)

    def forget(self):
        """Every connection is half-open: the cloud's end is gone, the speaker's lives and hears nothing ever more."""
        for task, pair in list(self._pairs.items()):
            self._pairs[task] = [pair[0]]
            task.cancel()
            pair[1].close()
            hold = asyncio.ensure_future(self._swallow(pair[0]))
            self._pairs[hold] = [pair[0]]

    def clean(self):
        """New connections and both ways are as good as new."""
        self.is_refusing = False
        self.up.clean()
        self.down.clean()

    # Inside

    def _end_all(self, is_reset):
        for task, pair in list(self._pairs.items()):
            for sock in pair:
                if is_reset:
                    _reset_on_close(sock)
            task.cancel()

    async def _accept(self):
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            client.setblocking(False)
            if self.is_refusing:
                _reset_on_close(client)
                client.close()
                continue
            self.accepted += 1
            task = asyncio.ensure_future(self._serve(client))
            self._pairs[task] = [client]

    async def _serve(self, client):
        me = asyncio.current_task()
        target = _new_socket()
        self._pairs[me] = pair = [client, target]
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(target, self._target)
            await asyncio.gather(self._one_way(client, target, self.up), self._one_way(target, client, self.down))
        finally:
            for sock in pair if self._pairs.pop(me) is pair else ():  # forget() has taken the sockets over otherwise
                sock.close()

    async def _one_way(self, source, target, way):
        """Until the source ends, which the target is told."""
        with contextlib.suppress(OSError):
            await way.pump(source, target)
        if way.is_deaf or way.hides_end:
            await asyncio.Event().wait()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    async def _swallow(self, client):
        loop = asyncio.get_running_loop()
        try:
            while await loop.sock_recv(client, _READ_BYTES):
                pass
        finally:
            self._pairs.pop(asyncio.current_task(), None)
            client.close()


def _new_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)  # accepted sockets inherit it
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # As on Ethernet: loopback's segments of 64 KB let the other end's kernel take a megabyte before a slow way is felt.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
    return sock


def _reset_on_close(sock):
    # Linger on, zero seconds: close() sends RST.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
