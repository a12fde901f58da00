"""The world script: what a person does to the speaker, and when. Portable.

One command a line; blank lines and what follows a `#` are ignored:

    wait STATE [TIMEOUT_MS]                 until the speaker is in that state (passes at once when it is)
    wait KIND [FIELD=TEXT | FIELD~TEXT ...] [TIMEOUT_MS]
                                            until it reports that; = compares a field, ~ looks for a part of it
    wait clip_end [TIMEOUT_MS]              until the clip of the last `say` has been heard by the room
    press | release                         the button; a release waits until the press is 40 ms old, and so on
    tap [MS]                                press for MS (default 100) and release, then 100 ms of nothing
    say FILE.wav                            the clip starts at the microphone now
    sleep MS
    wifi down|up                            the access point vanishes, comes back
    ntp down|up                             the time servers stop answering, answer again
    volume up|down [MS]                     the volume key, held for MS (default 80)
    quit                                    end the run in order; the end of a script does it too

A report is waited for among those that came since the last press, tap or say, each matching once. A wait that runs out
ends the run and names its line, what it wanted and what was last seen.
"""

DEFAULT_WAIT_MS = 20_000
_AFTER_TAP_MS = 100
_FINGER = ("press", "release", "tap")
_FINGER_MS = 40  # no finger is faster, and a debounced button would not see it
_BACKLOG = 64  # reports kept for later waits

KINDS = (
    "boot", "postmortem", "state", "heard", "said", "turn", "error", "warning", "volume", "provision", "tool", "trace",
    "stop", "unprovisioned", "wifi", "reply", "slot",
)  # fmt: skip

USAGE = {
    "wait": "wait STATE|KIND|clip_end [FIELD=TEXT|FIELD~TEXT ...] [TIMEOUT_MS]",
    "press": "press",
    "release": "release",
    "tap": "tap [MS]",
    "say": "say FILE.wav",
    "sleep": "sleep MS",
    "wifi": "wifi down|up",
    "ntp": "ntp down|up",
    "volume": "volume up|down [MS]",
    "quit": "quit",
}


class ScriptError(Exception):
    """A person wrote a wrong script, or the speaker did not do what it waits for; names file and line."""


class Command:
    """line: its number from 1; verb: a key of USAGE; arg: text or None; ms; tests: [(field, sign, text), ...]."""

    def __init__(self, line, verb, arg=None, ms=0, tests=()):
        self.line = line
        self.verb = verb
        self.arg = arg
        self.ms = ms
        self.tests = tests


def parse(text, name, states=None):
    """List of Command; ScriptError names the file, the line and what is allowed there.

    states  names that `wait` accepts beside KINDS; None accepts any word
    """
    commands = []
    number = 0
    for line in text.split("\n"):
        number += 1
        words = _words(line)
        if words:
            try:
                commands.append(_command(number, words, states))
            except ValueError as e:
                raise ScriptError("%s, line %d: %s" % (name, number, e))
    return commands


def _words(line):
    """Split at white space; "double quotes" hold a word together; # begins a comment."""
    words = []
    word = None
    is_quoted = False
    for c in line:
        if c == '"':
            is_quoted = not is_quoted
            word = word or ""
        elif is_quoted:
            word += c
        elif c == "#":
            break
        elif c in " \t\r":
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + c
    if word is not None:
        words.append(word)
    return words


def _command(number, words, states):
    verb = words[0]
    args = words[1:]
    if verb not in USAGE:
        raise ValueError('unknown command "%s"; allowed are %s' % (verb, ", ".join(sorted(USAGE))))
    if verb == "wait":
        return _wait(number, args, states)
    if verb in ("press", "release", "quit"):
        _count(verb, args, 0, 0)
        return Command(number, verb)
    if verb == "say":
        _count(verb, args, 1, 1)
        return Command(number, verb, args[0])
    if verb == "sleep":
        _count(verb, args, 1, 1)
        return Command(number, verb, ms=_ms(verb, args[0]))
    if verb == "tap":
        _count(verb, args, 0, 1)
        return Command(number, verb, ms=_ms(verb, args[0]) if args else 100)
    _count(verb, args, 1, 2 if verb == "volume" else 1)
    if args[0] not in ("up", "down"):
        raise ValueError('"%s" is neither up nor down; allowed is: %s' % (args[0], USAGE[verb]))
    return Command(number, verb, args[0], _ms(verb, args[1]) if len(args) > 1 else 80)


def _wait(number, args, states):
    _count("wait", args, 1, 20)
    what = args[0]
    if states is not None and what not in states and what not in KINDS and what != "clip_end":
        raise ValueError(
            'cannot wait for "%s"; states are %s; reports are %s; or clip_end'
            % (what, ", ".join(states), ", ".join(KINDS))
        )
    timeout_ms = DEFAULT_WAIT_MS
    tests = []
    for arg in args[1:]:
        signs = [c for c in arg if c in "=~"]
        if signs:
            sign = signs[0]
            at = arg.index(sign)
            tests.append((arg[:at], sign, arg[at + 1 :]))
        elif arg is args[-1]:
            timeout_ms = _ms("wait", arg)
        else:
            raise ValueError('"%s" is no test; allowed is: %s' % (arg, USAGE["wait"]))
    if tests and what not in KINDS:
        raise ValueError("only a report has fields; reports are %s" % ", ".join(KINDS))
    return Command(number, "wait", what, timeout_ms, tests)


def _count(verb, args, least, most):
    if not least <= len(args) <= most:
        raise ValueError("%d arguments for %s; allowed is: %s" % (len(args), verb, USAGE[verb]))


def _ms(verb, text):
    try:
        ms = int(text)
    except ValueError:
        ms = -1
    if ms < 0:
        raise ValueError('"%s" is not a number of ms; allowed is: %s' % (text, USAGE[verb]))
    return ms


class Player:
    """Carries out commands one after the other; stepped by the world, never waits by itself.

    world  offers press() release() say(path) wifi(is_up) ntp(is_up) volume_key(direction or None) quit() clip_is_over()
           and state, state_text(), button_moved_ms
    """

    def __init__(self, commands, name, world):
        self.name = name
        self._commands = list(commands)
        self._world = world
        self._current = None  # the command under way
        self._since_ms = 0
        self._phase = 0
        self._is_met = False
        self._reports = []  # since the last press, tap or say

    def add(self, commands):
        """Append commands (the keyboard does)."""
        self._commands += commands

    def skip(self):
        """Give up the command under way."""
        self._current = None

    @property
    def is_done(self):
        return self._current is None and not self._commands

    def on_report(self, report):
        """A report of the speaker, as a dict with `kind`."""
        current = self._current
        if current is not None and current.verb == "wait" and not self._is_met and self._matches(current, report):
            self._is_met = True
            return
        self._reports.append(report)
        if len(self._reports) > _BACKLOG:
            self._reports.pop(0)

    def step(self, now_ms):
        """Do all that is due at now_ms; ScriptError when a wait has run out."""
        while True:
            if self._current is None:
                if not self._commands:
                    return
                if self._commands[0].verb in _FINGER and now_ms - self._world.button_moved_ms < _FINGER_MS:
                    return
                self._current = self._commands.pop(0)
                self._since_ms = now_ms
                self._phase = 0
                self._is_met = False
                self._begin(self._current)
            if not self._is_over(self._current, now_ms):
                return
            self._current = None

    def _begin(self, command):
        world = self._world
        verb = command.verb
        if verb in ("press", "tap", "say"):
            self._reports.clear()
        if verb in ("press", "tap"):
            world.press()
        elif verb == "release":
            world.release()
        elif verb == "say":
            self._say(command)
        elif verb == "wifi":
            world.wifi(command.arg == "up")
        elif verb == "ntp":
            world.ntp(command.arg == "up")
        elif verb == "volume":
            world.volume_key(command.arg)
        elif verb == "quit":
            world.quit()
        elif verb == "wait":
            self._is_met = self._is_met_already(command)

    def _say(self, command):
        try:
            self._world.say(command.arg)
        except ScriptError as e:
            raise ScriptError("%s, line %d: %s" % (self.name, command.line, e))

    def _is_met_already(self, command):
        if command.arg == self._world.state:
            return True
        if command.arg not in KINDS:
            return False
        for i in range(len(self._reports)):
            if self._matches(command, self._reports[i]):
                self._reports.pop(i)
                return True
        return False

    def _is_over(self, command, now_ms):
        verb = command.verb
        passed_ms = now_ms - self._since_ms
        if verb == "sleep":
            return passed_ms >= command.ms
        if verb in ("tap", "volume"):
            return self._is_key_up(command, passed_ms)
        if verb == "wait" and not self._is_met:
            if command.arg == "clip_end" and self._world.clip_is_over():
                return True
            if passed_ms >= command.ms:
                raise ScriptError(
                    "%s, line %d: waited %d ms for %s; %s"
                    % (self.name, command.line, command.ms, _wish(command), self._world.state_text())
                )
            return False
        return True

    def _is_key_up(self, command, passed_ms):
        if self._phase == 0 and passed_ms >= command.ms:
            self._phase = 1
            if command.verb == "tap":
                self._world.release()
            else:
                self._world.volume_key(None)
        return self._phase == 1 and passed_ms >= command.ms + _AFTER_TAP_MS

    @staticmethod
    def _matches(command, report):
        kind = report.get("kind")
        if kind == "state" and report.get("state") == command.arg:
            return True
        if kind != command.arg:
            return False
        for field, sign, text in command.tests:
            value = _text(report.get(field))
            if not (value == text if sign == "=" else text in value):
                return False
        return True


def _wish(command):
    return " ".join([command.arg] + [field + sign + text for field, sign, text in command.tests])


def _text(value):
    """As JSON writes it: true, false, null; anything else as str."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    return str(value)
