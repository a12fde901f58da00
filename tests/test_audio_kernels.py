"""The kernels against references that share nothing with them: the tables of ITU-T G.711, binascii, measurements."""

import base64
import warnings
from array import array

import kernels_host
import kernels_py
import kernels_tables
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

KERNELS = (kernels_py, kernels_host)
ALL_VALUES = range(-32768, 32768)


def encode(kernel, law, values):
    pcm = array("h", values).tobytes()
    codes = bytearray(len(values))
    getattr(kernel, law + "_encode_into")(pcm, 0, len(values), codes, 0)
    return bytes(codes)


def decode(kernel, law, codes):
    pcm = bytearray(2 * len(codes))
    values = kernels_tables.ALAW_VALUES if law == "alaw" else kernels_tables.ULAW_VALUES
    kernel.expand_into(codes, 0, len(codes), pcm, 0, values)
    return array("h", bytes(pcm)).tolist()


def alaw_intervals():
    """G.711 table 1a on the 13-bit scale (4096 is the overload point): [(decision value, output value)]."""
    rows = [(2 * i, 2 * i + 1) for i in range(16)]  # segment 1 continues segment 0 at the same step
    for segment in range(1, 8):
        step = 2 << (segment - 1)
        start = 32 << (segment - 1)
        rows += [(start + step * i, start + step * i + step // 2) for i in range(16)]
    return rows


def ulaw_intervals():
    """G.711 table 2a on the 14-bit scale (8159 is the overload point): decision values 0 1 3 .. 31, 35 39 .. 95, ..."""
    rows = [(0, 0)] + [(2 * i - 1, 2 * i) for i in range(1, 16)]
    start = 31
    for segment in range(1, 8):
        step = 2 << segment
        rows += [(start + step * i, start + step * i + step // 2) for i in range(16)]
        start += 16 * step
    assert start == 8159
    return rows


def reference_codes(law):
    """The code of every 16-bit value, by looking into which interval of the table it falls.

    A negative value on a decision value belongs to the interval nearer to zero, as the ITU's own tool has it (G.191:
    the ones' complement is taken before the lower bits are dropped).
    """
    rows, scale = (alaw_intervals(), 8) if law == "alaw" else (ulaw_intervals(), 4)
    decisions = numpy.array([scale * row[0] for row in rows])
    values = numpy.arange(-32768, 32768)
    magnitudes = numpy.where(values < 0, -values - 1, values)
    if law == "ulaw":
        # Signed zero aside, all magnitudes of one 14-bit step are one input value.
        magnitudes = magnitudes // scale * scale
    interval = numpy.searchsorted(decisions, magnitudes, side="right") - 1
    sign = numpy.where(values < 0, 0, 0x80)
    if law == "alaw":
        return (interval | sign) ^ 0x55  # character signal 1: even bits inverted
    return sign | (0x7F - interval)  # mu-law sends the magnitude inverted


def reference_values(law):
    rows, scale = (alaw_intervals(), 8) if law == "alaw" else (ulaw_intervals(), 4)
    values = {}
    for interval, (_, output) in enumerate(rows):
        if law == "alaw":
            values[(interval | 0x80) ^ 0x55] = scale * output
            values[interval ^ 0x55] = -scale * output
        else:
            values[0xFF - interval] = scale * output
            values[0x7F - interval] = -scale * output
    return [values[code] for code in range(256)]


@pytest.mark.parametrize("law", ["alaw", "ulaw"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_g711_encodes_all_65536_values_as_the_itu_tables_say(kernel, law):
    codes = numpy.frombuffer(encode(kernel, law, ALL_VALUES), dtype=numpy.uint8)
    assert (codes == reference_codes(law)).all()


@pytest.mark.parametrize("law", ["alaw", "ulaw"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_g711_decodes_all_256_codes_as_the_itu_tables_say(kernel, law):
    assert decode(kernel, law, bytes(range(256))) == reference_values(law)


def test_g711_agrees_with_the_standard_library_where_it_still_has_it():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="removed in Python 3.13")
    pcm = array("h", ALL_VALUES).tobytes()
    codes = bytes(range(256))
    assert audioop.lin2alaw(pcm, 2) == encode(kernels_py, "alaw", ALL_VALUES)
    assert audioop.alaw2lin(codes, 2) == array("h", decode(kernels_py, "alaw", codes)).tobytes()
    assert audioop.ulaw2lin(codes, 2) == array("h", decode(kernels_py, "ulaw", codes)).tobytes()


@pytest.mark.parametrize("law", ["alaw", "ulaw"])
def test_g711_never_errs_by_more_than_half_a_step(law):
    codes = encode(kernels_py, law, ALL_VALUES)
    for value, decoded in zip(ALL_VALUES, decode(kernels_py, law, codes)):
        largest_step = max(16, abs(value) // 16 + 16)
        if abs(value) < 32124:  # beyond it the code is saturated
            assert abs(value - decoded) <= largest_step // 2 + 8, value


@given(st.binary(max_size=200), st.integers(0, 7), st.integers(0, 7))
def test_base64_equals_the_standard_library(data, src_at, dst_at):
    for kernel in KERNELS:
        dst_at += 4  # behind a mask key of zeros
        text = bytearray(dst_at + (len(data) + 2) // 3 * 4)
        n = kernel.b64_message_into(bytes(src_at) + data, src_at, len(data), bytes(2), text, dst_at)
        assert bytes(text[dst_at : dst_at + n]) == base64.b64encode(data)
        back = bytearray(len(data))
        assert kernel.b64_decode_into(text, dst_at, n, back, 0) == len(data)
        assert back == data


@given(st.binary(max_size=40))
def test_base64_refuses_what_a_strict_decoder_refuses(text):
    try:
        expected = base64.b64decode(text, validate=True)
    except ValueError:
        expected = None
    if len(text) % 4:
        expected = None
    for kernel in KERNELS:
        dst = bytearray(len(text))
        n = kernel.b64_decode_into(text, 0, len(text), dst, 0)
        assert (bytes(dst[:n]) if n >= 0 else None) == expected


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.integers(0, 7))
def test_masking_twice_is_nothing(data, key, at):
    for kernel in KERNELS:
        buf = bytearray(at) + key + bytearray(data)
        start = at + 4
        kernel.xor_mask(buf, start, len(data))
        assert bytes(buf[start:]) == bytes(b ^ key[i % 4] for i, b in enumerate(data))
        kernel.xor_mask(buf, start, len(data))
        assert buf == bytearray(at) + key + data


@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=60),
    st.integers(0, 32767),
    st.integers(1, 14),
)
def test_scaling_is_exact_rounding_and_saturation(values, gain, shift):
    expected = [max(-32768, min(32767, (value * gain + (1 << shift >> 1)) >> shift)) for value in values]
    for kernel in KERNELS:
        buf = bytearray(array("h", values).tobytes())
        peak = kernel.scale_peak(buf, 0, len(values), gain, shift)
        assert array("h", bytes(buf)).tolist() == expected
        assert peak == max(abs(value) for value in expected)


@given(st.binary(max_size=1500), st.lists(st.integers(0, 400), max_size=20))
def test_decimation_does_not_care_how_the_stream_is_cut(data, cuts):
    n_samples = len(data) // 2
    expected = bytearray(n_samples + 2)
    n = kernels_py.decimate2_into(data, 0, n_samples, expected, 0, kernels_tables.decimate2_state())
    assert n == n_samples // 2
    for kernel in KERNELS:
        state = kernels_tables.decimate2_state()
        out = bytearray(n_samples + 2)
        done = written = 0
        for size in [*cuts, n_samples]:
            size = min(size, n_samples - done)
            written += kernel.decimate2_into(data, 2 * done, size, out, 2 * written, state)
            done += size
        assert written == n
        assert out == expected


# -- the low-pass before G.711


def response_db(impulse, hz):
    phase = numpy.exp(-2j * numpy.pi * numpy.outer(hz, numpy.arange(len(impulse))) / 16000)
    return 20 * numpy.log10(numpy.abs(phase @ impulse) + 1e-9)


def impulse_response():
    """What comes out of the kernel for one sample of known height; two runs give the even and the odd taps."""
    height = 16384
    response = numpy.zeros(80)
    for delay in (0, 1):
        pcm = numpy.zeros(80, dtype="<i2")
        pcm[delay] = height
        out = bytearray(80)
        assert kernels_py.decimate2_into(pcm.tobytes(), 0, 80, out, 0, kernels_tables.decimate2_state()) == 40
        response[1 - delay :: 2] = numpy.frombuffer(bytes(out), dtype="<i2") / height
    return response


def test_the_low_pass_keeps_speech_and_stops_what_would_alias():
    impulse = impulse_response()
    assert numpy.count_nonzero(impulse) <= kernels_tables.FIR_TAPS
    passband = response_db(impulse, numpy.arange(0, 3401, 10))
    stopband = response_db(impulse, numpy.arange(4600, 8001, 10))
    print("pass band %+.2f..%+.2f dB, stop band %.1f dB" % (passband.min(), passband.max(), stopband.max()))
    assert abs(passband).max() <= 1.0
    assert stopband.max() <= -40.0
