"""Every difference between CPython and MicroPython, and nothing else.

The rest of the firmware asks this module for a feature and never for a platform. Each fallback says how
it behaves differently.
"""

import asyncio
import errno
import json
import os
import socket
import sys
import time

try:
    import tls
except ImportError:
    import ssl as tls  # CPython: the same class under the older name

try:
    from micropython import const
except ImportError:

    def const(value):
        """CPython has no constant folding; the name must stay `const` for MicroPython's compiler."""
        return value


IS_MICROPYTHON = sys.implementation.name == "micropython"

_EPOCH_2000_S = const(946_684_800)  # 2000-01-01 00:00:00 UTC, where the ESP32 port starts to count

try:
    from time import ticks_add, ticks_diff, ticks_ms
except ImportError:
    # CPython: the same wrap-around as a 32-bit MicroPython, so that code which subtracts ticks fails here too.
    _TICKS_PERIOD = 1 << 30

    def ticks_ms():
        return time.monotonic_ns() // 1_000_000 & (_TICKS_PERIOD - 1)

    def ticks_add(ticks, delta):
        return (ticks + delta) & (_TICKS_PERIOD - 1)

    def ticks_diff(end, start):
        half = _TICKS_PERIOD // 2
        return ((end - start + half) & (_TICKS_PERIOD - 1)) - half


try:
    sleep_ms = asyncio.sleep_ms
except AttributeError:

    def sleep_ms(ms):
        """Await `ms` milliseconds; zero lets every ready task run once."""
        return asyncio.sleep(ms / 1000)


def unix_s():
    """Seconds since 1970 on either epoch: the only wall clock of the firmware, and never used for durations."""
    now_s = int(time.time())
    return now_s + _EPOCH_2000_S if time.gmtime(0)[0] == 2000 else now_s


def random_bytes(n):
    """n unpredictable bytes (the ESP32's hardware generator, the desktop's kernel)."""
    return os.urandom(n)


def format_exception(error):
    """The traceback as text."""
    if hasattr(sys, "print_exception"):
        import io

        out = io.StringIO()
        sys.print_exception(error, out)
        return out.getvalue()
    import traceback

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def forget_tasks():
    """Before another asyncio.run(): MicroPython would go on with whatever the last one left behind."""
    if IS_MICROPYTHON:
        asyncio.new_event_loop()


def parse_json(view):
    """json.loads() of a memoryview; MicroPython's needs no copy."""
    return json.loads(view if IS_MICROPYTHON else bytes(view))


def collect_every(n_bytes):
    """Collect garbage whenever so much was allocated; 0: when the heap is full. CPython goes by numbers of objects."""
    import gc

    if hasattr(gc, "threshold"):
        gc.threshold(n_bytes or -1)


def mem_free_bytes():
    """Free heap in bytes; -1 on CPython, which has no fixed heap."""
    import gc

    return gc.mem_free() if hasattr(gc, "mem_free") else -1


# Sockets and TLS. An `io` below is a connection that never blocks: the bare socket on MicroPython, a thin
# wrapper on CPython. firmware/net/stream.py alone uses these; it turns what they raise into errors of ours.
#
#     io.readinto(mv) -> n, 0 at the end of the stream, None when nothing is here now
#     io.write(buf, at, n) -> n, None when nothing could be taken; see stream.py for how to go on after a short count

_VERIFY_FAILED = const(-0x2700)  # mbedTLS: X509_CERT_VERIFY_FAILED, when the build has no words for the cause
_NO_ROOTS = const(-0x7680)  # mbedTLS: SSL_CA_CHAIN_REQUIRED
_INVALID_RECORD = const(-0x7200)  # mbedTLS: SSL_INVALID_RECORD
_UNEXPECTED_RECORD = const(-0x7700)  # mbedTLS: SSL_UNEXPECTED_MESSAGE
_CONN_EOF = const(-0x7280)  # mbedTLS: SSL_CONN_EOF, the end of the TCP stream without a close alert
_FATAL_ALERT = const(-0x7780)  # mbedTLS: SSL_FATAL_ALERT_MESSAGE

# What tls_fault() can answer
TLS_UNTRUSTED = "untrusted"
TLS_WRONG_HOST = "host"
TLS_EXPIRED = "expired"
TLS_TOO_EARLY = "early"
TLS_NO_ROOTS = "roots"
TLS_NOT_TLS = "not_tls"
TLS_ALERT = "alert"
TLS_OTHER = "other"


def resolve_host(host, port):
    """An address for open_tcp(); blocks. OSError when there is none. IPv4 first: many networks only claim IPv6."""
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    for entry in found:
        if entry[0] == socket.AF_INET:
            return entry[0], entry[-1]
    return found[0][0], found[0][-1]


def open_tcp(address):
    """Begin to connect and return the io at once. OSError when that is refused on the spot."""
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        try:
            # A frame every 20 ms must not wait for the acknowledgement of the last one (Nagle).
            sock.setsockopt(getattr(socket, "IPPROTO_TCP", 6), getattr(socket, "TCP_NODELAY", 1), 1)
        except (OSError, ValueError, NotImplementedError):
            pass  # a port without the option: slower, not wrong
        try:
            sock.connect(address[1])
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
    except BaseException:
        sock.close()
        raise
    return _new_io(sock)


def tls_context(roots):
    """roots: DER certificates, one each; None: nothing is verified. ValueError with the index of a bad one."""
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    if roots is None:
        if hasattr(context, "check_hostname"):
            context.check_hostname = False
        context.verify_mode = tls.CERT_NONE
        return context
    context.verify_mode = tls.CERT_REQUIRED
    for i, root in enumerate(roots):
        try:
            # One call each: MicroPython's takes one certificate. CPython has it as a keyword.
            if IS_MICROPYTHON:
                context.load_verify_locations(root)
            else:
                context.load_verify_locations(cadata=root)
        except (OSError, ValueError):
            raise ValueError(i)
    return context


if IS_MICROPYTHON:
    import select

    _core = asyncio.core

    class _KeepingIOQueue(_core.IOQueue):
        """asyncio's queue registers a socket anew for each wait, 120 bytes of heap on a 64-bit MicroPython 1.25.

        This one keeps the entry of a kept socket, asleep (event mask 0) between waits:
        [reader, writer, socket, is_asleep].
        It finds that entry by looking, because id() of a high address is a new long integer each time.
        It also lets one task be cancelled without forgetting the other one that waits for the same socket.
        """

        def __init__(self, old):
            self.poller = old.poller
            self.map = old.map
            self.kept = []  # the entries of kept sockets; they stand in the map too

        def keep(self, sock):
            entry = [None, None, sock, True]
            self.kept.append(entry)
            self.map[id(sock)] = entry
            self.poller.register(sock, 0)

        def forget(self, sock):
            entry = self._kept_entry(sock)
            if entry is not None:
                self.kept.remove(entry)
                self.map.pop(id(sock))
                self.poller.unregister(sock)
                self._wake(entry, select.POLLIN | select.POLLOUT)

        def _kept_entry(self, sock):
            for entry in self.kept:
                if entry[2] is sock:
                    return entry
            return None

        def _wake(self, entry, flags):
            """Make ready whoever waits for one of these flags; an error wakes both."""
            if flags & ~select.POLLOUT and entry[0] is not None:
                _core._task_queue.push(entry[0])
                entry[0] = None
            if flags & ~select.POLLIN and entry[1] is not None:
                _core._task_queue.push(entry[1])
                entry[1] = None

        def wait_io_event(self, dt_ms):
            for sock, flags in self.poller.ipoll(dt_ms):
                entry = self._kept_entry(sock)
                if entry is None:
                    entry = self.map[id(sock)]
                self._wake(entry, flags)
                if entry[0] is None and entry[1] is None:
                    self._dequeue(sock)
                else:
                    self.poller.modify(sock, select.POLLOUT if entry[0] is None else select.POLLIN)

        def _enqueue(self, sock, i):
            entry = self._kept_entry(sock)
            if entry is None:
                return _core.IOQueue._enqueue(self, sock, i)
            assert entry[i] is None  # one task may wait to read, one to write
            entry[i] = _core.cur_task
            self._arm(entry)
            _core.cur_task.data = self

        def _arm(self, entry):
            mask = 0 if entry[0] is None else select.POLLIN
            if entry[1] is not None:
                mask |= select.POLLOUT
            entry[3] = mask == 0
            self.poller.modify(entry[2], mask)

        def _dequeue(self, sock):
            # Called when nobody waits any more. Called for a sleeper, it is an error that would wake the loop for ever.
            entry = self._kept_entry(sock)
            if entry is not None and not entry[3]:
                entry[3] = True
                self.poller.modify(sock, 0)
            else:
                if entry is not None:
                    self.kept.remove(entry)
                _core.IOQueue._dequeue(self, sock)

        def remove(self, task):
            for key in self.map:
                entry = self.map[key]
                if entry[0] is task or entry[1] is task:
                    if len(entry) < 4:
                        return _core.IOQueue.remove(self, task)
                    entry[0 if entry[0] is task else 1] = None
                    self._arm(entry)

    class _Wait:
        """Awaitable again and again; allocates nothing."""

        def __init__(self, sock, i):
            self._sock = sock
            self._i = i
            self._is_waiting = False
            self._stop = StopIteration()

        def __iter__(self):
            return self

        def __next__(self):
            if self._is_waiting:
                self._is_waiting = False
                self._stop.__traceback__ = None
                raise self._stop
            self._is_waiting = True
            _core._io_queue._enqueue(self._sock, self._i)

    class _EventWait:
        def __init__(self, event):
            self._event = event
            self._is_waiting = False
            self._stop = StopIteration()

        def __iter__(self):
            return self

        def __next__(self):
            event = self._event
            if self._is_waiting or event.state:
                self._is_waiting = False
                self._stop.__traceback__ = None
                raise self._stop
            self._is_waiting = True
            event.waiting.push(_core.cur_task)
            _core.cur_task.data = event.waiting

    def _new_io(sock):
        return sock

    def wait_event(event):
        """An awaitable for event.wait() that can be used again and again by one task; allocates nothing here."""
        return _EventWait(event)

    def readable(io):
        """An awaitable that one task at a time may await again and again: io may have something to read."""
        return _Wait(io, 0)

    def writable(io):
        return _Wait(io, 1)

    def keep_io(io):
        """io is in use from now on: waiting for it costs no allocation until close_io()."""
        if type(_core._io_queue) is _core.IOQueue:
            _core._io_queue = _KeepingIOQueue(_core._io_queue)
        if isinstance(_core._io_queue, _KeepingIOQueue):
            _core._io_queue.keep(io)

    def close_io(io):
        """Close and wake whoever waits for io."""
        if isinstance(_core._io_queue, _KeepingIOQueue):
            _core._io_queue.forget(io)
        io.close()

    def check_connected(io):
        """After the first writable(): OSError when the connection failed."""
        poll = select.poll()
        poll.register(io, select.POLLOUT | select.POLLHUP)  # the ESP32 port tells of a failure only who asks for it
        for _, flags in poll.poll(0):
            if flags & (select.POLLERR | select.POLLHUP):
                try:
                    io.readinto(bytearray(1))
                except OSError as error:
                    if error.errno != errno.ECONNRESET:  # as lwIP calls a refusal
                        raise
                raise OSError(errno.ECONNREFUSED)

    def wrap_tls(io, context, host):
        """The io of a TLS client on a connected io. The handshake happens in tls_handshake()."""
        return context.wrap_socket(io, server_hostname=host, do_handshake_on_connect=False)

    def tls_handshake(io):
        """One step; True when it is complete, else await readable(io), which waits for what TLS needs.

        A read drives the handshake, and the peer's certificate is known from its end on. A port that cannot show
        the certificate completes the handshake during the first write; so does one that verifies nothing.
        """
        try:
            is_wrong = io.readinto(bytearray(1)) is not None  # the end, or a byte: an HTTP server never speaks first
        except OSError as error:
            if error.errno != _CONN_EOF:
                raise
            is_wrong = True
        if is_wrong:
            raise OSError(errno.ECONNRESET)
        return not hasattr(io, "getpeercert") or io.getpeercert(True) is not None

    def tls_fault(error):
        """(one of the TLS_ words, detail) for what TLS raised; ("", "") when it is a plain socket error."""
        text = str(error.args[-1]).strip() if error.args else ""
        if isinstance(error, ValueError):
            if "CN" in text:
                return TLS_WRONG_HOST, text
            if "expired" in text:
                return TLS_EXPIRED, text
            if "future" in text:
                return TLS_TOO_EARLY, text
            return TLS_UNTRUSTED, text
        number = error.errno or 0
        if number > -256:
            return "", ""
        if number == _VERIFY_FAILED:
            return TLS_UNTRUSTED, text
        if number == _NO_ROOTS:
            return TLS_NO_ROOTS, text
        if number == _INVALID_RECORD or number == _UNEXPECTED_RECORD:
            return TLS_NOT_TLS, text
        return TLS_ALERT if number == _FATAL_ALERT else TLS_OTHER, text

else:
    _WANT = (BlockingIOError, InterruptedError, tls.SSLWantReadError, tls.SSLWantWriteError)

    class _IO:
        def __init__(self, sock):
            self.sock = sock
            self.is_closed = False
            self._waiting = {False: [], True: []}  # is it for writing: futures
            # TLS may have to write before it can read, and the other way round.
            self._wants_write = {False: False, True: True}

        def readinto(self, mv):
            return self._try(False, self.sock.recv_into, mv)

        def write(self, buf, at, n):
            return self._try(True, self.sock.send, memoryview(buf)[at : at + n])

        def _try(self, is_write, call, *args):
            self._wants_write[is_write] = is_write
            try:
                return call(*args)
            except tls.SSLEOFError:
                raise OSError(errno.ECONNRESET, "end of the stream")
            except _WANT as error:
                if isinstance(error, tls.SSLError):
                    self._wants_write[is_write] = isinstance(error, tls.SSLWantWriteError)
                return None

        async def wait(self, is_write):
            if self.is_closed or (not is_write and isinstance(self.sock, tls.SSLSocket) and self.sock.pending()):
                return  # what TLS has decrypted already, the socket does not tell
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            is_write = self._wants_write[is_write]
            waiting = self._waiting[is_write]
            waiting.append(future)
            (loop.add_writer if is_write else loop.add_reader)(self.sock, self._wake, is_write)
            try:
                await future
            finally:
                if future in waiting:
                    waiting.remove(future)
                    if not waiting and not self.is_closed:
                        (loop.remove_writer if is_write else loop.remove_reader)(self.sock)

        def _wake(self, is_write):
            loop = asyncio.get_running_loop()
            (loop.remove_writer if is_write else loop.remove_reader)(self.sock)
            waiting = self._waiting[is_write]
            while waiting:
                future = waiting.pop()
                if not future.done():
                    future.set_result(None)

        def close(self):
            if not self.is_closed:
                self.is_closed = True
                for is_write in (False, True):
                    if self._waiting[is_write]:
                        self._wake(is_write)
                self.sock.close()

    class _Wait:
        def __init__(self, io, is_write):
            self._io = io
            self._is_write = is_write

        def __await__(self):
            return self._io.wait(self._is_write).__await__()

    class _EventWait:
        def __init__(self, event):
            self._event = event

        def __await__(self):
            return self._event.wait().__await__()

    def _new_io(sock):
        return _IO(sock)

    def wait_event(event):
        """An awaitable for event.wait() that can be used again and again by one task."""
        return _EventWait(event)

    def readable(io):
        return _Wait(io, False)

    def writable(io):
        return _Wait(io, True)

    def keep_io(io):
        pass

    def close_io(io):
        io.close()

    def check_connected(io):
        number = io.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))

    def wrap_tls(io, context, host):
        io.sock = context.wrap_socket(io.sock, server_hostname=host, do_handshake_on_connect=False)
        return io

    def _do_handshake(sock):
        sock.do_handshake()
        return True

    def tls_handshake(io):
        return io._try(False, _do_handshake, io.sock) is not None

    # X509_V_ERR_...: 9 not yet valid, 10 expired, 62 host name, 64 IP address; the rest is a matter of trust.
    _VERIFY_FAULTS = {9: TLS_TOO_EARLY, 10: TLS_EXPIRED, 62: TLS_WRONG_HOST, 64: TLS_WRONG_HOST}
    _NOT_TLS_REASONS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE")

    def tls_fault(error):
        if isinstance(error, tls.SSLCertVerificationError):
            return _VERIFY_FAULTS.get(error.verify_code, TLS_UNTRUSTED), error.verify_message
        if not isinstance(error, (tls.SSLError, ValueError)):
            return "", ""
        reason = getattr(error, "reason", None) or str(error)
        if reason in _NOT_TLS_REASONS:
            return TLS_NOT_TLS, reason
        return TLS_ALERT if "ALERT" in reason else TLS_OTHER, reason
