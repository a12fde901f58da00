"""The player: a task that keeps the loudspeaker's DMA full from a ring of wire bytes.

    write_from ──► ring (wire bytes) ──► decode, volume ──► run of blocks of 256 frames ──► DMA ──► DAC
                   prebuffer, underruns        gate, sample clock                           drain, flush

The port does not say what the DAC has played, so a sample clock does: each block given extends the time at which
the DMA will be empty. It may be early by up to one block, because a block starts where the last one of the DMA's round
ends; so the clock shows a block more, and every answer below ("audible", "drained", "underrun") allows for that block.
It does not know who sent the audio.

In the midst of an answer sound flows: the task wakes when a run of blocks was played, 32 ms where the DMA is deep enough,
and hands over the next in one conversion and one write. Else, and behind every 16th run to set the clock right, it goes
by blocks until the DMA takes no more.

What is done in each pass is written for MicroPython on a small chip: no properties in the class (one makes storing any
attribute seven times as dear), and at most 11 words of locals and stack in a function (a larger frame comes from the
heap).
"""

import asyncio

from byte_ring import ByteRing
from kernels import scale_into
from unload import unload

from .. import trace as codes
from ..compat import const, ticks_add, ticks_diff
from ..errors import AudioError
from .beeps import Beep
from .codec import gain_q12

_IDLE = const(0)  # no answer: bytes that come are stale
_HOLD = const(1)  # an answer, and the prebuffer is collected (again)
_PLAYING = const(2)
_BEEPING = const(3)
_BROKEN = const(4)  # the bus: tried again once a second, bytes that come are stale

_BLOCK_FRAMES = const(256)
_BLOCK_BYTES = const(512)
_BLOCK_SHIFT = const(9)
_ASK_EVERY = const(16)  # passes, a power of two
_RETRY_MS = const(1000)
_ROOM_POLL_MS = const(10)


class Player:
    """speaker: firmware/drivers/i2s.Speaker or its like, at the rate of the codec; codec: from codec.downlink().

    prebuffer_ms        hold from the first byte of an answer to its first sample, and again after an underrun
    on_first_sample()   the first sample of an answer went to the DAC
    on_drained()        the answer is complete and the DAC has played all of it; not called after flush()
    on_underrun(ms)     sound goes on after so much silence inside an answer
    on_error(error)     AudioError: the answer is lost, the player goes on trying

    The callbacks are called from the task, they may call any method here but must not wait.
    """

    def __init__(
        self, speaker, ring_bytes, codec, prebuffer_ms, ports, trace, gate, volume_percent=70, on_first_sample=None,
        on_drained=None, on_underrun=None, on_error=None,
    ):  # fmt: skip
        from .runs import is_enough, run_blocks

        if speaker.rate_hz != codec.rate_hz:
            raise ValueError("a codec of %d Hz on a loudspeaker of %d" % (codec.rate_hz, speaker.rate_hz))
        self.turn = 0  # what begin() was given
        self.bytes_in = 0  # wire bytes of this answer that were accepted
        self.bytes_cut = 0  # wire bytes of this answer given up for want of room
        self.samples_played = 0  # of this answer; after flush() without those recalled
        self.underruns = 0  # of this answer
        self.underrun_ms = 0
        self.odd_bytes = 0  # half samples dropped at the ends of answers
        self.stale_bytes = 0  # wire bytes that came while there was no answer
        self.errors = 0
        self.passes = 0  # of the task; wraps
        self._speaker = speaker
        self._codec = codec
        self._prebuffer_ms = prebuffer_ms
        self._ports = ports
        self._ticks_ms = ports.ticks_ms
        self._trace = trace
        self._gate = gate
        self._on_first_sample = on_first_sample
        self._on_drained = on_drained
        self._on_underrun = on_underrun
        self._on_error = on_error
        self.ring = self._ring = ByteRing(ring_bytes)  # public: some decode into its free room
        self._rate_hz = codec.rate_hz
        self._block_ms = (_BLOCK_FRAMES * 1000 + codec.rate_hz - 1) // codec.rate_hz
        self._poll_ms = self._block_ms // 2
        self._dma_blocks = speaker.dma_frames // _BLOCK_FRAMES
        dma_ms = speaker.dma_frames * 1000 // codec.rate_hz
        self._full_poll_ms = max(self._poll_ms, dma_ms // 4)
        # How far off _quiet_ms may be while the DMA is full: it holds its depth or a block less.
        self._full_most_ms = (self._dma_blocks + 1) * self._block_ms
        self._full_least_ms = (self._dma_blocks - 1) * _BLOCK_FRAMES * 1000 // codec.rate_hz + self._block_ms
        self._wire_bytes = _BLOCK_FRAMES * codec.bytes_per_sample  # of a block
        n_blocks = run_blocks(dma_ms, self._block_ms, codec.rate_hz)
        self._run_samples = n_blocks * _BLOCK_FRAMES
        self._run_wire_bytes = n_blocks * self._wire_bytes
        self._run = memoryview(bytearray(n_blocks * _BLOCK_BYTES))
        self._run_ms = self._run_samples * 1000 // codec.rate_hz
        self._even_bytes = 0 if self._run_samples * 1000 % codec.rate_hz else len(self._run)  # of whole ms
        # A run fits when so little is left; later by a run, one is not enough.
        self._run_fits_ms = dma_ms - self._run_ms
        self._run_late_ms = self._run_fits_ms - self._run_ms
        self._can_flow = is_enough(self._run_fits_ms, self._block_ms)
        unload(__name__.rpartition(".")[0], ("runs",))
        self._is_flowing = False  # nothing is pending and the DMA is full
        self._block = self._run[:_BLOCK_BYTES]
        self._play_into = codec.play_into
        # Methods are looked for here before the class, and to find none costs as much as a call.
        self.write_from = self.write_from
        self._step_blocks = self._step_blocks
        self._fill_block = self._fill_block
        self._took = self._took
        self._take = self._ring.take
        self._put = self._ring.write_from
        self._wire = self._ring.buf
        self._write = speaker.write
        self._sound_until = gate.sound_until
        self._pending = self._block  # what the DMA has still to take, of whole blocks; while _pending_bytes
        self._pending_bytes = 0
        self._pending_samples = 0  # without the padding behind them
        self._is_pending_loud = 0
        self._beep = Beep(codec.rate_hz)
        self._wake = asyncio.Event()
        self._state = _IDLE
        self._is_complete = False
        self._is_timed = False  # in _HOLD: the first byte is there and _hold_until_ms counts
        self._hold_until_ms = 0
        self._first_is_out = False  # the first sample of this answer went to the DMA
        self._has_written = False  # of this answer, since the DMA ran dry
        self._has_sounded = False  # anything in the DMA since it was started
        self._is_fresh = False  # restarted at _restarted_ms: the DMA may be in its first round
        self._restarted_ms = 0
        self._quiet_ms = 0  # the sample clock: when the DMA will be empty, and a block more
        self._quiet_rest = 0  # its fraction, in 1/rate ms
        self._padding = 0  # frames at the end of the last block that are no sound
        self._underrun_from_ms = 0
        self._is_underrun = False
        self._retry_at_ms = 0
        self.capacity = ring_bytes  # wire bytes that the ring holds
        self.set_volume(volume_percent)

    # -- the owner of the answer

    def set_volume(self, percent):
        """0..150, from the next blocks on."""
        self._gain = gain_q12(percent)
        self.volume_percent = percent
        self._volume = self._codec.volume(self._gain)

    def is_idle(self):
        """No answer and no beep is being played (a broken bus plays nothing)."""
        return self._state == _IDLE or self._state == _BROKEN

    def is_audible(self):
        """Something loud has still to leave the DAC."""
        return self._gate.is_audible(self._ports.ticks_ms())

    def room(self):
        """Wire bytes that write_from would accept now."""
        return self.capacity - self._ring.used

    def begin(self, turn=0):
        """A new answer: from now on write_from queues its audio. What is left of the one before is played first,
        without an on_drained of its own.
        """
        if self._state == _BROKEN:
            self._repair()
            if self._state == _BROKEN:
                return
        self._drop_half_sample()
        self.turn = turn
        self.bytes_in = 0
        self.bytes_cut = 0
        self.samples_played = 0
        self.underruns = 0
        self.underrun_ms = 0
        self._is_complete = False
        self._first_is_out = False
        self._has_written = False
        self._is_underrun = False
        self._is_flowing = False
        if self._state == _BEEPING:
            self._pending_bytes = 0
        if self._state != _PLAYING or not (self._ring.used or self._pending_bytes):
            self._state = _HOLD
            self._is_timed = False

    def write_from(self, src, n, src_at=0):
        """Queue n wire bytes of the answer, from src_at on; copied before the return. Never waits, never allocates.

        Returns the bytes accepted; fewer than n means that the ring is full: keep the rest, await wait_room().
        Without an answer (before begin(), after flush() or the end) they are stale: accepted, counted and dropped.
        A piece may end inside a sample; the next one goes on there.
        """
        if self._state != _HOLD and self._state != _PLAYING:
            self.stale_bytes += n
            return n
        got = self._put(src, n, src_at)
        self.bytes_in += got
        if self._state == _HOLD and not self._is_timed and got:
            self._is_timed = True
            self._hold_until_ms = ticks_add(self._ports.ticks_ms(), self._prebuffer_ms)
            self._wake.set()
        return got

    def cut(self, n):
        """n wire bytes of this answer were given up because the ring stayed full."""
        self.bytes_cut += n
        self._trace.add(codes.RING_FULL, self.bytes_cut)

    def complete(self):
        """The cloud has sent all audio of this answer: what is here is played at once and to the last sample."""
        if self._state != _HOLD and self._state != _PLAYING:
            return
        self._drop_half_sample()
        self._is_complete = True
        self._wake.set()

    def flush(self):
        """Silence now: drop the ring and recall the DMA. The answer is over; further bytes of it are stale.

        Returns the wire bytes dropped. Nothing happens when nothing is being played.
        """
        if self._state == _HOLD or self._state == _PLAYING:
            self._trace.add(codes.RING_MOST, self._ring.high_water)
        self._is_flowing = False
        n = self._ring.clear()
        now_ms = self._ports.ticks_ms()
        if self._pending_bytes:
            n += self._pending_samples * self._codec.bytes_per_sample
            self._pending_bytes = 0
        if self._state != _BROKEN:
            self._state = _IDLE
        if self._has_sounded and ticks_diff(self._quiet_ms, now_ms) > 0:
            self._count_recalled(now_ms)
            self._gate.silence_from(now_ms)
            try:
                self._restart()
            except AudioError as error:
                self._fail(error)
        if n:
            self._trace.add(codes.FLUSH, n)
        return n

    def _count_recalled(self, now_ms):
        left_ms = self._left_ms(now_ms) - self._block_ms
        if left_ms > 0:
            self.samples_played = max(0, self.samples_played - left_ms * self._rate_hz // 1000)

    def alert(self, kind):
        """Start the short beeps of an errors.KINDS word or of "tap". False: something is being played already."""
        if self._state != _IDLE:
            return False
        self._beep.start(kind)
        self._state = _BEEPING
        self._wake.set()
        return True

    async def wait_room(self, timeout_ms):
        """Wait until the ring has room for a block or the answer is over. False after timeout_ms: still full."""
        until_ms = ticks_add(self._ports.ticks_ms(), timeout_ms)
        while self.room() < min(self._wire_bytes, self.capacity):
            if self._state != _HOLD and self._state != _PLAYING:
                break
            left_ms = ticks_diff(until_ms, self._ports.ticks_ms())
            if left_ms <= 0:
                return False
            await self._ports.sleep_ms(min(left_ms, _ROOM_POLL_MS))
        return True

    def _drop_half_sample(self):
        half = self._ring.used % self._codec.bytes_per_sample
        if half:
            self.odd_bytes += self._ring.drop_newest(half)

    # -- the task

    def nudge(self):
        """Wake the task for one pass: for whoever wants to see that it lives."""
        self._wake.set()

    async def run(self):
        """Play for ever; cancel it to stop."""
        step = self.step
        while True:
            self._wake.clear()
            self.passes = self.passes + 1 & 0xFFFF
            try:
                wait_ms = step()
            except AudioError as error:
                self._fail(error)
                wait_ms = self._poll_ms
            if wait_ms:
                await self._ports.sleep_ms(wait_ms)
            else:
                await self._wake.wait()

    def step(self):
        """Do what is due now, at most one DMA full of blocks. Returns the ms to the next step, 0: when woken.

        AudioError when the bus fails.
        """
        if self._is_flowing:
            left_ms = ticks_diff(self._quiet_ms, self._ticks_ms())
            if self._run_late_ms < left_ms <= self._run_fits_ms:
                n = self._take(self._run_wire_bytes)
                if n >= 0:
                    n = self._play_into(self._wire, n, self._run_samples, self._run, 0, self._volume)
                    self._is_pending_loud = n
                    n = self._write(self._run)
                    if n == self._even_bytes:
                        self.samples_played += self._run_samples
                        self._quiet_ms = n = ticks_add(self._quiet_ms, self._run_ms)
                        if self._is_pending_loud:
                            self._sound_until(n)
                        if self.passes & _ASK_EVERY - 1:
                            return left_ms - self._run_late_ms
                    else:
                        self._make_pending(self._run, self._run_samples)
                        left_ms = self._took(n, left_ms)
                        if not self._pending_bytes and self.passes & _ASK_EVERY - 1:
                            return self._wait_full(left_ms)
                elif self._ring.used >= self._run_wire_bytes:
                    self._convert_pieces(self._run, self._run_wire_bytes)
                    self._make_pending(self._run, self._run_samples)
        self._is_flowing = False
        if self._state == _PLAYING or self._state == _BEEPING:
            return self._step_blocks()
        return self._step_else()

    def _step_blocks(self):
        now_ms = self._ticks_ms()
        left_ms = ticks_diff(self._quiet_ms, now_ms) if self._has_sounded else 0
        if left_ms <= 0 and self._has_written and self._state == _PLAYING and not self._is_all_out():
            return self._ran_dry(now_ms)
        n_blocks = self._dma_blocks
        while n_blocks > 0:
            if left_ms >= self._full_least_ms and self.passes & _ASK_EVERY - 1:
                return self._wait_full(left_ms)
            is_new = not self._pending_bytes
            if is_new and not self._fill_block():
                break
            taken = self._write(self._pending)
            if taken:
                if left_ms < self._block_ms:
                    left_ms = self._start_clock(now_ms)
                elif left_ms >= self._full_least_ms:  # not full after all: the clock is late
                    left_ms = self._full_least_ms - self._poll_ms
                    self._quiet_ms = ticks_add(now_ms, left_ms)
                left_ms = self._took(taken, left_ms)
                n_blocks -= 1
                if self._state == _PLAYING and not self._has_written:
                    self._first_written()
                    if self._state != _PLAYING:  # the callback flushed
                        return 0
            if self._pending_bytes:
                if is_new and not taken and self._state == _PLAYING:
                    self._ring.put_back(self._pending_samples * self._codec.bytes_per_sample)
                    self._pending_bytes = 0
                left_ms = self._trust_full_dma(now_ms, left_ms)
                return self._wait_full(left_ms)
        return self._step_draining(now_ms) if self._is_all_out() else self._poll_ms

    def _wait_full(self, left_ms):
        """The DMA is full: the ms to the next step."""
        if self._can_flow and self._has_written and self._state == _PLAYING:
            if not self._pending_bytes and not self._padding:
                self._is_flowing = True
                return left_ms - self._run_fits_ms
        return self._full_poll_ms

    def _took(self, taken, left_ms):
        """The DMA took so many bytes of what is pending. Returns the ms until _quiet_ms."""
        samples = self._pending_samples
        n = self._pending_bytes
        self._pending_bytes = n - taken
        # Blocks that are complete now, then their frames, then ms.
        n = (n + _BLOCK_BYTES - 1 >> _BLOCK_SHIFT) - (n - taken + _BLOCK_BYTES - 1 >> _BLOCK_SHIFT)
        n *= _BLOCK_FRAMES
        if self._pending_bytes:
            self._pending = self._pending[taken:]
            samples = min(samples, n)
            self._pending_samples -= samples
        self._padding = n - samples
        if self._state == _PLAYING:
            self.samples_played += samples
        n = n * 1000 + self._quiet_rest
        self._quiet_rest = n % self._rate_hz
        n //= self._rate_hz
        self._quiet_ms = ticks_add(self._quiet_ms, n)
        if self._is_pending_loud:
            self._sound_until(self._quiet_ms)
        return left_ms + n

    def _is_all_out(self):
        """All of the answer, or of the beep, was handed to the DMA."""
        if self._pending_bytes:
            return False
        return self._beep.is_over() if self._state == _BEEPING else self._is_complete and not self._ring.used

    def _step_else(self):
        if self._state == _HOLD:
            return self._step_hold()
        if self._state == _BROKEN:
            left_ms = ticks_diff(self._retry_at_ms, self._ports.ticks_ms())
            if left_ms > 0:
                return min(left_ms, self._poll_ms)  # begin() may repair it before
            self._repair()
            return self._poll_ms if self._state == _BROKEN else 0
        return 0

    def _step_hold(self):
        now_ms = self._ports.ticks_ms()
        if not self._is_complete:
            if not self._is_timed:
                return 0
            left_ms = ticks_diff(self._hold_until_ms, now_ms)
            if left_ms > 0 and self.room():  # a full ring gains nothing by waiting
                return min(left_ms, self._poll_ms)
        self._state = _PLAYING
        if self._is_underrun and self._ring.used:
            self._count_underrun(now_ms)
            if self._state != _PLAYING:  # the callback flushed
                return 0
        self._is_underrun = False
        return self.step()

    def _count_underrun(self, now_ms):
        ms = ticks_diff(now_ms, self._underrun_from_ms)
        self.underruns += 1
        self.underrun_ms += ms
        self._trace.add(codes.UNDERRUN, ms)
        if self._on_underrun:
            self._on_underrun(ms)

    def _ran_dry(self, now_ms):
        """The DAC plays silence inside the answer: collect the prebuffer again."""
        self._is_underrun = True
        self._underrun_from_ms = ticks_add(self._quiet_ms, -self._block_ms)
        self._state = _HOLD
        self._has_written = False  # the next look at the clock is for the next block
        self._is_timed = self._ring.used >= self._wire_bytes
        self._hold_until_ms = ticks_add(now_ms, self._prebuffer_ms)
        return self._step_hold()

    def _step_draining(self, now_ms):
        if self._has_sounded:
            left_ms = self._left_ms(now_ms)
            if left_ms > 0:
                return min(left_ms, self._poll_ms)
        is_beep = self._state == _BEEPING
        self._state = _IDLE
        if is_beep:
            return 0
        self._trace.add(codes.LAST_SAMPLE, self.samples_played // (self._rate_hz // 1000))
        self._trace.add(codes.RING_MOST, self._ring.high_water)
        if self._on_drained:
            self._on_drained()
        return 0 if self._state == _IDLE else self._poll_ms

    def _left_ms(self, now_ms):
        """Until the last sample that is not padding will have left, and a block more; only while _has_sounded."""
        return ticks_diff(self._quiet_ms, now_ms) - self._padding * 1000 // self._rate_hz + 1

    # -- blocks

    def _fill_block(self):
        """Make one block pending, of an answer or of a beep. Returns its bytes, or 0."""
        if self._state == _BEEPING:
            return self._fill_with_beep()
        n = self._ring.used
        if n < self._wire_bytes:
            return self._pad(self._convert_pieces(self._block, n)) if n and self._is_complete else 0
        n = self._take(self._wire_bytes)
        if n < 0:
            self._convert_pieces(self._block, self._wire_bytes)
            return self._pad(_BLOCK_FRAMES)
        self._is_pending_loud = self._play_into(self._wire, n, _BLOCK_FRAMES, self._block, 0, self._volume)
        return self._pad(_BLOCK_FRAMES)

    def _make_pending(self, blocks, samples):
        self._pending = blocks
        self._pending_samples = samples
        self._pending_bytes = n = len(blocks)
        return n

    def _convert_pieces(self, dst, n):
        """n wire bytes that may lie around the end of the ring, by way of dst's end. Returns the samples."""
        self._ring.read_into(dst, n, len(dst) - n)
        self._is_pending_loud = self._play_into(
            dst, len(dst) - n, n // self._codec.bytes_per_sample, dst, 0, self._volume
        )
        return n // self._codec.bytes_per_sample

    def _fill_with_beep(self):
        samples = self._beep.fill(self._block, _BLOCK_FRAMES)
        if not samples:
            return 0
        self._is_pending_loud = scale_into(self._block, 0, samples, self._block, 0, self._gain)
        return self._pad(samples)

    def _pad(self, samples):
        """The block, of so many samples, becomes pending; a half-filled one would be played a round late."""
        if samples < _BLOCK_FRAMES:
            scale_into(self._block, 2 * samples, _BLOCK_FRAMES - samples, self._block, 2 * samples, 0)  # silence
        return self._make_pending(self._block, samples)

    def _start_clock(self, now_ms):
        """The DMA was empty. After a restart the first block that it takes is one that it has just been through, so it
        is heard when the round is over; later on it is the next one. Returns the ms until _quiet_ms.
        """
        self._has_sounded = True
        self._quiet_rest = 0
        left_ms = self._block_ms
        if self._is_fresh:
            round_ms = self._dma_blocks * _BLOCK_FRAMES * 1000 // self._rate_hz + 1
            round_left_ms = ticks_diff(ticks_add(self._restarted_ms, round_ms), now_ms)
            if round_left_ms > 0:
                left_ms += round_left_ms
            else:
                self._is_fresh = False
        self._quiet_ms = ticks_add(now_ms, left_ms)
        return left_ms

    def _trust_full_dma(self, now_ms, left_ms):
        """The DMA holds its depth or a block less: keeps the clocks together. Returns the ms until _quiet_ms."""
        if self._has_sounded:
            left_ms = max(self._full_least_ms, min(self._full_most_ms, left_ms))
            self._quiet_ms = ticks_add(now_ms, left_ms)
        return left_ms

    def _first_written(self):
        self._has_written = True
        if self._first_is_out:
            return
        self._first_is_out = True
        self._trace.add(codes.FIRST_SAMPLE, self.turn)
        if self._on_first_sample:
            self._on_first_sample()

    # -- a broken bus

    def _fail(self, error):
        self.errors += 1
        self._is_flowing = False
        self._ring.clear()
        self._pending_bytes = 0
        self._state = _BROKEN
        self._has_sounded = False
        self._gate.silence_from(self._ports.ticks_ms())
        self._retry_at_ms = ticks_add(self._ports.ticks_ms(), _RETRY_MS)
        self._wake.set()
        try:
            self._speaker.deinit()  # what the DMA holds would be heard after the next press
        except AudioError:
            pass
        if self._on_error:
            self._on_error(error)

    def _repair(self):
        self._state = _IDLE
        try:
            self._restart()
        except AudioError as error:
            self._fail(error)

    def _restart(self):
        self._has_sounded = False
        self._speaker.stop()
        self._is_fresh = True
        self._restarted_ms = self._ports.ticks_ms()
