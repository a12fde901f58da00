"""A bounded queue of sound frames in resident slots, with end marks and a tentative tail.

    oldest ──► committed frames and end marks ──► tentative frames ──► newest
               (what the reader sees)             (may be shortened from their old end, or become committed)

The tentative tail is where a pre-roll lives: it keeps the last few frames until somebody decides that they count.
Nothing is allocated after the constructor.
"""

from array import array

from kernels import copy_into

AUDIO = 1
END = 2


class FrameQueue:
    """slots: frames and end marks that fit together; slot_bytes: the largest frame."""

    def __init__(self, slots, slot_bytes):
        if not 1 <= slots <= 65535 or slot_bytes < 1:
            raise ValueError("no queue of %d slots of %d bytes" % (slots, slot_bytes))
        self.slots = slots
        self.slot_bytes = slot_bytes
        self.frames = 0  # committed frames, end marks not counted
        self.committed = 0  # entries the reader may see, end marks included
        self.tentative = 0  # entries behind them
        self.high_water = 0  # the most committed frames that ever waited
        self.dropped = 0  # committed frames dropped by drop_oldest
        whole = memoryview(bytearray(slots * slot_bytes))
        self._views = [whole[i * slot_bytes : (i + 1) * slot_bytes] for i in range(slots)]
        self._bytes = array("H", bytes(2 * slots))  # by slot: valid bytes, 0 for an end mark
        self._order = array("H", range(slots))  # ring of slot numbers: entries first, then the free slots
        self._head = 0  # place in _order of the oldest entry
        self._is_taken = False

    @property
    def free(self):
        return self.slots - self.committed - self.tentative

    def push(self, src, n):
        """Append a frame of n bytes to the tentative tail; copied before the return. False when no slot is free."""
        if n < 1 or n > self.slot_bytes:
            raise ValueError("a frame of %d bytes does not fit into a slot of %d" % (n, self.slot_bytes))
        slot = self._new_slot()
        if slot < 0:
            return False
        copy_into(src, 0, n, self._views[slot], 0)
        self._bytes[slot] = n
        self.tentative += 1
        return True

    def commit(self):
        """Let the reader see everything pushed so far."""
        self.committed += self.tentative
        self.frames += self.tentative
        self.tentative = 0
        if self.frames > self.high_water:
            self.high_water = self.frames

    def push_end(self):
        """Commit an end mark; only on an empty tentative tail. False when no slot is free."""
        if self.tentative:
            raise ValueError("an end mark cannot stand behind tentative frames")
        slot = self._new_slot()
        if slot < 0:
            return False
        self._bytes[slot] = 0
        self.committed += 1
        return True

    def _new_slot(self):
        waiting = self.committed + self.tentative
        if waiting == self.slots:
            return -1
        return self._order[self._place(waiting)]

    def _place(self, index):
        """Place in _order of the entry `index` counted from the oldest."""
        place = self._head + index
        return place - self.slots if place >= self.slots else place

    # -- the reader

    @property
    def ends(self):
        """Committed end marks that the reader has not taken."""
        n = self.committed - self.frames
        if n and self._is_taken and self.kind == END:
            n -= 1
        return n

    @property
    def kind(self):
        """AUDIO, END, or 0 when nothing is committed: what the oldest entry is."""
        if not self.committed:
            return 0
        return AUDIO if self._bytes[self._order[self._head]] else END

    @property
    def frame_bytes(self):
        """Valid bytes of the oldest entry."""
        return self._bytes[self._order[self._head]]

    def take(self):
        """The slot of the oldest entry as a memoryview of slot_bytes, valid until pop() or clear().

        From now on drop_oldest spares it.
        """
        self._is_taken = True
        return self._views[self._order[self._head]]

    def pop(self):
        """Drop the oldest entry, if it was taken and is still there; else nothing happens."""
        if not self._is_taken:
            return
        self._is_taken = False
        if self._bytes[self._order[self._head]]:
            self.frames -= 1
        self.committed -= 1
        self._head = self._place(1)

    # -- making room

    def drop_oldest(self):
        """Drop the oldest committed frame that the reader does not hold; end marks stay. False when there is none."""
        for index in range(1 if self._is_taken else 0, self.committed):
            if self._bytes[self._order[self._place(index)]]:
                self._remove_towards_head(index)
                self.committed -= 1
                self.frames -= 1
                self.dropped += 1
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
        first = self.committed
        if not first:
            self._head = self._place(n_drop)
            self.tentative = n
            return n_drop
        for _ in range(n_drop):
            # Behind the committed entries: the newer ones move down, the freed slot follows them.
            slot = self._order[self._place(first)]
            for index in range(first, first + self.tentative - 1):
                self._order[self._place(index)] = self._order[self._place(index + 1)]
            self._order[self._place(first + self.tentative - 1)] = slot
            self.tentative -= 1
        return n_drop

    def clear(self):
        """Drop everything, what the reader holds included. Returns the committed frames dropped."""
        n = self.frames
        self._head = self._place(self.committed + self.tentative)
        self.committed = 0
        self.tentative = 0
        self.frames = 0
        self._is_taken = False
        return n
