"""What the speaker takes from the outside world, in one record that `app` hands down.

Nothing else reads a clock, draws chance or opens a socket, so the same code runs on a board, on a desktop,
and on a stepped clock over an in-memory network.
"""

from . import compat


class Ports:
    """ticks_ms()              -> int, wraps; subtract with compat.ticks_diff only
    sleep_ms(ms)               -> awaitable
    random_bytes(n)            -> bytes, unpredictable
    unix_s()                   -> int, seconds since 1970
    resolve(host, port)        -> address for connect(); BLOCKS the loop on MicroPython; LinkError(kind=DNS)
    connect(address, host, tls, timeout_ms)
                               -> awaitable of a Stream (firmware/net/stream.py has the contract);
                                  host is for SNI and the certificate, tls an SSLContext or None;
                                  LinkError(kind=CONNECT, TLS or TIMEOUT)
    """

    def __init__(self, ticks_ms, sleep_ms, random_bytes, unix_s, resolve, connect):
        self.ticks_ms = ticks_ms
        self.sleep_ms = sleep_ms
        self.random_bytes = random_bytes
        self.unix_s = unix_s
        self.resolve = resolve
        self.connect = connect


def real():
    """The world itself: this interpreter's clock, chance and sockets."""
    from .net import stream

    return Ports(compat.ticks_ms, compat.sleep_ms, compat.random_bytes, compat.unix_s, stream.resolve, stream.connect)
