"""The self-test in the simulator: the person who helps, and hardware that is broken on purpose. Portable, child process.

A program of two lines, written by tools/board/selftest.py, is what the simulated chip runs:

    import selftest_program
    exit_code = selftest_program.main(only, breaks, is_alone)

Each entry of BREAKS damages the stand-ins in one way, so that the check which should find it can be seen to.
"""

import json
import os
import time

import machine
import network
from firmware import compat, report
from firmware.audio import uplink
from firmware.selftest import bench, runner
from simworld import sound, world

_PRESS_AFTER_US = 300_000
_PRESS_US = 200_000
_WRONG_PIN = 15  # speaker sck of boards/sim.py


class Person:
    """Sees the light, hears the loudspeaker, presses the button when asked to. One of the world's players."""

    is_done = True

    def __init__(self, here):
        self._here = here
        self._press_at_us = 0
        self._release_at_us = 0
        here._players.append(self)

    def answer(self, name, text):
        if name == "led":
            colours = [entry[1] for entry in self._here.led]
            lit = [colour.index(max(colour)) for colour in colours if max(colour)]
            return lit[-3:] == [0, 1, 2]
        if name == "beep":
            record = self._here.speaker
            return 0 <= record.at - record.last_sound < record.rate_hz and record.last_sound >= 0  # in the last second
        self._press_at_us = self._here.now_us() + _PRESS_AFTER_US
        self._release_at_us = self._press_at_us + _PRESS_US
        return True

    def step(self, now_ms):
        now_us = self._here.now_us()
        if self._press_at_us and now_us >= self._press_at_us:
            self._press_at_us = 0
            self._here.press()
        elif self._release_at_us and now_us >= self._release_at_us:
            self._release_at_us = 0
            self._here.release()

    def on_report(self, report):
        pass


class Ear:
    """A microphone that gives what fill(mv) writes."""

    def __init__(self, fill):
        self._fill = fill

    def render(self, at_sample, mv):
        self._fill(mv)
        return True


def _constant(value):
    pair = bytes((value & 0xFF, value >> 8 & 0xFF))

    def fill(mv):
        mv[:] = pair * (len(mv) // 2)

    return fill


def _noise(peak):
    loud = sound.Ear(peak)

    def fill(mv):
        loud.render(0, mv)

    return fill


def _wrap(owner, name, make):
    setattr(owner, name, make(getattr(owner, name)))


def stuck_pin(here):
    """GPIO 15 lies at ground."""
    _wrap(machine.Pin, "value", lambda old: lambda pin, *x: 0 if pin._id == _WRONG_PIN and not x else old(pin, *x))


def little_memory(here):
    """The image has no PSRAM."""
    compat.mem_free_bytes = lambda: 150_000


def dead_led(here):
    """No light."""
    here.on_led = lambda pixels: None


def dead_button(here):
    """The key has no contact."""
    here.button_pin = None


def silent_mic(here):
    """The microphone's data wire is open: zeros."""
    here.ear = Ear(_constant(0))


def stuck_mic(here):
    """A constant lies under the noise."""
    noise = _noise(40)

    def fill(mv):
        noise(mv)
        for i in range(1, len(mv), 2):
            mv[i] = mv[i] + 35 & 0xFF  # 35 x 256

    here.ear = Ear(fill)


def loud_mic(here):
    """The room, or the supply, is loud."""
    noise = _noise(2000)

    def fill(mv):
        noise(mv)
        for i in range(1, len(mv), 2):
            mv[i] = mv[i] << 2 & 0xFF  # four times as loud, with some clipping

    here.ear = Ear(fill)


def dead_mic(here):
    """The microphone's bus does not run."""
    machine.I2S.readinto = lambda bus, buf: here.step() or 0


def dead_speaker(here):
    """The amplifier has no supply."""
    put = here.speaker.put
    here.speaker.put = lambda mv, samples, has_sound: put(bytes(2 * samples), samples, False)


def no_echo(here):
    """The loudspeaker sounds, but the microphone does not hear it."""
    here.echo = here.speaker.echo = here.ear.echo = None


def blocking_i2s(here):
    """I2S ignores the poll and blocks for ever."""
    _wrap(machine._Bus, "transfer", lambda old: lambda bus, buf, is_blocking: old(bus, buf, True))


def fast_clock(here):
    """Both buses run 5 % fast."""
    _wrap(machine._Bus, "_due_frames", lambda old: lambda bus: old(bus) * 21 // 20)


def slow_stop(here):
    """The driver needs 60 ms to stop."""

    def make(old):
        def deinit(bus):
            here.clock.sleep_us(60_000 if bus._bus is not None else 0)
            old(bus)

        return deinit

    _wrap(machine.I2S, "deinit", make)


def slow_processor(here):
    """Every frame takes 15 ms."""

    def make(old):
        def push_pcm(way, frame, n):
            time.sleep(0.015)
            old(way, frame, n)

        return push_pcm

    _wrap(uplink.Uplink, "push_pcm", make)


def slow_collector(here):
    """A collection takes 300 ms."""
    bench.Bench.collect = lambda self: time.sleep(0.3)


def empty_air(here):
    """The antenna is off."""
    network.WLAN.scan = lambda wlan: []


def far_away(here):
    """The access point is two walls too far."""
    network.WLAN.scan = lambda wlan: [(b"pipit-sim", b"\x02\x00\x00\x00\x00\x01", 6, -84, 3, False)]


def wrong_password(here):
    """Somebody changed the Wi-Fi password."""
    here.password = "another one"


def no_time(here):
    """UDP port 123 is blocked."""
    here.ntp(False)


def no_roots(here):
    """The root certificates were not copied."""
    for name in os.listdir("tls_roots"):
        os.remove("tls_roots/" + name)


def wrong_token(here):
    """The token is not the cloud's."""
    with open("config.json") as file:
        values = json.load(file)
    values["token"] = "pat_of_somebody_else"
    with open("config.json", "w") as file:
        json.dump(values, file)


BREAKS = {
    function.__name__: function
    for function in (
        stuck_pin, little_memory, dead_led, dead_button, silent_mic, stuck_mic, loud_mic, dead_mic, dead_speaker,
        no_echo, blocking_i2s, fast_clock, slow_stop, slow_processor, slow_collector, empty_air, far_away,
        wrong_password, no_time, no_roots, wrong_token,
    )
}  # fmt: skip


def main(only, breaks, is_alone):
    """Run the self-test; the names in `breaks` damage the hardware first; is_alone: nobody answers questions."""
    here = world.current
    person = Person(here)
    for name in breaks:
        BREAKS[name](here)
    code = runner.main(only=only, ask=None if is_alone else person.answer)
    here.end("quit" if code == 0 else "stopped", "the self-test found something wrong" if code else "")
    report.say("tested", compat.ticks_ms(), exit_code=code)
    return code
