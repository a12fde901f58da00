"""Every implementation of the kernels that this interpreter can run: the same answers, and not a byte beside them."""

from array import array

import kernels
import kernels_py
import kernels_tables
from check import assert_no_allocation, seeded_bytes

_GUARD = 0xAA
_random_bytes = seeded_bytes(7)


def implementations(*others):
    """The portable one, and of the others what this interpreter can run."""
    found = [kernels_py]
    for name in others:
        try:
            found.append(__import__(name))
        except (ImportError, SyntaxError):
            pass
    return found


ALL = implementations("kernels_viper", "kernels_host")


class Guarded:
    """A destination of n bytes at an offset, with guard zones before and behind it."""

    def __init__(self, n, at=0, content=None):
        self.at = 8 + at
        self.n = n
        self.buf = bytearray([_GUARD] * (n + at + 16))
        if content is not None:
            self.buf[self.at : self.at + n] = content

    def bytes(self):
        before = self.buf[: self.at]
        behind = self.buf[self.at + self.n :]
        assert before == bytes([_GUARD] * len(before)), "wrote before the destination"
        assert behind == bytes([_GUARD] * len(behind)), "wrote behind the destination"
        return bytes(self.buf[self.at : self.at + self.n])


def s16(values):
    out = bytearray()
    for value in values:
        out.append(value & 0xFF)
        out.append(value >> 8 & 0xFF)
    return bytes(out)


def ints(data):
    values = []
    for i in range(0, len(data), 2):
        value = data[i] | data[i + 1] << 8
        values.append(value - 0x10000 if value & 0x8000 else value)
    return values


def shifted(data, at):
    """The same bytes `at` bytes into a buffer."""
    return bytearray(at) + bytearray(data)


def message(kernel, data, src_at=0, dst_at=0, key=bytes(4), before=b"", behind=b""):
    """What b64_message_into writes, key included."""
    n = len(before) + (len(data) + 2) // 3 * 4 + len(behind)
    dst = Guarded(4 + n, dst_at, key + bytes([_GUARD] * n))
    around = bytes([len(before), len(behind)]) + before + behind
    assert kernel.b64_message_into(shifted(data, src_at), src_at, len(data), around, dst.buf, dst.at + 4) == n
    return dst.bytes()


def b64(kernel, data, src_at=0, dst_at=0):
    return message(kernel, data, src_at, dst_at)[4:]


def unb64(kernel, text, n_room=None):
    dst = Guarded(len(text) // 4 * 3 if n_room is None else n_room)
    n = kernel.b64_decode_into(text, 0, len(text), dst.buf, dst.at)
    return bytes(dst.bytes()[:n]) if n >= 0 else None


def test_the_seam_offers_every_kernel_and_names_the_implementation():
    assert kernels.IMPLEMENTATION in ("viper", "host", "portable")
    for name in ("copy_into", "b64_message_into", "b64_decode_into", "xor_mask", "scale_peak", "decimate2_into"):
        assert hasattr(kernels, name)
        for kernel in ALL:
            assert hasattr(kernel, name), (kernel, name)


def test_base64_known_answers_of_rfc_4648():
    for kernel in ALL:
        for data, text in (
            (b"", b""), (b"f", b"Zg=="), (b"fo", b"Zm8="), (b"foo", b"Zm9v"), (b"foob", b"Zm9vYg=="),
            (b"fooba", b"Zm9vYmE="), (b"foobar", b"Zm9vYmFy"), (b"\xfb\xff\xfe", b"+//+"),
        ):  # fmt: skip
            assert b64(kernel, data) == text, (kernel, data)
            assert unb64(kernel, text, len(data)) == data, (kernel, text)


def test_base64_round_trip_at_every_length_and_offset():
    for kernel in ALL:
        for n in range(0, 20):
            data = _random_bytes(n)
            for at in range(4):
                text = Guarded((n + 2) // 3 * 4, 3 - at, b64(kernel, data, at, 3 - at))
                assert text.bytes() == b64(kernels_py, data)
                back = Guarded(n, at)
                assert kernel.b64_decode_into(text.buf, text.at, text.n, back.buf, back.at) == n
                assert back.bytes() == data


def test_base64_decodes_in_place():
    data = bytes(range(256)) + b"\x01\x02"
    for kernel in ALL:
        text = b64(kernel, data)
        for gap in (0, 1, 5):
            buf = Guarded(len(text) + gap, 1)
            buf.buf[buf.at + gap : buf.at + gap + len(text)] = text
            n = kernel.b64_decode_into(buf.buf, buf.at + gap, len(text), buf.buf, buf.at)
            assert n == len(data)
            assert buf.bytes()[:n] == data


def test_base64_refuses_every_illegal_character_at_every_place():
    legal = kernels_tables.B64_CHARS
    for kernel in ALL:
        for place in range(20):
            text = bytearray(b"QUJDREVGQUJDREVGQUJD")
            for character in range(256):
                text[place] = character
                is_legal = bytes([character]) in legal or (character == 61 and place == 19)
                assert (unb64(kernel, text, 15) is not None) == is_legal, (kernel, place, character)


def test_base64_refuses_wrong_lengths_and_bad_padding():
    for kernel in ALL:
        for text in (b"Q", b"QU", b"QUJ", b"QUJDR", b"====", b"A===", b"QQ==QUJD", b"QQ=A", b"=QUJ", b"QUJD\n\n\n\n"):
            assert unb64(kernel, text) is None, (kernel, text)
        for text in (b"QR==", b"QUJ="):  # bits that padding leaves over are nobody's data
            assert unb64(kernel, text) is not None, (kernel, text)


def test_base64_is_decoded_up_to_what_is_no_base64_and_says_how_far():
    data = bytes((i * 91 & 0xFF) for i in range(60))
    for kernel in ALL:
        text = b64(kernel, data)
        for n in range(0, len(text) + 1):
            for trap in (b'"', b"=", b"\\", b"\xff"):
                src = text[:n] + trap + b"A" * (3 + -n % 4)
                dst = Guarded(n // 4 * 3)
                assert kernel.b64_decode_into(src, 0, len(src), dst.buf, dst.at) == ~(n // 4 * 3), (kernel, n, trap)
                assert dst.bytes() == data[: n // 4 * 3]
        assert kernel.b64_decode_into(text, 0, 3, bytearray(3), 0) == ~0


def test_xor_mask_follows_the_key_from_the_first_byte_at_every_offset_and_length():
    key = b"\x37\xfa\x21\x3d"
    for kernel in ALL:
        for n in list(range(0, 43)) + [126, 931]:
            data = _random_bytes(n)
            for at in range(4):
                buf = Guarded(4 + n, at, key + data)
                kernel.xor_mask(buf.buf, buf.at + 4, n)
                assert buf.bytes() == key + bytes([data[i] ^ key[i % 4] for i in range(n)]), (kernel, n, at)
                kernel.xor_mask(buf.buf, buf.at + 4, n)
                assert buf.bytes() == key + data
    for kernel in ALL:  # RFC 6455 5.7: the masked "Hello"
        buf = Guarded(9, 0, key + b"Hello")
        kernel.xor_mask(memoryview(buf.buf), buf.at + 4, 5)
        assert buf.bytes() == key + b"\x7f\x9f\x4d\x51\x58"


def test_a_base64_message_is_masked_from_its_first_byte_at_every_offset_and_length():
    key = b"\x37\xfa\x21\x9d"
    for kernel in ALL:
        for n in list(range(0, 27)) + [160, 640]:
            data = _random_bytes(n)
            for at in range(4):
                for before, behind in ((b"", b""), (b"{'a'" * (at + 1), b"'}}"), (b"0123" * 17, b"}")):
                    plain = before + b64(kernels_py, data) + behind
                    masked = key + bytes([plain[i] ^ key[i % 4] for i in range(len(plain))])
                    assert message(kernel, data, 3 - at, at, key, before, behind) == masked, (kernel, n, at)


def test_copy_into_at_every_offset_and_within_one_buffer():
    for kernel in ALL:
        for n in list(range(0, 43)) + [640]:
            data = _random_bytes(n)
            for at in range(4):
                for dst_at in range(4):
                    dst = Guarded(n, dst_at)
                    assert kernel.copy_into(shifted(data, at), at, n, dst.buf, dst.at) == n
                    assert dst.bytes() == data, (kernel, n, at, dst_at)
    data = bytes(range(100, 123))
    for kernel in ALL:
        buf = bytearray(data)
        kernel.copy_into(buf, 3, 20, buf, 0)
        assert buf[:20] == data[3:]
        kernel.copy_into(buf, 0, 0, buf, 5)
        assert buf[:20] == data[3:]


def test_g711_known_codes():
    for kernel in ALL:
        for value, alaw, ulaw in (
            (0, 0xD5, 0xFF), (-1, 0x55, 0x7F), (32767, 0xAA, 0x80), (-32768, 0x2A, 0x00),
            (16, 0xD4, 0xFD), (-16, 0x55, 0x7D), (1000, 0xFA, 0xCE), (-1000, 0x7A, 0x4E),
        ):  # fmt: skip
            codes = Guarded(2)
            kernel.alaw_encode_into(s16([value]), 0, 1, codes.buf, codes.at)
            kernel.ulaw_encode_into(s16([value]), 0, 1, codes.buf, codes.at + 1)
            assert codes.bytes() == bytes([alaw, ulaw]), (kernel, value, codes.bytes())


def test_g711_every_code_survives_decoding_and_encoding():
    codes = bytes(range(256))
    for kernel in ALL:
        for values, encode, twin in (
            (kernels_tables.ALAW_VALUES, kernel.alaw_encode_into, None),
            (kernels_tables.ULAW_VALUES, kernel.ulaw_encode_into, 0x7F),  # mu-law has two zeros: 7F comes back as FF
        ):
            pcm = Guarded(512, 1)
            assert kernel.expand_into(codes, 0, 256, pcm.buf, pcm.at, values) == 1
            back = Guarded(256, 3)
            assert encode(pcm.bytes(), 0, 256, back.buf, back.at) == 256
            expected = bytearray(codes)
            if twin is not None:
                expected[twin] = 0xFF
            assert back.bytes() == bytes(expected), kernel


def test_g711_implementations_agree_at_every_offset_and_count():
    for kernel in ALL:
        for n in list(range(0, 14)) + [160]:
            pcm = _random_bytes(2 * n)
            for at in range(4):
                source = shifted(pcm, at)
                for name, values in (("alaw", kernels_tables.ALAW_VALUES), ("ulaw", kernels_tables.ULAW_VALUES)):
                    coded = Guarded(n, 3 - at)
                    assert getattr(kernel, name + "_encode_into")(source, at, n, coded.buf, coded.at) == n
                    expected = Guarded(n)
                    getattr(kernels_py, name + "_encode_into")(source, at, n, expected.buf, expected.at)
                    assert coded.bytes() == expected.bytes()
                    back = Guarded(2 * n, at)
                    is_loud = kernel.expand_into(coded.buf, coded.at, n, back.buf, back.at, values)
                    expected = Guarded(2 * n)
                    assert is_loud == kernels_py.expand_into(coded.buf, coded.at, n, expected.buf, expected.at, values)
                    assert back.bytes() == expected.bytes()


def test_a_block_is_loud_from_its_first_loud_sample_on_either_side_of_zero():
    values = array("h", [0] * 256)
    for kernel in ALL:
        for value, is_loud in ((63, 0), (64, 1), (-63, 0), (-64, 1), (-32768, 1), (32767, 1)):
            values[7] = value
            for place in (0, 5, 10):
                codes = bytearray(11)
                codes[place] = 7
                samples = [values[code] for code in codes]
                for at in range(4):
                    dst = Guarded(22, at)
                    assert kernel.expand_into(shifted(codes, at), at, 11, dst.buf, dst.at, values) == is_loud
                    assert ints(dst.bytes()) == samples
                    assert kernel.scale_into(shifted(s16(samples), at), at, 11, dst.buf, dst.at, 4096) == is_loud
                    assert ints(dst.bytes()) == samples
                assert kernel.scale_into(s16(samples), 0, 11, dst.buf, dst.at, 0) == 0


def test_playing_at_a_volume_is_exact_at_every_offset_count_and_gain():
    for kernel in ALL:
        for gain in (0, 1, 2007, 4095, 4096, 4097, 9216, 32767):
            for n in list(range(0, 20)) + [67]:
                pcm = _random_bytes(2 * n)
                expected = []
                for value in ints(pcm):
                    expected.append(max(-32768, min(32767, (value * gain + 2048) >> 12)))
                for at in range(4):
                    for dst_at in range(4):
                        dst = Guarded(2 * n, dst_at)
                        is_loud = kernel.scale_into(shifted(pcm, at), at, n, dst.buf, dst.at, gain)
                        assert ints(dst.bytes()) == expected, (kernel, gain, n, at, dst_at)
                        assert is_loud == (1 if [v for v in expected if abs(v) >= 64] else 0)
    edges = [-32768, 32767, -1, 0, 1, -32768, 32767, 5]
    for kernel in ALL:
        for gain in (2007, 4096, 9216, 32767):
            dst = Guarded(16)
            kernel.scale_into(s16(edges), 0, 8, dst.buf, dst.at, gain)
            assert ints(dst.bytes()) == [max(-32768, min(32767, (value * gain + 2048) >> 12)) for value in edges]


def test_a_block_may_be_made_from_the_end_of_itself():
    """What the player does with the last piece of an answer."""
    for kernel in ALL:
        pcm = _random_bytes(100)
        buf = Guarded(512, 0, bytes(412) + pcm)
        kernel.scale_into(buf.buf, buf.at + 412, 50, buf.buf, buf.at, 2007)
        expected = Guarded(100)
        kernels_py.scale_into(pcm, 0, 50, expected.buf, expected.at, 2007)
        assert buf.bytes()[:100] == expected.bytes()
        for n in (256, 255, 3):
            codes = _random_bytes(n)
            buf = Guarded(512, 0, bytes(512 - n) + codes)
            kernel.expand_into(buf.buf, buf.at + 512 - n, n, buf.buf, buf.at, kernels_tables.ULAW_VALUES)
            assert ints(buf.bytes()[: 2 * n]) == [kernels_tables.ULAW_VALUES[code] for code in codes]


def test_samples_may_be_scaled_into_the_place_just_before_them():
    for kernel in ALL:
        for gain in (2007, 4096, 9216):
            for distance in (0, 1, 2, 3, 4, 6, 8, 62):
                for at in range(4):
                    pcm = _random_bytes(134)
                    buf = Guarded(134 + distance, at, bytes(distance) + pcm)
                    expected = Guarded(134)
                    is_loud = kernels_py.scale_into(pcm, 0, 67, expected.buf, expected.at, gain)
                    assert kernel.scale_into(buf.buf, buf.at + distance, 67, buf.buf, buf.at, gain) == is_loud
                    assert buf.bytes()[:134] == expected.bytes(), (kernel, gain, distance, at)


def test_scale_rounds_saturates_and_finds_the_peak():
    for kernel in ALL:
        for gain, shift, before, after, peak in (
            (1024, 8, [1, -1, 100, 8191, 8192, -8192, -8193], [4, -4, 400, 32764, 32767, -32768, -32768], 32768),
            (2048, 12, [3, -3, 1, -1, 10000], [2, -1, 1, 0, 5000], 5000),  # halves go up
            (0, 12, [32767, -32768, 5], [0, 0, 0], 0),
            (4096, 12, [32767, -32768, 5], [32767, -32768, 5], 32768),
            (4096, 12, [7, -9], [7, -9], 9),
            (9216, 12, [32767, -32768, 100, -100], [32767, -32768, 225, -225], 32768),
        ):
            for at in range(4):
                buf = Guarded(2 * len(before), at, s16(before))
                assert kernel.scale_peak(buf.buf, buf.at, len(before), gain, shift) == peak, (kernel, gain, shift)
                assert ints(buf.bytes()) == after, (kernel, gain, shift, ints(buf.bytes()))
        assert kernel.scale_peak(bytearray(0), 0, 0, 300, 8) == 0


def test_scale_implementations_agree_on_noise():
    for kernel in ALL:
        for gain, shift in ((1024, 8), (256, 8), (2007, 12), (9216, 12), (32767, 14), (1, 1)):
            data = _random_bytes(2 * 67)
            theirs = Guarded(len(data), 0, data)
            expected = kernels_py.scale_peak(theirs.buf, theirs.at, 67, gain, shift)
            for at in range(4):
                ours = Guarded(len(data), at, data)
                assert kernel.scale_peak(ours.buf, ours.at, 67, gain, shift) == expected, (kernel, gain, shift, at)
                assert ours.bytes() == theirs.bytes()


def test_scale_is_exact_on_every_sample_and_at_both_ends_of_the_peak():
    for kernel in ALL:
        for gain, shift in ((1024, 8), (125, 8), (256, 8), (32767, 1), (32767, 14), (0, 8)):
            for first in range(-32768, 32768, 4093):
                # Growing from the middle, on both sides: each sample is the largest so far, then each is known.
                values = [first, -1 - first, 0, 1, -1, 32767, -32768, 32767, -32768, first]
                ours = Guarded(2 * len(values), 0, s16(values))
                theirs = Guarded(2 * len(values), 0, s16(values))
                for n in range(1, len(values) + 1):
                    ours.buf[ours.at : ours.at + ours.n] = theirs.buf[theirs.at : theirs.at + theirs.n] = s16(values)
                    peak = kernel.scale_peak(ours.buf, ours.at, n, gain, shift)
                    assert peak == kernels_py.scale_peak(theirs.buf, theirs.at, n, gain, shift), (kernel, values, n)
                    assert ours.bytes() == theirs.bytes(), (kernel, gain, shift, values, n)


def test_g711_codes_of_all_samples_are_the_portable_ones():
    for kernel in ALL:
        ours = bytearray(256)
        theirs = bytearray(256)
        for upper in range(0, 256, 1 if kernel is not kernels_py else 256):
            pcm = bytearray(512)
            for lower in range(256):
                pcm[2 * lower] = lower
                pcm[2 * lower + 1] = upper
            for name in ("alaw", "ulaw"):
                getattr(kernel, name + "_encode_into")(pcm, 0, 256, ours, 0)
                getattr(kernels_py, name + "_encode_into")(pcm, 0, 256, theirs, 0)
                assert ours == theirs, (kernel, name, upper)


def decimated(kernel, pcm, pieces):
    """The whole output when the stream arrives in pieces of so many samples, each at another alignment."""
    state = kernels_tables.decimate2_state()
    out = b""
    at = 0
    for i in range(len(pieces)):
        n = pieces[i]
        dst = Guarded(2 * ((n + 1) // 2), i % 4)
        source = shifted(pcm[2 * at : 2 * (at + n)], (i + 1) % 4)
        got = kernel.decimate2_into(source, (i + 1) % 4, n, dst.buf, dst.at, state)
        out += dst.bytes()[: 2 * got]
        at += n
    assert at == len(pcm) // 2
    return out


def test_decimation_gives_the_same_output_however_the_stream_is_cut():
    pcm = _random_bytes(2 * 1000)
    whole = decimated(kernels_py, pcm, [1000])
    assert len(whole) == 2 * 500
    for kernel in ALL:
        for pieces in (
            [1000], [320, 320, 320, 40], [1] * 1000, [3, 317, 1, 359, 320], [161, 0, 159, 680], [7] * 142 + [6],
        ):  # fmt: skip
            assert decimated(kernel, pcm, pieces) == whole, (kernel, pieces[:5])


def test_decimation_works_in_place():
    pcm = _random_bytes(640)
    for kernel in ALL:
        buf = Guarded(640, 1, pcm)
        n = kernel.decimate2_into(buf.buf, buf.at, 320, buf.buf, buf.at, kernels_tables.decimate2_state())
        assert n == 160
        assert buf.bytes()[:320] == decimated(kernels_py, pcm, [320])


def test_decimation_implementations_may_take_over_from_each_other():
    pcm = _random_bytes(2 * 640)
    whole = decimated(kernels_py, pcm, [640])
    for kernel in ALL:
        state = kernels_tables.decimate2_state()
        dst = Guarded(640)
        n = kernel.decimate2_into(pcm, 0, 321, dst.buf, dst.at, state)
        n += kernels_py.decimate2_into(pcm, 642, 319, dst.buf, dst.at + 2 * n, state)
        assert n == 320
        assert dst.bytes() == whole


def test_decimation_to_a_law_gives_the_codes_of_its_samples_however_the_stream_is_cut():
    pcm = bytes(1280) + _random_bytes(640) + s16([32767, 32767, -32768, -32768] * 40)
    n = len(pcm) // 2
    samples = decimated(kernels_py, pcm, [n])
    codes = Guarded(n // 2)
    kernels_py.alaw_encode_into(samples, 0, n // 2, codes.buf, codes.at)
    for kernel in ALL:
        for piece in (320, 1, 3, 161):
            state = kernels_tables.decimate2_state(True)
            dst = Guarded(n // 2, 1)
            done = at = 0
            while at < n:
                now = min(piece, n - at)
                done += kernel.decimate2_into(pcm, 2 * at, now, dst.buf, dst.at + done, state)
                at += now
            assert done == n // 2
            assert dst.bytes() == codes.bytes(), (kernel, piece)


def test_decimation_shows_its_impulse_response_and_saturates():
    taps = [0] * 35
    taps[17] = 8192
    for i in range(9):
        taps[17 - 1 - 2 * i] = taps[17 + 1 + 2 * i] = kernels_tables.FIR_SIDES[i]
    for kernel in ALL:
        for delay in (0, 1):  # the even and the odd taps
            impulse = [0] * 80
            impulse[delay] = 16384
            out = ints(decimated(kernel, s16(impulse), [80]))
            expected = [taps[i] for i in range(1 - delay, 35, 2)]
            assert out[: len(expected)] == expected, (kernel, out)
            assert not any(out[len(expected) :])
        # The worst signal: full scale in step with the signs of the taps.
        for sign in (1, -1):
            worst = [(32767 if tap * sign > 0 else -32768) for tap in taps] + [0] * 45
            out = ints(decimated(kernel, s16([0] + worst), [81]))
            assert (max(out) == 32767) if sign > 0 else (min(out) == -32768)
            assert out == ints(decimated(kernels_py, s16([0] + worst), [81]))


class Buffers:
    pcm = bytearray(640)
    out = bytearray(1300)
    view = memoryview(out)
    state = kernels_tables.decimate2_state()


_NO_KEY = bytes(4)


def every_kernel(kernel):
    b = Buffers
    kernel.decimate2_into(b.pcm, 0, 320, b.out, 0, b.state)
    kernel.alaw_encode_into(b.pcm, 1, 160, b.out, 3)
    kernel.expand_into(b.out, 3, 160, b.pcm, 1, kernels_tables.ALAW_VALUES)
    kernel.ulaw_encode_into(b.pcm, 1, 160, b.out, 3)
    kernel.expand_into(b.out, 3, 160, b.pcm, 1, kernels_tables.ULAW_VALUES)
    kernel.scale_into(b.pcm, 0, 160, b.out, 0, 2007)
    kernel.scale_into(b.out, 1, 160, b.out, 1, 9216)
    kernel.scale_peak(b.pcm, 0, 320, 1024, 8)
    kernel.xor_mask(b.view, 5, 900)
    kernel.copy_into(b.pcm, 0, 600, b.view, 0)
    kernel.copy_into(b.pcm, 0, 4, b.out, 0)
    kernel.b64_message_into(b.pcm, 0, 640, b"\x04\x03head123", b.out, 4)
    kernel.copy_into(_NO_KEY, 0, 4, b.out, 0)
    kernel.b64_message_into(b.pcm, 0, 640, b"\0\0", b.out, 4)
    kernel.copy_into(b.out, 4, 860, b.out, 0)
    return kernel.b64_decode_into(b.out, 0, 640, b.out, 0)


def test_the_kernels_allocate_nothing():
    for kernel in ALL:
        Buffers.pcm[:] = _random_bytes(640)  # large sums too: they must stay within a small integer
        assert assert_no_allocation(every_kernel, kernel) == 480
