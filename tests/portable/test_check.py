"""The test helpers themselves: a wrong helper makes every other test worthless."""

import asyncio

import check
from check import assert_no_allocation, raises
from firmware import compat
from firmware.compat import sleep_ms


def test_raises_passes_on_the_error_asked_for_and_keeps_it():
    with raises(ValueError, "seven") as caught:
        raise ValueError("not seven samples")
    assert str(caught.error) == "not seven samples"


def test_raises_fails_when_nothing_is_raised():
    try:
        with raises(ValueError):
            pass
    except AssertionError as error:
        assert "nothing was raised" in str(error)
        return
    assert False, "a block that raises nothing went through"


def test_raises_fails_on_another_text():
    try:
        with raises(ValueError, "eight"):
            raise ValueError("seven")
    except AssertionError as error:
        assert "eight" in str(error)
        return
    assert False, "a wrong text went through"


def test_raises_lets_another_error_through():
    with raises(KeyError):
        with raises(ValueError):
            raise KeyError("other")


def test_a_hot_function_may_not_allocate():
    buf = bytearray(64)

    def fill(dst, value):
        for i in range(len(dst)):
            dst[i] = value
        return value

    assert assert_no_allocation(fill, buf, 7) == 7
    assert buf == bytearray(b"\x07" * 64)
    if check.IS_MICROPYTHON:
        with raises(AssertionError, "bytes in one call"):
            assert_no_allocation(lambda: bytearray(64))


def test_the_heap_meter_counts_garbage_too():
    meter = check.HeapMeter()
    meter.start()
    for _ in range(10):
        bytes(1000)
    n_bytes = meter.stop()
    if check.IS_MICROPYTHON:
        assert 10_000 <= n_bytes < 12_000, n_bytes
    else:
        assert n_bytes == 0


def test_stepped_time_jumps_to_each_deadline_in_order():
    log = []

    async def tick(name, period_ms, n):
        for _ in range(n):
            await sleep_ms(period_ms)
            log.append((check.now_ms(), name))

    async def main():
        slow = asyncio.create_task(tick("slow", 60, 2))
        fast = asyncio.create_task(tick("fast", 20, 5))
        await slow
        await fast
        await asyncio.sleep(3600)
        return check.now_ms()

    assert check.run_stepped(main(), limit_ms=3_700_000) == 3_600_120
    assert [t_ms for t_ms, name in log if name == "fast"] == [20, 40, 60, 80, 100]
    assert [t_ms for t_ms, name in log if name == "slow"] == [60, 120]


def test_stepped_time_is_exact_over_many_small_sleeps():
    async def main():
        for _ in range(5000):
            await sleep_ms(7)
        return check.now_ms()

    assert check.run_stepped(main) == 35_000


def test_stepped_events_wake_at_the_instant_they_are_set():
    woken_ms = []

    async def waiter(event):
        await event.wait()
        woken_ms.append(check.now_ms())

    async def main():
        event = asyncio.Event()
        task = asyncio.create_task(waiter(event))
        await sleep_ms(250)
        event.set()
        await task
        assert check.now_ms() == 250

    check.run_stepped(main())
    assert woken_ms == [250]


def test_a_task_woken_by_an_event_queues_behind_what_was_due_before():
    order = []

    async def sleeper():
        await sleep_ms(20)
        order.append("due")

    async def waiter(event):
        await event.wait()
        order.append("woken")

    async def main():
        event = asyncio.Event()
        tasks = [asyncio.create_task(waiter(event)), asyncio.create_task(sleeper())]
        await sleep_ms(10)
        check.block_ms(30)  # now both could run; the sleeper has waited since 20 ms
        event.set()
        for task in tasks:
            await task
        assert check.now_ms() == 40

    check.run_stepped(main())
    if check.IS_MICROPYTHON:  # CPython runs what was made ready in this round before it looks at the timers
        assert order == ["due", "woken"]
    assert sorted(order) == ["due", "woken"]


def test_stepped_time_out_and_cancellation():
    seen = []

    async def for_ever():
        try:
            while True:
                await sleep_ms(30)
        except asyncio.CancelledError:
            seen.append(check.now_ms())
            raise

    async def main():
        try:
            await asyncio.wait_for(for_ever(), 1)
        except asyncio.TimeoutError:
            seen.append("time-out")
        task = asyncio.create_task(for_ever())
        await sleep_ms(100)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            seen.append("cancelled")
        task = asyncio.create_task(asyncio.Event().wait())
        await sleep_ms(10)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            seen.append(check.now_ms())

    check.run_stepped(main())
    assert seen == [1000, "time-out", 1100, "cancelled", 1110]


def test_a_test_that_waits_for_nothing_fails_at_once():
    async def main():
        await sleep_ms(40)
        await asyncio.Event().wait()

    with raises(AssertionError, "at 40 ms nothing is left"):
        check.run_stepped(main())


def test_a_test_that_never_ends_fails_at_the_limit():
    async def main():
        while True:
            await sleep_ms(5)

    with raises(AssertionError, "not over after 2000 simulated ms"):
        check.run_stepped(main(), limit_ms=2000)


def test_a_task_that_never_waits_is_named_instead_of_hanging():
    async def main():
        while True:
            await sleep_ms(0)

    with raises(AssertionError, "time stands still at 0 ms"):
        check.run_stepped(main())


def test_a_task_that_dies_unseen_fails_the_run():
    async def die(after_ms):
        await sleep_ms(after_ms)
        raise ValueError("died unseen")

    async def main(after_ms):
        task = asyncio.create_task(die(after_ms))
        await sleep_ms(25)
        await sleep_ms(25)
        return task

    with raises(ValueError, "died unseen"):
        check.run_stepped(main(10))
    with raises(ValueError, "died unseen"):
        check.run_stepped(main(50))  # in the very instant in which main ends

    async def seen():
        try:
            await asyncio.create_task(die(10))
        except ValueError:
            return "seen"

    assert check.run_stepped(seen()) == "seen"


def test_errors_of_the_main_coroutine_come_through():
    async def main():
        await sleep_ms(5)
        raise KeyError("volume")

    with raises(KeyError, "volume"):
        check.run_stepped(main())


def test_one_stepped_run_leaves_nothing_to_the_next():
    async def leaves_a_task():
        asyncio.create_task(sleep_for_ever())
        await sleep_ms(100)

    async def sleep_for_ever():
        while True:
            await sleep_ms(1)

    async def clean():
        await sleep_ms(10)
        return check.now_ms()

    check.run_stepped(leaves_a_task())
    assert check.run_stepped(clean()) == 10
    asyncio.run(clean())  # and the real loop runs on the real clock again


def test_the_stepped_clock_wraps_like_the_real_one():
    async def main():
        before = check.now_ms()
        await sleep_ms(500)
        after = check.now_ms()
        assert before > after == 200
        return compat.ticks_diff(after, before)

    assert check.run_stepped(main(), start_ms=-300) == 500


def test_the_hand_moved_clock_wraps_too():
    clock = check.Clock(-5)
    before = clock.ticks_ms()
    clock.advance(20)
    assert clock.ticks_ms() == 15
    assert compat.ticks_diff(clock.ticks_ms(), before) == 20


def test_ports_are_repeatable_and_have_no_network():
    async def main():
        ports = check.ports(seed=7)
        await ports.sleep_ms(1500)
        with raises(AssertionError, "no network"):
            ports.resolve("host.invalid", 443)
        return ports.ticks_ms(), ports.unix_s(), ports.random_bytes(8)

    first = check.run_stepped(main())
    assert first == check.run_stepped(main())
    assert first[0] == 1500
    assert first[1] == 1_800_000_001
    assert len(set(first[2])) > 1
    assert check.ports(seed=8).random_bytes(8) != first[2]
