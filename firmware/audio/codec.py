"""The codecs of the wire behind one face: PCM s16le and G.711, uplink and downlink.

An uplink codec takes the microphone's 16 kHz, a downlink codec gives samples at its own rate. No object here waits,
and none allocates after its constructor.
"""

from array import array

from kernels import (
    ALAW_VALUES,
    ULAW_VALUES,
    copy_into,
    decimate2_into,
    decimate2_state,
    expand_into,
    scale_into,
    ulaw_encode_into,
)

from ..compat import const

PCM = "pcm"
G711A = "g711a"
G711U = "g711u"

MIC_HZ = const(16000)
FRAME_MS = const(20)
FRAME_SAMPLES = const(320)  # of the microphone, in FRAME_MS
FRAME_BYTES = const(640)

_G711_HZ = const(8000)
_ALAW_SILENCE = const(0xD5)
_ULAW_SILENCE = const(0xFF)


def gain_q12(volume_percent):
    """4096 leaves samples as they are. The gain is the square of the setting, because loudness is heard in ratios: equal
    steps of a linear one would all crowd at the upper end. 70 is -6 dB, 150 is +7 dB and may saturate.
    """
    if not 0 <= volume_percent <= 150:
        raise ValueError("the volume is 0..150 percent, not %d" % volume_percent)
    return (volume_percent * volume_percent << 12) // 10_000


def uplink(name):
    """A new uplink codec: PCM, G711A or G711U. It carries the low-pass of one stream: one microphone, one codec."""
    if name == PCM:
        return PCMUplink()
    if name == G711A:
        return ALawUplink()
    if name == G711U:
        return MuLawUplink()
    raise ValueError("no uplink codec is called %r" % (name,))


def downlink(name, hz):
    """A downlink codec; hz is the rate of PCM, G.711 is always 8000."""
    if name == PCM:
        return PCMDownlink(hz)
    if name == G711A:
        return G711Downlink(name, ALAW_VALUES, _ALAW_SILENCE)
    if name == G711U:
        return G711Downlink(name, ULAW_VALUES, _ULAW_SILENCE)
    raise ValueError("no downlink codec is called %r" % (name,))


class PCMUplink:
    name = PCM
    is_pcm = True
    rate_hz = MIC_HZ
    bytes_per_sample = 2
    bytes_per_s = 32000
    frame_bytes = FRAME_BYTES  # on the wire, for FRAME_MS
    silence = 0  # the byte that stands for silence

    def encode(self, src, n, place):
        """The first n bytes of src, 16 kHz s16le, to place.buf from place.put_at on. Returns the bytes written."""
        return copy_into(src, 0, n, place.buf, place.put_at)


class ALawUplink:
    name = G711A
    is_pcm = False
    rate_hz = _G711_HZ
    bytes_per_sample = 1
    bytes_per_s = 8000
    frame_bytes = 160
    silence = _ALAW_SILENCE

    def __init__(self):
        self._state = decimate2_state(True)

    def encode(self, src, n, place):
        """As PCMUplink.encode of at most FRAME_BYTES: low-pass, every second sample, G.711.

        Frames that follow each other must be given in order: the low-pass remembers.
        """
        # Here and below, locals and stack fit into 11 words: MicroPython takes a larger frame from the heap.
        return decimate2_into(src, 0, n >> 1, place.buf, place.put_at, self._state)


class MuLawUplink(ALawUplink):
    name = G711U
    silence = _ULAW_SILENCE

    def __init__(self):
        self._state = decimate2_state()
        self._narrow = bytearray(FRAME_BYTES // 2)

    def encode(self, src, n, place):
        """As ALawUplink.encode."""
        n = decimate2_into(src, 0, n >> 1, self._narrow, 0, self._state)
        return ulaw_encode_into(self._narrow, 0, n, place.buf, place.put_at)


class PCMDownlink:
    """play_into(src, src_at, n_samples, dst, dst_at, volume): wire bytes to samples, louder or softer, in one pass over
    them. volume: what volume() gives. Returns 1 when a sample reaches kernels_tables.LOUD_PEAK, else 0. src may be dst
    when the last byte read lies no lower than the last byte written. The G.711 codec has the same face.
    """

    name = PCM
    is_pcm = True
    bytes_per_sample = 2
    silence = 0

    def __init__(self, hz):
        if hz not in (8000, 16000, 24000):
            raise ValueError("PCM is played at 8000, 16000 or 24000 Hz, not %r" % (hz,))
        self.rate_hz = hz
        self.bytes_per_s = 2 * hz
        self.play_into = scale_into

    def volume(self, gain):
        """gain: 4096 leaves samples as they are, up to 32767."""
        return gain


class G711Downlink:
    is_pcm = False
    rate_hz = _G711_HZ
    bytes_per_sample = 1
    bytes_per_s = 8000

    def __init__(self, name, values, silence):
        self.name = name
        self.silence = silence
        self.play_into = expand_into
        self._values = values
        self._scaled = array("h", values)

    def volume(self, gain):
        """As PCMDownlink.volume; a table of samples: the same one each time, so what it gave before changes too."""
        scale_into(self._values, 0, 256, self._scaled, 0, gain)
        return self._scaled
