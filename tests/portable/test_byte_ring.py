"""The byte ring against a list of bytes."""

from byte_ring import ByteRing
from check import assert_no_allocation, raises, seeded_bytes


def counter(start, n):
    return bytearray([(start + i) & 0xFF for i in range(n)])


def read(ring, n):
    dst = bytearray([0xAA] * (n + 6))
    got = ring.read_into(dst, n, 3)
    assert dst[:3] == b"\xaa\xaa\xaa" and dst[3 + got :] == bytes([0xAA] * (n - got + 3))
    return bytes(dst[3 : 3 + got])


def test_what_goes_in_comes_out_once_and_in_order_across_every_wrap():
    for capacity in (1, 2, 7, 16):
        ring = ByteRing(capacity)
        sizes = seeded_bytes(capacity)
        written = read_so_far = 0
        for _ in range(400):
            n = sizes(1)[0] % (capacity + 3)
            offered = counter(written, n)
            accepted = ring.write_from(offered, n)
            assert accepted == min(n, capacity - (written - read_so_far))
            written += accepted
            assert ring.used == written - read_so_far and ring.free() == capacity - ring.used
            n = sizes(1)[0] % (capacity + 3)
            expected = bytes(counter(read_so_far, min(n, ring.used)))
            assert read(ring, n) == expected
            read_so_far += len(expected)
        assert written > 10 * capacity
        assert 0 < ring.high_water <= capacity


def test_a_full_ring_takes_what_fits_and_not_a_byte_more():
    ring = ByteRing(10)
    assert ring.write_from(counter(0, 8), 8) == 8
    assert ring.write_from(counter(8, 8), 8) == 2
    assert ring.write_from(counter(0, 8), 8) == 0
    assert read(ring, 100) == bytes(counter(0, 10))
    assert read(ring, 1) == b""


def test_a_span_of_the_source_is_taken_from_its_offset():
    ring = ByteRing(8)
    assert ring.write_from(memoryview(counter(0, 20)), 5, 11) == 5
    assert read(ring, 8) == bytes([11, 12, 13, 14, 15])


def test_bytes_put_into_the_free_room_are_taken_in_without_a_copy():
    for head in range(12):
        ring = ByteRing(12)
        ring.write_from(bytes(12), head)
        ring.read_into(bytearray(12), head)
        for used in range(12):
            tail = (head + used) % 12
            n = 12 - (tail if used < 12 - head else used)  # up to the end of the buffer or to the oldest byte
            assert ring.used == used and ring.reserve(n) == tail and ring.reserve(n + 1) == -1
            ring.buf[tail : tail + n] = bytes([100 + used] * n)
            assert ring.write_from(ring.buf, 1, tail) == 1
        assert ring.reserve(1) == -1
        assert read(ring, 12) == bytes(range(100, 112))


def test_bytes_in_the_free_room_follow_when_the_end_of_the_ring_has_moved():
    """Between the two steps the owner may drop half a sample, or everything."""
    for change, before in ((lambda ring: ring.drop_newest(1), 1), (lambda ring: ring.clear(), 0)):
        for head in range(12):
            ring = ByteRing(12)
            ring.write_from(bytes(12), head)
            ring.read_into(bytearray(12), head)
            ring.write_from(b"xy", 2)
            n = 4
            while ring.reserve(n) < 0:
                n -= 1
            tail = ring.reserve(n)
            ring.buf[tail : tail + n] = b"abcd"[:n]
            change(ring)
            assert ring.write_from(ring.buf, n, tail) == n
            assert read(ring, before + n) == b"xy"[:before] + b"abcd"[:n]


def test_the_newest_bytes_can_be_taken_back():
    ring = ByteRing(8)
    ring.write_from(counter(0, 6), 6)
    read(ring, 5)
    ring.write_from(counter(6, 5), 5)
    assert ring.drop_newest(1) == 1
    ring.write_from(b"\xee", 1)
    assert read(ring, 8) == bytes([5, 6, 7, 8, 9, 0xEE])
    assert ring.drop_newest(3) == 0


def test_clear_empties_and_says_how_much_it_was():
    ring = ByteRing(8)
    ring.write_from(counter(0, 6), 6)
    read(ring, 4)
    assert ring.clear() == 2
    assert ring.used == 0 and ring.free() == 8
    assert ring.write_from(counter(50, 8), 8) == 8
    assert read(ring, 8) == bytes(counter(50, 8))


def test_a_ring_of_nothing_is_refused():
    with raises(ValueError, "at least one byte"):
        ByteRing(0)


def test_the_ring_allocates_nothing():
    ring = ByteRing(1000)
    buf = memoryview(bytearray(640))

    def through():
        ring.write_from(buf, 333, 7)
        ring.read_into(buf, 333, 5)

    for _ in range(9):  # at every place of the wrap
        assert_no_allocation(through)


def test_what_was_taken_can_be_put_back():
    for head in range(10):
        ring = ByteRing(10)
        ring.write_from(bytes(head), head)
        ring.read_into(bytearray(10), head)
        ring.write_from(b"abcdefgh", 8)
        for n in range(1, 9):
            at = ring.take(n)
            assert at < 0 or bytes(ring.buf[at : at + n]) == b"abcdefgh"[:n]
            if at >= 0:
                ring.put_back(n)
            assert ring.used == 8
        out = bytearray(8)
        assert ring.read_into(out, 8) == 8 and out == b"abcdefgh"
