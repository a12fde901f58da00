"""A ring of bytes in one resident buffer: bytes in at one end, out at the other, without allocation."""

from kernels import copy_into


class ByteRing:
    """capacity_bytes: what fits, to the last byte. For one loop: not safe against interrupts or threads.

    To save a copy, bytes may be put straight into `buf` where reserve() says, and then be taken in by write_from with
    `buf` as its source. Until then they are nobody's, and may be left where they are.
    """

    def __init__(self, capacity_bytes):
        if capacity_bytes <= 0:
            raise ValueError("a ring needs at least one byte, not %d" % capacity_bytes)
        self.capacity = capacity_bytes
        self.used = 0  # bytes waiting
        self.high_water = 0  # the most bytes that ever waited
        self.buf = bytearray(capacity_bytes)
        self._head = 0  # where the oldest byte lies

    def free(self):
        """Bytes that fit. (A property of any kind would make every store to an attribute several times dearer.)"""
        return self.capacity - self.used

    def reserve(self, n):
        """Where in `buf` the next n bytes will lie; -1 when there is no room for them in one piece."""
        tail = self._head + self.used
        if tail < self.capacity:
            return tail if n <= self.capacity - tail else -1
        return tail - self.capacity if n <= self.capacity - self.used else -1

    def write_from(self, src, n, src_at=0):
        """Append bytes src_at..src_at+n-1 of src; copied before the return. Returns the bytes accepted, 0..n.

        Here and in read_into, locals and the deepest expression fit into 11 words: MicroPython takes a larger frame
        from the heap.
        """
        if n > self.capacity - self.used:
            n = self.capacity - self.used
        if n <= 0:
            return 0
        tail = self._head + self.used
        if tail >= self.capacity:
            tail -= self.capacity
        if tail != src_at or src is not self.buf:
            if n <= self.capacity - tail:
                copy_into(src, src_at, n, self.buf, tail)
            else:
                self._write_around(src, n, src_at, tail)
        self.used += n
        if self.used > self.high_water:
            self.high_water = self.used
        return n

    def _write_around(self, src, n, src_at, tail):
        first = self.capacity - tail
        copy_into(src, src_at, first, self.buf, tail)
        copy_into(src, src_at + first, n - first, self.buf, 0)

    def read_into(self, dst, n, dst_at=0):
        """Move up to n of the oldest bytes to dst. Returns how many."""
        if n > self.used:
            n = self.used
        if n <= 0:
            return 0
        first = self.capacity - self._head
        if first > n:
            first = n
        copy_into(self.buf, self._head, first, dst, dst_at)
        if n > first:
            dst_at += first
            copy_into(self.buf, 0, n - first, dst, dst_at)
        self.used -= n
        self._head += n
        if self._head >= self.capacity:
            self._head -= self.capacity
        return n

    def take(self, n):
        """Drop the n oldest bytes; returns where they lie in buf until the next write or reserve().

        -1 when fewer wait or they do not lie in one piece; nothing is dropped then.
        """
        head = self._head
        end = head + n
        if end >= self.capacity or n > self.used:
            if end > self.capacity or n > self.used:
                return -1
            end = 0
        self._head = end
        self.used -= n
        return head

    def put_back(self, n):
        """Undo the take() just made of n bytes: nothing was written since."""
        self._head -= n
        if self._head < 0:
            self._head += self.capacity
        self.used += n

    def drop_newest(self, n):
        """Take back the n bytes written last, as far as they wait still. Returns how many."""
        if n > self.used:
            n = self.used
        self.used -= n
        return n

    def clear(self):
        """Drop everything. Returns how many bytes that was."""
        n = self.used
        self.used = 0
        self._head = 0
        return n
