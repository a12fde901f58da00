"""Gets a real MicroPython for this computer, without root and without touching the system.

    launcher(64) -> path of an executable that takes MicroPython's arguments
    launcher(32) -> the same with the word size of the device

The first that fits is taken: the program named by MICROPYTHON_64 / MICROPYTHON_32, `micropython` on PATH, what an
earlier call unpacked, and last Debian's own package. The package is fetched by apt into folders of ours: apt gets a
configuration of its own, with the machine's Debian source and signing key but the suite replaced by one that has a
new enough MicroPython; dpkg unpacks it, and the unpacked dynamic loader starts it with the unpacked libraries.
"""

import argparse
import contextlib
import glob
import os
import re
import shutil
import subprocess
import sys

from tools import ROOT, ToolError

try:
    import fcntl
except ImportError:  # Windows, which has no apt either
    fcntl = None

MIN_VERSION = (1, 24)
SUITE = "trixie"  # the first Debian whose package is new enough, and still there years from now
PACKAGES = ("micropython", "libmbedtls21", "libmbedcrypto16", "libmbedx509-7", "libc6", "libffi8")
CACHE = os.path.join(ROOT, ".cache", "micropython")
APT_TIMEOUT_S = 600

# The machine's dpkg architecture and the word size -> the architecture to fetch.
_ARCHES = {("amd64", 64): "amd64", ("amd64", 32): "i386", ("i386", 32): "i386", ("arm64", 64): "arm64"}
_ARCHES.update({("arm64", 32): "armhf", ("armhf", 32): "armhf"})
# Architecture -> its library folder, its dynamic loader.
_LOADERS = {
    "amd64": ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "i386": ("i386-linux-gnu", "ld-linux.so.2"),
    "arm64": ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
    "armhf": ("arm-linux-gnueabihf", "ld-linux-armhf.so.3"),
}

_ALLOW_HINT = "ALLOW_NO_MPY=1 make test leaves the MicroPython tests out."
_PROBE = "import sys, tls, asyncio, select; print(64 if sys.maxsize > 2**31 else 32, *sys.implementation[1][:3])"
_LAUNCHER = """#!/bin/sh
root=${0%%/*}/root
exec "$root/%(libraries)s/%(loader)s" --library-path "$root/%(libraries)s" "$root/usr/bin/micropython" "$@"
"""


class MissingMicroPython(ToolError):
    """No usable MicroPython of that word size can be had here; the text names the missing part and the cure."""


def launcher(bits=64, folder=CACHE, say=None):
    """Absolute path of a MicroPython >= MIN_VERSION with `bits` (64 or 32), fetched below `folder` when need be.

    say(text) is told what takes long (default: stderr). Safe to call from several processes; an interrupted call
    leaves nothing that a later one would take for whole. Raises MissingMicroPython.
    """
    refusals = []
    path = present(bits, folder, refusals)
    if path:
        return path
    with _locked(folder):
        path = present(bits, folder, refusals=[])  # another process may have been faster
        return path or _fetch(bits, folder, say or _say, refusals)


def present(bits, folder=CACHE, refusals=None):
    """The path when no fetching is needed, else None; why a candidate was refused is appended to `refusals`."""
    refusals = [] if refusals is None else refusals
    variable = "MICROPYTHON_%d" % bits
    named = os.environ.get(variable)
    if named:
        problem = _problem(shutil.which(named), bits)
        if problem:
            raise MissingMicroPython("%s=%s cannot be used: %s" % (variable, named, problem))
        return os.path.abspath(shutil.which(named))
    for path in (shutil.which("micropython"), _unpacked(folder, bits)):
        if path and os.path.exists(path):
            problem = _problem(path, bits)
            if not problem:
                return os.path.abspath(path)
            refusals.append("%s: %s" % (path, problem))
    return None


def _problem(path, bits):
    """Why the MicroPython at path will not do, as text; "" when it will."""
    if not path:
        return "there is no such program"
    try:
        done = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    found = re.match(r"(32|64) (\d+) (\d+) (\d+)\s*$", done.stdout)
    if done.returncode or not found:
        return ((done.stderr or done.stdout).strip().splitlines() or ["it ended with code %d" % done.returncode])[-1]
    found_bits, *version = map(int, found.groups())
    if found_bits != bits:
        return "it is a %d-bit build" % found_bits
    if tuple(version[:2]) < MIN_VERSION:
        return "version %s is older than %s" % (_dotted(version), _dotted(MIN_VERSION))
    return ""


def _unpacked(folder, bits):
    return os.path.join(folder, str(bits), "micropython")


# -- fetching Debian's package


def _fetch(bits, folder, say, refusals):
    """Fetch, unpack and prove the package in a folder of its own, then move that to its place in one step."""
    machine = _machine(bits, refusals)
    arch = _ARCHES.get((machine, bits))
    if not arch:
        raise _missing(bits, refusals, "Debian has no %d-bit build for %s" % (bits, machine))
    target = os.path.abspath(os.path.join(folder, str(bits)))
    scratch = os.path.join(os.path.abspath(folder), ".new-%d" % bits)
    finished = os.path.join(scratch, "finished")
    sources = _archives(bits, refusals)
    try:
        for source in sources:
            shutil.rmtree(scratch, ignore_errors=True)  # left by an interrupted call: we hold the lock
            try:
                _download(scratch, arch, source, bits, say)
                break
            except MissingMicroPython:
                if source is sources[-1]:
                    raise
        _unpack(os.path.join(scratch, "debs"), arch, finished, bits)
        problem = _problem(os.path.join(finished, "micropython"), bits)
        if problem:
            raise _missing(bits, refusals, "the fetched package does not run here: %s" % problem)
        shutil.rmtree(target, ignore_errors=True)  # one that no longer runs, or `present` had taken it
        os.rename(finished, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    say("MicroPython %d-bit: ready in %s" % (bits, target))
    return _unpacked(os.path.abspath(folder), bits)


def _download(scratch, arch, source, bits, say):
    """Leave the packages in scratch/debs, their signatures checked by apt."""
    say("MicroPython %d-bit: fetching Debian %s's package list for %s (about 10 MB, once)" % (bits, SUITE, arch))
    apt = _write_apt_configuration(scratch, arch, source)
    _apt(["apt-get", "-c", apt, "-q", "update"], scratch, source, bits)
    say("MicroPython %d-bit: fetching %d packages (about 4 MB)" % (bits, len(PACKAGES)))
    packages = ["%s:%s" % (name, arch) for name in PACKAGES]
    _apt(["apt-get", "-c", apt, "-q", "download"] + packages, os.path.join(scratch, "debs"), source, bits)


def _machine(bits, refusals):
    """The machine's dpkg architecture; MissingMicroPython without apt and dpkg."""
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            raise _missing(bits, refusals, "this machine has no %s to fetch Debian's package with" % tool)
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _archives(bits, refusals):
    """The machine's Debian archives, likeliest first, at most three; or the one that DEBIAN_MIRROR names."""
    mirror = os.environ.get("DEBIAN_MIRROR")
    if mirror:
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        if not os.path.exists(keyring):
            raise _missing(bits, refusals, "DEBIAN_MIRROR needs Debian's keys: install debian-archive-keyring")
        return [{"uris": mirror, "signed-by": keyring}]
    archives = sorted(filter(_may_be_debian, apt_sources()), key=_likelihood, reverse=True)[:3]
    if archives:
        return archives
    raise _missing(
        bits,
        refusals,
        "apt here has no source of Debian's main archive (another distribution's does not have this package); "
        "DEBIAN_MIRROR=<address of any Debian mirror> with the package debian-archive-keyring installed makes one",
    )


def _write_apt_configuration(scratch, arch, source):
    """apt's whole world below scratch; returns the configuration's path. -c is read last and so wins."""
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        os.makedirs(os.path.join(scratch, name))
    _write(os.path.join(scratch, "status"), "")  # as if nothing were installed: no installed version can be preferred
    _write(os.path.join(scratch, "debian.sources"), _stanza(source, arch))
    settings = {
        "Dir::State::lists": os.path.join(scratch, "lists"),
        "Dir::State::status": os.path.join(scratch, "status"),
        "Dir::Cache": os.path.join(scratch, "cache"),
        "Dir::Cache::archives": os.path.join(scratch, "cache", "archives"),
        "Dir::Etc::sourcelist": os.path.join(scratch, "debian.sources"),
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": arch,
        "APT::Default-Release": "",
        "APT::Sandbox::User": "root",  # apt's own user could not enter a folder below /root
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    # The machine's hooks clean or announce the machine's own lists: not ours to run.
    lines = ["#clear APT::Architectures;"]
    lines += ["#clear APT::Update::%s;" % hook for hook in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")]
    lines += ['APT::Architectures {"%s";};' % arch]
    lines += ['%s "%s";' % setting for setting in settings.items()]
    path = os.path.join(scratch, "apt.conf")
    _write(path, "\n".join(lines) + "\n")
    return path


def _stanza(source, arch):
    """One deb822 paragraph: the machine's source with our suite. No option that loosens the checks is carried over."""
    fields = ["Types: deb", "URIs: " + source["uris"], "Suites: " + SUITE, "Components: main"]
    fields += ["Architectures: " + arch, "Targets: Packages"]
    for name in ("signed-by", "check-valid-until", "check-date"):
        if source.get(name):
            fields.append("%s: %s" % (name, source[name]))
    return "\n".join(fields) + "\n"


def _apt(command, folder, source, bits):
    environment = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=APT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise _missing(bits, [], "apt was not done within %d s: try again" % APT_TIMEOUT_S) from None
    # `update` ends with 0 even when a list could not be had, and then only says so.
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if re.match(r"(E:|Err:|W: Failed)", line)]
    if done.returncode or complaints:
        shown = "\n  ".join(_without_addresses(line, source) for line in complaints[-4:])
        raise _missing(bits, [], "apt-get %s failed:\n  %s" % (command[4], shown or "code %d" % done.returncode))


def _without_addresses(line, source):
    """The line without the names of mirrors: they may carry a password, and tell the reader nothing."""
    line = re.sub(r"[a-z+]+://\S+", "<mirror>", line)
    for host in re.findall(r"//(?:[^/@\s]*@)?([^/:\s]+)", source["uris"]):
        line = line.replace(host, "<mirror>")
    return line


def _unpack(debs, arch, folder, bits):
    """Unpack every package in debs below folder/root and write the launcher beside it."""
    root = os.path.join(folder, "root")
    os.makedirs(root)
    for deb in sorted(glob.glob(os.path.join(debs, "*.deb"))):
        done = subprocess.run(["dpkg", "-x", deb, root], capture_output=True, text=True, check=False)
        if done.returncode:
            raise _missing(bits, [], "dpkg could not unpack %s: %s" % (os.path.basename(deb), done.stderr.strip()))
    triplet, loader = _LOADERS[arch]
    libraries = "usr/lib/" + triplet
    for part in (libraries + "/" + loader, "usr/bin/micropython"):
        if not os.path.exists(os.path.join(root, part)):
            raise _missing(bits, [], "Debian's package has changed: it holds no %s" % part)
    for unused in ("usr/share", libraries + "/gconv"):  # most of the size, and MicroPython needs none of it
        shutil.rmtree(os.path.join(root, unused), ignore_errors=True)
    path = os.path.join(folder, "micropython")
    _write(path, _LAUNCHER % {"libraries": libraries, "loader": loader})
    os.chmod(path, 0o755)


# -- the machine's apt sources


def apt_sources(folder="/etc/apt"):
    """Every enabled binary source of the machine, in apt's order, as a dict of lower-case deb822 fields."""
    paths = [os.path.join(folder, "sources.list")]
    paths += sorted(glob.glob(os.path.join(folder, "sources.list.d", "*.list")))
    paths += sorted(glob.glob(os.path.join(folder, "sources.list.d", "*.sources")))
    sources = []
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        sources += parse_deb822(text) if path.endswith(".sources") else parse_one_line(text)
    return sources


def parse_deb822(text):
    """The enabled `deb` paragraphs of a .sources file."""
    sources = []
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields = {}
        name = None
        for line in paragraph.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0] in " \t" and name:
                fields[name] += "\n" + line.rstrip()  # a list or a key that goes on; apt wants the indent as well
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        is_enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0", "off", "without", "disable")
        if is_enabled and "deb" in fields.get("types", "").split() and fields.get("uris"):
            sources.append(fields)
    return sources


def parse_one_line(text):
    """The `deb [options] uri suite components` lines of a .list file."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if not match:
            continue
        options, uri, suite, components = match.groups()
        fields = {"types": "deb", "uris": uri, "suites": suite, "components": components.strip()}
        for option in (options or "").split():
            name, _, value = option.partition("=")
            fields[name.lower()] = value.replace(",", " ")
        sources.append(fields)
    return sources


_DEBIAN_SUITES = "buster bullseye bookworm trixie forky duke sid oldoldstable oldstable stable testing unstable".split()


def _may_be_debian(source):
    """True for anything in the shape of a Debian release: its own archive, a mirror, also some vendors' sources."""
    has_main = "main" in source.get("components", "").split()
    is_release = any(suite in _DEBIAN_SUITES for suite in source.get("suites", "").split())
    is_one_medium = source["uris"].startswith(("cdrom:", "file:"))
    return has_main and is_release and not is_one_medium


def _likelihood(source):
    """How many marks of Debian's own archive it has: a vendor may name suites alike, a mirror its folder at will."""
    uri = source["uris"].split()[0].rstrip("/")
    marks = (
        re.search(r"/debian$|/mirrors/debian\.list$", uri),
        "debian-archive" in source.get("signed-by", ""),
        "-updates" in source.get("suites", ""),
    )
    return sum(map(bool, marks))


# -- odds and ends


def _missing(bits, refusals, text):
    lines = ["no MicroPython >= %s (%d-bit) for this computer: %s." % (_dotted(MIN_VERSION), bits, text)]
    lines += ["Looked at %s" % refusal for refusal in refusals]
    lines.append(
        "Put a `micropython` on PATH (64-bit), or name one by MICROPYTHON_%d=<path>. %s" % (bits, _ALLOW_HINT)
    )
    return MissingMicroPython("\n".join(lines))


@contextlib.contextmanager
def _locked(folder):
    """One process at a time fetches into folder; the lock vanishes with its process."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _dotted(version):
    return ".".join(map(str, version))


def _say(text):
    print(text, file=sys.stderr, flush=True)


def run_cli(arguments):
    parser = argparse.ArgumentParser(
        description="Get a real MicroPython >= %s and print where it is." % _dotted(MIN_VERSION),
        epilog="MICROPYTHON_64 or MICROPYTHON_32 names a build of your own; DEBIAN_MIRROR names a Debian mirror.",
    )
    parser.add_argument("--bits", choices=("64", "32", "all"), default="64", help="word size; a device has 32")
    parser.add_argument("--folder", default=CACHE, help="where to keep what is fetched (default: .cache/micropython)")
    parser.add_argument("--check", action="store_true", help="fetch nothing; exit code 1 when one would have to be")
    options = parser.parse_args(arguments)
    sizes = (64, 32) if options.bits == "all" else (int(options.bits),)
    if options.check:
        return _check(sizes if "--bits" in arguments else (64, 32), options.folder)
    for bits in sizes:
        print(launcher(bits, options.folder))
    return 0


def _check(sizes, folder):
    code = 0
    for bits in sizes:
        refusals = []
        path = present(bits, folder, refusals)
        if path:
            print("%d-bit: %s" % (bits, path))
            continue
        code = 1
        try:
            machine = _machine(bits, refusals)
            _archives(bits, refusals)
            print("%d-bit: not here; apt can fetch it for %s: python -m tools mpy --bits %d" % (bits, machine, bits))
        except MissingMicroPython as error:
            print("%d-bit: %s" % (bits, error))
    return code
