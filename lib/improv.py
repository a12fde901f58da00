"""Improv Wi-Fi over a serial port (https://www.improv-wifi.com/serial/), on a port that carries text as well.

A packet is "IMPROV", version 1, type, length, data, checksum (the sum of all before it, modulo 256); clients and
devices put a newline behind it. `Parser` takes the bytes from the host one by one and tells packets from lines of
text and from Ctrl-C, whose byte 0x03 stands in every packet of a client. No input or output here.
"""

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


# Types of packets
CURRENT_STATE = const(1)
ERROR_STATE = const(2)
RPC = const(3)
RPC_RESULT = const(4)

# Current states
READY = const(2)
PROVISIONING = const(3)
PROVISIONED = const(4)

# Error states
NO_ERROR = const(0)
INVALID_RPC = const(1)
UNKNOWN_RPC = const(2)
UNABLE_TO_CONNECT = const(3)
BAD_HOSTNAME = const(5)
UNKNOWN_ERROR = const(255)

# Commands of a client
WIFI_SETTINGS = const(1)
GET_STATE = const(2)
GET_INFO = const(3)
GET_NETWORKS = const(4)
HOSTNAME = const(5)
DEVICE_NAME = const(6)
GET_NETWORK_STATE = const(7)  # in the clients' SDK, not in the published page yet

# Flags of the answer to GET_NETWORK_STATE
IS_ONLINE = const(1)
SUPPORTS_WIFI = const(2)

_HEADER = b"IMPROV"
_VERSION = const(1)
_HEADER_BYTES = const(6)
_FIXED_BYTES = const(10)  # header, version, type, length and checksum
_DATA_MAX_BYTES = const(255)
_CTRL_C = const(0x03)
_TAB = const(0x09)
_NEWLINE = const(0x0A)
_RETURN = const(0x0D)
_SPACE = const(0x20)
_LETTER_I = const(0x49)  # the header begins with it and holds it nowhere else
LINE_MAX_BYTES = const(4096)


def packet(kind, data):
    """The bytes of a packet with its newline; data: at most 255 bytes."""
    if len(data) > _DATA_MAX_BYTES:
        raise ValueError("a packet holds at most 255 bytes, not %d" % len(data))
    body = _HEADER + bytes((_VERSION, kind, len(data))) + data
    return body + bytes((sum(body) & 0xFF, _NEWLINE))


def result(command, texts):
    """The packet that answers `command` with a list of texts. ValueError when they are longer than a packet."""
    data = b""
    for text in texts:
        raw = text.encode()
        if len(raw) > _DATA_MAX_BYTES:
            raise ValueError("a text of %d bytes is longer than a packet" % len(raw))
        data += bytes((len(raw),)) + raw
    return packet(RPC_RESULT, bytes((command, len(data) & 0xFF)) + data)


def command(data):
    """(command, its data) of an RPC packet. ValueError when its inner length is wrong."""
    if len(data) < 2 or data[1] != len(data) - 2:
        raise ValueError("the length of the command is wrong")
    return data[0], data[2:]


def wifi_settings(data):
    """(ssid, password) as str, from the data of WIFI_SETTINGS. ValueError when it holds no such two texts."""
    texts = []
    at = 0
    for _ in range(2):
        if at >= len(data):
            raise ValueError("a text is missing")
        end = at + 1 + data[at]
        texts.append(bytes(data[at + 1 : end]).decode())  # UnicodeError is a ValueError
        if end > len(data):
            raise ValueError("a text is cut off")
        at = end
    if at != len(data):
        raise ValueError("bytes are left over")
    return texts[0], texts[1]


class Parser:
    """Feed it every byte that the host sends. `sink` is called with what has become complete:

    sink.packet(kind, data)   an intact packet
    sink.line(data)           the bytes of a line that is no packet and not empty, without its end (CR or LF)
    sink.long_line()          a line of more than LINE_MAX_BYTES has ended; nothing of it was kept
    sink.broken()             a packet with a wrong checksum, length or version, or a line with control bytes in it
    sink.interrupt()          Ctrl-C

    Inside a packet and inside a line with control bytes or a header, which is a damaged packet most likely, 0x03 is no
    Ctrl-C. Such a line ends with its newline or by expire(), so Ctrl-C is heard behind a newline and after a pause. A
    damaged packet is looked through for the start of the next one.
    Memory: a line or a packet as long as it grows, and nothing between them.
    """

    def __init__(self, sink):
        self._sink = sink
        self._again = b""  # bytes of a damaged packet that are to be looked at once more
        self._clear()

    def _clear(self):
        self._buf = bytearray()
        self._matched = 0  # bytes of the header that stand at the end of the line
        self._left = 0  # bytes of the packet still to come, length not known yet: 3 and less
        self._is_packet = False
        self._is_dirty = False  # control bytes stand in this line
        self._is_told = False  # and the sink knows
        self._is_suspect = False  # the header stands in this line, so it may have been a packet
        self._is_long = False
        self._is_plain = True  # this line may be text: no packet, no start of one, not too long

    @property
    def is_waiting(self):
        """A packet has begun and is not complete, or what may be a damaged one."""
        return self._is_packet or self._is_dirty or self._is_suspect

    def expire(self):
        """The rest of a packet did not come in time: what has come of it is given up."""
        if self._is_packet:
            self._resynchronise()
            self._look_again()
            self._is_plain = not (self._matched or self._is_packet)
        elif self._is_dirty or self._is_suspect:
            is_told = self._is_told
            self._clear()
            if not is_told:
                self._sink.broken()

    def feed(self, byte):
        """One byte, 0..255."""
        if self._is_plain and byte >= _SPACE and byte != _LETTER_I and len(self._buf) < LINE_MAX_BYTES:
            self._buf.append(byte)  # nearly all bytes come this way, and a UART does not wait
            return
        self._step(byte)
        if self._again:
            self._look_again()
        self._is_plain = not (self._matched or self._is_packet or self._is_long)

    def _look_again(self):
        while self._again:
            data = self._again
            self._again = b""
            for i in range(len(data)):
                self._step(data[i])
                if self._again:
                    self._again += data[i + 1 :]
                    break

    def _step(self, byte):
        if self._is_packet:
            self._feed_packet(byte)
        elif self._matched == _HEADER_BYTES and byte < _SPACE and byte != _NEWLINE and byte != _RETURN:
            self._buf = bytearray(_HEADER)
            self._buf.append(byte)
            self._is_packet = True
        elif byte == _NEWLINE or byte == _RETURN:
            self._end_line()
        elif byte == _CTRL_C and not (self._is_dirty or self._is_suspect):
            self._clear()
            self._sink.interrupt()
        else:
            self._feed_line(byte)

    def _feed_line(self, byte):
        if byte < _SPACE and byte != _TAB:
            self._is_dirty = True
        if byte == _HEADER[self._matched if self._matched < _HEADER_BYTES else 0]:
            self._matched = self._matched % _HEADER_BYTES + 1
            if self._matched == _HEADER_BYTES:
                self._is_suspect = True
        else:
            self._matched = 1 if byte == _HEADER[0] else 0
        if self._is_long:
            return
        if len(self._buf) == LINE_MAX_BYTES:
            self._buf = bytearray()
            self._is_long = True
            return
        self._buf.append(byte)

    def _end_line(self):
        line = self._buf
        is_dirty = self._is_dirty
        is_told = self._is_told
        is_long = self._is_long
        self._clear()
        if is_dirty:
            if not is_told:
                self._sink.broken()
        elif is_long:
            self._sink.long_line()
        elif line:
            self._sink.line(line)

    def _feed_packet(self, byte):
        buf = self._buf
        buf.append(byte)
        n = len(buf)
        if n < _FIXED_BYTES or n < _FIXED_BYTES + buf[8]:
            return
        if (sum(buf) - byte) & 0xFF != byte or buf[6] != _VERSION:
            self._resynchronise()
            return
        self._clear()
        self._sink.packet(buf[7], bytes(buf[9:-1]))

    def _resynchronise(self):
        """This was no packet. Another one may have begun inside it."""
        old = bytes(self._buf)
        self._clear()
        self._sink.broken()
        at = old.find(_HEADER, 1)
        if at < 0:
            at = len(old)
            for n in range(1, _HEADER_BYTES):  # a header may be cut off at the end
                if old[-n:] == _HEADER[:n]:
                    at = len(old) - n
        self._again = old[at:]
        self._is_dirty = not self._again  # what still comes of this line belongs to the damaged packet
        self._is_told = self._is_dirty
