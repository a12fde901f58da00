"""A bounded queue of sound frames in one resident buffer, with end marks and a tentative tail.

    oldest ──► committed frames and end marks ──► tentative frames ──► newest
               (what the reader sees)             (may be shortened from their old end, or become committed)

The tentative tail is where a pre-roll lives: it keeps the last few frames until somebody decides that they count.
Nothing is allocated after the constructor.

The class has no properties: in MicroPython one of them makes every attribute that is stored, in any method, cost seven
times as much.
"""

from array import array

from kernels import copy_into

AUDIO = 1
END = 2


class FrameQueue:
    """slots: frames and end marks that fit together; slot_bytes: the largest frame.

    encode(src, n, queue): puts a frame into its slot, queue.buf from queue.put_at on, when it is not copied as it is;
    returns the bytes written. push_bytes: the most that push() takes, when that is more than slot_bytes.
    """

    def __init__(self, slots, slot_bytes, encode=None, push_bytes=0):
        if not 1 <= slots <= 65535 or slot_bytes < 1:
            raise ValueError("no queue of %d slots of %d bytes" % (slots, slot_bytes))
        self.slots = slots
        self.slot_bytes = slot_bytes
        self._encode = encode
        self._push_bytes = push_bytes or slot_bytes
        self.frames = 0  # committed frames, end marks not counted
        self.committed = 0  # entries the reader may see, end marks included
        self.tentative = 0  # entries behind them
        self.buf = bytearray(slots * slot_bytes)
        self.put_at = 0  # for encode()
        self.at = 0  # after take(): where in buf the frame lies
        self.n = 0  # and its bytes, 0 of an end mark
        self._bytes = array("H", bytes(2 * slots))  # by slot: valid bytes, 0 for an end mark
        self._order = array("H", range(slots))  # ring of slot numbers: entries first, then the free slots
        self._head = 0  # place in _order of the oldest entry
        self._is_taken = False

    def push(self, src, n, is_committed=False):
        """Append a frame of n bytes; copied before the return. False when no slot is free.

        It goes to the tentative tail, or is_committed: the reader may see it; only on an empty tentative tail.

        Here and in take(), locals and the deepest expression fit into 11 words: MicroPython takes a larger frame from
        the heap.
        """
        if n < 1 or n > self._push_bytes:
            raise ValueError("a frame of %d bytes does not fit where %d do" % (n, self._push_bytes))
        slot = self.committed + self.tentative  # its place behind the oldest; then in _order; then its number
        if slot == self.slots:
            return False
        slot += self._head
        if slot >= self.slots:
            slot -= self.slots
        slot = self._order[slot]
        if self._encode is None:
            self._bytes[slot] = n
            slot *= self.slot_bytes  # now where it lies
            copy_into(src, 0, n, self.buf, slot)
        else:
            self.put_at = slot * self.slot_bytes
            self._bytes[slot] = self._encode(src, n, self)
        if is_committed:
            self.committed += 1
            self.frames += 1
        else:
            self.tentative += 1
        return True

    def commit(self):
        """Let the reader see everything pushed so far."""
        self.committed += self.tentative
        self.frames += self.tentative
        self.tentative = 0

    def push_end(self):
        """Commit an end mark; only on an empty tentative tail. False when no slot is free."""
        if self.tentative:
            raise ValueError("an end mark cannot stand behind tentative frames")
        if self.committed == self.slots:
            return False
        self._bytes[self._order[self._place(self.committed)]] = 0
        self.committed += 1
        return True

    def _place(self, index):
        """Place in _order of the entry `index` counted from the oldest."""
        place = self._head + index
        return place - self.slots if place >= self.slots else place

    # -- the reader

    def ends(self):
        """Committed end marks that the reader has not taken."""
        n = self.committed - self.frames
        if n and self._is_taken and not self.n:
            n -= 1
        return n

    def take(self):
        """AUDIO, END, or 0 when nothing is committed: what the oldest entry is. The same comes again until pop().

        The frame is buf[at : at + n], valid until pop() or clear(); from now on drop_oldest() spares it.
        """
        if not self.committed:
            return 0
        self._is_taken = True
        slot = self._order[self._head]
        n = self._bytes[slot]
        self.n = n
        if not n:
            return END
        self.at = slot * self.slot_bytes
        return AUDIO

    def pop(self):
        """Drop the oldest entry, if it was taken and is still there; else nothing happens."""
        if not self._is_taken:
            return
        self._is_taken = False
        if self.n:
            self.frames -= 1
        self.committed -= 1
        head = self._head + 1
        self._head = head if head < self.slots else 0

    # -- making room

    def drop_oldest(self):
        """Drop the oldest committed frame that the reader does not hold; end marks stay. False when there is none."""
        for index in range(1 if self._is_taken else 0, self.committed):
            if self._bytes[self._order[self._place(index)]]:
                self._remove_towards_head(index)
                self.committed -= 1
                self.frames -= 1
                return True
        return False

    def _remove_towards_head(self, index):
        """Free the entry `index`; the few before it move up by one place, the order stays."""
        slot = self._order[self._place(index)]
        while index:
            self._order[self._place(index)] = self._order[self._place(index - 1)]
            index -= 1
        self._order[self._head] = slot
        self._head = self._place(1)

    def keep_last(self, n):
        """Shorten the tentative tail to its newest n frames. Returns how many were dropped."""
        n_drop = self.tentative - n
        if n_drop <= 0:
            return 0
        if self.committed:
            self._shorten(n_drop)
        else:
            self._head = self._place(n_drop)
            self.tentative = n
        return n_drop

    def _shorten(self, n_drop):
        first = self.committed
        for _ in range(n_drop):
            # Behind the committed entries: the newer ones move down, the freed slot follows them.
            slot = self._order[self._place(first)]
            for index in range(first, first + self.tentative - 1):
                self._order[self._place(index)] = self._order[self._place(index + 1)]
            self._order[self._place(first + self.tentative - 1)] = slot
            self.tentative -= 1

    def clear(self):
        """Drop everything, what the reader holds included. Returns the committed frames dropped."""
        n = self.frames
        self._head = self._place(self.committed + self.tentative)
        self.committed = 0
        self.tentative = 0
        self.frames = 0
        self._is_taken = False
        return n
