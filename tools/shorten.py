"""Shorter names for a chip without PSRAM: on a device every name of a program takes heap, each one once.

    small = Program({file: source})
    small.texts     {file: the same program, line by line, with shorter names}
    small.shown     {file: what a traceback is to call it}
    small.real_text(report)     names of files and functions as in the sources again

All files of a program go in together. What changes is what nobody outside of them can name:

    private names    `_name` of modules and classes. Each group of modules counts from `_a` anew, so that one name on
                     the device stands for many. A group is a module with those that share classes with it by
                     inheritance: an object never meets names of two groups.
    parameters       of functions, where no call in the whole program names them

Kept are names that stand in a string (getattr), that are keywords of any call, that a class with a base from elsewhere
defines (it may override something), and those that the program only uses and defines nowhere. A private name that more
than one group uses becomes one short name for all of them.
"""

import ast
import builtins
import re

from tools import ToolError

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PRIVATE = re.compile(r"_[A-Za-z0-9]\w*")
_IN_TRACEBACK = re.compile(r'File "([^"]+)", line 1, in (\w+)')  # without line numbers every line is the first
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Program:
    """sources: {file: text}, all files of the program. ToolError when one is not Python."""

    def __init__(self, sources):
        files = [_File(path, sources[path]) for path in sorted(sources)]
        keywords = {node.arg for file in files for node in file.nodes if isinstance(node, ast.keyword)}
        fixed = keywords | {text for file in files for text in file.texts}
        taken = fixed | {name for file in files for name, _, _ in file.names}
        self._new_names = _private_names(files, fixed, taken)
        for file in files:
            file.rename_private(self._new_names[file.path])
            _Parameters(file, fixed).rename()
        self.texts = {file.path: file.renamed() for file in files}
        self.shown = _shown(sorted(sources))

    def real_text(self, text):
        """A text of the device with the files and functions of its tracebacks called as in the sources. What is no
        traceback of such a program stays as it is.
        """
        paths = {shown: path for path, shown in self.shown.items()}

        def replaced(match):
            path = paths.get(match.group(1))
            if path is None:
                return match.group(0)
            names = {new: name for name, new in self._new_names[path].items()}
            return 'File "%s", in %s' % (path, names.get(match.group(2), match.group(2)))

        return _IN_TRACEBACK.sub(replaced, text)


def _shown(paths):
    """{path: the name of the module, a word that the device has anyway; the path where two modules have that name}."""
    names = [path.rpartition("/")[2][: -len(".py")] for path in paths]
    return {path: name if names.count(name) == 1 else path for path, name in zip(paths, names)}


class _File:
    """names: [(name, line, byte of the line)] of every place where a name stands that could be another;
    texts: the strings that could be names.
    """

    def __init__(self, path, source):
        self.path = path
        self._lines = source.encode().split(b"\n")
        self._edits = {}  # (line, byte) -> (old, new)
        try:
            self.tree = ast.parse(source)
        except SyntaxError as error:
            raise ToolError("%s is not Python: %s" % (path, error)) from None
        self.nodes = list(ast.walk(self.tree))
        if any(isinstance(node, ast.JoinedStr) for node in self.nodes):
            raise ToolError("%s: names inside f-strings cannot be found; write it with %%" % path)
        self.texts = {
            node.value for node in self.nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        self.names = [place for node in self.nodes for place in self._places(node)]

    def _places(self, node):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno, node.col_offset
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno, node.col_offset
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.end_lineno, node.end_col_offset - len(node.attr)
        elif isinstance(node, ast.alias):
            yield node.name, node.lineno, node.col_offset
            if node.asname:
                yield node.asname, node.end_lineno, node.end_col_offset - len(node.asname)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno, self._find(node.name, node)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, node.lineno, self._find(node.name, node)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                yield name, node.lineno, self._find(name, node)

    def _find(self, name, node):
        """Where the word `name` stands in the first line of a statement, behind its keyword."""
        line = self._lines[node.lineno - 1]
        found = re.compile(rb"\b%s\b" % name.encode()).search(line, node.col_offset + 3)
        if found is None:
            raise ToolError("%s, line %d: %s stands on another line" % (self.path, node.lineno, name))
        return found.start()

    def rename_private(self, new_names):
        for name, line, at in self.names:
            if name in new_names:
                self.replace(name, line, at, new_names[name])

    def replace(self, name, line, at, new_name):
        self._edits[line, at] = name.encode(), new_name.encode()

    def renamed(self):
        lines = list(self._lines)
        for (line, at), (old, new) in sorted(self._edits.items(), reverse=True):
            text = lines[line - 1]
            if text[at : at + len(old)] != old:
                raise ToolError("%s, line %d: %s is not where it should be" % (self.path, line, old.decode()))
            lines[line - 1] = text[:at] + new + text[at + len(old) :]
        return b"\n".join(lines).decode()


# Private names


def _private_names(files, fixed, taken):
    """{path: {name: new name}}."""
    groups = _Groups(files)
    uses, definitions, strangers = {}, {}, {}  # name -> groups
    for file in files:
        group = groups.of(file.path)
        for name in {name for name, _, _ in file.names if _PRIVATE.fullmatch(name)}:
            uses.setdefault(name, set()).add(group)
        for name in _defined(file):
            definitions.setdefault(name, set()).add(group)
        for name in _asked_of_others(file):
            strangers.setdefault(name, set()).add(group)
    renamed = set(definitions) - fixed - groups.foreign_names
    # Of another object's `_name` nobody knows whose class it has, when several have such a name.
    common = {
        name for name in renamed
        if uses[name] != definitions[name] or (name in strangers and len(definitions[name]) > 1)
    }  # fmt: skip
    new_names = {name: new for name, new in zip(sorted(common), _fresh(taken))}
    fresh = list(_first(_fresh(taken | set(new_names.values())), max(len(file.names) for file in files)))
    found = {}
    for file in files:
        if groups.of(file.path) == file.path:
            members = [other for other in files if groups.of(other.path) == file.path]
            mine = sorted({name for other in members for name in _privates(other)} & renamed - common)
            for other in members:
                found[other.path] = dict(new_names, **dict(zip(mine, fresh)))
    return found


def _privates(file):
    return {name for name, _, _ in file.names if _PRIVATE.fullmatch(name)}


def _first(names, n):
    for _ in range(n):
        yield next(names)


def _fresh(taken):
    """_a, _b … _z, _aa …, without those that are taken."""
    n = 0
    while True:
        n += 1
        name, rest = "", n
        while rest:
            rest, letter = divmod(rest - 1, len(_LETTERS))
            name = _LETTERS[letter] + name
        if "_" + name not in taken:
            yield "_" + name


def _defined(file):
    """Private names that a file gives to something. Its private numbers are gone when it is compiled: const()."""
    found = set()
    for node in file.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            found.add(node.attr)
        elif isinstance(node, ast.alias) and node.asname:
            found.add(node.asname)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    numbers = {
        node.targets[0].id for node in file.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_const(node.value)
    }  # fmt: skip
    return {name for name in found - numbers if _PRIVATE.fullmatch(name)}


def _is_self(node):
    return isinstance(node, ast.Name) and node.id == "self"


def _is_const(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "const"


def _asked_of_others(file):
    """Names of attributes of anything but `self`, and what is imported by name."""
    for node in file.nodes:
        if isinstance(node, ast.Attribute) and not _is_self(node.value):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.name


class _Groups:
    """Which files share classes by inheritance. foreign_names: what classes with a base from elsewhere define."""

    def __init__(self, files):
        self._above = {file.path: file.path for file in files}
        self.foreign_names = set()
        homes = {}
        for file in files:
            for node in file.nodes:
                if isinstance(node, ast.ClassDef):
                    homes.setdefault(node.name, []).append(file.path)
        for file in files:
            for node in file.nodes:
                if isinstance(node, ast.ClassDef):
                    for base in node.bases:
                        self._join(file.path, node, base, homes)

    def _join(self, path, node, base, homes):
        name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
        for home in homes.get(name, ()):
            self._above[self.of(home)] = self.of(path)
        is_builtin = isinstance(base, ast.Name) and hasattr(builtins, name)
        if name not in homes and not is_builtin:
            self.foreign_names.update(
                part.name for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))
            )

    def of(self, path):
        """The path that stands for the group."""
        while self._above[path] != path:
            path = self._above[path]
        return path


# Parameters


class _Parameters:
    """Renames them function by function, from the outside in: an inner one never takes a letter that it could see."""

    def __init__(self, file, fixed):
        self._file = file
        self._fixed = fixed

    def rename(self):
        self._visit(self._file.tree, frozenset())

    def _visit(self, node, letters):
        """letters: new names in the functions around this node."""
        for child in ast.iter_child_nodes(node):
            self._visit(child, letters | self._rename_in(child, letters) if isinstance(child, _FUNCTIONS) else letters)

    def _rename_in(self, function, letters):
        """Returns the letters that have a new meaning in this function."""
        body = function.body if isinstance(function.body, list) else [function.body]
        nodes = [node for part in body for node in ast.walk(part)]
        mine = function.args.posonlyargs + function.args.args
        kept = self._fixed | _bound_anew(nodes)
        wanted = [arg.arg for arg in mine if len(arg.arg) > 1 and arg.arg != "self" and arg.arg not in kept]
        seen = letters | {node.id for node in nodes if isinstance(node, ast.Name)} | _bound_anew(nodes)
        seen |= {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}
        new_names = dict(zip(wanted, [letter for letter in _LETTERS if letter not in seen]))
        for arg in mine:
            if arg.arg in new_names:
                self._file.replace(arg.arg, arg.lineno, arg.col_offset, new_names[arg.arg])
        for node in nodes:
            if isinstance(node, ast.Name) and node.id in new_names:
                self._file.replace(node.id, node.lineno, node.col_offset, new_names[node.id])
        return frozenset(new_names.values())


def _bound_anew(nodes):
    """Names that statements other than an assignment bind, or that a scope inside has for itself."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.ExceptHandler):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            found.update(node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, _FUNCTIONS + _COMPREHENSIONS + (ast.ClassDef,)):
            for part in ast.walk(node):
                if isinstance(part, ast.arg):
                    found.add(part.arg)
                elif isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
                    found.add(part.id)
    return found
