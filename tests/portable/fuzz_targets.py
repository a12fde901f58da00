"""What must hold for any input at all of each parser: portable, used by the fuzzer and by the replay of its corpus.

    TARGETS[name](data)      data: bytes; AssertionError, or whatever it was that came through

Each parser gets the input at once, byte by byte and in odd slices, and must say the same each time; it must end in an
error of its own tree or in none; and what it keeps is bounded.
"""

import json

import byte_ring
import json_strict
import ws_handshake
import ws_protocol as ws
from check import IS_MICROPYTHON

from firmware import config, errors, events
from firmware.clouds import coze

RX_BYTES = 1024
MAX_BYTES = 1500
TOKEN = "pat_never-to-be-seen-77"
_TICK_MS = 20
_SLICES = ((1 << 20,), (1,), (7, 3, 1, 64, 2))
_BOOK_MOST = 16  # entries of any list that the book of turns keeps
_CLOSE_CODES = (1002, 1007, 1009)


# -- the cloud's messages, one a line


def check_json(data):
    """A connection's messages, one a line: through the ring and without it, with and without more behind each."""
    heard = _listen(data, None, b"")
    assert heard == _listen(data, None, b'"}}"'), "what stands behind a message was read"
    assert heard == _listen(data, byte_ring.ByteRing(3000), b""), "the ring changes what is heard"
    assert heard == _listen(data, byte_ring.ByteRing(3000), b"A" * 40 + b'"}}')


def _listen(data, ring, behind):
    """[(event, what it holds)] of each line."""
    cloud = coze.Coze(_settings(), "unit", ring) if ring is not None else coze.Coze(_settings(), "unit")
    cloud.opened()
    cloud.complete(0)
    heard = []
    now_ms = 0
    for line in data.split(b"\n"):
        now_ms += _TICK_MS
        before = b"\xff{"
        buf = bytearray(before + line + behind)
        event = cloud.receive(buf, len(before), len(line), now_ms)
        assert event == "" or event in _EVENTS, event
        heard.append((event, _content(cloud, event), cloud.reply is not None))
        if event == events.AUDIO:
            assert 0 < cloud.audio_n <= len(line)
        if cloud.error is not None:
            assert cloud.error.kind in errors.KINDS and TOKEN not in cloud.error.text
        _check_book(cloud)
        if line[:1] == b"!":  # the person: presses, is heard, takes it back
            cloud.interrupt(now_ms)
            cloud.complete(now_ms)
    heard.append((cloud.unknown_count, cloud.malformed_count, cloud.conversation_id))
    return heard


_EVENTS = tuple([getattr(events, name) for name in dir(events) if name == name.upper() and name[0] != "_"])


def _content(cloud, event):
    if event == events.AUDIO:
        return bytes(memoryview(cloud.audio_buf)[cloud.audio_at : cloud.audio_at + cloud.audio_n])
    if event == events.HEARD or event == events.SAID:
        return cloud.text
    if event == events.TOOL_CALL:
        return repr(cloud.tool_calls)
    if event == events.FAILED or event == events.LINK_LOST:
        return (cloud.error.kind, cloud.error.text)
    return None


def _check_book(cloud):
    book = cloud._turns
    for name in ("_dead", "_owed", "_due"):
        assert len(getattr(book, name)) <= _BOOK_MOST, "%s has %d entries" % (name, len(getattr(book, name)))


_kept_settings = []


def _settings():
    if not _kept_settings:
        text = '{"bot_id": "7", "token": "%s", "mode": "free"}' % TOKEN
        _kept_settings.append(config.parse(text))
    return _kept_settings[0]


# -- the WebSocket


def check_ws(data):
    """First byte: even: frames behind a complete handshake; odd: the server's answer to the handshake."""
    kind, data = data[:1], data[1:]
    answer = b"" if kind and kind[0] & 1 else _upgrade()
    results = [_step_through(answer + data, sizes) for sizes in _SLICES]
    for sizes, result in zip(_SLICES[1:], results[1:]):
        assert result == results[0], "slices of %r change what is heard" % (sizes,)


def _upgrade():
    nonce = "AAAAAAAAAAAAAAAAAAAAAA=="
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + ws_handshake.accept_key(nonce.encode()) + b"\r\n\r\n"
    )  # fmt: skip


def _step_through(data, sizes):
    """([(kind, payload)], how it ended) with data in slices of these sizes."""
    protocol = ws.WSProtocol(RX_BYTES, MAX_BYTES)
    protocol.handshake("example.org", "/", {"Authorization": "Bearer " + TOKEN}, bytes(16))
    heard = []
    at = turn = 0
    try:
        while True:
            kind = protocol.next_event()
            if kind:
                heard.append(_event(protocol, kind))
                continue
            assert len(protocol._rx) == RX_BYTES
            assert protocol._temporary is None or len(protocol._temporary) <= MAX_BYTES
            if at == len(data):
                protocol.ended()
                return heard, ""
            room = protocol.room()
            n = min(sizes[turn % len(sizes)], len(room), len(data) - at)
            assert n > 0, "there is no room"
            turn += 1
            room[:n] = data[at : at + n]
            protocol.fed(n)
            at += n
    except ws.WSError as error:
        assert error.text and error.close_code in _CLOSE_CODES and TOKEN not in error.text
        return heard, error.text if heard else "no handshake"  # which of its faults is seen first depends on the slices
    except ws.WSRefused as error:
        assert 100 <= error.status <= 999 and len(error.body) <= 512
        return heard, "refused %d" % error.status  # how much of its body was there depends on the slices


def _event(protocol, kind):
    if kind == ws.TOO_BIG:
        return kind, protocol.n > MAX_BYTES
    payload = bytes(memoryview(protocol.buf)[protocol.start : protocol.start + protocol.n])
    if kind == ws.CLOSE:
        return kind, payload, protocol.close_code, protocol.close_reason
    assert len(payload) <= MAX_BYTES
    return kind, payload


# -- the settings


def check_config(data):
    """A Config or a ConfigError whose text shows no secret; where `json` can read it, the value is the same."""
    try:
        value = json_strict.loads(data)
        assert_same_value(data, value)
    except json_strict.JSONError as error:
        assert error.text and error.line >= 1 and error.column >= 1
        value = None
    try:
        found = config.parse(data)
    except errors.ConfigError as error:
        assert error.text and len(error.text) < 1000
        assert TOKEN not in error.text, "a secret is shown"
        return
    assert isinstance(value, dict), "settings out of what is no object"
    shown = found.redacted()
    for key in ("token", "wifi_password"):
        assert TOKEN not in shown[key], "a secret is shown"
    assert found.ring_needed_bytes() > 0


def assert_same_value(data, value):
    if IS_MICROPYTHON:
        return  # its json reads other things than JSON too, and floats as it likes
    text = data[3:] if data[:3] == b"\xef\xbb\xbf" else data
    assert json.loads(text) == value, "json reads another value"


TARGETS = {"json": check_json, "ws": check_ws, "config": check_config}
# The same input once, to see which way it takes.
ONCE = {
    "json": lambda data: _listen(data, byte_ring.ByteRing(3000), b""),
    "ws": lambda data: _step_through((b"" if data[:1] and data[0] & 1 else _upgrade()) + data[1:], _SLICES[0]),
    "config": check_config,
}
