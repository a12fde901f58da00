"""The codecs' face: sizes, rates, silence. What the laws and the filter do is tested with the kernels."""

from check import assert_no_allocation, raises
from fake_audio import pcm, ramp, samples_of
from firmware.audio import codec


def test_pcm_goes_up_as_it_is():
    c = codec.uplink("pcm")
    data = pcm(ramp(0, 320))
    dst = bytearray(640)
    assert c.encode_into(data, 320, dst) == 640 == c.frame_bytes
    assert dst == data
    assert (c.rate_hz, c.bytes_per_s, c.silence) == (16000, 32000, 0)


def test_g711_halves_the_rate_and_codes_a_byte_a_sample():
    for name, silence in (("g711a", 0xD5), ("g711u", 0xFF)):
        c = codec.uplink(name)
        assert (c.name, c.rate_hz, c.bytes_per_s, c.frame_bytes, c.silence) == (name, 8000, 8000, 160, silence)
        dst = bytearray(160)
        assert c.encode_into(bytes(640), 320, dst) == 160
        assert dst == bytes([silence] * 160)


def test_the_low_pass_hears_frames_as_one_stream():
    data = pcm(ramp(0, 640))
    for name in ("g711a", "g711u"):
        whole = codec.uplink(name)
        out = bytearray(320)
        whole.encode_into(data, 320, out)
        second = bytearray(160)
        whole.encode_into(data[640:], 320, second)
        pieces = codec.uplink(name)
        got = bytearray()
        for at in range(0, 1280, 320):
            n = pieces.encode_into(data[at : at + 320], 160, out)
            got += out[:n]
        assert got[160:] == second
        fresh = bytearray(160)
        codec.uplink(name).encode_into(data[640:], 320, fresh)
        assert fresh != second, "without its past the filter would start from silence"


def test_downlink_codecs_give_samples():
    c = codec.downlink("pcm", 24000)
    assert (c.rate_hz, c.bytes_per_sample, c.bytes_per_s) == (24000, 2, 48000)
    buf = pcm(ramp(0, 100))
    assert c.decode_into(buf, 0, 100, buf, 0) == 100 and buf == pcm(ramp(0, 100))
    dst = bytearray(20)
    c.decode_into(buf, 50, 10, dst, 0)
    assert samples_of(dst) == ramp(25, 10)
    for name, zero in (("g711a", 8), ("g711u", 0)):
        c = codec.downlink(name, 24000)
        assert (c.rate_hz, c.bytes_per_sample, c.bytes_per_s) == (8000, 1, 8000)
        c.decode_into(bytes([c.silence] * 10), 0, 10, dst, 0)
        assert list(samples_of(dst)) == [zero] * 10


def test_unknown_codecs_and_rates_are_refused():
    with raises(ValueError, "opus"):
        codec.uplink("opus")
    with raises(ValueError, "opus"):
        codec.downlink("opus", 24000)
    with raises(ValueError, "11025"):
        codec.downlink("pcm", 11025)


def test_coding_allocates_nothing():
    data = bytearray(pcm(ramp(0, 320)))
    dst = bytearray(640)
    for name in ("pcm", "g711a", "g711u"):
        assert_no_allocation(codec.uplink(name).encode_into, data, 320, dst)
        assert_no_allocation(codec.downlink(name, 16000).decode_into, dst, 0, 100, data, 0)
