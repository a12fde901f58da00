"""Self-test of what the simulator claims of the hardware and the firmware relies on, measured on the board itself."""

import kernels

from ..compat import const, ticks_diff
from .bench import SPEAKER_HZ, Failed
from .sound import tone_block

_BLOCK_FRAMES = const(256)
_BLOCK_BYTES = const(512)
_PATIENCE_MS = const(500)
_POLL_MS = const(2)
_ROUND_MS = const(20)
_NOW_MS = const(3)  # a call that returns at once; a blocking one waits for a block: 16 ms
_RATE_MS = const(2000)
_RATE_TRIES = const(4)
_HELD_UP_MS = const(30)  # either buffer holds 60 ms
_RATE_LIMIT_PERCENT = 1.5
_STOP_LIMIT_MS = const(20)
_STOPS = const(5)
_FRAMES = const(25)
_ROUNDS = const(8)
_FRAME_LIMIT_US = const(10_000)  # half of the 20 ms that such a pair lasts
_PAUSE_LIMIT_MS = const(250)


async def i2s(bench):
    """After one poll write() returns at once with what went, the DMA is as deep as planned, and its flag comes back."""
    speaker = bench.speaker()
    silence = memoryview(bytes(_BLOCK_BYTES))
    longest_ms, frames = await _fill(bench, speaker, silence)
    figures = bench.figures
    figures["longest_write_ms"] = longest_ms
    figures["dma_frames"] = frames
    figures["dma_frames_planned"] = speaker.dma_frames
    began_ms = bench.ports.ticks_ms()
    is_ready = False
    while not is_ready and ticks_diff(bench.ports.ticks_ms(), began_ms) < _PATIENCE_MS:
        is_ready = speaker.is_flagged()
        await bench.ports.sleep_ms(_POLL_MS)
    figures["ready_flag_after_ms"] = ticks_diff(bench.ports.ticks_ms(), began_ms) if is_ready else -1  # -1: never
    # One block is being played, and one may be handed over during the filling.
    if not speaker.dma_frames - 2 * _BLOCK_FRAMES <= frames <= speaker.dma_frames + _BLOCK_FRAMES:
        raise Failed("the DMA took %d frames where %d were planned: report this" % (frames, speaker.dma_frames))


async def _fill(bench, speaker, block):
    """(longest write in ms, frames taken) until the DMA is full.

    A fresh DMA offers its blocks one by one as they are played; after a round of silence all but one are free.
    """
    await bench.ports.sleep_ms(speaker.dma_frames * 1000 // SPEAKER_HZ + _ROUND_MS)
    taken = longest_ms = 0
    began_ms = bench.ports.ticks_ms()
    while ticks_diff(bench.ports.ticks_ms(), began_ms) < _PATIENCE_MS:
        before_ms = bench.ports.ticks_ms()
        n = speaker.write(block)
        longest_ms = max(longest_ms, ticks_diff(bench.ports.ticks_ms(), before_ms))
        if longest_ms > _NOW_MS:
            raise Failed("a write took %d ms: I2S blocks on this image, use a MicroPython from 1.24 on" % longest_ms)
        taken += n
        if n == 0 and taken:
            return longest_ms, taken // 2
        if n == 0:
            await bench.ports.sleep_ms(_POLL_MS)
    if not taken:
        raise Failed("the loudspeaker takes no samples: check speaker in the board file")
    raise Failed("the DMA is never full: its clock is too fast, or the bus does not run")


async def clocks(bench):
    """Microphone and loudspeaker keep their rates, side by side, by the chip's own clock."""
    mic, speaker = bench.mic(), bench.speaker()
    await _fill(bench, speaker, memoryview(bytes(_BLOCK_BYTES)))
    took_ms = heard = played = 0
    for _ in range(_RATE_TRIES):
        took_ms, heard, played, longest_pass_ms = await _count_frames(bench, mic, speaker)
        bench.figures["longest_pass_ms"] = longest_pass_ms
        if longest_pass_ms < _HELD_UP_MS:  # else a buffer may have run over, which says nothing of the clocks
            break
    wrong = []
    for name, frames, rate_hz in (("mic", heard, mic.rate_hz), ("speaker", played, SPEAKER_HZ)):
        measured_hz = frames * 1000 // took_ms
        bench.figures[name + "_hz"] = measured_hz
        if abs(measured_hz - rate_hz) * 100 > _RATE_LIMIT_PERCENT * rate_hz:
            wrong.append("%s runs at %d Hz instead of %d" % (name, measured_hz, rate_hz))
    if wrong:
        raise Failed("; ".join(wrong) + ": a pin of that bus is wrong, or the loop is held up")


async def _count_frames(bench, mic, speaker):
    """(ms, frames heard, frames played, longest pass of the loop in ms) of _RATE_MS and a little."""
    silence = memoryview(bytes(_BLOCK_BYTES))
    sink = memoryview(bytearray(2048))
    while mic.readinto(sink) or speaker.write(silence):
        pass
    heard = played = longest_ms = 0
    last_ms = began_ms = bench.ports.ticks_ms()
    while ticks_diff(last_ms, began_ms) < _RATE_MS:
        heard += mic.readinto(sink) // 2
        played += speaker.write(silence) // 2
        await bench.ports.sleep_ms(_POLL_MS)
        now_ms = bench.ports.ticks_ms()
        longest_ms = max(longest_ms, ticks_diff(now_ms, last_ms))
        last_ms = now_ms
    return ticks_diff(last_ms, began_ms), heard, played, longest_ms


async def stop(bench):
    """A stop recalls what the DMA holds, quickly, every time, and the loudspeaker plays again afterwards."""
    speaker = bench.speaker()
    block = tone_block(16)
    longest_ms = 0
    for _ in range(_STOPS):
        await _fill(bench, speaker, block)
        before_ms = bench.ports.ticks_ms()
        speaker.stop()
        longest_ms = max(longest_ms, ticks_diff(bench.ports.ticks_ms(), before_ms))
    bench.figures["longest_stop_ms"] = longest_ms
    await _fill(bench, speaker, memoryview(bytes(_BLOCK_BYTES)))
    if longest_ms > _STOP_LIMIT_MS:
        raise Failed("a stop took %d ms, an interruption would be heard so much later: report this" % longest_ms)


async def frames(bench):
    """20 ms of sound up and 20 ms down cost less than half of 20 ms. Measured with the speaker's own parts."""
    from . import load

    up_us, down_us = load.frame_costs_us(bench.ports, _FRAMES, _ROUNDS)
    bench.figures["kernels"] = kernels.IMPLEMENTATION
    bench.figures["cpu_mhz"] = bench.machine.freq() // 1_000_000
    bench.figures["uplink_us_per_frame"] = up_us
    bench.figures["player_us_per_frame"] = down_us
    if up_us + down_us > _FRAME_LIMIT_US:
        raise Failed(
            "a frame pair takes %d us of 20 000: the processor is slow (240 MHz?) or the image lacks native code"
            % (up_us + down_us)
        )


async def collector(bench):
    """A collection of the whole heap pauses the speaker for no longer than a pause in speech."""
    longest_ms = 0
    for _ in range(3):
        before_ms = bench.ports.ticks_ms()
        bench.collect()
        longest_ms = max(longest_ms, ticks_diff(bench.ports.ticks_ms(), before_ms))
    bench.figures["longest_pause_ms"] = longest_ms
    if longest_ms > _PAUSE_LIMIT_MS:
        raise Failed("a collection takes %d ms: much is in use, or the PSRAM is slow (octal image?)" % longest_ms)
