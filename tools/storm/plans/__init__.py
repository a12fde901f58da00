"""What goes wrong: faults by name, with parameters, mixed and drawn from the seed.

Adding a fault is one function in network.py, cloud.py or device.py:

    @fault("stall", NETWORK, for_ms=(500, 20_000))
    def stall(run, p):
        '''Nothing travels for a while, then everything does.'''
        run.network.stall(True)
        return lambda: run.network.stall(False)

It is called when the fault begins and returns what ends it (None: it ended at once). A parameter is a (least, most)
span, from which the seed draws, a tuple of choices of another type, or one value. `lasts_ms` is one of them unless
the fault names its own `for_ms`. `run` is run.Run: clock, network, stage, cloud, world, room, person, speaker, loop.
"""

import ast
import importlib
import random

NETWORK, CLOUD, DEVICE = "network", "cloud", "device"

CALM_END_MS = 45_000  # the last fault of a run is over so long before its end
CALM_START_MS = 4000
_GAP_MS = (3000, 20_000)  # between two faults of one run

KINDS = {}  # name -> Kind


class Kind:
    """One fault as it is written down."""

    def __init__(self, name, group, begin, parameters):
        self.name = name
        self.group = group
        self.begin = begin
        self.parameters = parameters
        self.about = (begin.__doc__ or "").strip()

    def draw(self, rng):
        """Parameters for one occurrence."""
        return {name: _draw(rng, self.parameters[name]) for name in self.parameters}


def _draw(rng, span):
    if is_span(span):
        return rng.randint(*span)
    return rng.choice(span) if isinstance(span, tuple) else span


def is_span(span):
    """(least, most) in whole numbers, as against a choice."""
    return isinstance(span, tuple) and len(span) == 2 and all(type(x) is int for x in span)


def fault(name, group, **parameters):
    if "for_ms" not in parameters:
        parameters["for_ms"] = (2000, 15_000)

    def register(begin):
        KINDS[name] = Kind(name, group, begin, parameters)
        return begin

    return register


class Planned:
    """One fault of a run: at_ms, its name and its parameters (for_ms among them)."""

    def __init__(self, at_ms, name, parameters):
        self.at_ms = at_ms
        self.name = name
        self.parameters = parameters

    @property
    def end_ms(self):
        return self.at_ms + self.parameters["for_ms"]

    @property
    def kind(self):
        _load()  # it may have come from another process
        return KINDS[self.name]

    def text(self):
        shown = " ".join("%s=%s" % item for item in sorted(self.parameters.items()))
        return "%s %s" % (self.name, shown) if shown else self.name

    def written(self):
        """One word that parsed() reads: stall@12000:for_ms=3000"""
        parameters = ",".join("%s=%s" % item for item in sorted(self.parameters.items()))
        return "%s@%d:%s" % (self.name, self.at_ms, parameters)

    @classmethod
    def parsed(cls, text):
        """KeyError: no such fault; ValueError: not the form of written()."""
        _load()
        head, _, tail = text.partition(":")
        name, _, at_ms = head.partition("@")
        parameters = {}
        for part in tail.split(",") if tail else ():
            key, _, value = part.partition("=")
            is_text = value not in ("True", "False") and not value.lstrip("-").isdigit()
            parameters[key] = value if is_text else ast.literal_eval(value)
        missing = set(KINDS[name].parameters) - set(parameters)
        if missing:
            raise ValueError("%s lacks %s" % (name, ", ".join(sorted(missing))))
        return cls(int(at_ms), name, parameters)


def names():
    """What --plan takes: "calm", "all", the groups, and every fault."""
    _load()
    return ["calm", "all", NETWORK, CLOUD, DEVICE] + sorted(KINDS)


def draw(plan, seed, minutes):
    """The faults of a run, in order: `plan` names one fault, a group, "all", or several joined by +."""
    _load()
    kinds = _kinds_of(plan)
    rng = random.Random("plan %s %d" % (plan, seed))
    faults = []
    at_ms = CALM_START_MS + rng.randint(*_GAP_MS)
    while kinds:
        kind = rng.choice(kinds)
        planned = Planned(at_ms, kind.name, kind.draw(rng))
        if planned.end_ms > minutes * 60_000 - CALM_END_MS:
            break
        faults.append(planned)
        # Now and then the next one begins while this one lasts.
        at_ms += rng.randint(*_GAP_MS) + (planned.parameters["for_ms"] if rng.random() < 0.7 else 0)
    return faults


def _kinds_of(plan):
    found = []
    for name in plan.split("+"):
        if name in KINDS:
            found.append(KINDS[name])
        elif name == "all":
            found += [KINDS[one] for one in sorted(KINDS)]
        elif name in (NETWORK, CLOUD, DEVICE):
            found += [KINDS[one] for one in sorted(KINDS) if KINDS[one].group == name]
        elif name != "calm":
            raise KeyError(name)
    return found


def _load():
    for group in (NETWORK, CLOUD, DEVICE):
        importlib.import_module("%s.%s" % (__name__, group))
