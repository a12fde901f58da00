"""A full ring: how long reading pauses, what is dropped, and that nothing accepted is lost or doubled."""

import asyncio

from check import now_ms, ports, run_stepped

from firmware.audio.intake import Intake


class Player:
    """A ring of `capacity` bytes that plays `rate` bytes per 10 ms; what it took is kept."""

    def __init__(self, capacity=100, rate=0):
        self.capacity = capacity
        self.rate = rate
        self.taken = b""
        self.used = 0
        self.bytes_cut = 0
        self.is_flushed = False

    def room(self):
        return self.capacity - self.used

    def begin(self):
        self.is_flushed = False

    def write_from(self, src, n, src_at=0):
        if self.is_flushed:
            return n
        n = min(n, self.room())
        self.taken += bytes(src[src_at : src_at + n])
        self.used += n
        return n

    def cut(self, n):
        self.bytes_cut += n

    async def wait_room(self, timeout_ms):
        """As the player's: True when there is room or the answer is over, False after timeout_ms."""
        until_ms = now_ms() + timeout_ms
        while not self.room() and not self.is_flushed:
            if now_ms() >= until_ms:
                return False
            await ports().sleep_ms(10)
            self.used = max(0, self.used - self.rate)
        return True


SPEECH = bytes(i * 7 & 0xFF for i in range(1000))


async def offer_all(intake, step=40):
    """Read SPEECH as the link's reader does; returns the ms of each pause."""
    pauses = []
    for at in range(0, len(SPEECH), step):
        if intake.offer(SPEECH, at, min(step, len(SPEECH) - at)):
            before_ms = now_ms()
            await intake.take_rest()
            pauses.append(now_ms() - before_ms)
    return pauses


def read(player, pause_ms=2000):
    intake = Intake(player, pause_ms, ports())
    intake.begin()
    return run_stepped(offer_all(intake))


def test_an_answer_slower_than_the_player_never_pauses():
    player = Player(capacity=2000)
    assert read(player) == [] and player.taken == SPEECH


def test_an_answer_a_little_faster_pauses_and_loses_nothing():
    player = Player(capacity=100, rate=8)
    pauses = read(player, pause_ms=5000)
    assert player.taken == SPEECH and player.bytes_cut == 0
    assert pauses and max(pauses) <= 60


def test_a_standing_player_holds_the_reader_for_the_budget_once_and_the_rest_is_cut():
    player = Player(capacity=100, rate=0)
    assert read(player) == [2000]
    assert player.taken == SPEECH[:100] and player.bytes_cut == 900


def test_the_budget_counts_all_pauses_of_one_full_ring():
    player = Player(capacity=100, rate=1)  # a byte each 10 ms, against 900 that wait
    pauses = read(player)
    assert 2000 <= sum(pauses) <= 2020, pauses
    assert player.taken == SPEECH[: len(player.taken)]
    assert len(player.taken) + player.bytes_cut == len(SPEECH)


def test_the_budget_is_whole_again_when_the_ring_was_half_empty():
    player = Player(capacity=100, rate=0)
    intake = Intake(player, 500, ports())
    intake.begin()

    async def main():
        waited = []
        for _ in range(3):
            assert intake.offer(SPEECH, 0, 101)
            before_ms = now_ms()
            helper = asyncio.create_task(play_all(player, 400))
            await intake.take_rest()
            waited.append(now_ms() - before_ms)
            await helper
            player.used = 0
        return waited

    async def play_all(player, after_ms):
        await ports().sleep_ms(after_ms)
        player.used = 0

    for waited_ms in run_stepped(main):
        assert 400 <= waited_ms <= 410, waited_ms
    assert player.bytes_cut == 0


def test_a_flush_ends_the_pause_at_once():
    player = Player(capacity=100, rate=0)
    intake = Intake(player, 2000, ports())
    intake.begin()

    async def main():
        assert intake.offer(SPEECH, 0, 200)
        flush = asyncio.create_task(flush_later(player))
        await intake.take_rest()
        await flush
        return now_ms()

    async def flush_later(player):
        await ports().sleep_ms(30)
        player.is_flushed = True

    assert run_stepped(main) <= 40
    assert player.bytes_cut == 0


def test_the_next_answer_is_heard_after_a_cut_one():
    player = Player(capacity=100, rate=0)
    intake = Intake(player, 100, ports())
    intake.begin()
    run_stepped(offer_all(intake))
    player.used = 0
    player.taken = b""
    intake.begin()
    assert not intake.offer(SPEECH, 0, 80)
    assert player.taken == SPEECH[:80]
