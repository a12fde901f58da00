"""The player over a DMA that behaves as the ESP32's, sample by sample on a stepped clock."""

import asyncio

import check
import kernels_py
import kernels_tables
from check import raises, stepped
from fake_audio import FakeSpeaker, pcm, ramp, samples_of
from firmware import compat, errors
from firmware import trace as codes
from firmware.audio import beep_patterns, codec
from firmware.audio.gate import Gate
from firmware.audio.player import Player
from firmware.compat import sleep_ms
from firmware.trace import Trace

BLOCK_MS = 16  # 256 frames at 16 kHz


class Desk:
    """A player at work. Must be made inside run_stepped."""

    def __init__(self, ring_bytes=64_000, codec_name="pcm", hz=16000, prebuffer_ms=120, volume_percent=100, **speaker):
        self.t0 = check.now_ms()
        self.speaker = FakeSpeaker(check.now_ms, hz, **speaker)
        self.trace = Trace(check.now_ms)
        self.gate = Gate(False, 250)
        self.first_ms = None
        self.drained_ms = None
        self.underruns_ms = []
        self.errors = []
        self.when_first = None
        self.when_underrun = None
        self.player = Player(
            self.speaker,
            ring_bytes,
            codec.downlink(codec_name, hz),
            prebuffer_ms,
            check.ports(),
            self.trace,
            self.gate,
            volume_percent,
            self._first,
            self._drained,
            self._underrun,
            self.errors.append,
        )
        self.task = asyncio.create_task(self.player.run())

    def now_ms(self):
        return compat.ticks_diff(check.now_ms(), self.t0)

    def _first(self):
        assert self.first_ms is None, "two first samples"
        self.first_ms = self.now_ms()
        if self.when_first:
            self.when_first()

    def _drained(self):
        assert self.drained_ms is None, "drained twice"
        self.drained_ms = self.now_ms()

    def _underrun(self, ms):
        self.underruns_ms.append(ms)
        if self.when_underrun:
            self.when_underrun()

    def write(self, data):
        assert self.player.write_from(data, len(data)) == len(data)

    def traced(self, code):
        return [arg for _, c, arg in self.trace.entries() if c == code]


# -- prebuffer


@stepped()
async def test_the_prebuffer_holds_from_the_first_byte_though_a_second_of_sound_came_at_once():
    desk = Desk()
    await sleep_ms(100)
    desk.player.begin(7)
    await sleep_ms(300)  # no byte yet: nothing counts down
    desk.write(pcm(ramp(0, 16000)))
    await sleep_ms(119)
    assert desk.first_ms is None
    await sleep_ms(2)
    assert desk.first_ms == 520
    assert desk.traced(codes.FIRST_SAMPLE) == [7]
    await sleep_ms(1200)
    begin_ms, _ = desk.speaker.sound_span_ms()
    assert 520 <= begin_ms <= 520 + BLOCK_MS
    assert desk.speaker.sound() == ramp(0, 16000 // 256 * 256)
    assert desk.player.underruns == 0


@stepped()
async def test_complete_ends_the_hold():
    desk = Desk()
    desk.player.begin()
    desk.write(pcm(ramp(0, 500)))
    await sleep_ms(20)
    desk.player.complete()
    await sleep_ms(100)
    assert 20 <= desk.first_ms <= 28
    assert desk.speaker.sound() == ramp(0, 500)


@stepped()
async def test_a_full_ring_ends_the_hold():
    desk = Desk(ring_bytes=1024)
    desk.player.begin()
    desk.write(pcm(ramp(0, 512)))
    assert desk.player.room() == 0 and desk.player.capacity == 1024
    await sleep_ms(1)
    assert desk.first_ms is not None


# -- to the last sample


@stepped()
async def test_an_answer_is_heard_to_the_last_sample_and_only_then_drained():
    for n in (1, 255, 256, 257, 512, 4000, 15000):
        for hz in (8000, 16000, 24000):
            desk = Desk(hz=hz, blocks=64 if n == 15000 else 4)
            desk.player.begin()
            desk.write(pcm(ramp(0, n)))
            desk.player.complete()
            await sleep_ms(n * 1000 // hz + 200)
            assert desk.speaker.sound() == ramp(0, n), (n, hz)
            assert desk.speaker.gaps() == []
            _, end_ms = desk.speaker.sound_span_ms()
            block_ms = 256_000 // hz + 1
            assert end_ms <= desk.drained_ms <= end_ms + block_ms + block_ms // 2 + 2, (n, hz, end_ms, desk.drained_ms)
            assert desk.player.samples_played == n and desk.player.bytes_in == 2 * n
            assert desk.traced(codes.LAST_SAMPLE) == [n * 1000 // hz]
            assert desk.traced(codes.RING_MOST) == [2 * n]
            assert desk.player.is_idle()
            desk.task.cancel()


@stepped()
async def test_drained_waits_for_complete():
    desk = Desk()
    desk.player.begin()
    desk.write(pcm(ramp(0, 1024)))
    await sleep_ms(1000)
    assert desk.speaker.sound() == ramp(0, 1024)
    assert desk.drained_ms is None
    desk.player.complete()
    await sleep_ms(1)
    assert desk.drained_ms is not None
    assert desk.player.underruns == 0, "silence after the last sample is nobody's underrun"


@stepped()
async def test_an_answer_without_a_sample_is_drained_too():
    desk = Desk()
    desk.player.begin()
    await sleep_ms(50)
    desk.player.complete()
    await sleep_ms(20)
    assert desk.drained_ms is not None and desk.first_ms is None


@stepped()
async def test_g711_is_kept_as_wire_bytes_and_decoded_as_it_is_played():
    for name, silence in (("g711a", 0xD5), ("g711u", 0xFF)):
        desk = Desk(ring_bytes=2000, codec_name=name, hz=8000)
        codes_sent = bytearray([i % 256 for i in range(2000)])
        decoded = bytearray(4000)
        values = kernels_tables.ALAW_VALUES if name == "g711a" else kernels_tables.ULAW_VALUES
        kernels_py.expand_into(codes_sent, 0, 2000, decoded, 0, values)
        desk.player.begin()
        desk.write(codes_sent)  # 2000 samples fit into 2000 bytes
        desk.player.complete()
        await sleep_ms(500)
        expected = samples_of(decoded)
        heard = desk.speaker.played()
        first = desk.speaker.sound_span_ms()[0] * 8 // 256 * 256
        assert heard[first : first + 2000] == expected, name
        desk.task.cancel()


@stepped()
async def test_what_is_left_of_an_answer_is_played_before_the_next_one():
    desk = Desk()
    desk.player.begin(1)
    desk.write(pcm(ramp(0, 2001)) + b"\x55")  # and half a sample
    desk.first_ms = None
    await sleep_ms(150)
    desk.first_ms = None
    desk.player.begin(2)
    assert desk.player.turn == 2 and desk.player.odd_bytes == 1
    desk.write(pcm(ramp(2001, 1000)))
    desk.player.complete()
    await sleep_ms(400)
    assert desk.speaker.sound() == ramp(0, 3001)
    assert desk.drained_ms is not None


# -- underrun


@stepped()
async def test_an_underrun_is_measured_and_the_prebuffer_collected_again():
    for pause_ms in (40, 100, 333):
        for phase in (0, 50, 200):
            desk = Desk(phase_frames=phase)
            desk.player.begin()
            n = 8 * 256
            desk.write(pcm(ramp(0, n)))
            await sleep_ms(120 + 128 + pause_ms)
            assert desk.underruns_ms == []
            desk.write(pcm(ramp(n, n)))
            if pause_ms == 333:
                desk.player.complete()
            await sleep_ms(120 + 128 + 50)
            desk.player.complete()
            await sleep_ms(50)
            assert desk.speaker.sound() == ramp(0, 2 * n), "nothing lost, nothing doubled"
            [(before, silent)] = desk.speaker.gaps()
            assert before == n
            [ms] = desk.underruns_ms
            assert abs(ms - silent // 16) <= BLOCK_MS, (ms, silent // 16)
            assert desk.player.underruns == 1 and desk.player.underrun_ms == ms
            assert desk.traced(codes.UNDERRUN) == [ms]
            if pause_ms != 333:
                assert ms >= pause_ms + 120 - BLOCK_MS
            else:
                assert ms < pause_ms + 30, "complete ends this hold as well"
            desk.task.cancel()


@stepped()
async def test_sound_that_comes_just_in_time_makes_no_underrun():
    desk = Desk()
    desk.player.begin()
    sent = 0
    for _ in range(60):  # 50 ms every 50 ms, in pieces of odd size
        for n in (333, 467):
            desk.write(pcm(ramp(sent, n)))
            sent += n
        await sleep_ms(50)
    desk.player.complete()
    await sleep_ms(300)
    assert desk.speaker.sound() == ramp(0, sent)
    assert desk.speaker.gaps() == [] and desk.underruns_ms == []


@stepped()
async def test_the_block_that_the_clock_may_be_early_by_is_no_underrun():
    desk = Desk(phase_frames=127)  # a block begins 1 sample before 120 ms, so the first one is heard 16 ms later
    desk.player.begin()
    desk.write(pcm(ramp(0, 8 * 256)))
    await sleep_ms(120 + 128 + 4)
    desk.write(pcm(ramp(8 * 256, 8 * 256)))
    desk.player.complete()
    await sleep_ms(400)
    assert desk.speaker.sound() == ramp(0, 16 * 256)
    assert desk.speaker.gaps() == [] and desk.underruns_ms == []


@stepped()
async def test_after_a_stall_inside_an_answer_the_prebuffer_is_collected_again():
    desk = Desk()
    desk.player.begin()
    desk.write(pcm(ramp(0, 16000)))
    await sleep_ms(300)
    check.block_ms(164)
    await sleep_ms(1000)
    assert desk.speaker.sound() == ramp(0, 16000 // 256 * 256)
    [(_, silent)] = desk.speaker.gaps()
    [ms] = desk.underruns_ms
    assert abs(ms - silent // 16) <= BLOCK_MS
    assert ms >= 164 - 64 + 120 - BLOCK_MS


@stepped()
async def test_a_loop_that_stood_still_is_an_underrun_too():
    desk = Desk()
    desk.player.begin()
    desk.write(pcm(ramp(0, 16000)))
    desk.player.complete()
    await sleep_ms(300)
    check.block_ms(164)  # the DMA holds 64 ms
    await sleep_ms(1000)
    assert desk.speaker.sound() == ramp(0, 16000)
    [(_, silent)] = desk.speaker.gaps()
    [ms] = desk.underruns_ms
    assert abs(ms - silent // 16) <= BLOCK_MS, (ms, silent // 16)


@stepped()
async def test_a_dac_that_is_a_little_slow_or_fast_causes_no_underrun_and_no_early_end():
    for real_hz in (15200, 16800):
        desk = Desk(real_hz=real_hz)
        desk.player.begin()
        sent = 0
        for _ in range(15):  # 75 ms too much or too little by our clock, more than the DMA holds
            desk.write(pcm(ramp(sent, 1600)))
            sent += 1600
            await sleep_ms(95)
        desk.player.complete()
        await sleep_ms(1500)
        assert desk.underruns_ms == [] and desk.speaker.gaps() == []
        assert desk.speaker.sound() == ramp(0, sent)
        _, end_ms = desk.speaker.sound_span_ms()
        assert 0 <= desk.drained_ms - end_ms <= 3 * BLOCK_MS
        desk.task.cancel()


# -- flush


@stepped()
async def test_flush_is_silence_at_once():
    for hz, blocks in ((16000, 4), (8000, 8), (24000, 30)):
        desk = Desk(hz=hz, blocks=blocks)
        desk.player.begin()
        desk.write(pcm(ramp(0, 24000)))
        await sleep_ms(500)
        assert desk.player.is_audible()
        flushed_ms = desk.now_ms()
        n = desk.player.flush()
        assert n > 0 and desk.traced(codes.FLUSH) == [n]
        assert desk.traced(codes.RING_MOST) == [desk.player.ring.high_water] and desk.player.ring.high_water > n // 2
        assert not desk.player.is_audible() and desk.player.is_idle()
        await sleep_ms(1000)
        _, end_ms = desk.speaker.sound_span_ms()
        assert flushed_ms - 1 <= end_ms <= flushed_ms, "time to silence: %d ms" % (end_ms - flushed_ms)
        assert desk.speaker.stops == 1
        assert desk.drained_ms is None
        heard = len(desk.speaker.sound())
        assert abs(desk.player.samples_played - heard) <= 256, (desk.player.samples_played, heard)
        desk.task.cancel()


@stepped()
async def test_audio_after_a_flush_is_stale_until_the_next_begin():
    desk = Desk()
    desk.player.begin(1)
    desk.write(pcm(ramp(0, 8000)))
    await sleep_ms(200)
    desk.player.flush()
    heard = len(desk.speaker.sound())
    desk.write(pcm(ramp(8000, 500)))  # accepted so that nobody waits for room
    desk.player.complete()
    await sleep_ms(300)
    assert len(desk.speaker.sound()) == heard
    assert desk.player.stale_bytes == 1000 and desk.player.room() == 64_000
    desk.first_ms = None
    desk.player.begin(2)
    desk.write(pcm(ramp(20000, 1000)))
    desk.player.complete()
    await sleep_ms(300)
    assert desk.speaker.sound()[heard:] == ramp(20000, 1000)


@stepped()
async def test_a_flush_while_nothing_plays_leaves_the_bus_alone():
    desk = Desk()
    assert desk.player.flush() == 0
    desk.player.begin()
    desk.write(pcm(ramp(0, 100)))
    assert desk.player.flush() == 200, "in the hold: nothing is in the DMA yet"
    desk.player.begin()
    desk.write(pcm(ramp(0, 1000)))
    desk.player.complete()
    await sleep_ms(1000)
    desk.player.flush()
    assert desk.speaker.stops == 0


@stepped()
async def test_the_callbacks_may_flush():
    desk = Desk()
    desk.when_first = desk.player.flush
    desk.player.begin()
    desk.write(pcm(ramp(0, 8000)))
    await sleep_ms(500)
    assert desk.player.is_idle() and len(desk.speaker.sound()) == 0
    desk = Desk()
    desk.when_underrun = desk.player.flush
    desk.player.begin()
    desk.write(pcm(ramp(0, 512)))
    await sleep_ms(500)
    desk.write(pcm(ramp(512, 512)))
    await sleep_ms(500)
    assert desk.player.is_idle() and desk.speaker.sound() == ramp(0, 512)


# -- wire pieces


@stepped()
async def test_pieces_may_end_inside_a_sample():
    for sizes in ((1,), (3, 1, 7), (641, 999, 2), (5,)):
        desk = Desk()
        data = pcm(ramp(0, 1500))
        desk.player.begin()
        at = i = 0
        while at < len(data):
            n = min(sizes[i % len(sizes)], len(data) - at)
            assert desk.player.write_from(data, n, at) == n
            at += n
            i += 1
            if i % 50 == 0:
                await sleep_ms(1)
        desk.player.complete()
        await sleep_ms(400)
        assert desk.speaker.sound() == ramp(0, 1500), sizes
        assert desk.player.odd_bytes == 0
        desk.task.cancel()


@stepped()
async def test_half_a_sample_at_the_end_is_dropped_and_the_next_answer_is_whole():
    desk = Desk()
    for turn in (1, 2):
        desk.first_ms = desk.drained_ms = None
        desk.player.begin(turn)
        desk.write(pcm(ramp(1000 * turn, 700)) + b"\x7f")
        desk.player.complete()
        await sleep_ms(400)
        assert desk.player.odd_bytes == turn and desk.drained_ms is not None
    expected = ramp(1000, 700)
    expected.extend(ramp(2000, 700))
    assert desk.speaker.sound() == expected


@stepped()
async def test_a_full_ring_takes_a_part_and_there_is_room_when_sound_was_played():
    desk = Desk(ring_bytes=4096)
    desk.player.begin()
    data = pcm(ramp(0, 10_000))
    at = desk.player.write_from(data, len(data))
    assert at == 4096
    waits = 0
    while at < len(data):
        assert await desk.player.wait_room(2000)
        n = desk.player.write_from(data, len(data) - at, at)
        assert n > 0
        at += n
        waits += 1
    assert desk.now_ms() < 700 and waits > 5
    desk.player.complete()
    await sleep_ms(500)
    assert desk.speaker.sound() == ramp(0, 10_000)
    assert desk.player.bytes_in == len(data)


@stepped()
async def test_waiting_for_room_has_an_end():
    desk = Desk(ring_bytes=512)
    desk.task.cancel()  # nobody plays
    desk.player.begin()
    desk.write(bytes(512))
    began = desk.now_ms()
    assert not await desk.player.wait_room(2000)
    assert desk.now_ms() - began == 2000
    desk.player.cut(77)
    assert desk.player.bytes_cut == 77 and desk.traced(codes.RING_FULL) == [77]
    desk.player.flush()
    assert await desk.player.wait_room(0)


# -- volume


@stepped()
async def test_volume_is_the_square_of_the_setting_and_saturates_above_100():
    for percent, gain_q12 in ((0, 0), (70, 2007), (100, 4096), (150, 9216)):
        desk = Desk(volume_percent=percent)
        source = ramp(0, 2000)
        desk.player.begin()
        desk.write(pcm(source))
        desk.player.complete()
        await sleep_ms(400)
        heard = desk.speaker.played()
        if not percent:
            assert max(heard) == 0 and not desk.gate.is_closed(check.now_ms())
            continue
        first = 0
        while not heard[first]:
            first += 1
        for i in range(2000):
            assert heard[first + i] == min(32767, (source[i] * gain_q12 + 2048) >> 12), (percent, i)
        assert desk.drained_ms is not None
        desk.task.cancel()


@stepped()
async def test_the_volume_may_change_while_sound_is_played():
    desk = Desk()
    desk.player.begin()
    desk.write(pcm(ramp(0, 8000)))
    await sleep_ms(300)
    desk.player.set_volume(50)
    assert desk.player.volume_percent == 50
    await sleep_ms(100)
    heard = desk.speaker.sound()
    assert heard[: 2000] == ramp(0, 2000)
    n = len(heard)
    expected = ramp(n - 100, 100)
    assert [heard[n - 100 + i] for i in range(100)] == [(expected[i] + 2) >> 2 for i in range(100)]
    for percent in (-1, 151):
        with raises(ValueError, "volume"):
            desk.player.set_volume(percent)


# -- what the gate is told


@stepped(start_ms=-700)
async def test_audible_covers_every_sample_that_is_heard_and_ends_soon_after():
    for phase in (0, 255):
        desk = Desk(phase_frames=phase)
        data = ramp(0, 3000)
        data.extend(ramp(0, 8000))
        for i in range(3000, 7000):
            data[i] = 8  # what A-law makes of silence
        audible = []
        desk.player.begin()
        desk.write(pcm(data))
        desk.player.complete()
        for _ in range(1000):
            audible.append(desk.player.is_audible())
            await sleep_ms(1)
        heard = desk.speaker.played()
        for ms in range(1, 999):
            if max(heard[16 * ms : 16 * ms + 16]) > 63:
                assert audible[ms] or audible[ms - 1], "a sample was heard at %d ms" % ms
        quiet_ms = [ms for ms in range(1000) if not audible[ms]]
        assert len([ms for ms in quiet_ms if 200 < ms < 560]) > 100, "silence inside the answer counts as silence"
        _, end_ms = desk.speaker.sound_span_ms()
        assert compat.ticks_diff(desk.gate.audible_until_ms, desk.t0) - end_ms <= 2 * BLOCK_MS
        desk.task.cancel()


# -- the DMA


async def drained(desk):
    for _ in range(1000):
        if desk.drained_ms is not None:
            return
        await sleep_ms(10)
    assert False, "not drained"


FLOWS = (("pcm", 24000, 9), ("pcm", 24000, 8), ("pcm", 24000, 7), ("pcm", 16000, 6), ("g711a", 8000, 3))


@stepped()
async def test_in_the_midst_of_an_answer_a_run_of_blocks_is_handed_over_at_once():
    for name, hz, blocks in FLOWS:
        desk = Desk(ring_bytes=10_001, codec_name=name, hz=hz, blocks=blocks)  # the end of the ring lies inside a sample
        data = pcm(ramp(0, 3 * hz)) if name == "pcm" else bytes([0x80 | i * 7 % 128 for i in range(3 * hz)])
        sent = 0
        desk.player.begin()
        while sent < len(data):
            n = desk.player.write_from(data, min(777, len(data) - sent), sent)
            sent += n
            if n < 777:
                await sleep_ms(20)
        passes = desk.player.passes
        began_ms = desk.now_ms()
        desk.player.complete()
        await drained(desk)
        heard = desk.speaker.sound()
        if name == "pcm":
            assert heard == ramp(0, 3 * hz), (hz, blocks)
        else:
            values = [kernels_tables.ALAW_VALUES[code] for code in data]
            assert list(heard) == values, (hz, blocks)
        assert desk.speaker.gaps() == [] and desk.underruns_ms == []
        assert desk.player.samples_played == 3 * hz
        # A pass a run, and a few at the beginning.
        n_passes = passes * 1000 // began_ms
        assert n_passes <= (32 if blocks != 7 else 48) + 8, (hz, blocks, n_passes)
        desk.task.cancel()


@stepped()
async def test_a_loop_that_stands_still_for_43_ms_at_any_moment_is_not_heard_at_24_khz():
    for blocks in (7, 8, 9):
        for phase in (0, 100, 255):
            desk = Desk(hz=24000, blocks=blocks, phase_frames=phase)
            desk.player.begin()
            desk.write(pcm(ramp(0, 30_000)))
            await sleep_ms(200)
            for i in range(9):
                check.block_ms(43 if blocks == 9 else 42)
                await sleep_ms(50 + 7 * i)
            desk.player.complete()
            await sleep_ms(1000)
            assert desk.speaker.sound() == ramp(0, 30_000)
            assert desk.speaker.gaps() == [] and desk.underruns_ms == [], (blocks, phase, desk.underruns_ms)
            desk.task.cancel()


@stepped()
async def test_flowing_sound_follows_a_dac_that_is_slow_or_fast():
    for name, hz, blocks in FLOWS:
        for percent in (98, 102):
            desk = Desk(codec_name=name, hz=hz, blocks=blocks, real_hz=hz * percent // 100)
            data = pcm(ramp(0, 4 * hz)) if name == "pcm" else bytes([0x80 | i * 7 % 128 for i in range(4 * hz)])
            desk.player.begin()
            sent = 0
            while sent < len(data):
                sent += desk.player.write_from(data, min(2000, len(data) - sent), sent)
                await sleep_ms(15)
            desk.player.complete()
            await drained(desk)
            assert desk.speaker.gaps() == [] and desk.underruns_ms == [], (hz, blocks, percent)
            assert len(desk.speaker.sound()) == 4 * hz
            _, end_ms = desk.speaker.sound_span_ms()
            assert 0 <= desk.drained_ms - end_ms <= 100, (hz, blocks, percent, desk.drained_ms, end_ms)
            desk.task.cancel()


@stepped()
async def test_flowing_sound_is_silent_at_once_and_allocates_nothing():
    for name, hz, blocks in FLOWS:
        desk = Desk(ring_bytes=80_000, codec_name=name, hz=hz, blocks=blocks)
        desk.player.begin()
        desk.write(bytes(80_000) if name == "pcm" else b"\xd5" * 20_000)
        await sleep_ms(400)
        desk.task.cancel()
        player = desk.player
        room = Room()
        player._write = room.write
        n_flowed = 0
        for _ in range(20):
            room.n_bytes = 4096
            player.passes = 1
            early_ms = compat.ticks_diff(player._quiet_ms, check.now_ms()) - player._run_fits_ms
            if early_ms > 0:
                await sleep_ms(early_ms)
            n_flowed += player._is_flowing
            check.assert_no_allocation(player.step)
        assert n_flowed >= 18, (name, hz, blocks, n_flowed)
        assert player.flush() > 0 and player.step() == 0


class Room:
    """A DMA that takes what is left of n_bytes."""

    def __init__(self):
        self.n_bytes = 0

    def write(self, mv):
        n = min(self.n_bytes, len(mv))
        self.n_bytes -= n
        return n


@stepped()
async def test_one_wake_up_fills_the_dma_at_most_once():
    desk = Desk(blocks=6)
    desk.player.begin()
    desk.write(pcm(ramp(0, 16000)))
    await sleep_ms(900)
    assert 6 <= desk.speaker.most_writes_at_once <= 7


@stepped()
async def test_a_dma_that_takes_parts_of_a_block_gets_the_rest_first():
    desk = Desk()
    desk.speaker.grain_bytes = 200
    desk.player.begin()
    desk.write(pcm(ramp(0, 256)))
    desk.player.complete()
    await sleep_ms(300)
    assert desk.speaker.sound() == ramp(0, 256)
    assert desk.drained_ms is not None


@stepped()
async def test_a_bus_that_fails_is_reported_and_started_anew():
    desk = Desk()
    desk.player.begin()
    desk.write(pcm(ramp(0, 8000)))
    await sleep_ms(200)
    desk.speaker.fails = 3  # this write and the first two attempts to repair it
    await sleep_ms(2500)
    assert len(desk.errors) == 3 and desk.player.errors == 3
    assert desk.player.is_idle() and not desk.player.is_audible()
    assert not desk.player.alert("audio")
    assert desk.player.write_from(bytes(100), 100) == 100, "nobody waits for a broken bus"
    await sleep_ms(1000)
    assert desk.speaker.stops == 1
    heard = len(desk.speaker.sound())
    desk.first_ms = None
    desk.player.begin()
    desk.write(pcm(ramp(9000, 1000)))
    desk.player.complete()
    await sleep_ms(400)
    assert desk.speaker.sound()[heard:] == ramp(9000, 1000)


@stepped()
async def test_a_bus_that_takes_nothing_more_is_silent_at_once():
    desk = Desk()
    desk.player.begin()
    desk.write(pcm(ramp(0, 8000)))
    await sleep_ms(200)
    desk.speaker.fails = 1
    while not desk.errors:
        await sleep_ms(1)
    heard = len(desk.speaker.sound())
    desk.player.flush()
    await sleep_ms(200)
    assert len(desk.speaker.sound()) - heard <= 2 * desk.speaker.rate_hz // 1000, "what its DMA held is not played to the end"


@stepped()
async def test_a_new_answer_tries_a_broken_bus_at_once():
    desk = Desk()
    desk.player.begin()
    desk.write(pcm(ramp(0, 8000)))
    desk.speaker.fails = 1
    await sleep_ms(200)
    assert len(desk.errors) == 1
    desk.first_ms = None
    desk.player.begin()
    desk.write(pcm(ramp(0, 1000)))
    desk.player.complete()
    await sleep_ms(400)
    assert desk.speaker.sound() == ramp(0, 1000)
    desk.speaker.fails = 1
    desk.player.begin()
    desk.first_ms = None
    desk.write(pcm(ramp(0, 8000)))
    await sleep_ms(200)
    assert len(desk.errors) == 2
    desk.speaker.fails = 1
    desk.player.begin()
    assert len(desk.errors) == 3
    assert desk.player.write_from(bytes(100), 100) == 100 and desk.player.stale_bytes == 100


def test_a_codec_and_a_loudspeaker_of_two_rates_are_our_mistake():
    with raises(ValueError, "8000 Hz on a loudspeaker of 16000"):
        Player(FakeSpeaker(check.now_ms), 100, codec.downlink("g711a", 0), 0, check.ports(), None, Gate(True, 0))


# -- alerts


async def beep_of(kind):
    desk = Desk()
    assert desk.player.alert(kind)
    assert not desk.player.alert(kind), "one at a time"
    await sleep_ms(50)
    assert desk.player.is_audible()
    await sleep_ms(1200)
    assert desk.player.is_idle() and not desk.player.is_audible()
    assert desk.drained_ms is None and desk.first_ms is None, "a beep is no answer"
    desk.task.cancel()
    begin_ms, end_ms = desk.speaker.sound_span_ms()
    return end_ms - begin_ms, bytes(pcm(desk.speaker.played()[16 * begin_ms : 16 * end_ms]))


@stepped()
async def test_every_kind_of_error_has_a_short_beep_of_its_own():
    seen = {}
    for kind in errors.KINDS + ("tap", "something unknown"):
        ms, sound = await beep_of(kind)
        assert 80 <= ms <= 600, (kind, ms)
        peak = max([abs(value) for value in samples_of(sound)])
        assert 3000 < peak < 9000, (kind, peak)
        assert sound not in seen, (kind, seen.get(sound))
        seen[sound] = kind
    for kind in errors.KINDS:
        assert kind in beep_patterns.PATTERNS


@stepped()
async def test_an_alert_never_talks_into_an_answer_and_an_answer_ends_an_alert():
    desk = Desk()
    desk.player.alert("config")
    await sleep_ms(100)
    desk.player.begin()
    assert not desk.player.alert("turn")
    desk.write(pcm(ramp(0, 2000)))
    desk.player.complete()
    await sleep_ms(400)
    heard = desk.speaker.sound()
    assert heard[len(heard) - 2000 :] == ramp(0, 2000)
    assert desk.drained_ms is not None and desk.player.samples_played == 2000
    desk.player.alert("turn")
    await sleep_ms(30)
    flushed_ms = desk.now_ms()
    desk.player.flush()
    await sleep_ms(300)
    assert desk.speaker.sound_span_ms()[1] <= flushed_ms


@stepped()
async def test_sound_right_after_a_flush_starts_a_round_of_the_dma_later_and_the_clock_knows():
    for blocks in (4, 16):
        for pause_ms in (0, 20, 50, 120, 300):
            desk = Desk(blocks=blocks)
            desk.player.begin()
            desk.write(pcm(ramp(0, 8000)))
            await sleep_ms(300)
            desk.player.flush()
            await sleep_ms(pause_ms)
            asked_ms = desk.now_ms()
            n = len(desk.speaker.played())
            assert desk.player.alert("tap")
            idle_ms = None
            audible = []
            for _ in range(800):
                audible.append(desk.player.is_audible())
                if idle_ms is None and desk.player.is_idle():
                    idle_ms = desk.now_ms()
                await sleep_ms(1)
            heard = desk.speaker.played()[n:]
            for ms in range(1, 799):
                if max(heard[16 * ms : 16 * ms + 16]) > 63:
                    assert audible[ms] or audible[ms - 1], (blocks, pause_ms, ms)
            _, end_ms = desk.speaker.sound_span_ms()
            assert end_ms <= idle_ms <= end_ms + 3 * BLOCK_MS, (blocks, pause_ms, end_ms - asked_ms, idle_ms - asked_ms)
            desk.task.cancel()


# -- the heap


@stepped()
async def test_playing_allocates_nothing():
    for name, hz in (("pcm", 16000), ("pcm", 24000), ("g711a", 8000), ("g711u", 8000)):
        for volume_percent in (70, 100, 150):
            desk = Desk(ring_bytes=20_000, codec_name=name, hz=hz, volume_percent=volume_percent)
            desk.task.cancel()
            player = desk.player
            piece = bytearray(1001)
            speaker = SilentSpeaker(player)
            player._write = speaker.write
            player.begin()
            player.write_from(piece, 1001)
            await sleep_ms(130)
            player.step()
            for _ in range(20):
                before = player.samples_played
                check.assert_no_allocation(play_a_step, player, speaker, piece)
                assert player.samples_played == before + 2 * 256


class SilentSpeaker:
    """Takes one block a step and forgets it."""

    def __init__(self, player):
        self.room = 1

    def write(self, mv):
        self.room -= 1
        return 512 if self.room >= 0 else 0


def play_a_step(player, speaker, piece):
    player.write_from(piece, 511, 3)
    player.write_from(piece, 1, 3)
    speaker.room = 1
    player.step()
