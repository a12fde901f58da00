"""The world around a simulated speaker: clock, room, buttons, Wi-Fi, a person with a script. Portable.

The stand-ins (tools/sim/standins) look at `world.current` at every call, and nothing else runs: no thread, no task.
Sound is made and consumed from the time that has passed since the last call, and the script is stepped by the calls
of the stand-ins, of which the firmware makes one every few ms. A world knows nothing of the firmware.
"""

import json
import sys
import time

from . import script, sound

_IS_MICROPYTHON = sys.implementation.name == "micropython"
_EPOCH_2000_S = 946_684_800
_STEP_US = 1000  # the script's grain
_STDIN_US = 10_000
_QUIT_AGAIN_US = 3_000_000
_MAX_ACTIONS = 1000
_MAX_LED = 1000
_PAUSE_US = 30_000
_MAX_PAUSES = 100
_TICKS_MAX = (1 << 30) - 1  # of a 32-bit port's ticks_ms, and of firmware.compat's
_EDGE_US = 50  # more around two looks at the clock: somebody else had the processor


class PowerLoss(SystemExit):
    """The simulated chip stops here (reset, watchdog). No Exception, so no handler of the firmware keeps it."""


class RealClock:
    """The interpreter's clock. Its zero is the beginning of a millisecond of ticks_ms, which then showed zero_ms.

    So a time of the world in whole ms and one that the speaker reports are never one apart for the same instant.
    """

    if _IS_MICROPYTHON:

        def __init__(self):
            self._now_us = 0
            self._last, self.zero_ms = _beginning_of_a_ms()

        def now_us(self):
            """Microseconds since the clock was made; never wraps, if asked at least every few minutes."""
            ticks = time.ticks_us()
            self._now_us += time.ticks_diff(ticks, self._last)
            self._last = ticks
            return self._now_us

        def sleep_us(self, us):
            time.sleep_us(us)

    else:

        def __init__(self):
            start_ms = time.monotonic_ns() // 1_000_000
            self._start_ns = start_ms * 1_000_000
            self.zero_ms = start_ms & _TICKS_MAX

        def now_us(self):
            return (time.monotonic_ns() - self._start_ns) // 1000

        def sleep_us(self, us):
            time.sleep(us / 1_000_000)


def _beginning_of_a_ms():
    """(ticks_us, ticks_ms) of one instant, to some us: a 32-bit ticks_us alone does not tell where a ms begins."""
    last_us, last_ms = time.ticks_us(), time.ticks_ms()
    while True:
        us, ms = time.ticks_us(), time.ticks_ms()
        if ms != last_ms and time.ticks_diff(time.ticks_us(), last_us) < _EDGE_US:
            return us, ms & _TICKS_MAX
        last_us, last_ms = us, ms


class SteppedClock:
    """Time that moves when it is told to: by advance(), by a stand-in that blocks, or by on_sleep of a scheduler."""

    zero_ms = 0

    def __init__(self, now_us=0):
        self._now_us = now_us

    def now_us(self):
        return self._now_us

    def sleep_us(self, us):
        self._now_us += us

    def advance_us(self, us):
        self._now_us += us

    def advance_ms(self, ms):
        self._now_us += 1000 * ms


class Buttons:
    """Keys as the pins show them: pin number -> level. A mechanical key bounces for bounce_ms after each edge."""

    def __init__(self, bounce_ms=5):
        self._bounce_us = 1000 * bounce_ms
        self._keys = {}  # pin -> [is_active_low, is_down, changed_us]

    def add(self, pin, is_active_low):
        self._keys[pin] = [is_active_low, False, None]

    def set(self, pin, is_down, now_us):
        key = self._keys.get(pin)
        if key is not None and key[1] != is_down:
            key[1] = is_down
            key[2] = now_us

    def level(self, pin, now_us):
        """0, 1 or None when nothing is connected to the pin."""
        key = self._keys.get(pin)
        if key is None:
            return None
        is_down = key[1]
        if key[2] is not None:
            since_us = now_us - key[2]
            if since_us >= self._bounce_us:
                key[2] = None
            elif (since_us // 700) & 1:
                is_down = not is_down
        return int(is_down != key[0])


class World:
    """One run of a simulated speaker. Times are microseconds since the world's start, by its clock.

    Everything is given by keyword and has a default, so that a test makes the world it needs:

    clock           now_us() and sleep_us(us)
    speaker_wav     where the loudspeaker's record goes; None keeps only the bookkeeping
    mic_wav         likewise for what was to be heard at the microphone
    noise_peak      0..2000, of the noise at the microphone between clips
    echo_percent    of what the loudspeaker plays that comes back into the microphone, echo_delay_ms later; 0: none
    is_never_ready  I2S never sets the flag that poll asks for (micropython#16029, octal-PSRAM modules)
    wifi_ms         how long the station takes to join and to get an address
    ssid, password  of the access point; None accepts any
    is_clock_set    False: the chip thinks it is 2000-01-01 until ntptime.settime()
    true_unix_s     the true time at the start, in seconds since 1970; None: the host's
    bounce_ms       of the keys
    clips           name in the script -> path of the file
    is_power_on     False: the chip starts as by a soft reset, so boot.py has no window; True: as from power
    networks        [[ssid, rssi_dbm, is_open], ...] in the air beside the access point, for a scan
    has_dhcp        False: the access point admits the station and gives it no address
    press_clip      said at every press (the --mic option); None: only `say` makes sound
    rtc_memory      what the chip's clock has kept, in hex: that of the run before, from its summary
    reset_cause     why the chip starts, a number of `machine`; 0: as is_power_on says
    """

    def __init__(
        self,
        clock=None,
        speaker_wav=None,
        mic_wav=None,
        noise_peak=0,
        echo_percent=0,
        echo_delay_ms=40,
        is_never_ready=False,
        wifi_ms=300,
        ssid=None,
        password=None,
        is_clock_set=False,
        true_unix_s=None,
        bounce_ms=5,
        clips=None,
        press_clip=None,
        is_power_on=False,
        networks=(),
        has_dhcp=True,
        rtc_memory="",
        reset_cause=0,
    ):
        self.clock = clock or RealClock()
        self.echo = sound.Echo(echo_percent, echo_delay_ms) if echo_percent else None
        self.speaker = sound.Record(speaker_wav, self.echo)
        self.mic_record = sound.Record(mic_wav)
        self.ear = sound.Ear(noise_peak, self.echo)
        self.is_never_ready = is_never_ready
        self.wifi_ms = wifi_ms
        self.ssid = ssid
        self.password = password
        self.is_power_on = is_power_on
        self.networks = networks
        self.has_dhcp = has_dhcp
        self.buttons = Buttons(bounce_ms)
        self.is_wifi_up = True
        self.tell = None  # called with a text for whoever sits at the keyboard
        self.on_wifi = None  # called with is_up: whoever holds the sockets cuts them off
        self.is_ntp_up = True
        self.state = ""
        self.exit_reason = ""
        self.exit_text = ""
        self.counts = {}  # filled by the stand-ins: name -> number
        self.i2s_faults = {}  # "rx", "tx" or "init" -> errno of what the bus does now, 0: it moves nothing
        self.buses = []  # open I2S stand-ins, brought up to date at the end
        self.led = []  # [t_ms, pixel, ...]: each change of the pixels
        self.actions = []  # [t_ms, what]: what the person did
        self.pauses = []  # [from_ms, to_ms]: nothing was asked of the board, by a firmware that asks every few ms
        self.button_pin = None
        self.button_moved_ms = -1000
        self.volume_pins = {}  # "up"/"down" -> pin
        self.mic_slot = "left"  # in which the microphone talks; the other one is silent
        self.watchdog_us = 0  # 0: none was started
        self._watchdog_fed_us = 0
        self.rtc_memory = bytes.fromhex(rtc_memory)
        self.reset_cause = reset_cause
        self._ended_ms = 0  # when the records were closed
        self.t_ms_start = self.clock.zero_ms  # what the speaker's own ticks_ms showed at our zero
        self._clips = clips or {}
        self._press_clip = press_clip
        self._players = []
        self._ends_with = None
        self._live = None
        self._stdin = None
        self._next_step_us = 0
        self._next_stdin_us = 0
        self._is_quitting = False
        self._quit_at_us = 0
        self._state_since_us = 0
        self._last_report = ""
        self._host_start_s = _unix_s() if true_unix_s is None else true_unix_s
        self._unix_start_s = self._host_start_s if is_clock_set else _EPOCH_2000_S

    # ---- clock

    def now_us(self):
        return self.clock.now_us()

    def now_ms(self):
        return self.clock.now_us() // 1000

    def unix_s(self):
        """What the chip believes the time is, in seconds since 1970."""
        return self._unix_start_s + self.clock.now_us() // 1_000_000

    def set_unix_s(self, unix_s):
        self._unix_start_s = unix_s - self.clock.now_us() // 1_000_000

    def true_unix_s(self):
        """What the time servers would say."""
        return self._host_start_s + self.clock.now_us() // 1_000_000

    # ---- what stand-ins do at every call

    def step(self):
        """Let the world go on up to now. May raise KeyboardInterrupt (the run is to end) or PowerLoss."""
        now_us = self.clock.now_us()
        if self.watchdog_us and now_us - self._watchdog_fed_us > self.watchdog_us:
            self.power_off("watchdog", "the watchdog was not fed for %d ms" % (self.watchdog_us // 1000))
        if now_us < self._next_step_us:
            return
        if now_us - self._next_step_us > _PAUSE_US and len(self.pauses) < _MAX_PAUSES:
            self.pauses.append([self._next_step_us // 1000, now_us // 1000])
        self._next_step_us = now_us + _STEP_US
        if self._stdin is not None and now_us >= self._next_stdin_us:
            self._next_stdin_us = now_us + _STDIN_US
            self._read_keyboard()
        if not self._is_quitting:
            self._step_players(now_us // 1000)
        if self._is_quitting and now_us >= self._quit_at_us:
            # Again after a while: whoever swallowed the first one has not ended.
            self._quit_at_us = now_us + _QUIT_AGAIN_US
            raise KeyboardInterrupt

    def _step_players(self, now_ms):
        for player in self._players:
            try:
                player.step(now_ms)
            except script.ScriptError as e:
                if player is self._live:
                    player.skip()
                    self._complain(str(e))
                    continue
                self.end("script", str(e))
                return
        if self._ends_with is not None and self._ends_with.is_done:
            self.quit()

    def power_off(self, reason, text):
        """Stop here and now, as a chip that loses its power."""
        self.end(reason, text)
        self._is_quitting = False
        raise PowerLoss(reason)

    def feed_watchdog(self, timeout_us=None):
        if timeout_us is not None:
            self.watchdog_us = timeout_us
        self._watchdog_fed_us = self.clock.now_us()

    def count(self, name, n=1):
        self.counts[name] = self.counts.get(name, 0) + n

    # ---- the person

    def play_script(self, text, name, states=None):
        """Carry out a script from now on; its end is the end of the run. ScriptError when it is wrong."""
        player = script.Player(script.parse(text, name, states), name, self)
        self._players.append(player)
        self._ends_with = player

    def listen_to_keyboard(self, read_lines):
        """read_lines() -> list of script lines that have come, or None when nobody is there any more."""
        self._stdin = read_lines
        self._live = script.Player((), "keyboard", self)
        self._players.append(self._live)

    def _read_keyboard(self):
        lines = self._stdin()
        if lines is None:
            self._stdin = None
            self.quit()
            return
        for line in lines:
            try:
                self._live.add(script.parse(line, "keyboard"))
            except script.ScriptError as e:
                self._complain(str(e))

    def _complain(self, text):
        """A mistake at the keyboard is told, and harmless."""
        if self.tell is not None:
            self.tell(text)

    def note(self, what):
        """Add a line to the log of what the person did; returns its time in ms."""
        now_ms = self.now_ms()
        if len(self.actions) < _MAX_ACTIONS:
            self.actions.append([now_ms, what])
        return now_ms

    def press(self):
        self.note("press")
        if self._press_clip is not None:
            self.say(self._press_clip)
        self._move_button(True)

    def release(self):
        self.note("release")
        self._move_button(False)

    def _move_button(self, is_down):
        self.button_moved_ms = self.now_ms()
        self.buttons.set(self.button_pin, is_down, self.now_us())

    def say(self, name):
        path = self._clips.get(name, name)
        try:
            self.ear.say(path, self.now_us() * (sound.MIC_RATE_HZ // 1000) // 1000)
        except OSError as e:
            raise script.ScriptError("say %s: the file cannot be opened (%s)" % (name, e))
        except sound.wav.WavError as e:
            raise script.ScriptError("say %s: %s" % (name, e))
        self.note("say %s" % name)

    def clip_is_over(self):
        return self.now_us() * (sound.MIC_RATE_HZ // 1000) // 1000 >= self.ear.clip_end

    def wifi(self, is_up):
        self.note("wifi %s" % ("up" if is_up else "down"))
        self.is_wifi_up = is_up
        if self.on_wifi is not None:
            self.on_wifi(is_up)

    def ntp(self, is_up):
        self.note("ntp %s" % ("up" if is_up else "down"))
        self.is_ntp_up = is_up

    def volume_key(self, direction):
        """direction: "up", "down", or None for let go."""
        self.note("volume %s" % direction if direction else "volume let go")
        for name in self.volume_pins:
            self.buttons.set(self.volume_pins[name], name == direction, self.now_us())

    def quit(self):
        """End in order: the next call of a stand-in raises KeyboardInterrupt, as Ctrl-C does on a serial port."""
        self.end("quit", "")

    def end(self, reason, text):
        """Remember why the run ends (the first reason stands) and end it."""
        if not self.exit_reason:
            self.exit_reason = reason
            self.exit_text = text
        if not self._is_quitting:
            self._is_quitting = True
            self._quit_at_us = 0

    # ---- what the speaker tells

    def on_report(self, line):
        """One JSON line of the firmware's report."""
        try:
            report = json.loads(line)
        except ValueError:
            return
        if report.get("kind") == "state":
            self.state = report.get("state")
            self._state_since_us = self.now_us()
        else:
            self._last_report = line
        for player in self._players:
            player.on_report(report)

    def state_text(self):
        """For a failed wait: what was seen instead."""
        seconds = (self.now_us() - self._state_since_us) / 1_000_000
        text = 'the state is "%s" for %.1f s' % (self.state, seconds) if self.state else "no state was reported"
        return "%s; the last report was %s" % (text, self._last_report or "none")

    def on_led(self, pixels):
        """The colours now shown, one (r, g, b) a pixel."""
        if len(self.led) < _MAX_LED:
            self.led.append([self.now_ms()] + pixels)

    # ---- end

    def finish(self):
        """Bring the records up to now and close them; may be called twice."""
        self._ended_ms = self.now_ms()
        for bus in self.buses:
            bus.world_ends()
        self.buses = []
        self.speaker.close()
        self.mic_record.close()

    def summary(self):
        """For run.json."""
        return {
            "exit_reason": self.exit_reason or "stopped",
            "exit_text": self.exit_text,
            "ended_ms": self._ended_ms,
            "t_ms_start": self.t_ms_start,
            "rtc_memory": self.rtc_memory.hex(),
            "watchdog_ms": self.watchdog_us // 1000,
            "speaker": self.speaker.summary(),
            "mic": self.mic_record.summary(),
            "counts": self.counts,
            "actions": self.actions,
            "pauses": self.pauses,
            "led": self.led,
        }


def _unix_s():
    now_s = int(time.time())
    return now_s + _EPOCH_2000_S if time.gmtime(0)[0] == 2000 else now_s


current = World()
