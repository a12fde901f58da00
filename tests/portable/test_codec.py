"""The codecs' face: sizes, rates, silence. What the laws and the filter do is tested with the kernels."""

from check import assert_no_allocation, raises
from fake_audio import Place, coded, pcm, ramp, samples_of
from firmware.audio import codec


def test_pcm_goes_up_as_it_is():
    c = codec.uplink("pcm")
    data = pcm(ramp(0, 320))
    assert coded(c, data) == data and c.frame_bytes == 640
    assert (c.rate_hz, c.bytes_per_s, c.silence) == (16000, 32000, 0)


def test_g711_halves_the_rate_and_codes_a_byte_a_sample():
    for name, silence in (("g711a", 0xD5), ("g711u", 0xFF)):
        c = codec.uplink(name)
        assert (c.name, c.rate_hz, c.bytes_per_s, c.frame_bytes, c.silence) == (name, 8000, 8000, 160, silence)
        assert coded(c, bytes(640)) == bytes([silence] * 160)


def test_the_low_pass_hears_frames_as_one_stream():
    data = pcm(ramp(0, 640))
    for name in ("g711a", "g711u"):
        whole = codec.uplink(name)
        coded(whole, data[:640])
        second = coded(whole, data[640:])
        pieces = codec.uplink(name)
        got = b""
        for at in range(0, 1280, 320):
            got += coded(pieces, data[at : at + 320])
        assert got[160:] == second
        assert coded(codec.uplink(name), data[640:]) != second, "without its past the filter would start from silence"


def test_downlink_codecs_give_samples():
    c = codec.downlink("pcm", 24000)
    assert (c.rate_hz, c.bytes_per_sample, c.bytes_per_s) == (24000, 2, 48000)
    dst = bytearray(20)
    assert c.play_into(pcm(ramp(0, 100)), 50, 10, dst, 0, c.volume(4096)) == 1
    assert samples_of(dst) == ramp(25, 10)
    assert c.play_into(pcm([3, -3, 20000] + [0] * 7), 0, 10, dst, 0, c.volume(8192)) == 1
    assert list(samples_of(dst)) == [6, -6, 32767] + [0] * 7
    for name, zero, loud in (("g711a", 8, 0xAA), ("g711u", 0, 0x80)):
        c = codec.downlink(name, 24000)
        assert (c.rate_hz, c.bytes_per_sample, c.bytes_per_s) == (8000, 1, 8000)
        for gain in (4096, 8192, 0):
            assert c.play_into(bytes([c.silence] * 10), 0, 10, dst, 0, c.volume(gain)) == 0
            assert list(samples_of(dst)) == [zero * gain >> 12] * 10
        assert c.play_into(bytes([loud]), 0, 1, dst, 0, c.volume(2048)) == 1
        assert samples_of(dst)[0] in (16128, 16062)  # half of the largest output of each law


def test_unknown_codecs_and_rates_are_refused():
    with raises(ValueError, "opus"):
        codec.uplink("opus")
    with raises(ValueError, "opus"):
        codec.downlink("opus", 24000)
    with raises(ValueError, "11025"):
        codec.downlink("pcm", 11025)


def play(c, place, data, volume):
    c.play_into(place.buf, 0, 100, data, 0, volume)


def test_coding_allocates_nothing():
    data = bytearray(pcm(ramp(0, 320)))
    place = Place(bytes(640))
    for name in ("pcm", "g711a", "g711u"):
        assert_no_allocation(codec.uplink(name).encode, data, 640, place)
        c = codec.downlink(name, 16000)
        assert_no_allocation(play, c, place, data, c.volume(2007))
        assert_no_allocation(c.volume, 4096)
