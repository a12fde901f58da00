"""Improv Wi-Fi over serial: packets, lines and Ctrl-C on one port, whole, in pieces and damaged."""

from check import raises

import improv

# What clients send, written out: "IMPROV", version, type 3, length, command, its length, data, checksum, newline.
ASK_STATE = b"IMPROV\x01\x03\x02\x02\x00\xe5\n"
ASK_INFO = b"IMPROV\x01\x03\x02\x03\x00\xe6\n"
# The published example: SSID MyWirelessAP, password mysecurepassword.
WIFI = b"\x01\x1e\x0cMyWirelessAP\x10mysecurepassword"


class Log:
    def __init__(self):
        self.seen = []

    def packet(self, kind, data):
        self.seen.append((kind, data))

    def line(self, data):
        self.seen.append(bytes(data).decode())

    def long_line(self):
        self.seen.append("long")

    def broken(self):
        self.seen.append("broken")

    def interrupt(self):
        self.seen.append("ctrl-c")


def parse(data, parser=None):
    log = Log()
    parser = improv.Parser(log)
    for byte in data:
        parser.feed(byte)
    return log.seen


def test_a_packet_is_built_as_the_specification_says():
    assert improv.packet(improv.RPC, b"\x02\x00") == ASK_STATE
    assert improv.packet(improv.CURRENT_STATE, b"\x04") == b"IMPROV\x01\x01\x01\x04\xe4\n"
    assert improv.packet(improv.RPC, WIFI)[:9] == b"IMPROV\x01\x03\x20"


def test_a_result_holds_texts():
    assert improv.result(3, ("Pipit", "é")) == improv.packet(4, b"\x03\x09\x05Pipit\x02\xc3\xa9")
    assert improv.result(4, ()) == improv.packet(4, b"\x04\x00")
    for texts in (("x" * 254,), ("x" * 256,), ("x" * 100,) * 3):
        with raises(ValueError):
            improv.result(3, texts)
    improv.result(3, ("x" * 252,))


def test_wifi_settings_are_read():
    command, data = improv.command(WIFI)
    assert command == improv.WIFI_SETTINGS
    assert improv.wifi_settings(data) == ("MyWirelessAP", "mysecurepassword")
    assert improv.wifi_settings(b"\x05Caf\xc3\xa9\x00") == ("Café", "")


def test_wifi_settings_that_are_none_are_refused():
    for data in (b"", b"\x01", b"\x01a", b"\x01a\x02b", b"\x01a\x01b\x00", b"\x02\xff\xfe\x00", b"\xff" * 20):
        with raises(ValueError):
            improv.wifi_settings(data)
    for data in (b"", b"\x01", b"\x02\x01", b"\x02\x00\x00"):
        with raises(ValueError):
            improv.command(data)


def test_packets_are_found():
    assert parse(ASK_STATE) == [(3, b"\x02\x00")]
    assert parse(ASK_STATE + ASK_INFO) == [(3, b"\x02\x00"), (3, b"\x03\x00")]
    assert parse(ASK_STATE[:-1] + ASK_INFO[:-1]) == [(3, b"\x02\x00"), (3, b"\x03\x00")], "without their newlines"


def test_a_packet_may_hold_anything():
    for data in (bytes(range(255)), b"IMPROV" * 5, b"\n\r\x03" * 20, b""):
        assert parse(improv.packet(3, data)) == [(3, data)]


def test_lines_stand_beside_packets():
    assert parse(b'{"do": "hello"}\n' + ASK_STATE + b'{"do": 2}\r\n\r\n') == [
        '{"do": "hello"}', (3, b"\x02\x00"), '{"do": 2}',
    ]  # fmt: skip
    assert parse(b"IMPROVE\nIIMPROVED\nI\nIMPRO\nIMPROV\n") == ["IMPROVE", "IIMPROVED", "I", "IMPRO", "IMPROV"]
    assert parse(b'{"half": ' + ASK_STATE) == [(3, b"\x02\x00")]
    assert parse(b"IMIMPROIMPROVIMPROV" + ASK_STATE[6:]) == [(3, b"\x02\x00")]


def test_ctrl_c_is_found_outside_packets_only():
    assert parse(b"\x03") == ["ctrl-c"]
    assert parse(b"\r\x03") == ["ctrl-c"]
    assert parse(b"half a line\x03" + ASK_STATE) == ["ctrl-c", (3, b"\x02\x00")]
    assert parse(ASK_STATE + b"\x03") == [(3, b"\x02\x00"), "ctrl-c"]
    assert parse(ASK_STATE[:-1] + b"\x03") == [(3, b"\x02\x00"), "ctrl-c"]


def test_a_damaged_packet_is_no_ctrl_c():
    for at in range(len(ASK_STATE) - 1):
        for bit in (1, 4, 32, 128):
            data = bytearray(ASK_STATE)
            data[at] ^= bit
            if 0x03 == data[at] or 0x0A == data[at] or 0x0D == data[at]:
                continue  # a packet that was cut in two by such a byte: what it looks like is what it is
            seen = parse(bytes(data) + b"\n")
            assert "ctrl-c" not in seen and len([1 for what in seen if isinstance(what, tuple)]) == 0, (at, bit, seen)


def test_a_byte_that_is_lost_costs_one_packet():
    for at in range(len(ASK_STATE) - 1):
        seen = parse(ASK_STATE[:at] + ASK_STATE[at + 1 :] + ASK_INFO + b'{"do": 1}\n')
        assert seen[-2:] == [(3, b"\x03\x00"), '{"do": 1}'] and "ctrl-c" not in seen, (at, seen)
        assert (3, b"\x02\x00") not in seen


def test_a_wrong_checksum_is_told_once():
    damaged = ASK_STATE[:-2] + b"\x00\n"
    assert parse(damaged + ASK_STATE) == ["broken", (3, b"\x02\x00")]


def test_another_version_is_refused_and_skipped():
    other = b"IMPROV\x02\x03\x02\x02\x00"
    other += bytes((sum(other) & 0xFF,)) + b"\n"
    assert parse(other + ASK_STATE) == ["broken", (3, b"\x02\x00")]


def test_a_wrong_length_swallows_no_packet_for_good():
    long = bytearray(ASK_STATE)
    long[8] = 30
    assert parse(bytes(long) + ASK_STATE + ASK_INFO + ASK_STATE)[-3:] == [
        (3, b"\x02\x00"), (3, b"\x03\x00"), (3, b"\x02\x00"),
    ]  # fmt: skip


def test_headers_inside_headers_are_looked_through():
    nested = bytearray()
    for i in range(25):
        nested += b"IMPROV\x01\x03" + bytes((255 - 9 * i,))
    nested += b"\x00" * 60
    seen = parse(bytes(nested) + b"\n" + ASK_STATE)
    assert seen[-1] == (3, b"\x02\x00") and set(seen[:-1]) == {"broken"}


def test_a_packet_that_does_not_go_on_is_given_up():
    log = Log()
    parser = improv.Parser(log)
    for byte in ASK_STATE[:-4]:
        parser.feed(byte)
    assert parser.is_waiting
    parser.expire()
    assert log.seen == ["broken"] and parser.is_waiting, "the rest of its line belongs to it"
    for byte in b"\x00\n" + ASK_INFO:
        parser.feed(byte)
    assert log.seen == ["broken", (3, b"\x03\x00")]
    parser.expire()
    assert len(log.seen) == 2


def test_behind_noise_ctrl_c_is_heard_after_a_newline_or_a_pause():
    assert parse(b"\x01\x80noise\x03\x03") == []
    assert parse(b"\x01\x80noise\x03\r\x03") == ["broken", "ctrl-c"]
    for noise in (b"\x01\x80noise\x03", b"IMPROV", b"text IMPROVED", ASK_STATE[:6] + b"!\x03\x03"):
        log = Log()
        parser = improv.Parser(log)
        for byte in noise:
            parser.feed(byte)
        assert parser.is_waiting and log.seen == []
        parser.expire()
        assert not parser.is_waiting and log.seen == ["broken"]
        parser.feed(3)
        assert log.seen == ["broken", "ctrl-c"]


def test_a_long_line_is_refused_and_skipped_to_its_end():
    longest = b"x" * improv.LINE_MAX_BYTES
    assert parse(longest + b"\n") == [longest.decode()]
    assert parse(longest + b"y\nnext\n") == ["long", "next"]
    assert parse(longest * 3 + b"\n" + ASK_STATE) == ["long", (3, b"\x02\x00")]
    assert parse(longest * 2 + ASK_STATE) == [(3, b"\x02\x00")]
    assert parse(longest * 2 + b"\x03next\n") == ["ctrl-c", "next"]
