# SPDX-License-Identifier: Apache-2.0
"""The whole story from the first step to the last, and afterwards: stop everything, or leave the console open."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from khatim.cli.story import governing, making, processes, proving
from khatim.cli.story.people import EVERYBODY
from khatim.cli.story.timeline import Timeline
from khatim.cli.story.world import World
from khatim.errors import KhatimError

OUTPUTS = ("engagement.zip", "timeline.json", "verify.txt", "ledger.txt")
WIDTH = 140  # where nobody looks at a terminal
LINKS_LAST = timedelta(hours=8)
ACTS: tuple[Callable[[World], None], ...] = (
    making.enrol,
    making.ingest,
    making.materialise,
    making.authorise,
    making.scan,
    making.evaluate,
    governing.approve,
    governing.deploy,
    governing.stay_home,
    governing.drift,
    proving.verify_version,
    proving.verify_ledger,
    proving.export,
)


def play(out: Path, *, once: bool) -> None:
    """Play the story and write its outputs to *out*; with *once* stop everything at the end, else stay until Ctrl-C.

    Exits with status 1 and a clear message at the first step that fails.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in OUTPUTS:
        (out / name).unlink(missing_ok=True)
    screen = Console(highlight=False)
    if not screen.is_terminal:
        screen.width = WIDTH
    with ExitStack() as after:
        after.enter_context(_ending_in_order())
        after.enter_context(_settings_of_our_own())
        scratch = Path(
            after.enter_context(tempfile.TemporaryDirectory(prefix="khatim-demo-", ignore_cleanup_errors=True))
        )
        scratch.chmod(0o711)  # the database runs as a user of its own when we are root
        world = World(out=out, scratch=scratch, data=scratch / "data", timeline=Timeline(screen, lambda: None))
        world.timeline = Timeline(screen, world.newest_entry)
        after.callback(world.close)
        try:
            _perform(world, after)
        except KhatimError as error:
            _fail(screen, world, error)
            raise typer.Exit(1) from error
        finally:
            world.timeline.write(out / "timeline.json")
        _tell(screen, world)
        if not once:
            _stay(screen, world)


def _perform(world: World, after: ExitStack) -> None:
    server = processes.start_server(world.data, world.scratch)
    after.callback(server.stop)
    after.callback(lambda: world.agent.stop() if world.agent else None)
    with world.timeline:
        making.open_house(world, server)
        for act in ACTS:
            act(world)


def _fail(screen: Console, world: World, error: KhatimError) -> None:
    if failed := world.timeline.running:
        screen.print(Text(f"Step {failed.step} failed: {failed.who}, {failed.what}", style="bold red"))
    screen.print(Text(f"{error.title()}: {error.detail}", style="red"), soft_wrap=True)
    for key, value in error.members.items():
        screen.print(Text(f"  {key}: {value}"), soft_wrap=True)
    if error.advice:
        screen.print(Text(f"  {error.advice}", style="dim"), soft_wrap=True)
    for name in ("server.log", "agent.log"):
        log = world.scratch / name
        if log.exists() and (said := log.read_text(errors="replace")[-processes.TAIL :].strip()):
            screen.print(Panel(Text(said), title=name, title_align="left"))


def _tell(screen: Console, world: World) -> None:
    screen.print()
    outputs = ", ".join(str(world.out / name) for name in OUTPUTS)
    screen.print(Text(f"The story took {world.timeline.seconds:.0f} s. Written: {outputs}"), soft_wrap=True)
    screen.print(
        Text(f"Check it without any server: khatim engagement verify {world.out / OUTPUTS[0]}"), soft_wrap=True
    )


def _stay(screen: Console, world: World) -> None:
    """Print a one-time sign-in link for everybody and wait for Ctrl-C."""
    from gateway import local_tokens

    screen.print()
    screen.print(Text(f"The console is open at {world.url}. One-time sign-in links:", style="bold"))
    for person in EVERYBODY:
        roles = [role.value for role in person.roles]
        link = local_tokens.link(world.data, person.name, roles, at=datetime.now(UTC), ttl=LINKS_LAST)
        screen.print(Text.assemble((person.name, "bold"), f", {person.part}"))
        screen.print(Text(link), soft_wrap=True)  # in one piece, to be clicked or copied
    screen.print()
    screen.print(Text("Ctrl-C stops everything and throws the demo's data away.", style="dim"))
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


@contextmanager
def _settings_of_our_own() -> Iterator[None]:
    """Set aside the settings of an outer installation: what a user has exported is not the story's."""
    before = {key: value for key, value in os.environ.items() if key.startswith("KHATIM_")}
    for key in before:
        del os.environ[key]
    os.environ.update(processes.SETTINGS)
    try:
        yield
    finally:
        for key in processes.SETTINGS:
            del os.environ[key]
        os.environ.update(before)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let SIGTERM end the story as Ctrl-C does: with everything that was started stopped."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
