"""The wall clock: asked for only when it is wrong, and an error that says what to do."""

import check
from check import block_ms, now_ms, run_stepped

from firmware.errors import LinkError
from firmware.net import clock

TODAY_S = clock.RELEASED_UNIX_S + 86_400
BOOT_S = 946_684_800  # what an ESP32 shows after power-up: the year 2000


class NTP:
    """A time server: `answers` are what each settime() makes of the clock; an exception is raised instead."""

    def __init__(self, unix_s, answers, takes_ms=40):
        self.unix_s = unix_s
        self.answers = list(answers)
        self.takes_ms = takes_ms
        self.asked = 0

    def settime(self):
        self.asked += 1
        block_ms(self.takes_ms)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        self.unix_s = answer


def ensure(ntp, timeout_ms=10000, host="pool.ntp.org"):
    """Returns (ms it took, the LinkError or None)."""

    async def main():
        ports = check.ports()
        ports.unix_s = lambda: ntp.unix_s
        try:
            await clock.ensure(ports, ntp.settime, timeout_ms, host)
        except LinkError as error:
            assert error.kind == "clock"
            return now_ms(), error
        return now_ms(), None

    return run_stepped(main)


def test_a_clock_that_is_right_asks_nobody():
    ntp = NTP(TODAY_S, [OSError("asked")])
    assert ensure(ntp) == (0, None) and ntp.asked == 0


def test_a_board_after_power_up_asks_once():
    for unix_s in (0, BOOT_S, clock.RELEASED_UNIX_S - 1):
        ntp = NTP(unix_s, [TODAY_S])
        assert ensure(ntp) == (40, None) and ntp.asked == 1 and ntp.unix_s == TODAY_S


def test_a_lost_packet_is_asked_for_again():
    ntp = NTP(BOOT_S, [OSError(110), OSError(110), TODAY_S], takes_ms=1000)
    assert ensure(ntp) == (4000, None) and ntp.asked == 3


def test_no_answer_says_what_to_do():
    ntp = NTP(BOOT_S, [OSError("ETIMEDOUT")], takes_ms=1000)
    took_ms, error = ensure(ntp)
    assert 8000 < took_ms <= 11000 and ntp.asked == 7
    for words in ("pool.ntp.org", "ETIMEDOUT", "7 tries", "UDP port 123", "ntp_host"):
        assert words in error.text, error.text


def test_a_resolver_that_fails_at_once_is_not_asked_in_a_tight_loop():
    ntp = NTP(BOOT_S, [OSError(-202)], takes_ms=0)
    took_ms, error = ensure(ntp, timeout_ms=3000)
    assert ntp.asked <= 7 and took_ms < 3000 and "-202" in error.text


def test_one_try_is_made_however_short_the_time():
    ntp = NTP(BOOT_S, [TODAY_S])
    assert ensure(ntp, timeout_ms=0)[1] is None


def test_a_server_that_lies_is_not_believed():
    for answer in (BOOT_S, clock.RELEASED_UNIX_S - 1, 2_208_988_800 + (1 << 31)):
        ntp = NTP(BOOT_S, [answer])
        _, error = ensure(ntp, timeout_ms=2000)
        assert "no date of today" in error.text, error


def test_a_packet_that_is_too_short():
    for failure in (ValueError("buffer too small"), IndexError()):
        _, error = ensure(NTP(BOOT_S, [failure]), timeout_ms=1000)
        assert (str(failure) or "IndexError") in error.text


def test_a_clock_far_in_the_future_is_set_right():
    ntp = NTP(5_000_000_000, [TODAY_S])
    assert ensure(ntp)[1] is None and ntp.asked == 1


def test_the_plausible_range():
    assert clock.is_plausible(clock.RELEASED_UNIX_S) and not clock.is_plausible(clock.RELEASED_UNIX_S - 1)
    assert not clock.is_plausible(0) and not clock.is_plausible(BOOT_S)
