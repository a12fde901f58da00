"""The recorder over a DMA that gives blocks of 256 samples, sample by sample on a stepped clock."""

import asyncio

import check
from check import assert_no_allocation, raises, stepped
from fake_audio import FakeMic, samples_of
from firmware import trace as codes
from firmware.audio import codec
from firmware.audio.gate import Gate
from firmware.audio.recorder import Recorder
from firmware.audio.uplink import Uplink
from firmware.compat import sleep_ms, ticks_add, ticks_diff
from firmware.trace import Trace
from frame_queue import END


def number_of(i):
    """Sample i of the microphone: 15 bits that tell i, never 0."""
    return i % 32749 + 1 if i % 2 else -(i % 32749) - 1


class Desk:
    """A recorder at work, an uplink without limits, and the samples that came out. Inside run_stepped only."""

    def __init__(self, is_duplex=False, preroll_ms=300, gain_q8=256, sample=number_of, tail_ms=0, **mic):
        self.t0 = check.now_ms()
        self.mic = FakeMic(check.now_ms, sample, **mic)
        self.trace = Trace(check.now_ms)
        self.gate = Gate(is_duplex, 250)
        self.uplink = Uplink(codec.uplink("pcm"), 5000, preroll_ms, self.trace, tail_ms)
        self.errors = []
        self.recorder = Recorder(
            self.mic, self.uplink, self.gate, check.ports(), self.trace, gain_q8, self.errors.append
        )
        self.uplink.opened = self.recorder.opened
        self.uplink.backlog_frames = self.recorder.backlog_frames
        self.task = asyncio.create_task(self.recorder.run())

    def utterance(self):
        """The samples of all that waits for the writer."""
        out = bytearray()
        while True:
            kind = self.uplink.next()
            if not kind or kind == END:
                self.uplink.pop()
                return samples_of(out)
            frame = self.uplink.frame
            out += frame.buf[frame.at : frame.at + frame.n]
            self.uplink.pop()

    def ms(self, ms):
        """ms since the start of this desk as an instant of the clock."""
        return ticks_add(self.t0, ms)

    def traced(self, code):
        return [arg for _, c, arg in self.trace.entries() if c == code]


def first_number(samples):
    """Which sample of the microphone samples[0] is, once a run of them has been seen to follow each other."""
    guess = abs(samples[0]) - 1
    for i in range(len(samples)):
        assert samples[i] == number_of(guess + i), "sample %d of the utterance is lost, doubled or late" % i
    return guess


@stepped()
async def test_exact_frames_and_not_a_sample_lost_or_doubled():
    for phase in (0, 100, 255):
        desk = Desk(phase_frames=phase)
        desk.uplink.start()
        await sleep_ms(1505)
        samples = desk.utterance()
        assert first_number(samples) == 0
        assert len(samples) % 320 == 0
        assert 1505 * 16 - len(samples) < 256 + 5 * 16 + 320, "no frame waits longer than it must"
        assert desk.recorder.frames == len(samples) // 320
        assert desk.recorder.overrun_ms == 0
        desk.task.cancel()


@stepped()
async def test_the_preroll_is_exact():
    desk = Desk(preroll_ms=300)
    await sleep_ms(1000)
    desk.uplink.start()
    samples = desk.utterance()
    assert len(samples) == 300 * 16
    first = first_number(samples)
    assert 650 * 16 <= first <= 700 * 16


@stepped()
async def test_nothing_after_finish_is_heard_and_the_end_comes_last():
    desk = Desk(preroll_ms=0)
    await sleep_ms(500)
    desk.uplink.start()
    await sleep_ms(200)
    desk.uplink.finish()
    await sleep_ms(200)
    samples = desk.utterance()
    first = first_number(samples)
    assert 500 - 60 <= desk.mic.caught_at_ms(first) <= 500
    assert 700 - 60 <= desk.mic.caught_at_ms(first + len(samples)) <= 700
    assert desk.uplink.next() == 0


@stepped()
async def test_what_waited_in_the_dma_at_the_release_is_no_part_of_the_tail():
    desk = Desk(preroll_ms=0, tail_ms=120, blocks=8)
    await sleep_ms(500)
    desk.uplink.start()
    await sleep_ms(200)
    check.block_ms(107)  # a collection: meanwhile the button comes up
    desk.uplink.finish()
    released_ms = ticks_diff(check.now_ms(), desk.t0)
    await sleep_ms(400)
    samples = desk.utterance()
    end = first_number(samples) + len(samples)
    assert desk.recorder.overrun_ms == 0 and not desk.uplink.is_recording
    assert 120 - 41 <= desk.mic.caught_at_ms(end) - released_ms <= 120


# -- gain and level


@stepped()
async def test_the_gain_is_applied_and_saturates():
    values = (0, 100, -100, 8191, 8192, -8192, -8193, 32767, -32768)
    desk = Desk(gain_q8=1024, sample=lambda i: values[i % 9])
    desk.uplink.start()
    await sleep_ms(100)
    samples = desk.utterance()
    expected = [0, 400, -400, 32764, 32767, -32768, -32768, 32767, -32768]
    assert list(samples[:320]) == [expected[i % 9] for i in range(320)]
    assert desk.recorder.level() == 100


@stepped()
async def test_the_level_is_linear_in_decibels():
    for peak, level in ((0, 0), (1, 0), (2, 6), (181, 49), (1024, 66), (8192, 86), (32767, 99)):
        desk = Desk(sample=lambda i: peak if i & 1 else -peak)
        await sleep_ms(60)
        assert desk.recorder.level() == level, (peak, desk.recorder.level())
        desk.task.cancel()


# -- overrun


@stepped()
async def test_an_overrun_is_counted_with_its_duration_and_the_frames_go_on():
    for stall_ms in (30, 45, 100, 200, 1000):
        for phase in (0, 77, 200):
            desk = Desk(phase_frames=phase)
            await sleep_ms(503)
            check.block_ms(stall_ms)  # the DMA holds 64 ms
            await sleep_ms(300)
            lost_ms = desk.mic.lost_blocks * 16
            assert abs(desk.recorder.overrun_ms - lost_ms) <= 16, (stall_ms, desk.recorder.overrun_ms, lost_ms)
            assert (lost_ms == 0) == (stall_ms < 50)
            assert sum(desk.traced(codes.OVERRUN)) == desk.recorder.overrun_ms
            n = desk.recorder.frames
            await sleep_ms(1000)
            assert n + 49 <= desk.recorder.frames <= n + 51
            assert sum(desk.traced(codes.OVERRUN)) == desk.recorder.overrun_ms
            desk.task.cancel()


@stepped()
async def test_two_clocks_that_differ_are_no_overrun():
    for real_hz in (15990, 16010):
        desk = Desk(real_hz=real_hz)
        await sleep_ms(60_000)
        assert desk.recorder.overrun_ms == 0
        check.block_ms(164)
        await sleep_ms(100)
        assert abs(desk.recorder.overrun_ms - 16 * desk.mic.lost_blocks) <= 16
        desk.task.cancel()


# -- the gate


def silences(samples):
    """[(first frame, number of frames)] of the whole frames of silence."""
    found = []
    for frame in range(len(samples) // 320):
        part = samples[320 * frame : 320 * frame + 320]
        if not (min(part) or max(part)):
            if found and found[-1][0] + found[-1][1] == frame:
                found[-1] = (found[-1][0], found[-1][1] + 1)
            else:
                found.append((frame, 1))
    return found


@stepped(start_ms=-900)
async def test_free_talk_sends_silence_while_it_may_hear_itself_and_keeps_the_time():
    for phase in (0, 128, 255):
        desk = Desk(phase_frames=phase)
        desk.uplink.start(drop_oldest=True)
        await sleep_ms(400)
        desk.gate.sound_until(desk.ms(1000))
        await sleep_ms(1600)
        samples = desk.utterance()
        [(first, n)] = silences(samples)
        assert 300 <= first * 20 <= 400
        last_gated_ms = desk.mic.caught_at_ms((first + n) * 320)
        assert last_gated_ms >= 1250, "sound from within the tail was sent"
        assert last_gated_ms <= 1250 + 20 + 16 + 20, "the gate was closed longer than it had to be"
        for i in range(len(samples)):
            if not first * 320 <= i < (first + n) * 320:
                assert samples[i] == number_of(i)
        assert desk.recorder.gated_frames == n
        assert desk.traced(codes.GATED)
        desk.task.cancel()


@stepped()
async def test_the_preroll_never_reaches_behind_the_last_audible_sample_plus_the_tail():
    for press_ms in (1260, 1300, 1333, 1400, 1500, 1700):
        for phase in (0, 128, 255):
            desk = Desk(phase_frames=phase)
            await sleep_ms(400)
            desk.gate.sound_until(desk.ms(1000))
            await sleep_ms(press_ms - 400)
            desk.uplink.start()
            await sleep_ms(200)
            samples = desk.utterance()
            first_ms = desk.mic.caught_at_ms(first_number(samples))
            assert first_ms >= 1250, (press_ms, first_ms)
            assert first_ms <= max(1250 + 60, press_ms - 300), (press_ms, first_ms)
            desk.task.cancel()


@stepped()
async def test_a_barge_in_is_heard_from_the_press_on_though_the_room_still_sounds():
    for phase in (0, 128, 255):
        desk = Desk(phase_frames=phase)
        await sleep_ms(400)
        desk.gate.sound_until(desk.ms(2000))
        await sleep_ms(600)
        desk.gate.silence_from(desk.ms(1000))  # the flush
        desk.uplink.start()
        await sleep_ms(300)
        samples = desk.utterance()
        assert silences(samples) == []
        first_ms = desk.mic.caught_at_ms(first_number(samples))
        assert 1000 <= first_ms <= 1060, first_ms
        desk.task.cancel()


@stepped()
async def test_a_barge_in_is_heard_from_the_press_on_though_everything_stands_still_behind_it():
    desk = Desk(blocks=8)
    await sleep_ms(400)
    desk.gate.sound_until(desk.ms(2000))
    await sleep_ms(600)
    desk.gate.silence_from(desk.ms(1000))  # the flush
    desk.uplink.start()
    check.block_ms(70)  # a report on a slow UART, a collection
    await sleep_ms(300)
    first_ms = desk.mic.caught_at_ms(first_number(desk.utterance()))
    assert 1000 <= first_ms <= 1020 + 16, first_ms


@stepped()
async def test_a_duplex_board_never_closes_its_microphone():
    desk = Desk(is_duplex=True)
    await sleep_ms(400)
    desk.gate.sound_until(desk.ms(5000))
    await sleep_ms(600)
    desk.uplink.start(drop_oldest=True)
    await sleep_ms(500)
    samples = desk.utterance()
    first_number(samples)
    assert len(samples) >= 780 * 16 - 320 and desk.recorder.gated_frames == 0


# -- a broken bus


@stepped()
async def test_a_bus_that_fails_is_reported_and_started_anew():
    desk = Desk()
    desk.uplink.start()
    await sleep_ms(500)
    desk.mic.fails = 2  # the read and the first restart
    await sleep_ms(2100)
    assert len(desk.errors) == 2 and desk.mic.restarts == 1
    before = desk.recorder.frames
    await sleep_ms(500)
    assert desk.recorder.frames >= before + 24
    assert desk.recorder.overrun_ms == 0, "a restart is no overrun"


@stepped()
async def test_a_microphone_that_gives_nothing_is_a_failure():
    desk = Desk()
    await sleep_ms(500)
    desk.mic.is_dead = True
    await sleep_ms(1100)
    assert len(desk.errors) == 1
    with raises(type(desk.errors[0]), "no sample"):
        raise desk.errors[0]
    await sleep_ms(1100)
    assert desk.mic.restarts == 1
    before = desk.recorder.frames
    await sleep_ms(500)
    assert desk.recorder.frames >= before + 24
    assert len(desk.errors) == 1


def test_a_microphone_of_another_rate_is_our_mistake():
    mic = FakeMic(check.now_ms)
    mic.rate_hz = 8000
    with raises(ValueError, "16000 Hz, not at 8000"):
        Recorder(mic, None, None, check.ports(), None)


# -- the heap


class RampMic:
    """Gives one DMA block a call of step()."""

    rate_hz = 16000
    dma_frames = 1024
    left = 0

    def readinto(self, mv):
        n = min(self.left, len(mv))
        self.left -= n
        return n


@stepped()
async def test_recording_allocates_nothing():
    desk = Desk(is_duplex=False)
    desk.task.cancel()
    mic = RampMic()
    clock = check.Clock()
    for name in ("pcm", "g711a"):
        uplink = Uplink(codec.uplink(name), 200, 100, desk.trace)
        ports = check.ports(ticks_ms=clock.ticks_ms)
        recorder = Recorder(mic, uplink, desk.gate, ports, desk.trace, 1024)
        for i in range(60):
            clock.advance(16)
            if i == 20:
                uplink.start(drop_oldest=True)
            if i == 40:
                desk.gate.sound_until(ticks_add(clock.ms, 100))
            frames = recorder.frames
            assert_no_allocation(one_block, mic, recorder) if i >= 5 else one_block(mic, recorder)
        assert recorder.frames >= 60 * 256 // 320 - 1 and frames >= 40
        assert recorder.gated_frames > 3


def one_block(mic, recorder):
    mic.left = 512
    recorder.step()
