"""Values that several faults may change at once: the newest one counts, and each takes back its own."""


class Knobs:
    def __init__(self):
        self._stacks = {}  # (object, name) -> [value at rest, then (token, value), ...]

    def turn(self, holder, name, value):
        """Set holder.name; returns what takes it back, in any order with others."""
        stack = self._stacks.setdefault((id(holder), name), [getattr(holder, name)])
        token = object()
        stack.append((token, value))
        setattr(holder, name, value)

        def back():
            stack[:] = [entry for entry in stack if entry is stack[0] or entry[0] is not token]
            setattr(holder, name, stack[-1][1] if len(stack) > 1 else stack[0])

        return back
