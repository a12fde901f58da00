"""The parser of the serial port against anything a wire can do to packets and lines."""

from hypothesis import given
from hypothesis import strategies as st

import improv

PACKETS = st.binary(max_size=255).map(lambda data: improv.packet(improv.RPC, data))
WORDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=60)
LINES = WORDS.map(lambda text: text.encode() + b"\n")


class Log:
    def __init__(self):
        self.packets, self.lines, self.others = [], [], []

    def packet(self, kind, data):
        self.packets.append(improv.packet(kind, data))

    def line(self, data):
        self.lines.append(bytes(data) + b"\n")

    def long_line(self):
        self.others.append("long")

    def broken(self):
        self.others.append("broken")

    def interrupt(self):
        self.others.append("ctrl-c")


def parse(data):
    log = Log()
    parser = improv.Parser(log)
    for byte in data:
        parser.feed(byte)
        assert len(parser._buf) <= improv.LINE_MAX_BYTES and len(parser._again) <= 265
    return log


@given(st.lists(st.one_of(PACKETS, LINES), max_size=12))
def test_what_is_whole_arrives_in_order_and_nothing_else(pieces):
    log = parse(b"".join(pieces))
    assert log.packets == [piece for piece in pieces if piece[6:7] == b"\x01"]
    assert log.lines == [piece for piece in pieces if piece[6:7] != b"\x01"]
    assert log.others == []


@given(st.lists(PACKETS, min_size=1, max_size=6))
def test_packets_need_no_newline(pieces):
    assert parse(b"".join(piece[:-1] for piece in pieces)).packets == pieces


@given(st.binary(max_size=600), PACKETS)
def test_after_any_noise_and_a_pause_the_next_packet_arrives(noise, packet):
    log = Log()
    parser = improv.Parser(log)
    for byte in noise:
        parser.feed(byte)
    parser.expire()
    while parser.is_waiting:  # the noise held the start of another one
        parser.expire()
    for byte in b"\n" + packet:
        parser.feed(byte)
    assert log.packets[-1:] == [packet]


@given(st.binary(max_size=255), st.data())
def test_one_flipped_bit_never_gives_a_wrong_packet_nor_a_ctrl_c(data, draw):
    packet = improv.packet(improv.RPC, data)
    at = draw.draw(st.integers(0, len(packet) - 2))
    damaged = bytearray(packet)
    damaged[at] ^= 1 << draw.draw(st.integers(0, 7))
    log = parse(bytes(damaged))
    assert packet not in log.packets
    if bytes((damaged[at],)) not in b"\n\r\x03":  # those bytes cut it into two things, each of which is what it is
        inner = data.find(b"IMPROV") >= 0 or 3 in data and at < 9
        assert "ctrl-c" not in log.others or inner


@given(st.binary(max_size=400))
def test_ctrl_c_is_always_heard_in_the_end(noise):
    log = Log()
    parser = improv.Parser(log)
    for byte in noise:
        parser.feed(byte)
    while parser.is_waiting:
        parser.expire()
    before = log.others.count("ctrl-c")
    for byte in b"\r\x03":
        parser.feed(byte)
    assert log.others.count("ctrl-c") == before + 1


@given(st.lists(st.text(max_size=40), max_size=8))
def test_a_result_is_read_back(texts):
    try:
        packet = improv.result(3, texts)
    except ValueError:
        assert sum(len(text.encode()) + 1 for text in texts) > 253
        return
    command, data = improv.command(packet[9:-2])
    found = []
    while data:
        found.append(data[1 : 1 + data[0]].decode())
        data = data[1 + data[0] :]
    assert (command, found) == (3, texts)


@given(st.binary(max_size=260))
def test_wifi_settings_are_two_texts_or_an_error(data):
    try:
        ssid, password = improv.wifi_settings(data)
    except ValueError:
        return
    ssid, password = ssid.encode(), password.encode()
    assert data == bytes((len(ssid),)) + ssid + bytes((len(password),)) + password
