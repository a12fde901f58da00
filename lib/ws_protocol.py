"""RFC 6455, the client's side, as a pure protocol object: bytes in, events out. It never opens, waits or reads a clock.

    protocol = WSProtocol(16384, 65536)
    send(protocol.handshake(host, path, headers, nonce16))
    protocol.fed(readinto(protocol.room()))
    while True:                                     # until NONE, before the next room()
        kind = protocol.next_event()                # then protocol.buf, .start and .n hold the payload
        ...

Received bytes land in one resident buffer. A message that fits there is handed out where it lies, its fragments pushed
together in place; a larger one is assembled in a temporary buffer; one above message_max_bytes, or for which there is
no memory, is skipped. The payload span belongs to the caller, who may overwrite it, until the next call of
next_event() or room().

Strict where the RFC leaves no choice (masked frames, reserved bits and opcodes, control frames, close payloads, order
of fragments, the handshake). Tolerant in two points: lengths need not be in their shortest form, because nothing
depends on it, and the UTF-8 of text messages is left to whoever parses them, because checking every byte costs more
than parsing (a close reason is checked). No extension and no sub-protocol is ever offered, so none is accepted.

Stepping through received frames and sealing frames allocates nothing on MicroPython, with two exceptions: a message in
fragments, or one cut by the buffer's end, costs a few memoryview slices.
"""

from kernels import copy_into, xor_mask

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


# Kinds of events
NONE = const(0)  # more bytes are needed; after CLOSE: nothing will ever come
OPEN = const(1)  # the handshake is complete
TEXT = const(2)
BINARY = const(3)
PING = const(4)  # answer with the same payload
PONG = const(5)
CLOSE = const(6)  # close_code (1005 when there was none) and close_reason hold its content
TOO_BIG = const(7)  # a message is being skipped; n: how large it is as far as known, there is no payload

# Opcodes for seal()
OP_TEXT = const(1)
OP_BINARY = const(2)
OP_CLOSE = const(8)
OP_PING = const(9)
OP_PONG = const(10)

HEADROOM_BYTES = const(14)  # what seal() may need before the payload: 2 + 8 (64-bit length) + 4 (mask key)
CONTROL_MAX_BYTES = const(125)  # RFC 6455 5.5
NO_CLOSE_CODE = const(1005)  # RFC 6455 7.1.5: the close frame was empty

_OP_CONTINUATION = const(0)
_FRAME_MAX_BYTES = const(0x3FFFFFFF)  # integers above allocate on a 32-bit MicroPython; no honest frame comes near
_RESERVE_BYTES = const(128)  # kept free behind an unfinished message: the longest control frame (127) or header (10)
_RESIDENT_MIN_BYTES = const(1024)

# Phases
_HANDSHAKE = const(0)
_FRAMES = const(1)
_OVER = const(2)

# What becomes of the data frame being received
_RESIDENT = const(0)
_TEMPORARY = const(1)
_SKIPPED = const(2)


class WSError(Exception):
    """The peer broke the protocol; the connection is of no more use. close_code: what it should be told."""

    def __init__(self, text, close_code=1002):
        super().__init__(text)
        self.text = text
        self.close_code = close_code


class WSRefused(Exception):
    """A whole HTTP answer other than 101.

    status, reason: of the status line; headers: dict, names in lower case; body: the first characters of the body,
    printable ASCII. The peer wrote all of these: they may even repeat what we sent.
    """

    def __init__(self, status, reason, body, headers):
        super().__init__("HTTP %d %s" % (status, reason))
        self.status = status
        self.reason = reason
        self.body = body
        self.headers = headers


def seal(buf, start, n, opcode, key, key_at=0):
    """Turn buf[start:start+n] into a whole frame in place; returns where the frame begins (it ends at start + n).

    buf       bytearray with HEADROOM_BYTES before `start` that may be overwritten
    key       4 bytes from key_at on, new and unpredictable for every frame (RFC 6455 5.3)

    Its locals and its deepest expression fit into 11 words: MicroPython takes a larger frame from the heap.
    """
    copy_into(key, key_at, 4, buf, start - 4)
    xor_mask(buf, start, n)
    return seal_masked(buf, start, n, opcode)


def seal_masked(buf, start, n, opcode):
    """As seal(), of a payload that is masked already, with the key in the 4 bytes before it."""
    if n < 126:
        start -= 6
        buf[start + 1] = 0x80 | n
    elif n < 65536:
        start -= 8
        buf[start + 1] = 0x80 | 126
        buf[start + 2] = n >> 8
        buf[start + 3] = n & 0xFF
    else:
        start -= 14
        buf[start + 1] = 0x80 | 127
        for i in range(8):
            buf[start + 2 + i] = n >> (56 - 8 * i) & 0xFF
    buf[start] = 0x80 | opcode
    return start


def close_into(dst, at, code, reason=b""):
    """Write the payload of a close frame; returns its length. A reason that is too long is cut between characters."""
    n = len(reason)
    if n > CONTROL_MAX_BYTES - 2:
        n = CONTROL_MAX_BYTES - 2
        while reason[n] & 0xC0 == 0x80:
            n -= 1
    dst[at] = code >> 8
    dst[at + 1] = code & 0xFF
    for i in range(n):
        dst[at + 2 + i] = reason[i]
    return n + 2


class WSProtocol:
    """rx_buffer_bytes: the resident buffer, at least 1024; or a bytearray to use as such.
    message_max_bytes: larger messages are skipped, counted in too_big_count and reported as TOO_BIG.

    One object is one connection.
    """

    def __init__(self, rx_buffer_bytes, message_max_bytes):
        self._rx = rx_buffer_bytes if isinstance(rx_buffer_bytes, bytearray) else bytearray(rx_buffer_bytes)
        if len(self._rx) < _RESIDENT_MIN_BYTES:
            raise ValueError("the receive buffer needs %d bytes" % _RESIDENT_MIN_BYTES)
        self._rx_bytes = len(self._rx)
        self._rx_mv = memoryview(self._rx)
        self._message_max_bytes = message_max_bytes
        self.too_big_count = 0
        self.buf = self._rx
        self.start = 0
        self.n = 0
        self.close_code = NO_CLOSE_CODE
        self.close_reason = ""
        self.headers = {}  # of the HTTP answer, names in lower case
        self._phase = _HANDSHAKE
        self._at = 0  # next byte to look at
        self._end = 0  # end of the received bytes
        self._handshake = None  # ws_handshake.Handshake, until the connection is open
        self._is_in_frame = False
        self._opcode = 0
        self._is_final = False
        self._left = 0  # payload bytes of the frame still to come, counted from _at
        self._message_kind = NONE  # kind of the message whose fragments are being collected
        self._message_at = 0
        self._message_n = 0
        self._where = _RESIDENT
        self._is_reported = False  # TOO_BIG was said of the message being skipped
        self._temporary = None
        self._temporary_n = 0

    def release(self):
        """Give the resident buffer back, for the next connection. The object is of no more use."""
        self._phase = _OVER
        self.buf = None
        return self._rx

    # Shell side: bytes in

    def room(self):
        """Where the next received bytes belong: a memoryview, never empty. Ends the life of the last payload."""
        if (self._at == self._end and self._message_n == 0) or self._phase == _OVER:
            self._at = self._end = 0
            if self._message_at:
                self._message_at = 0
            return self._rx_mv
        wanted = self._left if self._is_in_frame and self._where == _RESIDENT else _RESERVE_BYTES
        if self._end == self._rx_bytes or self._at + wanted > self._rx_bytes:
            self._compact()
        return self._rx_mv[self._end :]

    def fed(self, n):
        """n bytes were written to the front of the last room()."""
        self._end += n

    def ended(self):
        """The stream is at its end: raises what that means during the handshake, and does nothing after it."""
        if self.is_refused():
            self._refuse()
        if self._phase == _HANDSHAKE:
            raise WSError("the connection ended before the answer to the handshake was complete")

    def is_refused(self):
        """An answer other than 101 has come and its body is being collected: ended() raises what there is."""
        return self._phase == _HANDSHAKE and self._handshake.is_refused

    def _compact(self):
        """Move everything that is still needed to the front, without gaps."""
        mv = self._rx_mv
        to = self._message_n
        if to and self._message_at:
            mv[0:to] = mv[self._message_at : self._message_at + to]
        self._message_at = 0
        self._move_rest(to)

    def _move_rest(self, to):
        """Move the bytes not yet looked at down to `to`."""
        at = self._at
        if at != to:
            n = self._end - at
            if n:
                mv = self._rx_mv
                mv[to : to + n] = mv[at : self._end]
            self._at = to
            self._end = to + n

    # Handshake

    def handshake(self, host, path, headers, nonce16):
        """The request as bytes; it holds what `headers` hold, so never print it.

        host      for the Host header, with ":port" unless it is the default one
        path      with the query
        headers   dict of further headers
        nonce16   16 random bytes, new for each connection
        raises    ValueError when a part has a character that would break the request (a fault of our caller);
                  the text names the header, not its value

        Loads ws_handshake; the caller may let go of that module when OPEN has come.
        """
        from ws_handshake import Handshake

        self._handshake = Handshake(nonce16, self._rx_bytes - _RESERVE_BYTES)
        return self._handshake.request(host, path, headers)

    def _next_in_handshake(self):
        handshake = self._handshake
        while not handshake.is_refused:
            n = handshake.take_head(self._rx, self._at, self._end)
            self._at += n
            if handshake.is_accepted:
                self.headers = handshake.headers
                self._handshake = None
                self._phase = _FRAMES
                return OPEN
            if n == 0:
                return NONE
        if handshake.has_body(self._rx, self._at, self._end):
            self._refuse()
        return NONE

    def _refuse(self):
        self._phase = _OVER
        raise self._handshake.refusal(self._rx, self._at, self._end)

    # Frames

    def next_event(self):
        """The next event among the bytes fed so far, NONE when more are needed. Its payload is in buf, start, n.

        raises    WSError    the peer broke the protocol; the object is of no more use
                  WSRefused  the handshake was answered with another status than 101
        """
        if self._phase != _FRAMES:
            return self._next_in_handshake() if self._phase == _HANDSHAKE else NONE
        buf = self._rx
        if self.buf is not buf:
            self.buf = buf  # lets go of a temporary buffer handed out before
        at = self._at
        have = self._end - at
        if not self._is_in_frame:
            if have == 0:
                return NONE
            if buf[at] == 0x81 and have > 3 and self._message_kind == NONE:
                # A whole text message in one frame, nearly all there is: what follows would find the same, slower.
                n = buf[at + 1]
                at += 2
                if n == 126:
                    n = buf[at] << 8 | buf[at + 1]
                    at += 2
                elif n > 126:
                    n = _FRAME_MAX_BYTES
                if at + n <= self._end:
                    self.start = at
                    self.n = n
                    self._at = at + n
                    return TEXT
        while True:
            if not self._is_in_frame:
                if not self._read_header():
                    return NONE
                if self._where == _SKIPPED and self._opcode < OP_CLOSE and not self._is_reported:
                    self._is_reported = True
                    return TOO_BIG
            kind = self._read_payload()
            if kind >= 0:
                return kind

    def _read_header(self):
        """Take a whole frame header and decide where its payload goes; False when it is not all here."""
        at = self._at
        have = self._end - at
        if have < 2:
            return False
        buf = self._rx
        first = buf[at]
        n = buf[at + 1]
        if first & 0x70:
            raise WSError("a frame with reserved bits set, but no extension was agreed on")
        if n & 0x80:
            raise WSError("a masked frame from the server")
        opcode = first & 0x0F
        is_final = first >= 0x80
        head_n = 2
        if opcode >= OP_CLOSE:
            if opcode > OP_PONG:
                raise WSError("reserved opcode %d" % opcode)
            if not is_final:
                raise WSError("a control frame in fragments")
            if n > CONTROL_MAX_BYTES:
                raise WSError("a control frame longer than %d bytes" % CONTROL_MAX_BYTES)
        elif opcode > OP_BINARY:
            raise WSError("reserved opcode %d" % opcode)
        elif opcode == _OP_CONTINUATION:
            if self._message_kind == NONE:
                raise WSError("a continuation without a beginning")
        elif self._message_kind != NONE:
            raise WSError("a new message inside a message in fragments")
        if n == 126:
            if have < 4:
                return False
            n = buf[at + 2] << 8 | buf[at + 3]
            head_n = 4
        elif n == 127:
            if have < 10:
                return False
            n = self._long_length(at + 2)
            head_n = 10
        self._at = at + head_n
        self._left = n
        self._opcode = opcode
        self._is_final = is_final
        self._is_in_frame = True
        if opcode < OP_CLOSE:
            self._place(opcode, n, is_final)
        return True

    def _long_length(self, at):
        buf = self._rx
        if buf[at] & 0x80:
            raise WSError("a frame length with its highest bit set")
        if buf[at] | buf[at + 1] | buf[at + 2] | buf[at + 3] or buf[at + 4] > _FRAME_MAX_BYTES >> 24:
            raise WSError("a frame longer than a gigabyte", 1009)
        return buf[at + 4] << 24 | buf[at + 5] << 16 | buf[at + 6] << 8 | buf[at + 7]

    def _place(self, opcode, n, is_final):
        """Decide where the payload of this data frame goes: resident, temporary or nowhere."""
        if opcode != _OP_CONTINUATION:
            self._message_kind = TEXT if opcode == OP_TEXT else BINARY
            self._message_at = self._at
            self._message_n = 0
            self._where = _RESIDENT
            self._is_reported = False
        if self._where == _RESIDENT:
            if self._message_n + n + (0 if is_final else _RESERVE_BYTES) <= self._rx_bytes:
                if opcode == _OP_CONTINUATION:
                    self._move_rest(self._message_at + self._message_n)
                return
            self._where = _TEMPORARY
            self._temporary_n = 0
        if self._where == _TEMPORARY:
            self._grow_temporary(self._temporary_n + self._message_n + n, is_final)
        self._message_n = 0  # whatever was resident has been moved or is given up

    def _grow_temporary(self, n, is_final):
        """Make the temporary buffer hold n bytes; at first, what is resident moves there. Skip if it cannot be."""
        if n <= self._message_max_bytes:
            old = self._temporary
            if old is not None and n <= len(old):
                return
            try:
                new = bytearray(n if is_final else min(2 * n, self._message_max_bytes))
            except MemoryError:
                new = None
            if new is not None:
                if old is None:
                    self._temporary_n = self._message_n
                    new[: self._message_n] = self._rx_mv[self._message_at : self._message_at + self._message_n]
                else:
                    new[: self._temporary_n] = memoryview(old)[: self._temporary_n]
                self._temporary = new
                return
        self._where = _SKIPPED
        self._temporary = None
        self._temporary_n = 0
        self.too_big_count += 1
        self.start = 0
        self.n = n

    def _read_payload(self):
        """Take the payload as far as it is here; a kind when an event is complete, -1 to go on, or NONE."""
        have = self._end - self._at
        left = self._left
        if self._opcode >= OP_CLOSE:
            if have < left:
                return NONE
            return self._end_control(left)
        where = self._where
        if where == _RESIDENT:
            if have < left:
                return NONE
            self._message_n += left
        else:
            take = left if have >= left else have
            if where == _TEMPORARY and take:
                mv = self._rx_mv
                to = self._temporary_n
                memoryview(self._temporary)[to : to + take] = mv[self._at : self._at + take]
                self._temporary_n += take
            if take < left:
                self._at += take
                self._left = left - take
                return NONE
        self._at += left
        self._is_in_frame = False
        return self._end_message() if self._is_final else -1

    def _end_message(self):
        kind = self._message_kind
        self._message_kind = NONE
        where = self._where
        self._where = _RESIDENT
        if where == _SKIPPED:
            return -1
        if where == _TEMPORARY:
            self.buf = self._temporary
            self.start = 0
            self.n = self._temporary_n
            self._temporary = None
            self._temporary_n = 0
        else:
            self.start = self._message_at
            self.n = self._message_n
            self._message_n = 0
        return kind

    def _end_control(self, n):
        self.start = self._at
        self.n = n
        self._at += n
        self._is_in_frame = False
        if self._opcode == OP_PING:
            return PING
        if self._opcode == OP_PONG:
            return PONG
        self._parse_close()
        self._phase = _OVER
        return CLOSE

    def _parse_close(self):
        n = self.n
        if n == 0:
            return
        if n == 1:
            raise WSError("a close frame with half a code")
        at = self.start
        code = self._rx[at] << 8 | self._rx[at + 1]
        # RFC 6455 7.4 and the codes registered since: 1004 to 1006 and 1015 may not travel.
        if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise WSError("close code %d may not be sent" % code)
        reason = bytes(self._rx_mv[at + 2 : at + n])
        if not is_utf8(reason):
            raise WSError("a close reason that is not UTF-8", 1007)
        self.close_code = code
        self.close_reason = reason.decode()


def is_utf8(data):
    """True when `data` is UTF-8 as RFC 3629 has it. (MicroPython's own decoder lets surrogates and long forms pass.)"""
    more = 0
    low = 0x80
    high = 0xBF
    for byte in data:
        if more:
            if not low <= byte <= high:
                return False
            more -= 1
            low = 0x80
            high = 0xBF
        elif byte >= 0x80:
            if 0xC2 <= byte <= 0xDF:
                more = 1
            elif 0xE0 <= byte <= 0xEF:
                more = 2
                if byte == 0xE0:
                    low = 0xA0
                elif byte == 0xED:
                    high = 0x9F
            elif 0xF0 <= byte <= 0xF4:
                more = 3
                if byte == 0xF0:
                    low = 0x90
                elif byte == 0xF4:
                    high = 0x8F
            else:
                return False
    return more == 0
