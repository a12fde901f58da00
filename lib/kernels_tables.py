"""Tables and state layouts shared by every implementation of the kernels."""

from array import array

B64_CHARS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _b64_words():
    words = array("i", [-1] * 256)
    for value in range(64):
        words[B64_CHARS[value]] = value
    return words


B64_WORDS = _b64_words()  # of each byte its 6 bits, -1 outside the alphabet, "=" included; whole words for native code


def _bit_lengths():
    lengths = bytearray(128)
    for i in range(1, 128):
        lengths[i] = lengths[i >> 1] + 1
    return bytes(lengths)


BIT_LENGTH = _bit_lengths()  # of 0..127: the G.711 segment of a magnitude is the bit length of its upper bits


def _encoding(positive, least_shift):
    """Two tables by the upper byte of a sample: code = CODES[i] ^ (sample >> SHIFTS[i] & 15), the sample unsigned.

    positive: the code's bits that are inverted for positive samples. A negative sample is the one's complement of its
    magnitude, so its four bits come out inverted and CODES turns them back.
    """
    codes = bytearray(256)
    shifts = bytearray(256)
    for i in range(128):
        segment = BIT_LENGTH[i]
        codes[i] = segment << 4 ^ positive
        codes[255 - i] = codes[i] ^ 0x8F
        shifts[i] = shifts[255 - i] = max(least_shift, segment + 3)
    return bytes(codes), bytes(shifts)


# Of a sample with its sign inverted, 0 is the lowest: what the low-pass in native code has at hand.
ALAW_CODES, ALAW_SHIFTS = [table[128:] + table[:128] for table in _encoding(0xD5, 4)]
ULAW_CODES, ULAW_SHIFTS = _encoding(0xFF, 3)  # of a sample moved away from zero by 132 and clipped


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

del _b64_words, _bit_lengths, _encoding, _alaw_value, _ulaw_value  # a kilobyte of heap that nobody needs any more

LOUD_PEAK = 64  # a sample of this magnitude is no silence: -54 dB, what G.711 makes of silence stays well below

# The decimating low-pass: a half-band FIR of 35 taps in Q14, the best in the minimax sense for 0-3.4 kHz at 16 kHz.
# Half-band means that every second tap but the middle one is 0 and that the ripple of the pass band equals that of
# the stop band (4.6-8 kHz): 50 dB down, 0.03 dB up. The taps below stand 1, 3, .. 17 samples off the middle.
FIR_MIDDLE = 8192
FIR_SIDES = (5187, -1657, 911, -569, 368, -236, 146, -84, 56)
FIR_TAPS = 35

# State: [0] how many samples the window holds, then the window: unsigned, 32768 is silence, so that one unsigned load
# is enough in native code. The window is FIR_TAPS - 1 samples of history and what is being worked on.
# Behind it stands 1 when A-law codes are wanted.
DECIMATE_CHUNK = 320
_SILENCE = 32768


def decimate2_state(to_alaw=False):
    """A fresh state for decimate2_into: as if silence had gone before. to_alaw: it gives A-law codes, not samples."""
    return array("H", [FIR_TAPS - 2] + [_SILENCE] * (FIR_TAPS - 1 + DECIMATE_CHUNK) + [1 if to_alaw else 0])
