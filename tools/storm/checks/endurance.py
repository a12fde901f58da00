"""Promise 5 over thousands of turns: one speaker at rest, compared with itself when it was still young."""

import gc
import inspect
import os
import sys
import types
from array import array

from tools import ROOT

from . import Check

WARM_TURNS = 1000  # until then its caches may fill
_LOOKS = 10  # behind that
_END_TURNS = 10  # the last look is so long before the end: an interrupted turn is not followed by a rest
_OBJECTS_MORE = 60
_BYTES_MORE = 4096
_CONTAINERS = (dict, list, tuple, set)
_BUFFERS = (bytes, bytearray, str, array)
_PLAIN = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, type(None))
_SHOWN = 4


class Endurance(Check):
    """looks: [(turns, Look)] of a speaker at rest, once it is warm. Of a run that is asked for a number of turns."""

    number = 5

    def __init__(self, run):
        super().__init__(run)
        self._warm = min(WARM_TURNS, run.job.turns // 3)
        self._every = max(1, (run.job.turns - self._warm - _END_TURNS) // _LOOKS)
        self._due = self._warm
        self.looks = []

    def on_report(self, report):
        run = self.run
        if report["kind"] != "state" or report["state"] != "idle" or run.counts["turns"] < self._due:
            return
        self._due += self._every
        run.clock.after_ms(0, self._look)  # outside of the speaker's own doings

    def _look(self):
        look = Look(self.run.speaker)
        self.looks.append((self.run.counts["turns"], look))
        first_turns, first = self.looks[0]
        text = look.growth_since(first)
        if text:
            self.violate("between turn %d and turn %d the speaker at rest grew: %s"
                         % (first_turns, self.run.counts["turns"], text))

    @property
    def figures(self):
        """{name: text} for the summary."""
        return {"at rest after turn %d" % turns: look.text() for turns, look in self.looks}


class Look:
    """What a speaker holds.

    objects, n_bytes   reachable from the speaker, and from the globals of the firmware's modules and classes
    lengths            path of a container or buffer -> its length
    kinds              name of a type -> its living instances, reachable or not: the firmware's, coroutines, generators
    """

    def __init__(self, speaker):
        gc.collect()
        self.objects = 0
        self.n_bytes = 0
        self.lengths = {}
        self.kinds = {}
        self._walk([("speaker", speaker)] + list(_globals()))
        for one in gc.get_objects():
            name = _kind_of(one)
            if name:
                self.kinds[name] = self.kinds.get(name, 0) + 1

    def _walk(self, queue):
        seen = {id(one) for _, one in queue}
        while queue:
            path, one = queue.pop()
            self.objects += 1
            self.n_bytes += sys.getsizeof(one)
            if isinstance(one, _CONTAINERS + _BUFFERS):
                self.lengths[path] = len(one)
            for name, inner in _members(one):
                if id(inner) not in seen and not isinstance(inner, _PLAIN + (type,)):
                    seen.add(id(inner))
                    queue.append((path + name, inner))

    def growth_since(self, first):
        """What there is more of than may be, in words; "" if nothing."""
        more = self.objects - first.objects
        more_bytes = self.n_bytes - first.n_bytes
        kinds = _grown(self.kinds, first.kinds)
        if more <= _OBJECTS_MORE and more_bytes <= _BYTES_MORE and not (kinds and kinds[0][0] > _OBJECTS_MORE):
            return ""
        most = _grown(self.lengths, first.lengths)[:_SHOWN] + kinds[:_SHOWN]
        return "%d objects and %d bytes more; %s" % (
            more, more_bytes, ", ".join("%s +%d" % (name, n) for n, name in most))

    def text(self):
        return "%d objects, %d bytes, %d living instances" % (self.objects, self.n_bytes, sum(self.kinds.values()))


def _grown(now, before):
    """[(how much, name)], the most first."""
    return sorted(((now[name] - before.get(name, 0), name) for name in now if now[name] > before.get(name, 0)),
                  reverse=True)  # fmt: skip


def _members(one):
    if isinstance(one, dict):
        return [("[%.40r]" % (key,), value) for key, value in one.items()] + [("{key}", key) for key in one]
    if isinstance(one, _CONTAINERS):
        return [("[%d]" % i, value) for i, value in enumerate(one)]
    if _is_ours(type(one)) and hasattr(one, "__dict__"):
        return [(".%s" % name, value) for name, value in vars(one).items()]
    return []


def _globals():
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] not in _OURS:
            continue
        for name, value in list(vars(module).items()):
            if name.startswith("__"):
                continue
            if inspect.isclass(value) and value.__module__ == module_name:
                for inner_name, inner in list(vars(value).items()):
                    if not inner_name.startswith("__") and not isinstance(inner, _PLAIN + (type,)):
                        yield "%s.%s.%s" % (module_name, name, inner_name), inner
            elif not isinstance(value, _PLAIN + (type,)):
                yield "%s.%s" % (module_name, name), value


def _kind_of(one):
    """The name of what belongs to the firmware, "" of what does not."""
    if isinstance(one, types.CoroutineType):
        return one.__qualname__ if _is_file_of_ours(one.cr_code.co_filename) else ""
    if isinstance(one, types.GeneratorType):
        return one.__qualname__ if _is_file_of_ours(one.gi_code.co_filename) else ""
    return type(one).__qualname__ if _is_ours(type(one)) else ""


def _is_file_of_ours(path):
    return os.path.relpath(path, ROOT).split(os.sep)[0] in ("firmware", "lib")


def _is_ours(kind):
    module = kind.__module__
    return isinstance(module, str) and module.partition(".")[0] in _OURS


_OURS = {"firmware", "byte_ring", "frame_queue", "ws_protocol", "json_scan", "json_strict", "kernels", "improv"}
