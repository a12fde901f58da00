"""Somebody with a speaker: presses, talks, interrupts, changes their mind. Everything is drawn from the seed.

A person is a generator that yields what it waits for: a number of ms, or Until(states, ms). It sees what a person
sees: the state that the light shows.
"""

TALK_HZ = 16000


class Until:
    """Wait until the speaker is in one of these states, or so many ms are over."""

    def __init__(self, states, ms):
        self.states = states
        self.ms = ms


class Person:
    """world: simworld.world.World; room: room.Room; clock; rng: random.Random; mode: of the speaker."""

    def __init__(self, world, room, clock, rng, mode):
        self._world = world
        self._room = room
        self._clock = clock
        self._rng = rng
        self._mode = mode
        self.is_patient = False
        self._program = None
        self._waiting = None  # Until
        self._serial = 0  # of the wait under way: makes late wake-ups void
        self.state = ""
        self.is_down = False
        self.button = []  # [t_ms, is_down]
        self.questions = []  # t_ms of the beginning of each question that was meant

    def start(self, program=None):
        """Begin; program: a generator instead of the usual life."""
        self._program = program or self.live()
        self._clock.after_ms(1500, self._go_on, self._serial)

    def calm_down(self):
        """From now on: one plain question after the other, and each answer is heard to its end."""
        self.is_patient = True
        self.release()
        self._program = self.live()
        self._waiting = None
        self._book(500)

    def on_state(self, state):
        self.state = state
        waiting = self._waiting
        if waiting is not None and state in waiting.states:
            # Nobody reacts faster than this to a light.
            self._waiting = None
            self._book(self._rng.randint(0, 250) if self._rng.random() < 0.7 else 0)

    def _book(self, ms):
        self._serial += 1
        self._clock.after_ms(ms, self._go_on, self._serial)

    def _go_on(self, serial):
        if serial != self._serial or self._program is None:
            return
        self._waiting = None
        try:
            wish = next(self._program)
        except StopIteration:
            self._program = None
            return
        if isinstance(wish, Until):
            if self.state in wish.states:
                self._book(self._rng.randint(0, 250))
            else:
                self._waiting = wish
                self._book(wish.ms)
        else:
            self._book(wish)

    # Fingers and voice

    def press(self):
        if not self.is_down:
            self.is_down = True
            self.button.append([self._clock.now_ms, True])
            self._world.press()

    def release(self):
        if self.is_down:
            self.is_down = False
            self.button.append([self._clock.now_ms, False])
            self._world.release()

    def talk(self, ms):
        self.questions.append(self._clock.now_ms)
        self._room.say(self._clock.now_us() * TALK_HZ // 1_000_000, ms * TALK_HZ // 1000)

    # Habits

    def live(self):
        """Talk with the speaker for as long as it lasts."""
        while True:
            if self._mode == "free":
                yield from self._talk_freely()
            else:
                yield from self._ask()

    def _ask(self):
        rng = self._rng
        yield rng.randint(150, 2500)
        if rng.random() < 0.06 and not self.is_patient:
            yield from self._fumble()
            return
        yield from self._question(rng.randint(400, 3500))
        if not self.is_patient and rng.random() < 0.35:
            yield from self._interrupt()
        else:
            yield Until(("idle", "offline", "standby"), 45_000)

    def _question(self, ms):
        """Hold and speak, or click, speak, click."""
        if self._mode == "ptt_hold":
            self.press()
            self.talk(ms - 100)
            yield ms
            self.release()
            return
        if self.state not in ("listening", "calling"):  # it may listen already: a click too many
            self.press()
            self.talk(ms)
            yield 90
            self.release()
            yield max(ms, 450)
        else:
            self.talk(ms)
            yield ms + 100
        yield from self._click()

    def _interrupt(self):
        rng = self._rng
        which = rng.random()
        if which < 0.2:
            yield rng.randint(0, 400)  # before there is a turn at all
        elif which < 0.5:
            yield Until(("thinking",), 8000)
            yield rng.randint(0, 900)
        else:
            yield Until(("speaking",), 20_000)
            yield rng.randint(0, 3000)
        if rng.random() < 0.25:
            yield from self._stop()

    def _stop(self):
        """Two taps."""
        for _ in range(2):
            self.press()
            yield 80
            self.release()
            yield 120
        yield 600

    def _fumble(self):
        """Touched by accident, now and then by a child."""
        for _ in range(self._rng.choice((1, 1, 2, 3, 5, 7))):
            self.press()
            yield self._rng.randint(45, 240)
            self.release()
            yield self._rng.randint(45, 500)

    def hurry(self):
        """One short question after the other (ptt_hold); each tenth answer is interrupted by the next one."""
        n = 0
        while True:
            n += 1
            yield from self._question(self._rng.randint(400, 600))
            if n % 10:
                yield Until(("idle", "offline", "standby"), 45_000)
            else:
                yield Until(("speaking",), 20_000)
            yield self._rng.randint(100, 300)

    def _talk_freely(self):
        rng = self._rng
        if self.state in ("idle", "standby", "offline", "connecting", ""):
            yield rng.randint(300, 3000)
            yield from self._click()
            yield Until(("listening",), 8000)
        yield rng.randint(200, 1500)
        self.talk(rng.randint(700, 3000))
        yield Until(("thinking",), 8000)
        which = rng.random()
        if which < 0.2 and not self.is_patient:
            yield Until(("speaking",), 15_000)
            yield rng.randint(100, 2500)
            self.talk(rng.randint(700, 2500))
        elif which < 0.35 and not self.is_patient:
            yield Until(("speaking", "thinking"), 15_000)
            yield rng.randint(0, 2500)
            yield from self._click()
        else:
            yield Until(("speaking",), 20_000)
            yield Until(("listening", "idle", "offline", "standby"), 30_000)
        if rng.random() < 0.08 and not self.is_patient:
            yield from self._click()

    def _click(self):
        self.press()
        yield 90
        self.release()
        yield 500
