"""Tables and state layouts shared by every implementation of the kernels."""

from array import array

B64_CHARS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
B64_ILLEGAL = 0x80  # set in B64_VALUES for every byte outside the alphabet, "=" included


def _b64_values():
    values = bytearray([B64_ILLEGAL] * 256)
    for value in range(64):
        values[B64_CHARS[value]] = value
    return bytes(values)


B64_VALUES = _b64_values()


def _bit_lengths():
    lengths = bytearray(128)
    for i in range(1, 128):
        lengths[i] = lengths[i >> 1] + 1
    return bytes(lengths)


BIT_LENGTH = _bit_lengths()  # of 0..127: the G.711 segment of a magnitude is the bit length of its upper bits


def _alaw_value(code):
    """ITU-T G.711 table 1, scaled to 16 bits."""
    code ^= 0x55
    segment = code >> 4 & 7
    magnitude = (code & 15) << 4 | 8
    if segment:
        magnitude = (magnitude | 0x100) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


def _ulaw_value(code):
    """ITU-T G.711 table 2, scaled to 16 bits."""
    code ^= 0xFF
    magnitude = (((code & 15) << 3 | 0x84) << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


ALAW_VALUES = array("h", [_alaw_value(code) for code in range(256)])
ULAW_VALUES = array("h", [_ulaw_value(code) for code in range(256)])

# The decimating low-pass: a half-band FIR of 35 taps in Q14, the best in the minimax sense for 0-3.4 kHz at 16 kHz.
# Half-band means that every second tap but the middle one is 0 and that the ripple of the pass band equals that of
# the stop band (4.6-8 kHz): 50 dB down, 0.03 dB up. The taps below stand 1, 3, .. 17 samples off the middle.
FIR_MIDDLE = 8192
FIR_SIDES = (5187, -1657, 911, -569, 368, -236, 146, -84, 56)
FIR_TAPS = 35

# State: [0] how many samples the window holds, then the window: unsigned, 32768 is silence, so that one unsigned load
# is enough in native code. The window is FIR_TAPS - 1 samples of history and what is being worked on.
DECIMATE_CHUNK = 160
_SILENCE = 32768


def decimate2_state():
    """A fresh state for decimate2_into: as if silence had gone before."""
    return array("H", [FIR_TAPS - 2] + [_SILENCE] * (FIR_TAPS - 1 + DECIMATE_CHUNK))
