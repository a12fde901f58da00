"""The opening handshake of RFC 6455 4.1, the client's side: the request, and the judgement of the HTTP answer.

Needed once a connection: ws_protocol.py loads it for that, and whoever is short of memory lets go of it afterwards.
"""

import binascii
import hashlib

from ws_protocol import WSError, WSRefused

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


_HEAD_MAX_BYTES = const(8192)  # HTTP answer without its body
_HEADERS_MAX = const(64)
_INTERIM_MAX = const(8)  # answers 1xx before the real one
_BODY_MAX_BYTES = const(512)  # of a refusal, kept for its text
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(nonce_text):
    """What Sec-WebSocket-Accept must say to this Sec-WebSocket-Key (bytes both)."""
    return binascii.b2a_base64(hashlib.sha1(nonce_text + _GUID).digest()).strip()


class Handshake:
    """nonce16: 16 random bytes, new for each connection; room_bytes: the longest head that the buffer can hold."""

    def __init__(self, nonce16, room_bytes):
        self._nonce_text = binascii.b2a_base64(nonce16).strip()
        self._accept = accept_key(self._nonce_text).decode()
        self._limit = min(_HEAD_MAX_BYTES, room_bytes)
        self._seen = 0  # bytes of the head in which no end of it was found
        self._interim_count = 0
        self._status = 0
        self._reason = ""
        self.headers = {}  # of the answer, names in lower case
        self.is_accepted = False
        self.is_refused = False  # an answer other than 101, whose body is being collected

    def request(self, host, path, headers):
        """As WSProtocol.handshake."""
        if not path or " " in path:
            raise ValueError("the path of the request is empty or has a blank")
        lines = ["GET " + _printable(path, "path") + " HTTP/1.1", "Host: " + _printable(host, "Host")]
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines.append("Sec-WebSocket-Key: " + self._nonce_text.decode())
        for name in headers:
            lines.append(_printable(name, "header name") + ": " + _printable(headers[name], name))
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def take_head(self, buf, at, end):
        """Judge the head of an answer in buf[at:end]; returns how long it is, 0 while it is not all there.

        Then is_accepted, is_refused, or neither after an interim answer. WSError: it is not what RFC 6455 wants.
        """
        n = end - at
        if n >= 5 and buf.find(b"HTTP/", at, at + 5) < 0:
            raise WSError("the answer is not HTTP: is there a WebSocket server, and is it ws:// or wss:// rightly?")
        head_end = buf.find(b"\r\n\r\n", at + self._seen, end)
        head_n = head_end - at if head_end >= 0 else n - 3  # of the blank line, three bytes may be here already
        if head_n > self._limit:
            raise WSError("the head of the HTTP answer is longer than %d bytes" % self._limit)
        if head_end < 0:
            self._seen = max(0, n - 3)
            return 0
        self._seen = 0
        self._judge(_text(buf, at, head_end).split("\r\n"))
        return head_n + 4

    def _judge(self, lines):
        self._parse_status(lines[0])
        self.headers = _parse_headers(lines)
        if self._status == 101:
            self._check_upgrade()
            self.is_accepted = True
        elif 100 <= self._status < 200:
            self._interim_count += 1
            if self._interim_count > _INTERIM_MAX:
                raise WSError("more than %d interim HTTP answers" % _INTERIM_MAX)
        else:
            self.is_refused = True

    def _parse_status(self, line):
        parts = line.split(" ", 2)
        status = parts[1] if len(parts) > 1 else ""
        if not parts[0].startswith("HTTP/1.") or len(status) != 3 or not status.isdigit() or status[0] == "0":
            raise WSError("not an HTTP/1 status line: %s" % line[:60])
        self._status = int(status)
        self._reason = parts[2][:80] if len(parts) > 2 else ""

    def _check_upgrade(self):
        headers = self.headers
        if headers.get("upgrade", "").lower() != "websocket":
            raise WSError("HTTP 101 without `Upgrade: websocket`")
        if "upgrade" not in _tokens(headers.get("connection", "")):
            raise WSError("HTTP 101 without `Connection: Upgrade`")
        if headers.get("sec-websocket-accept", "") != self._accept:
            raise WSError("wrong Sec-WebSocket-Accept: something between us and the server answered from a cache")
        if headers.get("sec-websocket-extensions") or headers.get("sec-websocket-protocol"):
            raise WSError("the server chose an extension or sub-protocol that was not offered")

    def has_body(self, buf, at, end):
        """Is enough of a refusal's body in buf[at:end] for refusal()?"""
        n = end - at
        if self._is_chunked():
            is_whole = buf.find(b"0\r\n\r\n", at, end) >= 0
        else:
            length = self.headers.get("content-length", "")
            is_whole = length.isdigit() and n >= int(length)
        return is_whole or n >= _BODY_MAX_BYTES or self._status == 204 or self._status == 304

    def refusal(self, buf, at, end):
        """The WSRefused with what there is of the body in buf[at:end]."""
        body = _text(buf, at, min(end, at + _BODY_MAX_BYTES))
        if self._is_chunked():
            body = body[body.find("\r\n") + 2 :].split("\r\n")[0]  # the first chunk says enough
        return WSRefused(self._status, self._reason, " ".join(body.split()), self.headers)

    def _is_chunked(self):
        return "chunked" in self.headers.get("transfer-encoding", "").lower()


def _printable(text, name):
    for letter in text:
        if not " " <= letter <= "~":
            raise ValueError("the %s of the request has a character that HTTP does not allow" % name)
    return text


def _text(buf, start, end):
    """ASCII of what the peer sent; anything unprintable but the line ends becomes "?"."""
    text = bytearray(memoryview(buf)[start:end])
    for i in range(len(text)):
        if not 32 <= text[i] < 127 and text[i] != 13 and text[i] != 10:
            text[i] = 63
    return text.decode()


def _parse_headers(lines):
    if len(lines) > _HEADERS_MAX:
        raise WSError("more than %d HTTP headers" % _HEADERS_MAX)
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or " " in name:
            raise WSError("a malformed HTTP header")
        name = name.lower()
        value = value.strip()
        headers[name] = headers[name] + ", " + value if name in headers else value
    return headers


def _tokens(value):
    return [token.strip().lower() for token in value.split(",")]
