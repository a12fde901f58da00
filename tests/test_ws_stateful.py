"""Our protocol object beside an independent one, wsproto, on the very same bytes, in any order and cut in any way.

`SameBytes` plays the server with raw frames, right and wrong ones: both must hear the same and refuse the same.
`SameTalk` lets wsproto's server and our client talk to each other: fragments, pings and closing from both sides.
"""

import random

import ws_handshake
import ws_protocol as ws
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

RX_BYTES = 1024
MAX_BYTES = 3000
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
RESERVED = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)

payloads = st.one_of(
    st.binary(max_size=30),
    st.text(max_size=20).map(lambda text: text.encode()),
    st.sampled_from(
        (0, 1, 124, 125, 126, 127, 128, 700, 895, 896, 897, 1014, 1023, 1024, 1025, 2999, 3000, 3001, 65536)
    ).map(lambda n: bytes(i * 37 & 0x7F for i in range(n))),
)  # fmt: skip
# Without 1014 (Bad Gateway), which is registered and which the witness does not know.
CODES = st.integers(0, 5100).filter(lambda code: code != 1014)
cuts = st.lists(st.sampled_from((1, 1, 2, 3, 7, 14, 100, 899, 1500)), min_size=1, max_size=6)


def frame(opcode, payload, is_final=True, rsv=0, mask=None, form=0):
    """A raw frame. form: 0 the shortest length, 1 of 16 bits, 2 of 64 bits, where the payload fits."""
    n = len(payload)
    head = bytearray([(0x80 if is_final else 0) | rsv << 4 | opcode])
    masked = 0x80 if mask is not None else 0
    if n < 126 and form == 0:
        head.append(masked | n)
    elif n < 65536 and form <= 1:
        head += bytes([masked | 126]) + n.to_bytes(2, "big")
    else:
        head += bytes([masked | 127]) + n.to_bytes(8, "big")
    if mask is not None:
        return bytes(head) + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))
    return bytes(head) + payload


def opened(buffer=RX_BYTES):
    """A client of ours whose handshake is complete."""
    protocol = ws.WSProtocol(buffer, MAX_BYTES)
    request = protocol.handshake("example.org", "/", {}, bytes(16)).decode()
    key = [line[19:] for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key")][0]
    answer = (
        b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
        % ws_handshake.accept_key(key.encode())
    )
    ears = Ears(protocol)
    ears.feed(answer, (1000,))
    assert ears.heard == [(ws.OPEN, b"")]
    del ears.heard[:]
    return ears


class Ears:
    """Ours: `heard` is [(kind, payload)], `error` what ended it."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.heard = []
        self.error = None
        self.is_closed = False

    def feed(self, data, sizes):
        """Give it data in pieces of these sizes, over and over; a long one in pieces that are not too small."""
        least = len(data) // 500
        at = turn = 0
        while at < len(data) and self.error is None:
            room = self.protocol.room()
            assert len(room) > 0
            n = min(max(sizes[turn % len(sizes)], least), len(room), len(data) - at)
            turn += 1
            room[:n] = data[at : at + n]
            self.protocol.fed(n)
            at += n
            self._listen()

    def _listen(self):
        protocol = self.protocol
        try:
            while True:
                kind = protocol.next_event()
                if not kind:
                    return
                payload = b""
                if kind != ws.TOO_BIG:
                    payload = bytes(protocol.buf[protocol.start : protocol.start + protocol.n])
                if kind == ws.CLOSE:
                    self.is_closed = True
                    payload = (protocol.close_code, protocol.close_reason)
                self.heard.append((kind, payload))
        except ws.WSError as error:
            assert error.text and error.close_code in (1002, 1007, 1009)
            self.error = error


class Witness:
    """wsproto's client on the same bytes, in our words."""

    def __init__(self):
        self.connection = Connection(ConnectionType.CLIENT)
        self.heard = []
        self.error_code = 0
        self._message = b""
        self._is_too_big = False

    def feed(self, data):
        if self.error_code:
            return
        self.connection.receive_data(data)
        for event in self.connection.events():
            self._take(event)

    def _take(self, event):
        if isinstance(event, Ping):
            self.heard.append((ws.PING, bytes(event.payload)))
        elif isinstance(event, Pong):
            self.heard.append((ws.PONG, bytes(event.payload)))
        elif isinstance(event, CloseConnection):
            if self.connection.state is ConnectionState.OPEN:  # its way to say that the bytes are wrong
                self.error_code = int(event.code)
            else:
                self.heard.append((ws.CLOSE, (int(event.code), event.reason or "")))
        else:
            is_text = isinstance(event, TextMessage)
            self._message += event.data.encode() if is_text else bytes(event.data)
            if event.message_finished:
                self.heard.append((ws.TEXT if is_text else ws.BINARY, self._message))
                self._message = b""


def without_large(heard):
    """Ours says TOO_BIG of a message when it begins to be; the witness has no limit. Compare the others, in order."""
    return [
        (kind, payload)
        for kind, payload in heard
        if kind != ws.TOO_BIG and (kind not in (ws.TEXT, ws.BINARY) or len(payload) <= MAX_BYTES)
    ]


class SameBytes(RuleBasedStateMachine):
    """Raw frames of a server, right and wrong."""

    def __init__(self):
        super().__init__()
        self.connect(RX_BYTES)

    def connect(self, buffer):
        self.ours = opened(buffer)
        self.witness = Witness()
        self.open_opcode = 0  # of the message in fragments
        self.kept = b""  # of that message so far
        self.is_over = False
        self.was_only_ours = False  # what the witness has no opinion on
        self.too_big = 0

    def say(self, data, sizes, for_witness=None):
        self.ours.feed(data, sizes)
        self.witness.feed(data if for_witness is None else for_witness)
        self.is_over = self.ours.error is not None or self.ours.is_closed or bool(self.witness.error_code)

    @precondition(lambda self: not self.is_over and not self.open_opcode)
    @rule(
        opcode=st.sampled_from((TEXT, BINARY)), payload=payloads, is_final=st.booleans(), form=st.integers(0, 2),
        sizes=cuts,
    )  # fmt: skip
    def message(self, opcode, payload, is_final, form, sizes):
        if opcode == TEXT:
            payload = bytes(b & 0x7F for b in payload)  # the UTF-8 of text is not ours to check
        self.kept = payload
        self.open_opcode = 0 if is_final else opcode
        self._count(b"", payload)
        # The witness insists on the shortest form of a length, we do not: nothing depends on it.
        self.say(frame(opcode, payload, is_final, form=form), sizes, frame(opcode, payload, is_final))

    @precondition(lambda self: not self.is_over and self.open_opcode)
    @rule(payload=payloads, is_final=st.booleans(), sizes=cuts)
    def continuation(self, payload, is_final, sizes):
        if self.open_opcode == TEXT:
            payload = bytes(b & 0x7F for b in payload)
        self._count(self.kept, payload)
        self.kept += payload
        if is_final:
            self.open_opcode = 0
        self.say(frame(0, payload, is_final), sizes)

    def _count(self, before, payload):
        if len(before) <= MAX_BYTES < len(before) + len(payload):
            self.too_big += 1

    @precondition(lambda self: not self.is_over)
    @rule(opcode=st.sampled_from((PING, PONG)), payload=st.binary(max_size=125), sizes=cuts)
    def control(self, opcode, payload, sizes):
        self.say(frame(opcode, payload), sizes)

    @precondition(lambda self: not self.is_over)
    @rule(code=st.one_of(st.none(), CODES), reason=st.one_of(st.text(max_size=20).map(str.encode),
          st.binary(max_size=20)), sizes=cuts)
    def close(self, code, reason, sizes):
        self.say(frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason), sizes)

    @precondition(lambda self: not self.is_over)
    @rule(
        first=st.sampled_from((
            "rsv", "opcode", "long control", "control in fragments", "mask", "continuation", "message",
            "half a close code", "an unknown close code", "huge", "highest bit",
        )),
        payload=st.binary(max_size=20), number=st.integers(0, 9), sizes=cuts,
    )  # fmt: skip
    def wrong(self, first, payload, number, sizes):
        if first == "continuation" and self.open_opcode or first == "message" and not self.open_opcode:
            return
        first_byte = 0x80 if self.open_opcode else 0x82
        data = {
            "rsv": lambda: frame(TEXT, payload, rsv=1 + number % 7),
            "opcode": lambda: frame(RESERVED[number], payload),
            "long control": lambda: frame(PING, bytes(126 + number)),
            "control in fragments": lambda: frame(PONG, payload, is_final=False),
            "mask": lambda: frame(BINARY, payload, mask=b"\1\2\3\4"),
            "continuation": lambda: frame(0, payload),
            "message": lambda: frame(TEXT, payload),
            "half a close code": lambda: frame(CLOSE, b"\3"),
            "an unknown close code": lambda: frame(CLOSE, (1015 + 200 * number).to_bytes(2, "big")),
            "huge": lambda: bytes((first_byte, 127, 0, 0, 0, 1 + number, 0, 0, 0, 0)),
            "highest bit": lambda: bytes((first_byte, 127, 0x80, 0, 0, 0, 0, 0, 0, number)),
        }[first]()  # fmt: skip
        heard = len(self.ours.heard)
        self.ours.feed(data, sizes)
        assert self.ours.error is not None, "%s was let through" % first
        assert len(self.ours.heard) == heard
        assert self.ours.error.close_code == (1009 if first == "huge" else 1002)
        self.was_only_ours = first in ("huge", "highest bit")  # the witness waits for a frame of any length
        if not self.was_only_ours:
            self.witness.feed(data)
            assert self.witness.error_code, "the witness lets %s through" % first
        self.is_over = True

    @precondition(lambda self: self.is_over)
    @rule(data=st.binary(min_size=1, max_size=200))
    def what_comes_after_the_end_is_nothing(self, data):
        if self.ours.is_closed:
            heard = len(self.ours.heard)
            self.ours.feed(data, (7,))
            assert len(self.ours.heard) == heard and self.ours.error is None

    @precondition(lambda self: self.is_over)
    @rule()
    def the_next_connection_takes_the_same_buffer(self):
        self.connect(self.ours.protocol.release())

    @invariant()
    def both_heard_the_same(self):
        assert without_large(self.ours.heard) == without_large(self.witness.heard)
        assert self.ours.protocol.too_big_count == self.too_big
        if not self.is_over:
            return
        if self.witness.error_code:
            assert self.ours.error is not None, "the witness refuses with %d" % self.witness.error_code
            assert self.ours.error.close_code == self.witness.error_code
        else:
            assert self.ours.error is None or self.was_only_ours

    @invariant()
    def memory_is_bounded(self):
        protocol = self.ours.protocol
        assert len(protocol._rx) == RX_BYTES
        assert protocol._temporary is None or len(protocol._temporary) <= MAX_BYTES


class SameTalk(RuleBasedStateMachine):
    """Our client and wsproto's server talk; everything said on one side is heard on the other."""

    def __init__(self):
        super().__init__()
        self.chance = random.Random(1)
        self.connect(RX_BYTES)

    def connect(self, buffer):
        self.ours = opened(buffer)
        self.server = Connection(ConnectionType.SERVER)
        self.said_by_server = []
        self.heard_by_server = []
        self.said_by_us = []
        self.is_text = None  # of the server's message in fragments
        self.parts = b""
        self.message = b""
        self.is_closed = False

    def deliver(self, data, sizes):
        self.ours.feed(data, sizes)
        assert self.ours.error is None

    @precondition(lambda self: not self.is_closed)
    @rule(is_text=st.booleans(), payload=payloads, is_last=st.booleans(), sizes=cuts)
    def server_speaks(self, is_text, payload, is_last, sizes):
        if self.is_text is not None:
            is_text = self.is_text
        payload = bytes(b & 0x7F for b in payload) if is_text else payload
        was_too_big = len(self.parts) > MAX_BYTES
        self.parts += payload
        if len(self.parts) > MAX_BYTES and not was_too_big:
            self.said_by_server.append((ws.TOO_BIG, b""))
        if is_last and len(self.parts) <= MAX_BYTES:
            self.said_by_server.append((ws.TEXT if is_text else ws.BINARY, self.parts))
        event = TextMessage(payload.decode(), message_finished=is_last) if is_text else BytesMessage(
            payload, message_finished=is_last
        )  # fmt: skip
        self.is_text = None if is_last else is_text
        self.parts = b"" if is_last else self.parts
        self.deliver(self.server.send(event), sizes)

    @precondition(lambda self: not self.is_closed)
    @rule(payload=st.binary(max_size=125), sizes=cuts)
    def server_pings(self, payload, sizes):
        self.said_by_server.append((ws.PING, payload))
        self.deliver(self.server.send(Ping(payload)), sizes)
        self.we_say(ws.OP_PONG, payload, sizes)

    @precondition(lambda self: not self.is_closed)
    @rule(opcode=st.sampled_from((ws.OP_TEXT, ws.OP_BINARY, ws.OP_PING)), payload=payloads, sizes=cuts)
    def we_speak(self, opcode, payload, sizes):
        if opcode == ws.OP_TEXT:
            payload = bytes(b & 0x7F for b in payload)
        if opcode == ws.OP_PING:
            payload = payload[:125]
        self.we_say(opcode, payload, sizes)

    def we_say(self, opcode, payload, sizes):
        buf = bytearray(b"\xa5" * ws.HEADROOM_BYTES) + payload
        key = bytes(self.chance.randrange(256) for _ in range(8))
        at = ws.seal(buf, ws.HEADROOM_BYTES, len(payload), opcode, key, 4)
        assert 0 <= at <= ws.HEADROOM_BYTES - 6
        self.said_by_us.append((opcode, payload))
        self.to_server(bytes(buf[at:]), sizes)

    def to_server(self, data, sizes):
        at = turn = 0
        while at < len(data):
            n = max(sizes[turn % len(sizes)], len(data) // 500)
            turn += 1
            self.server.receive_data(data[at : at + n])
            at += n
            for event in self.server.events():
                self.server_hears(event)

    def server_hears(self, event):
        if isinstance(event, (TextMessage, BytesMessage)):
            is_text = isinstance(event, TextMessage)
            self.message += event.data.encode() if is_text else bytes(event.data)
            if event.message_finished:
                self.heard_by_server.append((ws.OP_TEXT if is_text else ws.OP_BINARY, self.message))
                self.message = b""
        elif isinstance(event, CloseConnection):
            self.heard_by_server.append((ws.OP_CLOSE, (int(event.code), event.reason or "")))
        else:
            self.heard_by_server.append((ws.OP_PING if isinstance(event, Ping) else ws.OP_PONG, bytes(event.payload)))

    @precondition(lambda self: not self.is_closed)
    @rule(code=st.sampled_from((1000, 1001, 1008, 1011, 3000, 4999)), reason=st.text(max_size=40), sizes=cuts)
    def server_closes(self, code, reason, sizes):
        reason = reason.encode("utf-8", "ignore").decode()
        data = self.server.send(CloseConnection(code, reason))
        sent_reason = data[4:].decode()  # cut between characters when it is long
        assert reason.startswith(sent_reason)
        self.said_by_server.append((ws.CLOSE, (code, sent_reason)))
        self.deliver(data, sizes)
        self.we_close(code, "", sizes)

    @precondition(lambda self: not self.is_closed)
    @rule(code=st.sampled_from((1000, 1001, 1002, 1007, 1009)), reason=st.text(max_size=80), sizes=cuts)
    def we_close(self, code, reason, sizes):
        reason = reason.encode("utf-8", "ignore")
        buf = bytearray(ws.HEADROOM_BYTES + ws.CONTROL_MAX_BYTES)
        n = ws.close_into(buf, ws.HEADROOM_BYTES, code, reason)
        cut = bytes(buf[ws.HEADROOM_BYTES + 2 : ws.HEADROOM_BYTES + n]).decode()
        assert reason.decode().startswith(cut) and n <= ws.CONTROL_MAX_BYTES
        at = ws.seal(buf, ws.HEADROOM_BYTES, n, ws.OP_CLOSE, b"\x11\x22\x33\x44")
        self.said_by_us.append((ws.OP_CLOSE, (code, cut)))
        self.to_server(bytes(buf[at : ws.HEADROOM_BYTES + n]), sizes)
        self.is_closed = True

    @precondition(lambda self: self.is_closed)
    @rule()
    def connect_again(self):
        self.connect(self.ours.protocol.release())

    @invariant()
    def everything_said_is_heard(self):
        assert self.ours.heard == self.said_by_server
        assert self.heard_by_server == self.said_by_us


def case(machine):
    test = machine.TestCase
    test.settings = settings(
        max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return test


TestSameBytes = case(SameBytes)
TestSameTalk = case(SameTalk)
