"""The uplink's rules: which frames are part of an utterance, in which order, and what if nobody takes them."""

import asyncio

import check
from check import assert_no_allocation, raises
from fake_audio import coded, pcm, ramp, samples_of
from firmware import trace as codes
from firmware.audio import codec
from firmware.audio.uplink import Uplink
from firmware.trace import Trace
from frame_queue import AUDIO, END


class Desk:
    """An uplink with a recorder that pushes numbered frames and a writer that says which ones it saw."""

    def __init__(self, queue_ms=1000, preroll_ms=60, codec_name="pcm", tail_ms=0):
        self.trace = Trace(check.now_ms)
        self.ends = 0
        self.overflows = 0
        self.uplink = Uplink(
            codec.uplink(codec_name), queue_ms, preroll_ms, self.trace, tail_ms, self._end, self._overflow
        )
        self.next = 0

    def _end(self):
        self.ends += 1

    def _overflow(self):
        self.overflows += 1

    def push(self, n_frames=1):
        """Push frames whose samples continue one ramp. Returns the number of the first."""
        first = self.next
        for _ in range(n_frames):
            self.uplink.push_pcm(memoryview(pcm(ramp(320 * self.next, 320))), 640)
            self.next += 1
        return first

    def take(self):
        """The number of the next frame for the writer, "END", or None."""
        kind = self.uplink.next()
        if kind == 0:
            return None
        assert self.uplink.ready.is_set()
        if kind == END:
            self.uplink.pop()
            return "END"
        frame = self.uplink.frame
        assert kind == AUDIO and frame.n == 640
        samples = samples_of(frame.buf[frame.at : frame.at + 640])
        self.uplink.pop()
        for number in range(self.next):
            if samples == ramp(320 * number, 320):
                return number
        raise AssertionError("a frame that nobody pushed")

    def take_all(self):
        taken = []
        while True:
            what = self.take()
            if what is None:
                return taken
            taken.append(what)

    def drops(self):
        return [arg for _, c, arg in self.trace.entries() if c == codes.UPLINK_DROP]


def test_the_writer_sees_nothing_before_the_start():
    desk = Desk()
    desk.push(10)
    assert desk.take() is None
    assert not desk.uplink.is_recording and desk.uplink.waiting_ms() == 0


def test_the_preroll_is_exactly_so_long_and_the_head_of_the_utterance():
    for preroll_ms, n in ((60, 3), (300, 15), (0, 0), (79, 3), (20, 1)):
        desk = Desk(preroll_ms=preroll_ms)
        desk.push(40)
        desk.uplink.start()
        desk.push(2)
        desk.uplink.finish()
        assert desk.take_all() == list(range(40 - n, 42)) + ["END"], preroll_ms
        assert desk.uplink.utterance_frames == n + 2


def test_a_short_preroll_is_what_there_is():
    desk = Desk(preroll_ms=300)
    desk.push(2)
    desk.uplink.start()
    assert desk.take_all() == [0, 1]


def test_nothing_after_finish_is_part_of_the_utterance_but_of_the_preroll_of_the_next():
    desk = Desk()
    desk.uplink.start()
    desk.push(2)
    desk.uplink.finish()
    desk.push(5)  # 2..6
    assert desk.take_all() == [0, 1, "END"]
    desk.uplink.start()
    desk.push(1)
    desk.uplink.finish()
    assert desk.take_all() == [4, 5, 6, 7, "END"]


def test_the_tail_is_exactly_so_long_and_the_end_stands_behind_its_last_frame():
    for tail_ms, n in ((120, 6), (139, 6), (20, 1), (0, 0), (19, 0)):
        desk = Desk(tail_ms=tail_ms)
        desk.uplink.start()
        desk.push(3)
        desk.uplink.finish()
        assert desk.take_all() == [0, 1, 2] + ([] if n else ["END"])
        for i in range(n):
            assert desk.uplink.is_recording and desk.ends == 0
            desk.push(1)
        assert not desk.uplink.is_recording and desk.ends == 1
        desk.uplink.finish()
        assert desk.ends == 1
        desk.push(10)
        assert desk.take_all() == list(range(3, 3 + n)) + (["END"] if n else []), tail_ms


def test_a_press_within_the_tail_goes_on_with_the_utterance():
    desk = Desk(tail_ms=60)
    desk.uplink.resume()  # nothing to go on with
    assert not desk.uplink.is_recording
    desk.uplink.start()
    desk.push(1)
    desk.uplink.finish()
    desk.push(2)
    desk.uplink.finish()  # again: the tail is not longer for it
    desk.uplink.resume()
    desk.push(7)
    desk.uplink.finish()
    desk.push(5)
    assert desk.take_all() == list(range(13)) + ["END"] and desk.ends == 1
    assert desk.uplink.utterance_frames == 13


def test_free_talk_ends_at_once_and_abort_ends_a_tail_without_an_end():
    desk = Desk(tail_ms=60)
    desk.uplink.start(drop_oldest=True)
    desk.push(1)
    desk.uplink.finish()
    assert desk.take_all() == [0, "END"] and desk.ends == 1
    desk.uplink.start()
    desk.push(1)
    desk.uplink.finish()
    desk.uplink.abort()
    desk.push(9)
    assert desk.take() is None and desk.ends == 1


def test_an_utterance_is_unsent_until_the_writer_holds_its_end():
    desk = Desk(tail_ms=20, preroll_ms=0)
    assert not desk.uplink.is_unsent()
    desk.uplink.start()
    assert desk.uplink.is_unsent()
    desk.uplink.finish()
    desk.push(1)
    assert desk.take() == 0
    assert desk.uplink.is_unsent(), "the END waits"
    assert desk.uplink.next() == END
    assert not desk.uplink.is_unsent()
    desk.uplink.pop()
    assert not desk.uplink.is_unsent()


def test_two_utterances_may_wait_each_with_its_end_behind_it():
    desk = Desk()
    desk.uplink.start()
    desk.push(2)
    desk.uplink.finish()
    desk.push(5)
    desk.uplink.start()
    desk.push(1)
    desk.uplink.finish()
    desk.push(4)
    assert desk.take_all() == [0, 1, "END", 4, 5, 6, 7, "END"]


def test_an_utterance_without_a_frame_has_an_end_still():
    desk = Desk(preroll_ms=0)
    desk.uplink.start()
    desk.uplink.finish()
    assert desk.take_all() == ["END"]
    desk.uplink.finish()
    assert desk.take() is None, "finish without an utterance is nothing"


def test_abort_drops_all_that_waits_and_sends_no_end():
    desk = Desk()
    desk.uplink.start()
    desk.push(5)
    desk.uplink.finish()
    desk.push(2)
    desk.uplink.start()
    desk.push(2)
    assert desk.uplink.abort_count == 0
    desk.uplink.abort()
    assert desk.uplink.abort_count == 1
    assert desk.uplink.ready.is_set(), "the bell may be for another message of the writer's"
    assert desk.take() is None and not desk.uplink.is_recording
    desk.push(1)
    desk.uplink.start()
    assert desk.take_all() == [9], "no pre-roll from before the abort"


def test_an_abort_under_the_hands_of_the_writer_costs_the_next_utterance_nothing():
    desk = Desk()
    desk.uplink.start()
    desk.push(2)
    assert desk.uplink.next() == AUDIO
    desk.uplink.abort()
    desk.uplink.start()
    desk.push(1)
    desk.uplink.pop()  # of the frame that is gone
    assert desk.take_all() == [2]


def test_a_forgotten_preroll_is_not_heard():
    desk = Desk()
    desk.push(3)
    desk.uplink.forget_preroll()
    desk.push(1)
    desk.uplink.start()
    desk.push(1)
    desk.uplink.forget_preroll()  # an utterance that is open is left alone
    assert desk.take_all() == [3, 4]


def test_push_to_talk_with_a_slow_link_stops_without_a_hole_and_says_so():
    desk = Desk(queue_ms=200, preroll_ms=60)
    desk.push(5)
    desk.uplink.start()
    desk.push(10)
    assert not desk.uplink.is_overflowed and desk.uplink.waiting_ms() == 260
    desk.push(1)
    assert desk.uplink.is_overflowed and desk.uplink.is_recording and desk.overflows == 1
    assert desk.take() == 2
    desk.push(60)  # room again, but the utterance has its hole's edge behind it
    assert desk.take_all() == list(range(3, 15))
    assert desk.uplink.dropped_frames == 61 and desk.drops() == [1, 51]
    desk.uplink.finish()
    assert desk.drops() == [1, 51, 61]
    assert desk.take_all() == ["END"]
    desk.push(3)
    desk.uplink.start()
    assert not desk.uplink.is_overflowed and desk.overflows == 1 and desk.ends == 1
    assert desk.take_all() == [76, 77, 78]


def test_free_talk_with_a_slow_link_loses_its_oldest_frames_and_counts_them():
    desk = Desk(queue_ms=200, preroll_ms=60)
    desk.push(3)
    desk.uplink.start(drop_oldest=True)
    assert desk.uplink.is_streaming
    desk.push(30)
    assert not desk.uplink.is_overflowed
    assert desk.take_all() == list(range(20, 33))
    assert desk.uplink.dropped_frames == 20
    desk.push(1)
    assert desk.take_all() == [33]


def test_the_next_preroll_has_room_while_everything_else_is_full():
    desk = Desk(queue_ms=100, preroll_ms=300)
    desk.push(15)
    desk.uplink.start()
    desk.push(5)
    desk.uplink.finish()
    for _ in range(7):
        desk.uplink.start()
        desk.uplink.finish()
    desk.push(30)  # 20..49, nothing of what waits is touched
    assert desk.take_all() == list(range(20)) + ["END"] * 8
    desk.uplink.start()
    assert desk.take_all() == list(range(35, 50))


def test_more_utterances_than_can_wait_end_in_an_overflow_not_in_a_missing_end():
    desk = Desk(preroll_ms=0)
    for _ in range(8):
        desk.uplink.start()
        desk.uplink.finish()
    desk.uplink.start()
    assert desk.uplink.is_overflowed
    desk.uplink.abort()
    desk.uplink.start()
    assert not desk.uplink.is_overflowed


def test_a_second_start_is_our_mistake():
    desk = Desk()
    desk.uplink.start()
    with raises(ValueError, "open already"):
        desk.uplink.start()
    with raises(ValueError, "640"):
        desk.uplink.push_pcm(bytes(642), 642)
    with raises(ValueError, "even"):
        desk.uplink.push_pcm(bytes(642), 3)


def test_g711_is_one_stream_from_the_preroll_on():
    for name in ("g711a", "g711u"):
        desk = Desk(preroll_ms=40, codec_name=name)
        desk.push(10)
        desk.uplink.start()
        desk.push(3)
        desk.uplink.finish()
        got = bytearray()
        while desk.uplink.next() == AUDIO:
            frame = desk.uplink.frame
            assert frame.n == 160
            got += frame.buf[frame.at : frame.at + 160]
            desk.uplink.pop()
        reference = codec.uplink(name)
        expected = bytearray()
        for number in range(13):
            expected += coded(reference, pcm(ramp(320 * number, 320)))
        assert got == expected[8 * 160 :]


def test_the_writer_is_woken_when_something_is_there():
    async def main():
        desk = Desk()
        seen = []

        async def writer():
            while "END" not in seen:
                await desk.uplink.ready.wait()
                seen.extend(desk.take_all())
                desk.uplink.ready.clear()

        task = asyncio.create_task(writer())
        desk.push(4)
        await asyncio.sleep(0)
        assert seen == []
        desk.uplink.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == [1, 2, 3]
        desk.push(1)
        desk.uplink.finish()
        await task
        assert seen == [1, 2, 3, 4, "END"]

    check.run_stepped(main)


def test_pushing_and_taking_allocates_nothing():
    for name in ("pcm", "g711a", "g711u"):
        desk = Desk(queue_ms=100, codec_name=name)
        uplink = desk.uplink
        frame = memoryview(bytearray(pcm(ramp(0, 320))))
        for _ in range(5):
            assert_no_allocation(uplink.push_pcm, frame, 640)
        uplink.start(drop_oldest=True)
        for _ in range(12):  # up to the drop of the oldest and beyond
            assert_no_allocation(uplink.push_pcm, frame, 640)
        for _ in range(8):
            assert_no_allocation(uplink.next)
            assert_no_allocation(uplink.pop)
        uplink.finish()
        assert_no_allocation(uplink.next)


def test_the_end_of_each_question_tells_how_much_ever_waited():
    desk = Desk(queue_ms=1000, preroll_ms=60)

    def told_ms():
        return [arg for _, code, arg in desk.trace.entries() if code == codes.QUEUE_MOST]

    desk.push(5)
    desk.uplink.start()
    desk.push(4)
    desk.uplink.finish()
    assert told_ms() == [140]  # the pre-roll, too
    desk.take_all()
    desk.uplink.start()
    desk.push(1)
    desk.uplink.finish()
    assert told_ms() == [140, 140]
    desk.take_all()
    desk.uplink.start()
    desk.push(9)
    desk.uplink.abort()
    assert told_ms() == [140, 140, 180]
    desk.uplink.abort()  # no question was open
    assert len(told_ms()) == 3
