"""The recorder: a task that turns what the microphone's DMA gives into exact 20 ms frames for the uplink.

    mic ──16 ms blocks──► frame ──gain, level──► gate ──► uplink

It owns the clock of the microphone: which instant a sample was caught at, and how much the DMA lost because nobody
read in time. It does not know where frames go or why.
"""

from kernels import scale_peak

from .. import trace as codes
from ..compat import const, ticks_add, ticks_diff
from ..errors import AudioError
from .codec import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, MIC_HZ

_POLL_MS = const(5)
_MAX_FRAMES_PER_STEP = const(8)  # more than any DMA in use holds: a wake-up is bounded
_BLOCK_SAMPLES = const(256)
_BLOCK_MS = const(16)
_SAMPLES_PER_MS = const(16)
_DEAF_MS = const(1000)  # a microphone without a sample for so long is broken
_RETRY_MS = const(1000)
_REBASE_MS = const(10_000)
_GAIN_SHIFT = const(8)


class Recorder:
    """mic: firmware/drivers/i2s.Mic or its like; gain_q8: 256 leaves samples as they are.

    on_error(AudioError): called on each failure; the recorder goes on trying.
    """

    def __init__(self, mic, uplink, gate, ports, trace, gain_q8=256, on_error=None):
        if mic.rate_hz != MIC_HZ:
            raise ValueError("the recorder works at %d Hz, not at %d" % (MIC_HZ, mic.rate_hz))
        self.peak = 0  # of the last frame, after the gain: 0..32768
        self.frames = 0  # complete frames heard, gated ones included
        self.passes = 0  # of the task; wraps
        self.overrun_ms = 0  # microphone lost in the DMA, estimated in whole blocks
        self.gated_frames = 0  # frames replaced by silence or kept from a pre-roll
        self._mic = mic
        self._uplink = uplink
        self._gate = gate
        self._ports = ports
        self._trace = trace
        self._gain_q8 = gain_q8
        self._on_error = on_error
        self._dma_ms = mic.dma_frames // _SAMPLES_PER_MS
        self._frame = memoryview(bytearray(FRAME_BYTES))
        self._silence = memoryview(bytearray(FRAME_BYTES))
        self._rests = {0: self._frame}  # offset -> the frame from there on; DMA blocks lead to five offsets
        self._fill = 0
        self._opened_ms = 0  # when the utterance was opened
        self._has_anchor = False
        self._anchor_ms = 0  # the sample number 0 of _heard was caught at this instant, or up to a block earlier
        self._heard = 0  # samples since the anchor, lost ones included
        self._caught_up_ms = 0  # when the DMA was last seen empty
        self._last_data_ms = ports.ticks_ms()

    async def run(self):
        """Record for ever; cancel it to stop."""
        while True:
            self.passes = self.passes + 1 & 0xFFFF
            try:
                self.step()
            except AudioError as error:
                await self._recover(error)
            await self._ports.sleep_ms(_POLL_MS)

    async def _recover(self, error):
        self._uplink.forget_preroll()  # heard before the hole: no question may begin with it
        while error:
            self.passes = self.passes + 1 & 0xFFFF
            if self._on_error:
                self._on_error(error)
            await self._ports.sleep_ms(_RETRY_MS)
            try:
                self._mic.restart()
                error = None
            except AudioError as again:
                error = again
        self._fill = 0
        self._has_anchor = False
        self._last_data_ms = self._ports.ticks_ms()

    def step(self):
        """Move what the microphone has now, at most 160 ms of it. Never waits; AudioError when the bus fails."""
        now_ms = self._ports.ticks_ms()
        n_frames = 0
        while n_frames < _MAX_FRAMES_PER_STEP:
            wanted = FRAME_BYTES - self._fill
            got = self._mic.readinto(self._rest_of_frame())
            if got:
                self._fill += got
                self._heard += got >> 1
                self._last_data_ms = now_ms
            if got < wanted:
                self._caught_up(now_ms)
                return
            self._fill = 0
            n_frames += 1
            self._frame_done(now_ms)

    def _rest_of_frame(self):
        rest = self._rests.get(self._fill)
        if rest is None:
            rest = self._frame[self._fill :]
            if not self._fill & 127:
                self._rests[self._fill] = rest
        return rest

    # -- the clock of the microphone

    def _caught_up(self, now_ms):
        """The DMA holds less than a block: compare the samples that came with the time that went by."""
        if not self._has_anchor:
            self._has_anchor = True
            self._set_anchor(now_ms)
            self._caught_up_ms = now_ms
        behind = ticks_diff(now_ms, self._anchor_ms) * _SAMPLES_PER_MS - self._heard
        if behind < 0:
            self._set_anchor(now_ms)  # the block before the anchor was cut later than thought
        elif behind >= _BLOCK_SAMPLES:
            if ticks_diff(now_ms, self._caught_up_ms) > self._dma_ms - _BLOCK_MS:
                lost_blocks = behind // _BLOCK_SAMPLES
                self._heard += lost_blocks * _BLOCK_SAMPLES
                self.overrun_ms += lost_blocks * _BLOCK_MS
                self._trace.add(codes.OVERRUN, lost_blocks * _BLOCK_MS)
            else:
                self._heard += behind - _BLOCK_SAMPLES + 1  # read in time, nothing lost: the two clocks differ
        if ticks_diff(now_ms, self._anchor_ms) > 2 * _REBASE_MS:
            self._anchor_ms = ticks_add(self._anchor_ms, _REBASE_MS)
            self._heard -= _REBASE_MS * _SAMPLES_PER_MS
        self._caught_up_ms = now_ms
        if ticks_diff(now_ms, self._last_data_ms) > _DEAF_MS:
            raise AudioError("the microphone has given no sample for %d ms" % _DEAF_MS)

    def _set_anchor(self, now_ms):
        self._anchor_ms = now_ms
        self._heard = 0

    def _frame_began_ms(self, now_ms):
        """The earliest instant at which the first sample of the frame just completed can have been caught."""
        if not self._has_anchor:
            return ticks_add(now_ms, -self._dma_ms - FRAME_MS)
        return ticks_add(self._anchor_ms, (self._heard - FRAME_SAMPLES) // _SAMPLES_PER_MS - _BLOCK_MS)

    # -- frames

    def _frame_done(self, now_ms):
        self.frames += 1
        self.peak = scale_peak(self._frame, 0, FRAME_SAMPLES, self._gain_q8, _GAIN_SHIFT)
        began_ms = self._frame_began_ms(now_ms)
        if not self._gate.is_closed(began_ms):
            self._uplink.push_pcm(self._frame, FRAME_BYTES)
        elif not self._uplink.is_recording:
            self.gated_frames += 1
            self._uplink.forget_preroll()
        elif self._uplink.is_streaming:
            self.gated_frames += 1
            self._trace_gated()
            self._uplink.push_pcm(self._silence, FRAME_BYTES)
        elif ticks_diff(began_ms, self._opened_ms) < 0:
            # Begun before the press, so it is pre-roll, though it comes after it: the DMA holds it back for a while.
            self.gated_frames += 1
        else:
            self._uplink.push_pcm(self._frame, FRAME_BYTES)  # a person who presses the button is heard

    def _trace_gated(self):
        if self.gated_frames % 50 == 1:
            self._trace.add(codes.GATED, self.gated_frames * FRAME_MS)

    def opened(self):
        """An utterance begins now, though its first frames may come later: what began before is pre-roll."""
        self._opened_ms = self._ports.ticks_ms()

    def backlog_frames(self):
        """Whole frames that the DMA must hold already, because nobody has read for so long."""
        if not self._has_anchor:
            return 0
        return min(ticks_diff(self._ports.ticks_ms(), self._caught_up_ms), self._dma_ms) // FRAME_MS

    def level(self):
        """Loudness of the last frame: 0 silence, 100 full scale, linear in dB: 15 steps of 6 dB, straight between."""
        peak = self.peak
        doublings = 0
        while peak >> doublings > 1:
            doublings += 1
        return (doublings * 100 + ((peak - (1 << doublings)) * 100 >> doublings)) // 15 if peak > 1 else 0
