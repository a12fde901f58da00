"""What all host tests share: the fast ones first, async ones run, figures shown at the end."""

import asyncio
import inspect

import pytest

# The first word found in the path of a test file decides when it runs; unlisted ones come after the unit tests.
# A broken unit explains a broken conversation, never the other way round.
_ORDER = ("/portable/", "test_arrows", "*", "test_mpy", "test_sim", "test_demo", "test_conversation", "test_end")


def pytest_configure(config):
    config.pipit_figures = []


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: _rank(str(item.path)))


def _rank(path):
    for i, word in enumerate(_ORDER):
        if word in path:
            return i
    return _ORDER.index("*")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run an `async def test_...` as the portable runner does."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def show_figure(request):
    """show_figure(text): a line below the results, for counts and times that a reader wants to see."""
    return request.config.pipit_figures.append


def pytest_terminal_summary(terminalreporter, config):
    if config.pipit_figures:
        terminalreporter.section("figures")
        for line in config.pipit_figures:
            terminalreporter.write_line(line)
