"""WAV files in and out, streamed, on both interpreters: 16-bit mono PCM and nothing else.

A file of another shape is refused, with its shape and the cure in the text; tools/sim/convert.py is that cure.
"""

import struct

_HEADER_BYTES = 44
_SYNC_EVERY_BYTES = 65536  # how much the header of a growing file may be behind: about 2 s at 16 kHz


class WavError(Exception):
    """The file is not a usable WAV; the text names the file, what it holds and what to do."""


class WavInfo:
    """Shape of a WAV file: rate_hz, channels, bits, is_pcm, frames, data_at (offset of the first sample in bytes)."""

    def __init__(self, rate_hz, channels, bits, is_pcm, frames, data_at):
        self.rate_hz = rate_hz
        self.channels = channels
        self.bits = bits
        self.is_pcm = is_pcm
        self.frames = frames
        self.data_at = data_at


def read_info(file, name):
    """Read the header of an open binary file; WavError when it is not a WAV or its data are cut off."""
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise WavError("%s is not a WAV file: it does not begin with RIFF/WAVE" % name)
    at = 12
    shape = None
    while True:
        chunk = file.read(8)
        if len(chunk) < 8:
            what = "sound (no data chunk)" if shape else "format (no fmt chunk)"
            raise WavError("%s is a truncated WAV file: it ends before its %s" % (name, what))
        kind = chunk[:4]
        size = struct.unpack("<I", chunk[4:])[0]
        at += 8
        if kind == b"data":
            break
        if kind == b"fmt ":
            fmt = file.read(size)
            if size < 16 or len(fmt) < size:
                raise WavError("%s is a truncated WAV file: its format chunk is too short" % name)
            tag, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", fmt[:16])
            is_pcm = tag == 1 or (tag == 0xFFFE and size >= 26 and fmt[24:26] == b"\x01\x00")
            shape = (rate_hz, channels, bits, is_pcm)
        at += size + (size & 1)
        file.seek(at)
    if shape is None:
        raise WavError("%s is not a usable WAV file: its sound comes before its format" % name)
    rate_hz, channels, bits, is_pcm = shape
    if not (rate_hz and channels and bits >= 8):
        raise WavError("%s is not a usable WAV file: %d Hz, %d channels, %d bits" % (name, rate_hz, channels, bits))
    file.seek(0, 2)
    there = file.tell() - at
    if there < size:
        raise WavError(
            "%s is truncated: its header promises %d bytes of sound, the file holds %d. Copy or record it again."
            % (name, size, there)
        )
    return WavInfo(rate_hz, channels, bits, is_pcm, size // (channels * (bits // 8)), at)


class Clip:
    """A 16-bit mono WAV file read in blocks; holds no more of it in memory than the caller's block.

    path     the file; OSError when it cannot be opened
    rate_hz  the only rate accepted; WavError names another one
    """

    def __init__(self, path, rate_hz):
        self.path = path
        self._file = open(path, "rb")
        try:
            self.info = read_info(self._file, path)
            _refuse_other_shapes(path, self.info, rate_hz)
        except WavError:
            self.close()
            raise
        self.frames = self.info.frames
        self._file.seek(self.info.data_at)
        self._at = 0

    def read_at(self, frame, mv):
        """Fill the writable byte view `mv` with s16le samples from `frame` on; returns how many, fewer at the end."""
        if frame != self._at:
            self._file.seek(self.info.data_at + 2 * frame)
        n = min(len(mv) // 2, self.frames - frame)
        if n <= 0:
            return 0
        self._file.readinto(mv[: 2 * n])
        self._at = frame + n
        return n

    def close(self):
        self._file.close()


def _refuse_other_shapes(path, info, rate_hz):
    wanted = "wanted is 16-bit PCM, mono, %d Hz" % rate_hz
    cure = "Convert it (`python -m tools sim` does), for example: ffmpeg -i IN -ar %d -ac 1 OUT.wav" % rate_hz
    if not info.is_pcm:
        raise WavError("%s is a compressed WAV file; %s. %s" % (path, wanted, cure))
    if info.bits != 16:
        raise WavError("%s has %d bits a sample; %s. %s" % (path, info.bits, wanted, cure))
    if info.channels != 1:
        raise WavError("%s has %d channels; %s. %s" % (path, info.channels, wanted, cure))
    if info.rate_hz != rate_hz:
        raise WavError("%s has %d Hz; %s. %s" % (path, info.rate_hz, wanted, cure))


def header(rate_hz, data_bytes):
    """The 44 bytes before the samples of a 16-bit mono file."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + data_bytes, b"WAVE", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16, b"data", data_bytes,
    )  # fmt: skip


class Writer:
    """A 16-bit mono WAV file that grows; its header is brought up to date every 2 s and by `close`.

    So a run that is killed leaves a file that any player opens, short of its last 2 s at most.
    """

    def __init__(self, path, rate_hz):
        self.path = path
        self.rate_hz = rate_hz
        self.data_bytes = 0
        self._synced_bytes = 0
        self._file = open(path, "wb")
        self._file.write(header(rate_hz, 0))

    def write(self, mv):
        """Append whole samples (any bytes-like object with an even number of bytes)."""
        self._file.write(mv)
        self.data_bytes += len(mv)
        if self.data_bytes - self._synced_bytes >= _SYNC_EVERY_BYTES:
            self.sync()

    def sync(self):
        """Make the header true for what was written so far."""
        self._file.seek(0)
        self._file.write(header(self.rate_hz, self.data_bytes))
        self._file.seek(0, 2)
        self._file.flush()
        self._synced_bytes = self.data_bytes

    def close(self):
        """May be called twice."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None
