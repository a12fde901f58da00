"""G.711 A-law and µ-law, written from ITU-T G.711: the cloud's own, so that the device's can be checked against it.

PCM is 16 bits; A-law uses its upper 13, µ-law its upper 14.
"""

from functools import lru_cache

_ULAW_BIAS = 33  # in units of the 14-bit scale
_ULAW_MOST = 8158


def _alaw_to_pcm(code):
    code ^= 0x55
    chord, step = code >> 4 & 7, code & 15
    magnitude = (step << 4) + 8 if chord == 0 else ((step << 4) + 264) << (chord - 1)
    return magnitude if code & 0x80 else -magnitude


def _pcm_to_alaw(sample):
    # The standard decides on 13 bits; a negative value is mirrored as -x-1, so that -1..-16 are its first step.
    value = sample >> 4 if sample >= 0 else ~sample >> 4
    chord = max(0, value.bit_length() - 4)
    code = value if chord == 0 else chord << 4 | value >> (chord - 1) & 15
    return code ^ (0xD5 if sample >= 0 else 0x55)


def _ulaw_to_pcm(code):
    code = ~code & 0xFF
    chord, step = code >> 4 & 7, code & 15
    magnitude = (((step << 1) + _ULAW_BIAS) << chord) - _ULAW_BIAS
    return -magnitude * 4 if code & 0x80 else magnitude * 4


def _pcm_to_ulaw(sample):
    value = min(abs(sample) >> 2, _ULAW_MOST) + _ULAW_BIAS
    chord = value.bit_length() - 6
    code = chord << 4 | value >> (chord + 1) & 15
    return ~(code | (0x80 if sample < 0 else 0)) & 0xFF


ALAW_TO_PCM = tuple(_alaw_to_pcm(code) for code in range(256))
ULAW_TO_PCM = tuple(_ulaw_to_pcm(code) for code in range(256))


@lru_cache(maxsize=None)
def _encoder(encode_one):
    # Indexed by sample & 0xFFFF: 65 536 entries once, then one look-up a sample.
    return bytes(encode_one(i - 65536 if i > 32767 else i) for i in range(65536))


def _encode(samples, encode_one):
    table = _encoder(encode_one)
    return bytes([table[sample & 0xFFFF] for sample in samples])


def encode_alaw(samples):
    """samples: an iterable of -32768..32767; returns one byte for each."""
    return _encode(samples, _pcm_to_alaw)


def encode_ulaw(samples):
    return _encode(samples, _pcm_to_ulaw)


def decode_alaw(data):
    """Returns a list of 16-bit samples, one for each byte."""
    return [ALAW_TO_PCM[code] for code in data]


def decode_ulaw(data):
    return [ULAW_TO_PCM[code] for code in data]
