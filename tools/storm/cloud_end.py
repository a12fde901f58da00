"""The far end of a connection: a small WebSocket server around the emulated cloud, strict with its client.

Written from RFC 6455, server side only, with nothing of the firmware in it. Whatever a client must not do is told to
`on_breach`; whatever travels is told to `on_wire`.
"""

import base64
import functools
import hashlib
import json
from urllib.parse import parse_qsl, urlsplit

from tools.cloud import outgoing

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REQUEST_MAX_BYTES = 8192
_GOODBYE_MS = 2000


class CloudEnd:
    """cloud: tools.cloud.protocol.Cloud; clock: the loop's; watch: told of wire bytes and breaches (run.Watch)."""

    def __init__(self, cloud, clock, watch):
        self._cloud = cloud
        self._clock = clock
        self._watch = watch
        self._connection = None
        self._inbox = bytearray()
        self._booked_ms = None
        self._fragments = None  # of a text message under way
        self._is_goodbye_sent = False
        self.link = None  # tools.cloud.protocol.Connection, once the handshake is over
        self.is_over = False

    def bind(self, connection):
        self._connection = connection

    # Bytes of the client

    def on_bytes(self, data):
        if self.is_over:
            return
        self._watch.on_wire("up", data)
        self._inbox += data
        if self.link is None:
            self._shake_hands()
        if self.link is not None:
            self._take_frames()
            self._go_on()

    def on_end(self, is_reset):
        """The client has gone."""
        if not self.is_over:
            self.is_over = True
            if self.link is not None:
                self.link.lost(self._clock.now_ms)

    def _shake_hands(self):
        end = self._inbox.find(b"\r\n\r\n")
        if end < 0:
            if len(self._inbox) > _REQUEST_MAX_BYTES:
                self._breach("the handshake is longer than %d bytes" % _REQUEST_MAX_BYTES)
            return
        lines = bytes(self._inbox[:end]).decode("latin-1").split("\r\n")
        self._inbox = self._inbox[end + 4 :]
        target = lines[0].split(" ")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if len(target) != 3 or target[0] != "GET" or "sec-websocket-key" not in headers:
            self._breach("this is no WebSocket handshake: %s" % lines[0][:40])
            return
        url = urlsplit(target[1])
        query = dict(parse_qsl(url.query))
        refusal = self._cloud.refusal(url.path, query, headers)
        if refusal:
            self._refuse(refusal)
            return
        self.link = self._cloud.connect(query, headers, self._clock.now_ms)
        accept = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + _GUID).digest())
        self._send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\nx-tt-logid: " + self.link.logid.encode() + b"\r\n\r\n"
        )

    def _refuse(self, refusal):
        body = refusal.body.encode()
        head = "HTTP/1.1 %d Refused\r\n" % refusal.status
        for name in refusal.headers:
            head += "%s: %s\r\n" % (name, refusal.headers[name])
        self._send(head.encode() + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        self._finish()

    # Frames

    def _take_frames(self):
        inbox = self._inbox
        at = 0
        while not self.is_over:
            frame = _frame_at(inbox, at)
            if frame is None:
                break
            head, start, n, at = frame
            if not head[1] & 0x80 or head[0] & 0x70:
                self._breach("a frame is not masked, or has a reserved bit set: %s" % head.hex())
                return
            self._on_frame(head[0] & 15, head[0] & 0x80, _unmasked(inbox, start, n))
        del inbox[:at]

    def _on_frame(self, opcode, is_last, payload):
        link = self.link
        now_ms = self._clock.now_ms
        if opcode >= 8 and (not is_last or len(payload) > 125):
            self._breach("a control frame is cut or too long")
        elif opcode == outgoing.TEXT and self._fragments is None:
            if is_last:
                self._on_text(payload)
            else:
                self._fragments = bytearray(payload)
        elif opcode == outgoing.CONTINUATION and self._fragments is not None:
            self._fragments += payload
            if is_last:
                whole, self._fragments = self._fragments, None
                self._on_text(bytes(whole))
        elif opcode == outgoing.PING:
            link.receive_ping(payload, now_ms)
        elif opcode == outgoing.PONG:
            self._watch.on_pong(self, payload)
            link.receive_pong(payload, now_ms)
        elif opcode == outgoing.CLOSE:
            self._on_close(payload)
        else:
            self._breach("opcode %d stands where it must not" % opcode)

    def _on_text(self, payload):
        try:
            text = payload.decode()
            message = json.loads(text)
        except ValueError as error:
            self._breach("a message is no JSON in UTF-8 (%s): %r" % (error, payload[:60]))
            return
        self._watch.on_message(self, message)
        self.link.receive_text(text, self._clock.now_ms)

    def _on_close(self, payload):
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
        self.link.lost(self._clock.now_ms, code)
        if not self._is_goodbye_sent:
            self._send(outgoing.frame(outgoing.CLOSE, payload[:2]))
        self._finish()

    def _breach(self, text):
        self._watch.on_breach(text)
        self.is_over = True
        self._connection.reset()

    # Messages of the cloud

    def _go_on(self):
        """Do what is due, send what there is, and book the next time."""
        link = self.link
        if link is None or self.is_over:
            return
        link.advance(self._clock.now_ms)
        for out in link.take():
            if isinstance(out, outgoing.Drop):
                self._drop(out.is_reset)
                return
            if isinstance(out, outgoing.Ping):
                self._watch.on_ping_sent(self, self._connection, out.data)
            arrival = functools.partial(self._watch.on_ping, self, out.data) if isinstance(out, outgoing.Ping) else None
            self._send(outgoing.to_wire(out), arrival)
            if isinstance(out, outgoing.Close):
                self._is_goodbye_sent = True
                self._clock.after_ms(_GOODBYE_MS, self._finish)
        due_ms = link.next_deadline_ms
        if due_ms is not None and (self._booked_ms is None or due_ms < self._booked_ms):
            self._booked_ms = due_ms
            self._clock.at(1000 * due_ms, self._wake, due_ms)

    def _wake(self, due_ms):
        if self._booked_ms == due_ms:
            self._booked_ms = None
            self._go_on()

    def _send(self, data, on_arrival=None):
        self._watch.on_wire("down", data)
        self._connection.send(data, on_arrival)

    def _drop(self, is_reset):
        self.is_over = True
        if is_reset:
            self._connection.reset()
        else:
            self._connection.finish()

    def _finish(self):
        if not self.is_over:
            self.is_over = True
            self._connection.finish()


class Portal:
    """A captive portal: whatever is asked, it shows its log-in page."""

    def __init__(self):
        self._connection = None
        self._is_done = False

    def bind(self, connection):
        self._connection = connection

    def on_bytes(self, data):
        if not self._is_done:
            self._is_done = True
            self._connection.send(
                b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n"
                b"Connection: close\r\n\r\n"
            )
            self._connection.finish()

    def on_end(self, is_reset):
        pass


def _frame_at(data, at):
    """(the two bytes of the head, first byte of mask and payload, payload bytes, end) or None: not whole yet."""
    there = len(data) - at
    if there < 2:
        return None
    n = data[at + 1] & 0x7F
    extra = 2 if n == 126 else 8 if n == 127 else 0
    if there < 2 + extra:
        return None
    if extra:
        n = int.from_bytes(data[at + 2 : at + 2 + extra], "big")
    start = at + 2 + extra
    end = start + (4 if data[at + 1] & 0x80 else 0) + n
    if len(data) < end:
        return None
    return data[at : at + 2], start, n, end


def _unmasked(data, start, n):
    key = data[start : start + 4]
    span = data[start + 4 : start + 4 + n]
    repeated = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(span, "little") ^ int.from_bytes(repeated, "little")).to_bytes(n, "little")
