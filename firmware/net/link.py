"""One WebSocket connection: a reader, the one writer, a watchdog. The protocol is lib/ws_protocol, the socket a Stream.

    session.send ──► messages ──┐
    uplink frames ──► encode ───┼──► writer ──► Stream ──► reader ──► session.receive
    pong, ping, close ──────────┘

One task alone writes. It finishes what it has begun before anything else: after a None or short count it offers
exactly the unsent rest of the same buffer, because TLS loses whole frames otherwise. A write that cannot be finished
ends the connection. In between, a pong goes first, then control messages, then audio; the end of an utterance goes
out behind its last frame.

Every way to end is the same: `_end` notes the first reason and closes the Stream, which wakes everybody.
"""

import asyncio

import ws_protocol as ws
from frame_queue import AUDIO, END
from kernels import copy_into
from unload import unload
from ws_protocol import HEADROOM_BYTES, WSError, WSProtocol, WSRefused, seal, seal_masked

from .. import errors, trace as tr
from ..compat import const, ticks_diff, wait_event
from ..errors import CloudError, ConfigError, LinkError, PeerError, PipitError

_MESSAGES_MAX = const(32)  # control messages that may wait; more means that nothing goes out any more
_AUDIO_BUFFER_BYTES = const(1024)  # one frame of 20 ms as a message: 640 bytes in base64 and some JSON around it
_KEY_POOL_BYTES = const(64)  # one draw of chance serves 16 frames
_AUDIO_KEY_AT = HEADROOM_BYTES - 4
_WRITES_IN_A_ROW = const(4)  # then others may run: a queue full of frames must not hold up the sound
_WATCH_MS = const(1000)
_PONG_WAIT_MS = const(10_000)  # with ping_ms, a dead connection is known within half a minute
_REFUSAL_WAIT_MS = const(1000)  # for the body of a refusal, which is only good for its text
_SECRET_MIN_LETTERS = const(8)

_GIVEN_UP = "the connection was given up while it was made"
_NORMAL_CODES = (1000, 1001, ws.NO_CLOSE_CODE)
# What a close code of the peer asks for; others say that we broke the protocol.
_CLOSE_KINDS = {1008: errors.REFUSED, 1011: errors.BUSY, 1012: errors.BUSY, 1013: errors.BUSY, 1014: errors.BUSY}

# What has just been written, for _after_write
_NOTHING = const(0)
_FIRST_FRAME = const(1)
_UTTERANCE_END = const(2)
_CLOSE = const(3)

_spare_buffers = []  # receive buffers of ended links, so that a reconnect needs no large block of a fragmented heap


class Refused(LinkError):
    """The server answered the handshake with another HTTP status than 101.

    status, reason, body, headers: see ws_protocol.WSRefused, with what we sent blotted out.
    """

    def __init__(self, refusal, secrets):
        reason = _blot(refusal.reason, secrets)
        self.body = _blot(refusal.body, secrets)
        text = "the server answers HTTP %d %s" % (refusal.status, reason)
        super().__init__(text + (": " + self.body[:160] if self.body else ""), _kind_of_status(refusal.status))
        self.status = refusal.status
        self.reason = reason
        self.headers = {name: _blot(refusal.headers[name], secrets) for name in refusal.headers}

    @property
    def log_id(self):
        """The server's name for this request, for its support; "" when it gave none."""
        return find_log_id(self.headers)


class Link:
    """config: connect_timeout_ms, idle_timeout_ms, close_timeout_ms, ping_ms, rx_buffer_bytes,
            message_max_bytes; rx_needed_bytes(), asked when rx_buffer_bytes is 0
    uplink: next(), pop(), frame, abort_count, ready (firmware/audio/uplink.py); the writer waits for `ready`, and the
            link itself sets it when there is something else to send
    cloud: encode_audio_into(dst, at, frame) -> end, masked with dst[at-4:at]; complete(now_ms) -> message that ends an
           utterance
    session: receive(buf, start, n) -> True when reading should pause; first_frame_sent(); complete_sent()
    intake: await take_rest() is that pause

    One object is one connection: await open(...), then await run(). All but those two and the coroutine of close()
    return at once; everything happens in the loop.
    """

    def __init__(self, config, ports, trace, uplink, cloud, session, intake):
        self._config = config
        self._ports = ports
        self._trace = trace
        self._uplink = uplink
        self._cloud = cloud
        self._session = session
        self._intake = intake
        self._protocol = None
        self._stream = None
        self.headers = {}  # of the server's answer
        self._is_open = False
        self._is_late = False  # the handshake took too long
        # Ending
        self._over = asyncio.Event()
        self._is_over = False
        self._is_closing = False  # the session hears nothing any more
        self._reason = None
        self._tasks = ()  # reader and writer; CPython drops a task that nobody holds
        self._watchdog = None
        self._timer = None  # ends a close that the peer does not answer
        self.close_code = 0  # of the peer's close frame; 0: none came
        self.close_reason = ""
        # Writing
        self._bell = wait_event(uplink.ready)
        self._is_audio_allowed = False
        self._messages = []  # each with headroom for its frame header
        self._audio = bytearray(_AUDIO_BUFFER_BYTES)
        self._audio_end = 0  # for which end of a message the header in _audio holds, and where that begins: all frames
        self._audio_at = 0  # of an utterance are of one size
        self._control = bytearray(ws.HEADROOM_BYTES + ws.CONTROL_MAX_BYTES)
        self._pong = bytearray(ws.CONTROL_MAX_BYTES)
        self._pong_bytes = -1  # payload of the pong that is due, -1 for none: only the newest ping needs an answer
        self._close_due = 0  # code to send, 0 for none
        self._is_close_hasty = False  # ahead of the messages
        self._is_close_sent = False
        self._ping_due = False
        self._ping_serial = 0
        self._ping_ms = -1  # when the ping went out that has no pong yet
        self._out = self._control
        self._out_at = 0
        self._out_end = 0
        self._out_kind = _NOTHING
        self._is_writing = False
        self._write_began_ms = 0
        self._utterance = -1  # abort_count of the uplink when the open utterance began to go out, -1 between utterances
        self._keys = b""
        self._key_at = _KEY_POOL_BYTES
        self._last_heard_ms = 0

    # Opening

    async def open(self, address, host, port, path, headers, tls):
        """Connect and shake hands, within connect_timeout_ms altogether.

        raises  LinkError    no connection, no TLS, no answer in time; Refused is one of them
                PeerError    the answer breaks HTTP or the WebSocket protocol
                ConfigError  path or headers cannot be sent
        """
        began_ms = self._ports.ticks_ms()
        limit_ms = self._config.connect_timeout_ms
        place = "[%s]" % host if ":" in host else host
        if port != (80 if tls is None else 443):
            place += ":%d" % port
        self._protocol = _new_protocol(self._config)
        try:
            request = self._protocol.handshake(place, path, headers, self._ports.random_bytes(16))
            self._stream = await self._ports.connect(address, host, tls, limit_ms)
            if self._is_over:
                raise LinkError(_GIVEN_UP)
            await self._shake_hands(request, max(1, limit_ms - ticks_diff(self._ports.ticks_ms(), began_ms)))
            self._is_open = True
        except ValueError as error:
            raise ConfigError("", str(error))
        except WSRefused as refusal:
            raise Refused(refusal, _secrets(headers, path))
        except (WSError, LinkError) as error:
            if self._is_late:
                raise LinkError("%s does not answer the WebSocket handshake: try again" % host, errors.TIMEOUT)
            if self._is_over:
                raise LinkError(_GIVEN_UP)
            raise PeerError(error.text, error.close_code) if isinstance(error, WSError) else error
        finally:
            if not self._is_open:
                self._give_up()
                self._release()
            unload("", ("ws_handshake",))
        self.headers = self._protocol.headers
        self._last_heard_ms = self._ports.ticks_ms()

    def _give_up(self):
        """There never was an open connection."""
        self._is_over = True
        self._over.set()
        if self._stream is not None:
            self._stream.close()

    async def _shake_hands(self, request, limit_ms):
        watchdog = asyncio.create_task(self._close_stream_after(limit_ms, True))
        try:
            await self._send_request(request)
            await self._read_answer()
        finally:
            watchdog.cancel()

    async def _send_request(self, request):
        stream = self._stream
        at = 0
        while at < len(request):
            n = stream.write(request, at, len(request) - at)
            if n is None:
                await stream.writable
            else:
                at += n

    async def _read_answer(self):
        stream = self._stream
        protocol = self._protocol
        hurry = None
        try:
            while protocol.next_event() != ws.OPEN:
                if protocol.is_refused() and hurry is None:
                    hurry = asyncio.create_task(self._close_stream_after(_REFUSAL_WAIT_MS, False))
                n = stream.readinto(protocol.room())
                if n is None:
                    await stream.readable
                elif n:
                    protocol.fed(n)
                else:
                    protocol.ended()
        finally:
            if hurry is not None:
                hurry.cancel()

    async def _close_stream_after(self, ms, is_late):
        await self._ports.sleep_ms(ms)
        self._is_late = is_late
        self._stream.close()

    def _release(self):
        protocol, self._protocol = self._protocol, None
        if protocol is not None and not _spare_buffers:
            _spare_buffers.append(protocol.release())

    # The life of an open connection

    async def run(self):
        """Serve the connection until it ends. Returns the error that ended it, None after an orderly close.

        Whoever cancels run() must call close() too: the connection lives on until then.
        """
        self._start()
        await self._over.wait()
        if self._reason is not None and not isinstance(self._reason, PipitError):
            raise self._reason
        return self._reason

    def close(self, code=1000):
        """Close in good order: returns a coroutine that ends when the connection has, after close_timeout_ms at most.

        From this call on (before the coroutine is awaited) the session hears nothing more and no audio is taken;
        messages queued before still go out. May be called twice, and in every phase.
        """
        if not self._is_open:
            self._give_up()
        elif not self._is_over:
            self._start()
            self._begin_close(code, False)
        return self._wait_over()

    async def _wait_over(self):
        await self._over.wait()

    def allow_audio(self, is_allowed):
        """May uplink frames be sent? The cloud may first have to accept our configuration."""
        self._is_audio_allowed = is_allowed
        self._ring()

    def send(self, message):
        """Queue one text message (bytes, copied); False when the connection is ending and it was dropped.

        Too many that wait end the connection (SLOW): the peer takes nothing any more.
        """
        if self._is_over or self._is_closing:
            return False
        if len(self._messages) >= _MESSAGES_MAX:
            self._end(LinkError("the cloud takes no messages any more: the network is too slow", errors.SLOW))
            return False
        self._messages.append(_with_headroom(message))
        self._ring()
        return True

    def _ring(self):
        self._uplink.ready.set()

    def _start(self):
        if not self._tasks and not self._is_over:
            self._watchdog = asyncio.create_task(self._guard(self._watch()))
            self._tasks = [asyncio.create_task(self._guard(coro)) for coro in (self._read(), self._write())]

    async def _guard(self, coro):
        """No task of a connection dies alone: its error is the end of the connection."""
        try:
            await coro
        except Exception as error:
            self._end(error)

    def _begin_close(self, code, is_hasty):
        """Queue a close frame; the connection ends when the peer has answered, or after close_timeout_ms."""
        self._is_audio_allowed = False
        self._is_closing = True
        if not self._close_due and not self._is_close_sent:
            self._close_due = code
            self._is_close_hasty = is_hasty
        if self._timer is None and not self._is_over:
            self._timer = asyncio.create_task(self._end_after(self._config.close_timeout_ms))
        self._ring()

    async def _end_after(self, ms):
        await self._ports.sleep_ms(ms)
        self._end(None)

    def _end(self, reason):
        """The connection is over. The first reason counts."""
        if self._is_over:
            return
        self._is_over = True
        if self._reason is None:
            self._reason = reason
        self._stream.close()
        self._messages.clear()
        self._ring()
        me = asyncio.current_task()
        for task in (self._timer, self._watchdog):  # these two sleep; reader and writer were woken and see the end
            if task is not None and task is not me:
                task.cancel()
        self._over.set()

    # Reading

    async def _read(self):
        stream = self._stream
        protocol = self._protocol
        try:
            while not self._is_over:
                kind = protocol.next_event()
                if kind == ws.TEXT:
                    if not self._is_closing and self._session.receive(protocol.buf, protocol.start, protocol.n):
                        await self._intake.take_rest()
                    continue
                if kind:
                    self._handle(kind)
                    continue
                n = stream.readinto(protocol.room())
                if n is None:
                    await stream.readable
                elif n:
                    protocol.fed(n)
                    self._last_heard_ms = self._ports.ticks_ms()
                    await self._ports.sleep_ms(0)  # a peer that sends without pause must not starve the others
                else:
                    self._end_of_stream()
        except WSError as error:
            self._reason = PeerError(error.text, error.close_code)
            self._begin_close(error.close_code, True)
        finally:
            self._release()

    def _handle(self, kind):
        protocol = self._protocol
        if kind == ws.PING:
            at = protocol.start
            for i in range(protocol.n):
                self._pong[i] = protocol.buf[at + i]
            self._pong_bytes = protocol.n
            self._ring()
        elif kind == ws.PONG:
            if self._ping_ms >= 0:
                self._trace.add(tr.PONG, ticks_diff(self._ports.ticks_ms(), self._ping_ms))
                self._ping_ms = -1
        elif kind == ws.CLOSE:
            self._peer_closes(protocol.close_code, protocol.close_reason)
        elif kind == ws.TOO_BIG:
            self._trace.add(tr.TOO_BIG, protocol.too_big_count)
        # A binary message has no meaning in any of our clouds and is ignored, as unknown events are.

    def _peer_closes(self, code, reason):
        self.close_code = code
        self.close_reason = reason
        if not self._is_closing and code not in _NORMAL_CODES:
            text = "the cloud closed the connection with code %d" % code
            kind = _CLOSE_KINDS.get(code, errors.CONNECT if code >= 3000 else errors.PROTOCOL)
            self._reason = CloudError(text + (": " + reason if reason else ""), kind, code)
        # Answer with the same code; an empty one with 1000.
        self._begin_close(1000 if code == ws.NO_CLOSE_CODE else code, True)
        if self._is_close_sent:
            self._end(self._reason)

    def _end_of_stream(self):
        if self._is_closing:
            self._end(None)
        else:
            self._end(LinkError("the connection broke off without a word from the cloud: check the network"))

    # Writing

    async def _write(self):
        stream = self._stream
        ports = self._ports
        in_a_row = 0
        try:
            while not self._is_over:
                if not self._choose():
                    in_a_row = 0
                    self._uplink.ready.clear()
                    await self._bell
                    continue
                buf = self._out
                at = self._out_at
                end = self._out_end
                self._write_began_ms = ports.ticks_ms()
                self._is_writing = True
                while at < end:
                    n = stream.write(buf, at, end - at)
                    if n is None:
                        await stream.writable
                        if self._is_over:
                            return
                    else:
                        at += n
                self._is_writing = False
                self._after_write()
                in_a_row += 1
                if in_a_row >= _WRITES_IN_A_ROW:
                    in_a_row = 0
                    await ports.sleep_ms(0)
        except asyncio.CancelledError:
            self._end(LinkError("a write was cancelled"))  # half a frame may be out: no other may follow it
            raise

    def _choose(self):
        """Prepare the next frame in _out; False when there is nothing to send."""
        self._out_kind = _NOTHING
        if self._is_close_sent:
            return False
        if self._pong_bytes >= 0:
            return self._choose_pong()
        if self._close_due and (self._is_close_hasty or not self._messages):
            return self._choose_close()
        if self._ping_due:
            return self._choose_ping()
        if self._messages:
            return self._choose_message(self._messages.pop(0))
        return self._is_audio_allowed and self._choose_audio()

    def _choose_pong(self):
        n = self._pong_bytes
        self._pong_bytes = -1
        at = ws.HEADROOM_BYTES
        for i in range(n):
            self._control[at + i] = self._pong[i]
        return self._seal(self._control, n, ws.OP_PONG)

    def _choose_ping(self):
        self._ping_due = False
        self._ping_serial = (self._ping_serial + 1) & 0xFF
        self._control[ws.HEADROOM_BYTES] = self._ping_serial
        self._ping_ms = self._ports.ticks_ms()
        self._trace.add(tr.PING)
        return self._seal(self._control, 1, ws.OP_PING)

    def _choose_close(self):
        n = ws.close_into(self._control, ws.HEADROOM_BYTES, self._close_due)
        self._close_due = 0
        self._out_kind = _CLOSE
        return self._seal(self._control, n, ws.OP_CLOSE)

    def _choose_message(self, framed):
        return self._seal(framed, len(framed) - ws.HEADROOM_BYTES, ws.OP_TEXT)

    def _choose_audio(self):
        # Here and in what it calls, locals and the deepest expression fit into 11 words: MicroPython takes a larger
        # frame from the heap, fifty times a second, and that is dearer than the work.
        uplink = self._uplink
        kind = uplink.next()
        if kind == AUDIO:
            audio = self._audio
            if self._key_at >= _KEY_POOL_BYTES:
                self._draw_keys()
            copy_into(self._keys, self._key_at, 4, audio, _AUDIO_KEY_AT)
            self._key_at += 4
            self._out = audio
            self._out_end = end = self._cloud.encode_audio_into(audio, HEADROOM_BYTES, uplink.frame)
            uplink.pop()
            if end != self._audio_end:
                self._head_audio(end)
            self._out_at = self._audio_at
            if self._utterance != uplink.abort_count:  # an aborted utterance has no END: the next frame is a first one
                self._utterance = uplink.abort_count
                self._out_kind = _FIRST_FRAME
            return True
        return kind == END and self._choose_end()

    def _choose_end(self):
        self._uplink.pop()
        self._utterance = -1
        self._out_kind = _UTTERANCE_END
        return self._choose_message(_with_headroom(self._cloud.complete(self._ports.ticks_ms())))

    def _seal(self, buf, n, opcode):
        if self._key_at >= _KEY_POOL_BYTES:
            self._draw_keys()
        self._out = buf
        self._out_end = HEADROOM_BYTES + n
        self._out_at = seal(buf, HEADROOM_BYTES, n, opcode, self._keys, self._key_at)
        self._key_at += 4
        return True

    def _head_audio(self, end):
        """Write the frame header of a masked message that ends at `end`."""
        self._audio_end = end
        self._audio_at = seal_masked(self._audio, HEADROOM_BYTES, end - HEADROOM_BYTES, ws.OP_TEXT)

    def _draw_keys(self):
        self._keys = self._ports.random_bytes(_KEY_POOL_BYTES)
        self._key_at = 0

    def _after_write(self):
        kind = self._out_kind
        if kind == _FIRST_FRAME:
            self._session.first_frame_sent()
        elif kind == _UTTERANCE_END:
            self._session.complete_sent()
        elif kind == _CLOSE:
            self._is_close_sent = True
            # Nobody waits for the server to end the TCP stream, as RFC 6455 7.1.1 would like: MicroPython's readinto
            # reads on after the last bytes and swallows the end that TLS announces. Who broke the protocol is not
            # heard.
            if self.close_code or isinstance(self._reason, PeerError):
                self._end(self._reason)

    # Watching

    async def _watch(self):
        """The only clock of the connection: pings, and the end when nothing comes or nothing goes."""
        config = self._config
        ports = self._ports
        ping_ms = ports.ticks_ms()
        has_pinged = False
        while not self._is_over:
            now_ms = ports.ticks_ms()
            quiet_ms = ticks_diff(now_ms, self._last_heard_ms)
            since_ping_ms = ticks_diff(now_ms, ping_ms)
            # A connection that the network has forgotten shows in this alone: a ping must be answered (RFC 6455 5.5.2).
            is_deaf = has_pinged and since_ping_ms >= _PONG_WAIT_MS and quiet_ms >= since_ping_ms
            if is_deaf or quiet_ms >= config.idle_timeout_ms:
                text = "nothing was heard from the cloud for %d s: check the network" % (quiet_ms // 1000)
                return self._end(LinkError(text, errors.TIMEOUT))
            if self._is_writing and ticks_diff(now_ms, self._write_began_ms) >= config.idle_timeout_ms:
                return self._end(LinkError("the cloud takes no bytes any more: check the network", errors.TIMEOUT))
            if since_ping_ms >= config.ping_ms:
                ping_ms = now_ms
                has_pinged = True
                self._ping_due = True
                self._ring()
            left_ms = min(config.idle_timeout_ms - quiet_ms, config.ping_ms - ticks_diff(now_ms, ping_ms))
            await ports.sleep_ms(min(left_ms, _WATCH_MS))


def reserve(config):
    """Make the receive buffer of the next connection now."""
    n_bytes = config.rx_buffer_bytes or config.rx_needed_bytes()
    if _spare_buffers and len(_spare_buffers[0]) != n_bytes:
        _spare_buffers.clear()
    if not _spare_buffers:
        _spare_buffers.append(bytearray(n_bytes))


def _new_protocol(config):
    reserve(config)
    return WSProtocol(_spare_buffers.pop(), config.message_max_bytes)


def _with_headroom(message):
    framed = bytearray(ws.HEADROOM_BYTES + len(message))
    framed[ws.HEADROOM_BYTES :] = message
    return framed


def find_log_id(headers):
    """The id under which a server keeps its log of a request: names differ, their ends do not."""
    for name in headers:
        if name.endswith("logid") or name.endswith("log-id") or name.endswith("request-id"):
            return headers[name]
    return ""


def _kind_of_status(status):
    if status == 401:
        return errors.TOKEN
    if status == 408 or status == 429 or status >= 500:
        return errors.BUSY
    return errors.REFUSED


def _secrets(headers, path):
    """Every part of a header value that is long enough to be one; of the path (a signature) what is very long."""
    parts = [part for part in path.replace("&", "=").split("=") if len(part) >= 3 * _SECRET_MIN_LETTERS]
    for name in headers:
        parts += [part for part in headers[name].split() if len(part) >= _SECRET_MIN_LETTERS]
    return parts


def _blot(text, secrets):
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
