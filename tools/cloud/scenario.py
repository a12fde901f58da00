"""Scenarios: what the cloud hears, says and breaks, as JSON files. `load` refuses one by naming the wrong key.

    {"name": "demo", "about": "…", "after_last": "repeat_last",
     "turns": [{"heard": "what is the weather like", "first_audio_ms": 600,
                "answer": [{"text": "Sunny.", "audio": {"wav": "weather.wav"}},
                           {"text": "Bye.", "audio": {"signal": "chirp", "ms": 800}}],
                "tool_calls": [{"name": "set_volume", "arguments": {"percent": 30}}],
                "faults": [{"kind": "late_audio", "for_ms": 1500}]}],
     "prologue": [{"text": "Hello!", "audio": {"wav": "hello.wav"}}],
     "faults": []}

A WAV name is looked up beside the scenario file and in tools/cloud/speech. KEYS lists every key with its default;
faults.KINDS every fault with its parameters.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from . import audio, events, faults

FOLDER = Path(__file__).parent / "scenarios"


class ScenarioError(ValueError):
    """A person wrote a scenario that means nothing: the text begins with the path of the wrong key."""

    def __init__(self, path, text):
        super().__init__("%s: %s" % (path, text) if path else text)
        self.path = path


@dataclass(frozen=True)
class Sentence:
    """One subtitle and its sound; `sound` is ("wav", path) or ("signal", name, ms, level, seed)."""

    text: str
    sound: tuple

    def samples(self, rate_hz):
        """array("h") at this rate."""
        if self.sound[0] == "wav":
            return audio.load_wav(self.sound[1], rate_hz)
        _, name, duration_ms, level, seed = self.sound
        return audio.make_signal(name, duration_ms, rate_hz, level, seed)


@dataclass(frozen=True)
class ToolCall:
    name: str
    arguments: str


@dataclass(frozen=True)
class Script:
    """One turn as written: what is recognised and what is answered."""

    heard: str
    answer: tuple
    interim: tuple = ()
    first_audio_ms: int = 500
    tool_calls: tuple = ()
    tool_timeout_ms: int = 30000
    faults: tuple = ()


# Every key of the top level with its default: the type of the default is the type wanted; a tuple lists choices,
# the first being the default.
KEYS = {
    "name": "",
    "about": "",
    "after_last": ("repeat_last", "start_over"),  # what is heard once all turns were
    "synthesis_speed": 4.0,  # how much faster than speech an unpaced answer leaves
    "updated_ms": 20,  # chat.update -> chat.updated
    "recognise_ms": 150,  # end of the utterance -> final transcript
    "created_ms": 30,  # final transcript -> conversation.chat.created
    "cancel_ms": 30,  # cancel -> canceled
    "cancel_idle": ("ignore", "error", "poison"),  # cancel while nothing runs: no reply, 4104, or later turns fail
    "silent_utterance": ("answer", "empty_transcript", "nothing"),  # push-to-talk without speech; answer: never asked
    "prologue_has_chat_id": False,
    "known_conversations_only": False,  # 4002 for a conversation id that this cloud did not give out
    "utterance_timeout_ms": 8000,  # push-to-talk audio that stops without complete or clear
    "utterance_timeout_code": 4000,
    "vad_aggressiveness": 2,
    "ping_period_ms": 15000,
    "missed_pongs": 4,
    "token_refusal": ("handshake", "event"),  # a wrong token: HTTP 401, or an error event 4100 and a close
    "refuse_status": 0,  # answer every handshake with this HTTP status (0: do not)
    "wrong_accept": False,  # a handshake whose Sec-WebSocket-Accept does not fit
    "turns": [],
    "prologue": [],
    "faults": [],
}

_TURN_KEYS = {"heard": "", "answer": [], "interim": [], "first_audio_ms": 500, "tool_calls": [],
              "tool_timeout_ms": 30000, "faults": [], "about": ""}


@dataclass(frozen=True)
class Scenario:
    """A checked scenario; options holds the plain keys of KEYS and is also read as attributes."""

    turns: tuple
    prologue: tuple
    faults: tuple
    options: dict = field(default_factory=dict)

    def __getattr__(self, key):
        try:
            return self.__dict__["options"][key]
        except KeyError:
            raise AttributeError(key) from None

    def script(self, number):
        """The script of the number-th utterance, from 0."""
        if number >= len(self.turns):
            number = number % len(self.turns) if self.after_last == "start_over" else len(self.turns) - 1
        return self.turns[number]

    def active_faults(self):
        return [faults.ActiveFault(spec) for spec in self.faults]


def load(source="default", folder=None):
    """source: a Scenario (returned as it is), a dict, the path of a JSON file, or the name of one in scenarios/.

    folder: where WAV names of a dict are looked up. ScenarioError names the wrong key; OSError: no such file."""
    if isinstance(source, Scenario):
        return source
    if isinstance(source, dict):
        return _check(source, Path(folder or "."))
    path = Path(source)
    if path.suffix != ".json" and (FOLDER / (path.name + ".json")).exists():
        path = FOLDER / (path.name + ".json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ScenarioError("", "%s is not JSON: %s" % (path, error)) from error
    return _check(data, path.parent)


def names():
    """The scenarios that come along."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def _check(data, folder):
    options = _fill(KEYS, data, "")
    turns = tuple(_turn(spec, "turns[%d]" % i, folder) for i, spec in enumerate(options.pop("turns")))
    if not turns:
        raise ScenarioError("turns", "must hold at least one turn")
    prologue = _sentences(options.pop("prologue"), "prologue", folder)
    return Scenario(turns, prologue, _faults(options.pop("faults"), "faults", events.ALL), options)


def _turn(spec, path, folder):
    values = _fill(_TURN_KEYS, spec, path)
    for i, text in enumerate(values["interim"]):
        _want(isinstance(text, str), "%s.interim[%d]" % (path, i), "must be a string")
    return Script(
        heard=values["heard"],
        answer=_sentences(values["answer"], path + ".answer", folder),
        interim=tuple(values["interim"]),
        first_audio_ms=values["first_audio_ms"],
        tool_calls=tuple(_tool_call(x, "%s.tool_calls[%d]" % (path, i)) for i, x in enumerate(values["tool_calls"])),
        tool_timeout_ms=values["tool_timeout_ms"],
        faults=_faults(values["faults"], path + ".faults", events.OF_A_TURN),
    )


def _sentences(specs, path, folder):
    return tuple(_sentence(spec, "%s[%d]" % (path, i), folder) for i, spec in enumerate(specs))


def _sentence(spec, path, folder):
    values = _fill({"text": "", "audio": {}}, spec, path)
    return Sentence(values["text"], _sound(values["audio"], path + ".audio", folder))


def _sound(spec, path, folder):
    if ("wav" in spec) == ("signal" in spec):
        raise ScenarioError(path, "must name either a wav file or a signal")
    if "wav" in spec:
        name = _fill({"wav": ""}, spec, path)["wav"]
        return "wav", _find_wav(name, path + ".wav", folder)
    values = _fill({"signal": audio.SIGNALS, "ms": 1000, "level": 8000, "seed": 1}, spec, path)
    _want(0 <= values["ms"] <= 600000, path + ".ms", "must be from 0 to 600000")
    _want(0 <= values["level"] <= 32767, path + ".level", "must be from 0 to 32767")
    return "signal", values["signal"], values["ms"], values["level"], values["seed"]


def _find_wav(name, path, folder):
    for place in (folder, audio.SPEECH_FOLDER):
        if (place / name).is_file():
            try:
                audio.read_wav(place / name)
            except ValueError as error:
                raise ScenarioError(path, str(error)) from error
            return str(place / name)
    raise ScenarioError(path, "no file %r in %s or %s" % (name, folder, audio.SPEECH_FOLDER))


def _tool_call(spec, path):
    values = _fill({"name": "", "arguments": None}, spec, path)
    _want(values["name"], path + ".name", "must not be empty")
    arguments = values["arguments"]
    return ToolCall(values["name"], arguments if isinstance(arguments, str) else json.dumps(arguments or {}))


def _faults(specs, path, event_types):
    """event_types: the events that faults in this place can see."""
    for i, spec in enumerate(specs):
        _fault(spec, "%s[%d]" % (path, i), event_types)
    return tuple(specs)


def _fault(spec, path, event_types):
    _want(isinstance(spec, dict), path, "must be an object")
    kind = faults.KINDS.get(spec.get("kind"))
    if kind is None:
        raise ScenarioError(path + ".kind", "is %r, must be one of %s" % (spec.get("kind"), ", ".join(faults.KINDS)))
    is_of_a_turn = event_types is events.OF_A_TURN
    _want(not (is_of_a_turn and kind.name in faults.CONNECTION_ONLY), path + ".kind",
          "%s is a fault of the connection: it belongs into the faults of the scenario, not of a turn" % kind.name)
    values = _fill(kind.parameters, {k: v for k, v in spec.items() if k != "kind"}, path)
    for key, choices in {**faults.CHOICES, "on": event_types}.items():
        if key in values:
            _want(values[key] in choices, "%s.%s" % (path, key), "is %r, must be one of %s" % (
                values[key], ", ".join(choices)))
    _want(values.get("nth", 1) >= 1, path + ".nth", "counts from 1")


def _fill(defaults, data, path):
    """`data` with the defaults filled in, each key known and of its default's type."""
    _want(isinstance(data, dict), path, "must be an object")
    prefix = path + "." if path else ""
    for key in data:
        _want(key in defaults, prefix + key, "is unknown; known are: %s" % ", ".join(defaults))
    filled = {}
    for key, default in defaults.items():
        choices = default if isinstance(default, tuple) else None
        value = data.get(key, choices[0] if choices else default)
        if choices:
            _want(value in choices, prefix + key, "is %r, must be one of %s" % (value, ", ".join(choices)))
        elif key in data and default is not None:
            _want(_same_type(value, default), prefix + key, "is %r, must be %s" % (value, _TYPE_WORDS[type(default)]))
        filled[key] = value
    return filled


_TYPE_WORDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", list: "a list",
               dict: "an object"}


def _same_type(value, default):
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, int) and not isinstance(default, bool):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, type(default))


def _want(is_right, path, text):
    if not is_right:
        raise ScenarioError(path, text)
