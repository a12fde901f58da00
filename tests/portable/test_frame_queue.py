"""The frame queue: order, limits, and who may see what."""

from check import assert_no_allocation, raises, seeded_bytes
from frame_queue import AUDIO, END, FrameQueue


def frame(number):
    """A frame of 4 bytes that says which one it is."""
    return bytes([number & 0xFF, number >> 8, 0x55, (number * 7) & 0xFF])


def free(queue):
    return queue.slots - queue.committed - queue.tentative


def pushed(queue, numbers):
    for number in numbers:
        assert queue.push(frame(number), 4)


def popped(queue):
    """The number of the oldest frame, -1 for an end mark, None when nothing is there to see."""
    kind = queue.take()
    if not kind:
        return None
    n = queue.n
    data = bytes(queue.buf[queue.at : queue.at + n])
    queue.pop()
    if kind == END:
        assert n == 0
        return -1
    number = data[0] | data[1] << 8
    assert data == frame(number), data
    return number


def everything(queue):
    seen = []
    while True:
        number = popped(queue)
        if number is None:
            return seen
        seen.append(number)


def test_frames_come_out_once_and_in_order():
    queue = FrameQueue(5, 4)
    for first in range(0, 40, 4):
        pushed(queue, range(first, first + 4))
        queue.commit()
        assert queue.frames == 4
        assert everything(queue) == [first, first + 1, first + 2, first + 3]
    assert free(queue) == 5


def test_the_reader_sees_nothing_of_the_tentative_tail():
    queue = FrameQueue(6, 4)
    pushed(queue, [1, 2])
    assert queue.take() == 0 and queue.frames == 0
    queue.commit()
    pushed(queue, [3])
    assert everything(queue) == [1, 2]
    queue.commit()
    assert everything(queue) == [3]


def test_a_full_queue_refuses_and_keeps_what_it_has():
    queue = FrameQueue(3, 4)
    pushed(queue, [1, 2, 3])
    assert not queue.push(frame(4), 4)
    queue.commit()
    assert not queue.push(frame(4), 4) and not queue.push_end()
    assert everything(queue) == [1, 2, 3]


def test_an_end_mark_stands_between_what_was_before_and_after():
    queue = FrameQueue(6, 4)
    pushed(queue, [1])
    with raises(ValueError, "tentative"):
        queue.push_end()
    queue.commit()
    assert queue.push_end()
    pushed(queue, [2])
    queue.commit()
    assert queue.frames == 2 and queue.committed == 3
    assert queue.take() == AUDIO
    assert everything(queue) == [1, -1, 2]


def test_the_tentative_tail_is_shortened_from_its_old_end_only():
    queue = FrameQueue(9, 4)
    pushed(queue, [1, 2])
    queue.commit()
    queue.push_end()
    for number in range(10, 30):
        queue.keep_last(2)
        pushed(queue, [number])
    assert queue.tentative == 3
    assert queue.keep_last(3) == 0
    assert queue.keep_last(2) == 1
    queue.commit()
    assert everything(queue) == [1, 2, -1, 28, 29]


def test_all_of_the_tail_may_go():
    queue = FrameQueue(4, 4)
    pushed(queue, [1, 2, 3])
    assert queue.keep_last(0) == 3
    queue.commit()
    assert queue.take() == 0 and free(queue) == 4
    pushed(queue, [4, 5, 6, 7])
    queue.commit()
    assert everything(queue) == [4, 5, 6, 7]


def test_the_oldest_frame_makes_room_and_is_counted():
    queue = FrameQueue(3, 4)
    pushed(queue, [1, 2, 3])
    queue.commit()
    assert queue.drop_oldest()
    pushed(queue, [4])
    queue.commit()
    assert everything(queue) == [2, 3, 4]
    assert not queue.drop_oldest()


def test_an_end_mark_is_never_dropped_for_room():
    queue = FrameQueue(4, 4)
    queue.push_end()
    pushed(queue, [1, 2, 3])
    queue.commit()
    assert queue.drop_oldest()
    pushed(queue, [4])
    queue.commit()
    assert everything(queue) == [-1, 2, 3, 4]


def test_a_frame_in_the_hands_of_the_reader_is_not_overwritten():
    queue = FrameQueue(3, 4)
    pushed(queue, [1, 2, 3])
    queue.commit()
    assert queue.take() == AUDIO
    assert queue.drop_oldest()
    pushed(queue, [4])
    queue.commit()
    assert bytes(queue.buf[queue.at : queue.at + queue.n]) == frame(1)
    queue.pop()
    assert everything(queue) == [3, 4]
    pushed(queue, [5])
    queue.commit()
    queue.take()
    assert not queue.drop_oldest(), "the only frame is being read"


def test_pop_after_clear_takes_nothing_of_what_came_later():
    queue = FrameQueue(4, 4)
    pushed(queue, [1, 2])
    queue.commit()
    queue.take()
    assert queue.clear() == 2
    pushed(queue, [3])
    queue.commit()
    queue.pop()  # of frame 1, which is gone
    assert everything(queue) == [3]
    queue.pop()
    assert free(queue) == 4


def test_a_frame_larger_than_a_slot_is_our_mistake():
    queue = FrameQueue(2, 4)
    for n in (0, 5):
        with raises(ValueError, "does not fit"):
            queue.push(bytes(8), n)
    with raises(ValueError, "slots"):
        FrameQueue(0, 4)


def test_any_mixture_of_calls_behaves_like_two_lists():
    for seed in range(1, 30):
        chance = seeded_bytes(seed)
        queue = FrameQueue(7, 4)
        committed = []
        tentative = []
        number = 0
        for _ in range(300):
            what = chance(1)[0] % 9
            if what < 3:
                number += 1
                if queue.push(frame(number), 4):
                    tentative.append(number)
                else:
                    assert len(committed) + len(tentative) == 7
            elif what == 3:
                queue.commit()
                committed += tentative
                tentative = []
            elif what == 4:
                if not tentative and queue.push_end():
                    committed.append(-1)
            elif what == 5:
                audio = [n for n in committed if n >= 0]
                assert queue.drop_oldest() == bool(audio)
                if audio:
                    committed.remove(audio[0])
            elif what == 6:
                queue.keep_last(2)
                tentative = tentative[-2:]
            else:
                expected = committed.pop(0) if committed else None
                assert popped(queue) == expected
            assert queue.committed == len(committed) and queue.tentative == len(tentative)
            assert queue.frames == len([n for n in committed if n >= 0])
        queue.commit()
        assert everything(queue) == committed + tentative


def test_a_frame_may_be_committed_as_it_is_pushed_and_coded_in_its_slot():
    def thrice(src, n, queue):
        for i in range(3 * n):
            queue.buf[queue.put_at + i] = src[i // 3]
        return 3 * n

    queue = FrameQueue(3, 6, thrice, 2)
    for number in range(20):
        assert queue.push(bytes([number, 100]), 2, True)
        assert queue.frames == queue.committed == 1 and not queue.tentative
        assert queue.take() == AUDIO and queue.n == 6
        assert bytes(queue.buf[queue.at : queue.at + 6]) == bytes([number] * 3 + [100] * 3)
        queue.pop()
    with raises(ValueError, "does not fit"):
        queue.push(bytes(3), 3)


def test_the_queue_allocates_nothing():
    queue = FrameQueue(8, 640)
    data = memoryview(bytearray(640))

    def one_frame():
        queue.keep_last(2)
        queue.push(data, 640)
        if queue.tentative == 3:
            queue.commit()
            queue.push_end()
        queue.push(data, 640, not queue.tentative)
        while queue.take():
            queue.drop_oldest()
            queue.pop()
            queue.drop_oldest()

    for _ in range(12):
        assert_no_allocation(one_frame)
