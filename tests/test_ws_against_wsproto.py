"""Our protocol object against an independent codec, wsproto, in the role of the server: random talks, random slices."""

import ws_handshake
import ws_protocol as ws
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from ws_protocol import HEADROOM_BYTES, WSError, WSProtocol, close_into, seal

RX_BYTES = 1024
MAX_BYTES = 3000

payloads = st.one_of(
    st.binary(max_size=40),
    st.integers(0, 4000).map(lambda n: bytes(i * 31 & 0xFF for i in range(n))),
    st.sampled_from([0, 125, 126, 127, 895, 896, 897, 1014, 1022, 1023, 1024, 1025, 3000, 3001]).map(bytes),
)
controls = st.lists(st.tuples(st.sampled_from([Ping, Pong]), st.binary(max_size=125)), max_size=2)
# A message: is it text, its fragments, what is said between them.
messages = st.tuples(st.booleans(), st.lists(st.tuples(payloads, controls), min_size=1, max_size=5))
sealed_frames = st.lists(
    st.tuples(st.sampled_from([ws.OP_TEXT, ws.OP_BINARY, ws.OP_PING, ws.OP_PONG]), payloads), max_size=6
)
slices = st.lists(st.integers(1, 1500), min_size=1, max_size=8)


def opened():
    protocol = WSProtocol(RX_BYTES, MAX_BYTES)
    request = protocol.handshake("example.org", "/", {}, bytes(16)).decode()
    key = [line[19:] for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key")][0]
    answer = (
        b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
        % ws_handshake.accept_key(key.encode())
    )
    return protocol, answer


def step_through(protocol, data, sizes):
    at = 0
    i = 0
    while True:
        kind = protocol.next_event()
        if kind:
            yield kind, bytes(protocol.buf[protocol.start : protocol.start + protocol.n])
            continue
        if at == len(data):
            return
        room = protocol.room()
        n = min(sizes[i % len(sizes)], len(room), len(data) - at)
        i += 1
        room[:n] = data[at : at + n]
        protocol.fed(n)
        at += n


def ascii_only(payload):
    return bytes(b & 0x7F for b in payload)


def spoken(talk, server):
    """(bytes on the wire, events we should see) of a talk."""
    data = b""
    events = []
    for is_text, fragments in talk:
        whole = b""
        is_too_big = False
        for i, (payload, between) in enumerate(fragments):
            is_last = i == len(fragments) - 1
            payload = ascii_only(payload) if is_text else payload
            whole += payload
            if is_text:
                data += server.send(TextMessage(payload.decode(), message_finished=is_last))
            else:
                data += server.send(BytesMessage(payload, message_finished=is_last))
            if len(whole) > MAX_BYTES and not is_too_big:
                is_too_big = True
                events.append((ws.TOO_BIG, len(whole)))
            if is_last and not is_too_big:
                events.append((ws.TEXT if is_text else ws.BINARY, whole))
            for kind, content in between:
                data += server.send(kind(content))
                events.append((ws.PING if kind is Ping else ws.PONG, content))
    return data, events


@given(st.lists(messages, max_size=6), slices)
@settings(max_examples=400, deadline=None)
def test_we_hear_what_wsproto_says(talk, sizes):
    protocol, answer = opened()
    data, expected = spoken(talk, Connection(ConnectionType.SERVER))
    heard = []
    for kind, payload in step_through(protocol, answer + data, sizes):
        heard.append((kind, protocol.n if kind == ws.TOO_BIG else payload))
    assert heard[0][0] == ws.OPEN
    assert heard[1:] == expected
    assert protocol.too_big_count == sum(kind == ws.TOO_BIG for kind, _ in expected)


@given(sealed_frames, st.binary(min_size=4, max_size=4), slices)
@settings(max_examples=200, deadline=None)
def test_wsproto_hears_what_we_seal(frames, key, sizes):
    server = Connection(ConnectionType.SERVER)
    data = b""
    expected = []
    for opcode, payload in frames:
        if opcode >= ws.OP_CLOSE:
            payload = payload[: ws.CONTROL_MAX_BYTES]
        payload = ascii_only(payload)
        buf = bytearray(HEADROOM_BYTES) + payload
        at = seal(buf, HEADROOM_BYTES, len(payload), opcode, key)
        data += bytes(buf[at:])
        expected.append((opcode, payload))
    heard = []
    at = 0
    text = b""
    i = 0
    while at < len(data):
        n = sizes[i % len(sizes)]
        i += 1
        server.receive_data(data[at : at + n])
        at += n
        for event in server.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                text += event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
                if event.message_finished:
                    heard.append((ws.OP_TEXT if isinstance(event, TextMessage) else ws.OP_BINARY, text))
                    text = b""
            else:
                heard.append((ws.OP_PING if isinstance(event, Ping) else ws.OP_PONG, bytes(event.payload)))
    assert heard == expected


@given(st.integers(3000, 4999), st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_closing_both_ways(code, reason):
    reason = reason.encode("utf-8", "ignore").decode()
    server = Connection(ConnectionType.SERVER)
    buf = bytearray(HEADROOM_BYTES + ws.CONTROL_MAX_BYTES)
    n = close_into(buf, HEADROOM_BYTES, code, reason.encode())
    at = seal(buf, HEADROOM_BYTES, n, ws.OP_CLOSE, b"\1\2\3\4")
    server.receive_data(bytes(buf[at : HEADROOM_BYTES + n]))
    (event,) = server.events()
    assert event.code == code and reason.startswith(event.reason or "")
    protocol, answer = opened()
    data = Connection(ConnectionType.SERVER).send(CloseConnection(code, event.reason))
    kinds = [kind for kind, _ in step_through(protocol, answer + data, [3])]
    assert kinds == [ws.OPEN, ws.CLOSE]
    assert protocol.close_code == code and protocol.close_reason == (event.reason or "")


@given(st.binary(min_size=1, max_size=200), slices)
@settings(max_examples=500, deadline=None)
def test_noise_ends_in_an_event_an_error_or_silence_and_never_otherwise(noise, sizes):
    protocol, answer = opened()
    try:
        for _ in step_through(protocol, answer + noise, sizes):
            pass
    except WSError as error:
        assert error.close_code in (1002, 1007, 1009) and error.text
