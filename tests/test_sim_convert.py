"""WAV files of any plain shape become microphone clips: same length, same level, nothing folded back."""

import math
import struct

import pytest

from tools.sim import convert
from tools.sim.simworld import wav


def write(path, rate_hz, channels, bits, data, tag=1):
    frame_bytes = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def tone(rate_hz, hz, peak, seconds=0.2):
    return [round(peak * math.sin(2 * math.pi * hz * n / rate_hz)) for n in range(int(rate_hz * seconds))]


def converted(tmp_path, *shape, **options):
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    write(source, *shape, **options)
    convert.to_mic(str(source), str(target))
    clip = wav.Clip(str(target), 16000)
    out = bytearray(2 * clip.frames)
    clip.read_at(0, memoryview(out))
    clip.close()
    return list(struct.unpack("<%dh" % clip.frames, out))


def amplitude(samples, hz):
    """Of one frequency, over the middle of the clip, where no edge rings."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    turn = 2 * math.pi * hz / 16000
    re = sum(x * math.cos(turn * n) for n, x in enumerate(middle))
    im = sum(x * math.sin(turn * n) for n, x in enumerate(middle))
    return 2 * math.hypot(re, im) / len(middle)


@pytest.mark.parametrize("rate_hz", (8000, 11025, 22050, 24000, 44100, 48000))
def test_rate_changes_keep_length_pitch_and_level(tmp_path, rate_hz):
    values = tone(rate_hz, 1000, 10000)
    out = converted(tmp_path, rate_hz, 1, 16, struct.pack("<%dh" % len(values), *values))
    assert abs(len(out) - 3200) <= 2
    assert abs(amplitude(out, 1000) - 10000) < 150


@pytest.mark.parametrize("hz", (9000, 12000, 15000, 20000))
def test_what_is_above_the_new_half_rate_is_gone(tmp_path, hz):
    values = tone(48000, hz, 20000)
    out = converted(tmp_path, 48000, 1, 16, struct.pack("<%dh" % len(values), *values))
    middle = out[len(out) // 4 : -len(out) // 4]
    assert max(map(abs, middle)) < 20, "60 dB down"


def test_stereo_is_mixed(tmp_path):
    frames = [(1000, 3000), (-5, 5), (32767, 32767), (-32768, -32768)]
    data = b"".join(struct.pack("<hh", *frame) for frame in frames)
    assert converted(tmp_path, 16000, 2, 16, data) == [2000, 0, 32767, -32768]


def test_other_widths_keep_their_level(tmp_path):
    assert converted(tmp_path, 16000, 1, 8, bytes((128, 255, 0, 129))) == [0, 127 * 256, -32768, 256]
    assert converted(tmp_path, 16000, 1, 24, b"\0\0\x40" + b"\0\0\x80") == [0x4000, -32768]
    assert converted(tmp_path, 16000, 1, 32, struct.pack("<ii", 1 << 30, -1 << 31)) == [0x4000, -32768]


def test_what_cannot_be_used_is_named_with_its_cure(tmp_path):
    with pytest.raises(wav.WavError, match="in.wav.*compressed.*ffmpeg"):
        converted(tmp_path, 16000, 1, 16, bytes(8), tag=85)
    with pytest.raises(wav.WavError, match="in.wav.*12 bits"):
        converted(tmp_path, 16000, 1, 12, bytes(8))
    with pytest.raises(wav.WavError, match="not a WAV"):
        (tmp_path / "song.wav").write_bytes(b"ID3\4")
        convert.to_mic(str(tmp_path / "song.wav"), str(tmp_path / "out.wav"))
