"""What the cloud puts on a WebSocket, as values: the protocol object makes them, a shell sends them.

`to_wire` gives the exact bytes (server frames, never masked), for a shell that has no WebSocket library.
"""

from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Binary:
    data: bytes


@dataclass(frozen=True)
class Fragments:
    """One text message in several frames; `ping` (not None) travels between the first two of them."""

    pieces: tuple
    ping: bytes = None


@dataclass(frozen=True)
class Ping:
    data: bytes


@dataclass(frozen=True)
class Pong:
    data: bytes


@dataclass(frozen=True)
class Raw:
    """Bytes written as they are: for frames that RFC 6455 forbids."""

    data: bytes


@dataclass(frozen=True)
class Held:
    """A text message that changes places with the one behind it; never reaches a shell."""

    text: str


@dataclass(frozen=True)
class Close:
    """An orderly end: close frame, then the end of the stream."""

    code: int
    reason: str = ""


@dataclass(frozen=True)
class Drop:
    """The stream ends without a close frame; is_reset: by a TCP reset, which may eat bytes already sent."""

    is_reset: bool = False


def frame(opcode, payload, is_last=True, reserved=0):
    """One unmasked frame; reserved: 0..7, the RSV bits."""
    head = bytearray([(0x80 if is_last else 0) | reserved << 4 | opcode])
    if len(payload) < 126:
        head.append(len(payload))
    elif len(payload) < 65536:
        head.append(126)
        head += len(payload).to_bytes(2, "big")
    else:
        head.append(127)
        head += len(payload).to_bytes(8, "big")
    return bytes(head) + bytes(payload)


def fragments_to_wire(out):
    frames = []
    for i, piece in enumerate(out.pieces):
        frames.append(frame(CONTINUATION if i else TEXT, piece, is_last=i == len(out.pieces) - 1))
        if i == 0 and out.ping is not None:
            frames.append(frame(PING, out.ping))
    return b"".join(frames)


def to_wire(out):
    """The bytes of `out` on the stream; b"" for Drop, after which the stream ends."""
    if isinstance(out, Text):
        return frame(TEXT, out.text.encode())
    if isinstance(out, Binary):
        return frame(BINARY, out.data)
    if isinstance(out, Fragments):
        return fragments_to_wire(out)
    if isinstance(out, Ping):
        return frame(PING, out.data)
    if isinstance(out, Pong):
        return frame(PONG, out.data)
    if isinstance(out, Raw):
        return out.data
    if isinstance(out, Close):
        return frame(CLOSE, out.code.to_bytes(2, "big") + out.reason.encode())
    if isinstance(out, Drop):
        return b""
    raise TypeError("not an outgoing message: %r" % (out,))
