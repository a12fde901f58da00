"""RFC 6455 without a socket. Every talk is fed whole, byte by byte and in odd slices: the events are the same."""

import gc
import json

import ws_handshake
import ws_protocol as ws
from check import IS_MICROPYTHON, assert_no_allocation, raises
from fake_peer import frame, unmask
from ws_protocol import WSError, WSProtocol, WSRefused, close_into, seal

NONCE = bytes(range(16))
RX_BYTES = 1024
MAX_BYTES = 5000
NAMES = ("none", "open", "text", "binary", "ping", "pong", "close", "too_big")

GOOD_HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"X-Tt-Logid: 2024abc\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)


def accept():
    import binascii

    return ws_handshake.accept_key(binascii.b2a_base64(NONCE).strip())


def head():
    return GOOD_HEAD % accept()


def counting(n, start=0):
    out = bytearray(n)
    for i in range(n):
        out[i] = (start + i * 7 + (i >> 8)) & 0xFF
    return out


def opened():
    protocol = WSProtocol(RX_BYTES, MAX_BYTES)
    protocol.handshake("example.org", "/chat", {}, NONCE)
    return protocol


def feed(protocol, data, sizes):
    """Feed `data` in slices of `sizes` (repeated) and return what came: events as tuples, an error as the last one."""
    events = []
    at = 0
    turn = 0
    try:
        while True:
            kind = protocol.next_event()
            while kind:
                events.append(describe(protocol, kind))
                kind = protocol.next_event()
            if at == len(data):
                return events
            room = protocol.room()
            assert len(room) > 0
            n = min(sizes[turn % len(sizes)], len(room), len(data) - at)
            room[:n] = data[at : at + n]
            protocol.fed(n)
            at += n
            turn += 1
    except WSError as error:
        events.append(("error", error.close_code, error.text))
    except WSRefused as refusal:
        events.append(("refused", refusal.status, refusal.reason, refusal.body))
    return events


def describe(protocol, kind):
    if kind == ws.CLOSE:
        return ("close", protocol.close_code, protocol.close_reason)
    if kind == ws.TOO_BIG:
        return ("too_big", protocol.n)
    payload = bytes(protocol.buf[protocol.start : protocol.start + protocol.n])
    for i in range(protocol.start, protocol.start + protocol.n):
        protocol.buf[i] = 0xEE  # the span is the caller's: nothing may depend on it any more
    return ("open",) if kind == ws.OPEN else (NAMES[kind], payload)


SLICES = ((100000,), (1,), (2,), (3, 1, 7), (5, 64, 2, 131), (1000, 3))


def events_of(data, with_head=True):
    """The events of `data` after a good handshake, checked to be the same in whatever slices it comes."""
    whole = None
    data = (head() if with_head else b"") + data
    for sizes in SLICES:
        if IS_MICROPYTHON:
            gc.collect()  # its heap is small; in a process full of other tests this would take most of the time
        events = feed(opened(), data, sizes)
        if whole is None:
            whole = events
        for i in range(max(len(events), len(whole))):
            assert events[i : i + 1] == whole[i : i + 1], "slices of %r differ in event %d" % (sizes, i)
    if with_head:
        assert whole[0] == ("open",), whole
        return whole[1:]
    return whole


def error_of(data):
    events = events_of(data)
    assert events[-1][0] == "error", events
    return events[-1]


# Handshake


def test_the_request():
    protocol = WSProtocol(RX_BYTES, MAX_BYTES)
    request = protocol.handshake("example.org:8443", "/v1/chat?bot_id=1", {"Authorization": "Bearer t0ken"}, NONCE)
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /v1/chat?bot_id=1 HTTP/1.1"
    assert lines[1] == "Host: example.org:8443"
    assert "Upgrade: websocket" in lines and "Connection: Upgrade" in lines and "Sec-WebSocket-Version: 13" in lines
    assert "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==" in lines
    assert "Authorization: Bearer t0ken" in lines
    assert request.endswith(b"\r\n\r\n")


def test_the_accept_key_of_the_rfc():
    assert ws_handshake.accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3


def test_a_header_that_would_break_the_request_is_refused_without_its_value():
    with raises(ValueError, "Authorization") as caught:
        WSProtocol(RX_BYTES, MAX_BYTES).handshake("h", "/", {"Authorization": "Bearer s3cret\r\nX: y"}, NONCE)
    assert "s3cret" not in str(caught.error)
    with raises(ValueError, "path"):
        WSProtocol(RX_BYTES, MAX_BYTES).handshake("h", "/a b", {}, NONCE)


def test_an_opened_connection_keeps_the_headers():
    protocol = opened()
    assert feed(protocol, head(), (7,)) == [("open",)]
    assert protocol.headers["x-tt-logid"] == "2024abc"


def test_data_glued_behind_the_answer():
    assert events_of(frame(1, b"first") + frame(9)) == [("text", b"first"), ("ping", b"")]


def test_interim_answers_are_passed_over():
    data = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + head() + frame(1, b"x")
    assert events_of(data, False) == [("open",), ("text", b"x")]
    assert events_of(b"HTTP/1.1 100 Continue\r\n\r\n" * 9, False)[-1][0] == "error"


def refusal(data):
    return events_of(data, False)[-1]


def test_other_statuses_are_refusals():
    assert refusal(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 15\r\n\r\n{\"code\": 4100}\n") == (
        "refused", 401, "Unauthorized", '{"code": 4100}',
    )  # fmt: skip
    assert refusal(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n") == ("refused", 403, "Forbidden", "")
    assert refusal(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")[1] == 302
    assert refusal(b"HTTP/1.0 502\r\nContent-Length: 2\r\n\r\nno") == ("refused", 502, "", "no")
    chunked = b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n"
    assert refusal(chunked) == ("refused", 500, "Oops", "busy")


def test_a_refusal_without_an_end_is_told_at_the_end_of_the_stream():
    protocol = opened()
    assert feed(protocol, b"HTTP/1.1 404 Not Found\r\n\r\nno such \xff page", (9,)) == []
    assert protocol.is_refused()
    with raises(WSRefused, "404") as caught:
        protocol.ended()
    assert caught.error.body == "no such ? page"


def test_a_huge_refusal_is_cut():
    for sizes in SLICES:
        protocol = opened()
        result = feed(protocol, b"HTTP/1.1 500 Oops\r\n\r\n" + b"x" * 3000, sizes)[-1]
        assert result[:3] == ("refused", 500, "Oops") and 0 < len(result[3]) <= 512


def test_answers_that_are_none():
    for text in (
        b"\x15\x03\x01\x00\x02\x02\x46",  # a TLS alert
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 101\r\n\r\n",
        b"HTTP/1.1 1o1 x\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 101 x\r\nno colon\r\n\r\n",
        b"HTTP/1.1 101 x\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 70 + b"\r\n",
    ):
        assert events_of(text, False)[-1][0] == "error", text


def test_a_head_without_end_is_refused_early():
    protocol = opened()
    events = feed(protocol, b"HTTP/1.1 101 x\r\nX: " + b"y" * 20000, (100,))
    assert events[-1][0] == "error" and "longer than" in events[-1][2]


def test_a_101_must_be_right_in_every_part():
    good = head()
    for old, new, text in (
        (b"Upgrade: websocket", b"X: y", "Upgrade"),
        (b"Upgrade: websocket", b"Upgrade: h2c", "Upgrade"),
        (b"keep-alive, Upgrade", b"keep-alive", "Connection"),
        (accept(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Accept"),
        (b"Sec-WebSocket-Accept: ", b"X: ", "Accept"),
        (b"X-Tt-Logid", b"Sec-WebSocket-Extensions", "extension"),
        (b"X-Tt-Logid", b"Sec-WebSocket-Protocol", "sub-protocol"),
    ):
        result = events_of(good.replace(old, new), False)[-1]
        assert result[0] == "error" and text in result[2], (old, result)
    assert events_of(good.replace(b"Upgrade: websocket", b"UPGRADE:WebSocket"), False) == [("open",)]


def test_the_end_of_the_stream_inside_the_handshake():
    protocol = opened()
    feed(protocol, b"HTTP/1.1 101", (100,))
    with raises(WSError, "ended"):
        protocol.ended()


# Messages


def test_messages_of_every_length_form():
    for n in (0, 1, 125, 126, 127, 700, 1000, 1010, 1020, 1023, 1024):
        payload = counting(n)
        data = frame(1, payload) + frame(2, payload) + frame(1, b"end")
        assert events_of(data) == [("text", payload), ("binary", payload), ("text", b"end")], n


def test_a_message_that_fits_is_not_copied():
    protocol = opened()
    feed(protocol, head(), (1000,))
    resident = protocol.buf
    data = frame(1, counting(300)) + frame(1, counting(20))
    room = protocol.room()
    room[: len(data)] = data
    protocol.fed(len(data))
    assert protocol.next_event() == ws.TEXT
    assert protocol.buf is resident and protocol.start == 4 and protocol.n == 300
    assert protocol.next_event() == ws.TEXT
    assert protocol.buf is resident and protocol.start == 306 and protocol.n == 20
    assert protocol.next_event() == ws.NONE


def test_longer_length_forms_than_needed_are_tolerated():
    data = frame(1, b"abc", length_bytes=2) + frame(1, b"def", length_bytes=8) + frame(2, counting(200), length_bytes=8)
    assert events_of(data) == [("text", b"abc"), ("text", b"def"), ("binary", counting(200))]


def test_messages_above_the_resident_buffer():
    for n in (1025, 1500, 4096, 5000):
        payload = counting(n)
        assert events_of(frame(2, payload) + frame(1, b"end")) == [("binary", payload), ("text", b"end")], n


def test_what_is_above_the_limit_is_skipped_counted_and_the_connection_goes_on():
    for n in (5001, 66000):
        data = frame(1, b"before") + frame(2, bytes(n)) + frame(1, b"after")
        assert events_of(data) == [("text", b"before"), ("too_big", n), ("text", b"after")]
    protocol = opened()
    feed(protocol, head() + frame(2, bytes(6000)) + frame(2, bytes(6000)), (999,))
    assert protocol.too_big_count == 2


def test_a_message_in_fragments():
    parts = (b"Hal", b"", b"lo ", counting(300), b"!")
    data = frame(1, parts[0], fin=False)
    for part in parts[1:-1]:
        data += frame(0, part, fin=False)
    data += frame(0, parts[-1]) + frame(1, b"next")
    assert events_of(data) == [("text", b"".join(parts)), ("text", b"next")]
    assert events_of(frame(2, b"", fin=False) + frame(0, b"")) == [("binary", b"")]


def test_control_frames_between_fragments():
    data = frame(1, b"one ", fin=False) + frame(9, b"are you there") + frame(0, b"two ", fin=False)
    data += frame(10, b"") + frame(9, counting(125)) + frame(0, b"three")
    assert events_of(data) == [
        ("ping", b"are you there"), ("pong", b""), ("ping", counting(125)), ("text", b"one two three"),
    ]  # fmt: skip


def test_fragments_that_outgrow_the_resident_buffer():
    for n, count in ((100, 20), (400, 8), (1000, 4), (7, 250)):
        parts = [counting(n, i) for i in range(count)]
        data = frame(2, parts[0], fin=False)
        for part in parts[1:-1]:
            data += frame(0, part, fin=False) + frame(9, b"p")
        data += frame(0, parts[-1]) + frame(1, b"end")
        expected = [("ping", b"p")] * (count - 2) + [("binary", b"".join(parts)), ("text", b"end")]
        assert events_of(data) == expected, (n, count)


def test_fragments_up_to_the_very_end_of_the_resident_buffer():
    for n in range(RX_BYTES - 140, RX_BYTES - 115):
        data = frame(2, counting(n), fin=False) + frame(9, counting(125)) + frame(0, b"12345678", fin=False)
        data += frame(0, counting(200))
        assert events_of(data) == [("ping", counting(125)), ("binary", counting(n) + b"12345678" + counting(200))]


def test_fragments_above_the_limit_are_skipped_whole():
    data = frame(2, counting(4000), fin=False) + frame(9, b"p") + frame(0, counting(900), fin=False)
    data += frame(0, counting(200), fin=False) + frame(9, b"q") + frame(0, counting(3000)) + frame(1, b"after")
    assert events_of(data) == [("ping", b"p"), ("too_big", 5100), ("ping", b"q"), ("text", b"after")]


def test_without_memory_a_message_is_skipped_too():
    if not IS_MICROPYTHON:
        return  # its heap has no end worth waiting for
    protocol = WSProtocol(RX_BYTES, 0x3FFFFFFF)
    protocol.handshake("example.org", "/chat", {}, NONCE)
    huge = b"\x82\x7f\0\0\0\0\x3f\xff\xff\xff"
    assert feed(protocol, head() + huge, (1000,)) == [("open",), ("too_big", 0x3FFFFFFF)]


def test_a_long_conversation_through_a_small_buffer():
    data = b""
    expected = []
    for i in range(60):
        payload = counting(i * 131 % 900, i)
        data += frame(1, payload)
        expected.append(("text", payload))
        if i % 5 == 0:
            data += frame(9, bytes([i]))
            expected.append(("ping", bytes([i])))
    assert events_of(data) == expected


# The end


def test_close_with_code_and_reason():
    assert events_of(frame(8, b"\x03\xe8bye")) == [("close", 1000, "bye")]
    assert events_of(frame(8)) == [("close", 1005, "")]
    assert events_of(frame(8, b"\x0f\xa0" + "zu, tschüß 鹨".encode())) == [("close", 4000, "zu, tschüß 鹨")]


def test_nothing_comes_after_a_close():
    data = frame(1, b"x") + frame(8, b"\x03\xe9") + frame(1, b"y") + b"\xff" * 3000
    assert events_of(data) == [("text", b"x"), ("close", 1001, "")]


def test_bad_close_payloads():
    assert error_of(frame(8, b"\x03"))[1] == 1002
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535):
        result = error_of(frame(8, bytes([code >> 8, code & 0xFF])))
        assert result[1] == 1002 and str(code) in result[2]
    for reason in (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"ok\x80"):
        assert error_of(frame(8, b"\x03\xe8" + reason))[1] == 1007, reason


# What a server must not send


def test_broken_frames():
    for data, text in (
        (frame(1, b"x", first=0x40), "reserved bits"),
        (frame(1, b"x", first=0x20), "reserved bits"),
        (frame(9, b"x", first=0x10), "reserved bits"),
        (frame(1, b"x", mask=True), "masked"),
        (frame(9, b"", mask=True), "masked"),
        (frame(3, b"x"), "opcode 3"),
        (frame(7), "opcode 7"),
        (frame(11), "opcode 11"),
        (frame(15), "opcode 15"),
        (frame(9, b"x", fin=False), "control frame in fragments"),
        (frame(8, b"", fin=False), "control frame in fragments"),
        (frame(9, bytes(126)), "control frame longer"),
        (frame(10, bytes(5), length_bytes=2), "control frame longer"),
        (frame(8, bytes(5), length_bytes=8), "control frame longer"),
        (frame(0, b"x"), "continuation"),
        (frame(0, b"x", fin=False), "continuation"),
        (frame(1, b"x", fin=False) + frame(1, b"y"), "new message inside"),
        (frame(1, b"x", fin=False) + frame(2, b"y", fin=False), "new message inside"),
        (frame(1, b"x", fin=False) + frame(0, b"y") + frame(0, b"z"), "continuation"),
        (b"\x82\xff", "masked"),
        (b"\x82\x7f\x80\0\0\0\0\0\0\1", "highest bit"),
    ):
        result = error_of(frame(2, b"good") + data + frame(1, b"never"))
        assert result[1] == 1002 and text in result[2], (data, result)


def test_a_message_that_comes_alone_inside_one_in_fragments_is_an_error_too():
    first = frame(1, b"x", fin=False)
    events = feed(opened(), head() + first + frame(1, b"a whole one"), (len(head()), len(first), 100))
    assert events[1][:2] == ("error", 1002)


def test_frames_longer_than_any_honest_one():
    for length in (b"\0\0\0\0\x40\0\0\0", b"\0\0\0\1\0\0\0\0", b"\x7f\xff\xff\xff\xff\xff\xff\xff"):
        assert error_of(b"\x82\x7f" + length)[1] == 1009


def test_text_is_handed_on_unchecked():
    protocol = opened()
    bad = b'{"a":"\xff\xfe"}'
    assert feed(protocol, head() + frame(1, bad), (3,)) == [("open",), ("text", bad)]


def test_json_on_both_interpreters_sees_bad_utf8_or_carries_it_on_without_harm():
    for bad in (b'{"a":"\xff"}', b'{"a":"\xc3"}', b'"\xed\xa0\x80"'):
        try:
            json.loads(bad)
        except ValueError:
            pass  # UnicodeError is one; a receiver that catches ValueError is safe


def test_utf8():
    for good in ("", "abc", "é鹨", "\U0010ffff", "퟿"):
        assert ws.is_utf8(good.encode())
    for bad in (
        b"\x80", b"\xc1\x81", b"\xe2\x82", b"\xf5\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xed\xbf\xbf", b"a\xe2b",
    ):  # fmt: skip
        assert not ws.is_utf8(bad), bad


# Frames of ours


def test_sealing_every_length_form_inside_guards():
    for n in (0, 1, 3, 125, 126, 127, 1000, 65535, 65536, 66001):
        gc.collect()
        payload = counting(n)
        start = ws.HEADROOM_BYTES + 5
        buf = bytearray(b"\xaa" * (start + n + 16))
        buf[start : start + n] = payload
        at = seal(buf, start, n, ws.OP_TEXT, b"\x01\x80\xfe\x37")
        assert at >= 5 and bytes(buf[:at]) == b"\xaa" * at
        assert bytes(buf[start + n :]) == b"\xaa" * 16
        opcode, got, rest = unmask(memoryview(buf)[at : start + n])
        assert opcode == 1 and got == payload and len(rest) == 0


def test_close_payloads():
    buf = bytearray(200)
    assert close_into(buf, 3, 1000) == 2 and bytes(buf[3:5]) == b"\x03\xe8"
    n = close_into(buf, 0, 4001, "ü".encode() * 100)
    assert n == 124 and ws.is_utf8(bytes(buf[2:n]))
    assert close_into(buf, 0, 1002, b"x" * 123) == 125


def test_a_sealed_audio_frame_costs_no_heap():
    buf = bytearray(2000)
    key = b"\x11\x22\x33\x44"
    assert_no_allocation(seal, buf, 14, 960, ws.OP_TEXT, key)


def test_stepping_through_frames_costs_no_heap():
    protocol = opened()
    feed(protocol, head(), (1000,))
    data = frame(1, counting(300)) + frame(9, b"ping") + frame(1, counting(90)) + frame(2, b"") + frame(10, b"x")

    def step():
        room = protocol.room()
        for i in range(len(data)):
            room[i] = data[i]
        protocol.fed(len(data))
        seen = 0
        while protocol.next_event():
            seen += protocol.n
        return seen

    assert assert_no_allocation(step) == 300 + 4 + 90 + 1


def test_a_buffer_serves_one_connection_after_the_other():
    first = opened()
    feed(first, head() + frame(1, b"old", fin=False), (50,))
    buf = first.release()
    second = WSProtocol(buf, MAX_BYTES)
    second.handshake("example.org", "/chat", {}, NONCE)
    assert feed(second, head() + frame(1, b"new"), (50,)) == [("open",), ("text", b"new")]
    with raises(ValueError):
        WSProtocol(1023, MAX_BYTES)
