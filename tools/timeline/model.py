"""The time line of one run of a speaker: plain facts, ready for JSON, in ms of one clock of the run's own choice.

    line = Timeline("a press and a question", start_ms=0)
    line.states.append([0, "idle"])
    line.button += [[900, True], [2400, False]]
    mic = Envelope(start_ms=line.start_ms)
    mic.add(t_ms, peak)             # as often as wanted, in any order
    line.mic = mic.track()
    line.save("run.json")           # Timeline.load() reads it again

Whoever records a run fills one in; page.write() draws any number of them. Nothing here knows where a run came from.
"""

import dataclasses
import json
from array import array

STEP_MS = 20
PEAK_MAX = 32767

# What stands before the colon in the text of an event says what kind it is; the page colours these and no others.
EVENT_KINDS = ("you", "pipit", "error", "warning", "cloud", "link")


def _track():
    return {"step_ms": STEP_MS, "peaks": []}


def _ring():
    return {"capacity_bytes": 0, "points": []}


@dataclasses.dataclass
class Timeline:
    """All times are ms of one clock; start_ms..end_ms is what the page shows, 0 need not be in it.

    title       one line for a person
    seed, plan  what the run was drawn from; None and "" when it was not
    command     one line that runs it again, "" when there is none
    states      [[t_ms, name]]: entered then, and left at the next one
    button      [[t_ms, is_down]]
    events      [[t_ms, text]]; "you: ...", "pipit: ..." are what was said, see EVENT_KINDS
    faults      [[start_ms, end_ms, name, text]]; end_ms None: it lasted to the end
    mic         {"step_ms", "peaks"}: the loudest sample (0..32767) in each step, the first one at start_ms
    speaker     likewise for what was heard
    ring        {"capacity_bytes", "points": [[t_ms, bytes]]}: bytes waiting to be played; holds until the next point
    underruns   [[t_ms, ms]]: so much silence inside an answer, beginning then
    turns       the fields of a `turn` report; t_ms when it ended, began_ms (both of this clock) when it began, all
                other names with _ms are ms since it began, -1 for never
    violations  [[t_ms, number of the invariant, text]]
    figures     {name: text}
    """

    title: str
    seed: object = None
    plan: str = ""
    command: str = ""
    start_ms: int = 0
    end_ms: int = 0
    states: list = dataclasses.field(default_factory=list)
    button: list = dataclasses.field(default_factory=list)
    events: list = dataclasses.field(default_factory=list)
    faults: list = dataclasses.field(default_factory=list)
    mic: dict = dataclasses.field(default_factory=_track)
    speaker: dict = dataclasses.field(default_factory=_track)
    ring: dict = dataclasses.field(default_factory=_ring)
    underruns: list = dataclasses.field(default_factory=list)
    turns: list = dataclasses.field(default_factory=list)
    violations: list = dataclasses.field(default_factory=list)
    figures: dict = dataclasses.field(default_factory=dict)

    def to_dict(self):
        """The fields by their names; lists are shared with this object."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values):
        """The opposite of to_dict(). ValueError names a field that is unknown or missing."""
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - names)
        if unknown:
            raise ValueError("a time line has no field named %s" % ", ".join(unknown))
        if "title" not in values:
            raise ValueError("a time line needs a title")
        return cls(**values)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file)

    @classmethod
    def load(cls, path):
        """OSError, or ValueError when the file holds no time line."""
        with open(path, encoding="utf-8") as file:
            return cls.from_dict(json.load(file))


class Envelope:
    """Collects the loudest sample of each step as a run goes on. Costs two bytes a step, also for silence."""

    def __init__(self, step_ms=STEP_MS, start_ms=0):
        self.step_ms = step_ms
        self.start_ms = start_ms
        self._peaks = array("H")

    def add(self, t_ms, peak):
        """At t_ms a sample of this size (0..32767, more is cut off there) was heard. Before start_ms: ignored."""
        at = (t_ms - self.start_ms) // self.step_ms
        if at < 0:
            return
        peaks = self._peaks
        if at >= len(peaks):
            peaks.frombytes(bytes(2 * (at + 1 - len(peaks))))
        if peak > peaks[at]:
            peaks[at] = min(peak, PEAK_MAX)

    def track(self):
        """{"step_ms", "peaks"} as a Timeline has it that begins at our start_ms."""
        return {"step_ms": self.step_ms, "peaks": list(self._peaks)}
