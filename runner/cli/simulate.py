"""`polytrades simulate`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import Json


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: polytrades simulate --port 8800 --wallets 20 --write-wallets wallets.csv · "
        "polytrades simulate --port 8800 --replay orders.ndjson · polytrades simulate --fault status:503@orders%middle"
    )(simulate)


def simulate(
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one.")] = 8800,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same world.")] = 7,
    wallets: Annotated[int, typer.Option("--wallets", min=1, help="Wallets in the world.")] = 5,
    fills: Annotated[int, typer.Option("--fills", min=0, help="Fills in the world, over all wallets.")] = 400,
    days: Annotated[int, typer.Option("--days", min=1, help="How many days back the fills go.")] = 30,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Time of the newest fill (UTC; default: now).")
    ] = None,
    malformed: Annotated[
        float, typer.Option("--malformed", min=0, max=1, help="Share of additional records that break a rule.")
    ] = 0.0,
    prerender: Annotated[
        bool, typer.Option("--prerender", help="Render every fill before serving: a slow start and cheap pages.")
    ] = False,
    late: Annotated[
        float, typer.Option("--late", min=0, max=1, help="Share of the fills that is hidden until POST /reveal.")
    ] = 0.0,
    replay: Annotated[
        list[Path] | None,
        typer.Option("--replay", metavar="FILE", help="Serve these order records instead; may be given several times."),
    ] = None,
    gamma_replay: Annotated[
        list[Path] | None, typer.Option("--gamma-replay", metavar="FILE", help="Serve these Gamma markets and events.")
    ] = None,
    markets_replay: Annotated[
        list[Path] | None, typer.Option("--markets-replay", metavar="FILE", help="Serve these Dome-shaped markets.")
    ] = None,
    write_wallets: Annotated[
        Path | None, typer.Option("--write-wallets", metavar="FILE", help="Write the wallets as CSV, then serve.")
    ] = None,
    write_fills: Annotated[
        Path | None,
        typer.Option("--write-fills", metavar="FILE", help="Write the records as NDJSON, then serve."),
    ] = None,
    write_malformed: Annotated[
        Path | None, typer.Option("--write-malformed", metavar="FILE", help="Write the malformed records, then serve.")
    ] = None,
    write_only: Annotated[bool, typer.Option("--write-only", help="Write the files and end.")] = False,
    api_key: Annotated[
        str | None, typer.Option("--api-key", metavar="KEY", help="Refuse order requests without this (made-up) key.")
    ] = None,
    latency_ms: Annotated[float, typer.Option("--latency-ms", min=0, help="Delay of every answer.")] = 0,
    clock_skew: Annotated[
        float, typer.Option("--clock-skew", metavar="SECONDS", help="How far the Date header runs ahead.")
    ] = 0,
    rate_limit: Annotated[
        int | None, typer.Option("--rate-limit", min=1, help="Answer 429 to more requests in any second.")
    ] = None,
    no_compression: Annotated[
        bool, typer.Option("--no-compression", help="Compress no answer, whoever accepts it.")
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="SPEC",
            help="KIND\\[@PATHPART][%PAGE][#N[-M]], such as html@orders#2 or drop@orders%last.",
        ),
    ] = None,
    rpc: Annotated[
        list[str] | None,
        typer.Option(
            "--rpc", metavar="NAME=VALUE", help="A limit or fault of the node, such as max-blocks=10 or style=alchemy."
        ),
    ] = None,
    head: Annotated[
        int | None, typer.Option("--head", metavar="BLOCKS", help="The chain ends so many blocks before --until.")
    ] = None,
    twice_each: Annotated[
        int | None, typer.Option("--twice-each", metavar="N", help="Of N fills one is of the same order as the last.")
    ] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Print the kinds of faults and end.")] = False,
    json: Json = False,
) -> None:
    """Serve the upstreams' shapes locally: a made-up world from a seed, or recorded files. Ends with Ctrl-C."""
    arguments = ["--port", str(port), "--seed", str(seed), "--wallets", str(wallets), "--fills", str(fills)]
    arguments += ["--days", str(days), "--malformed", str(malformed), "--latency-ms", str(latency_ms)]
    arguments += ["--late", str(late), "--clock-skew", str(clock_skew)]
    single = {
        "--until": until,
        "--write-wallets": write_wallets,
        "--write-fills": write_fills,
        "--write-malformed": write_malformed,
        "--api-key": api_key,
        "--rate-limit": rate_limit,
        "--head": head,
        "--twice-each": twice_each,
    }
    for name, value in single.items():
        arguments += [name, str(value)] if value is not None else []
    several: dict[str, Sequence[object] | None] = {
        "--replay": replay,
        "--gamma-replay": gamma_replay,
        "--markets-replay": markets_replay,
        "--fault": fault,
        "--rpc": rpc,
    }
    for name, values in several.items():
        for given in values or ():
            arguments += [name, str(given)]
    switches = {
        "--write-only": write_only,
        "--prerender": prerender,
        "--no-compression": no_compression,
        "--list-faults": list_faults,
        "--json": json,
    }
    arguments += [name for name, is_on in switches.items() if is_on]
    # A process of its own, in the place of this one: signals reach it, and the two share no code.
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "simulator", *arguments])  # noqa: S606
