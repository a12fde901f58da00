"""The codecs of the wire behind one face: PCM s16le and G.711, uplink and downlink.

An uplink codec takes the microphone's 16 kHz, a downlink codec gives samples at its own rate. No object here waits,
and none allocates after its constructor.
"""

from kernels import (
    alaw_decode_into,
    alaw_encode_into,
    copy_into,
    decimate2_into,
    decimate2_state,
    ulaw_decode_into,
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


def uplink(name):
    """A new uplink codec: PCM, G711A or G711U. It carries the low-pass of one stream: one microphone, one codec."""
    if name == PCM:
        return PCMUplink()
    if name == G711A:
        return G711Uplink(name, alaw_encode_into, _ALAW_SILENCE)
    if name == G711U:
        return G711Uplink(name, ulaw_encode_into, _ULAW_SILENCE)
    raise ValueError("no uplink codec is called %r" % (name,))


def downlink(name, hz):
    """A downlink codec; hz is the rate of PCM, G.711 is always 8000."""
    if name == PCM:
        return PCMDownlink(hz)
    if name == G711A:
        return G711Downlink(name, alaw_decode_into, _ALAW_SILENCE)
    if name == G711U:
        return G711Downlink(name, ulaw_decode_into, _ULAW_SILENCE)
    raise ValueError("no downlink codec is called %r" % (name,))


class PCMUplink:
    name = PCM
    is_pcm = True
    rate_hz = MIC_HZ
    bytes_per_sample = 2
    bytes_per_s = 32000
    frame_bytes = FRAME_BYTES  # on the wire, for FRAME_MS
    silence = 0  # the byte that stands for silence

    def encode_into(self, src, n_samples, dst):
        """n_samples of 16 kHz s16le at the start of src to the start of dst. Returns the bytes written."""
        return copy_into(src, 0, 2 * n_samples, dst, 0)


class G711Uplink:
    is_pcm = False
    rate_hz = _G711_HZ
    bytes_per_sample = 1
    bytes_per_s = 8000
    frame_bytes = 160

    def __init__(self, name, law_encode_into, silence):
        self.name = name
        self.silence = silence
        self._law_encode_into = law_encode_into
        self._state = decimate2_state()
        self._narrow = bytearray(FRAME_BYTES // 2)

    def encode_into(self, src, n_samples, dst):
        """n_samples, at most FRAME_SAMPLES, of 16 kHz s16le at the start of src: low-pass, every second sample, G.711.

        Frames that follow each other must be given in order: the low-pass remembers. Returns the bytes written.
        """
        n = decimate2_into(src, 0, n_samples, self._narrow, 0, self._state)
        return self._law_encode_into(self._narrow, 0, n, dst, 0)


class PCMDownlink:
    name = PCM
    is_pcm = True
    bytes_per_sample = 2
    silence = 0

    def __init__(self, hz):
        if hz not in (8000, 16000, 24000):
            raise ValueError("PCM is played at 8000, 16000 or 24000 Hz, not %r" % (hz,))
        self.rate_hz = hz
        self.bytes_per_s = 2 * hz

    def decode_into(self, src, src_at, n_samples, dst, dst_at):
        """The wire's bytes are the samples; nothing is copied where they lie already. Returns n_samples."""
        if src is not dst or src_at != dst_at:
            copy_into(src, src_at, 2 * n_samples, dst, dst_at)
        return n_samples


class G711Downlink:
    is_pcm = False
    rate_hz = _G711_HZ
    bytes_per_sample = 1
    bytes_per_s = 8000

    def __init__(self, name, law_decode_into, silence):
        self.name = name
        self.silence = silence
        self.decode_into = law_decode_into
