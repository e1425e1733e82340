"""Command line of the simulator: what to serve, where, and how badly."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from simulator.orders import Feed
    from simulator.server import Upstream

_EPILOG = """\
examples:
  python -m simulator --port 8900 --wallets 20 --fills 5000 --write-wallets wallets.csv
  python -m simulator --port 8900 --fills 500000 --prerender --no-compression
  python -m simulator --port 0 --replay orders.ndjson --markets-replay markets.ndjson --json
  python -m simulator --port 0 --fault status:503@/orders#2-3 --fault slow:0.5@/markets
  python -m simulator --port 0 --fault drop@/orders%last --fault drift:retype:timestamp@/orders%middle#1

endpoints, at the root and below /v1: /polymarket/orders, markets, events and activity (Dome), /markets and /events
(Gamma). Beside them /v1/polymarket/trades and /v2/polymarket/trades (Predexon's two versions, key in x-api-key),
/healthz, and /stats: requests by path and status, the most that arrived in any 1 and 10 seconds, first and last arrival
(of the monotonic clock), and the most that were under way at once. POST /reveal shows what --late hides and says how
many fills that are; --write-fills has them all from the start.

POST /rpc is a JSON-RPC node of the chain behind the synthetic world: eth_chainId, eth_blockNumber, eth_getBlockByNumber
and eth_getLogs, in batches too. POST /chain/reorganise?depth=N&salt=S mines the last N blocks anew: most transactions
come back, some in another block, some not. POST /chain/grow?blocks=N mines N more. --rpc NAME=VALUE sets what the node
refuses: style (plain, alchemy, quicknode, infura, publicnode), max-blocks, max-results, max-topics, keeps (blocks),
behind (each third request is answered by a node so far behind), finality (blocks, -1: no such tag), times=0 (logs
without the block's time), batches=0, lose=N and twice=N (each N-th answer lacks a log, or has one twice).

faults: KIND[:ARGUMENT...][@PATHPART][%first|%middle|%last][#N[-M]] - only paths that contain PATHPART, only such
pages of a walk (first: asked for without cursor and offset; last: there is no more), and of the requests that match
only the N-th, or the N-th to the M-th. --list-faults says which kinds there are.
With any of the replay options nothing synthetic is served.
"""


#: Bounds of --until in Unix seconds; with the longest --days everything stays after 1970.
_EARLIEST, _LATEST = 1_262_304_000, 4_102_444_800
_MOST_SKEW = 315_360_000.0


class _UsageError(Exception):
    """Something the person who started the command can put right; shown as one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m simulator",
        description="Serve the upstream APIs on a local port: a synthetic world made from a seed, or recorded files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=_port, help="port to listen on; 0 takes a free one")
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--json", action="store_true", help="print the ready line as one JSON object")
    world = parser.add_argument_group("synthetic world")
    world.add_argument("--seed", type=int, default=7, help="equal seeds give equal worlds (default %(default)s)")
    world.add_argument("--wallets", type=_positive, default=5, help="number of wallets (default %(default)s)")
    world.add_argument("--fills", type=_count, default=400, help="fills over all wallets (default %(default)s)")
    world.add_argument("--days", type=_days, default=30, help="days the fills spread over (default %(default)s)")
    world.add_argument("--until", type=_instant, metavar="INSTANT", help="UTC end of the fills (default: now)")
    world.add_argument(
        "--malformed", type=_share, default=0.0, metavar="SHARE", help="damaged records to add, as a share of --fills"
    )
    world.add_argument(
        "--twice-each",
        type=_count,
        default=0,
        metavar="N",
        help="of each N fills one is of the same order and transaction as the fill before (default: none)",
    )
    world.add_argument(
        "--prerender", action="store_true", help="render every fill before serving: a slow start and cheap pages"
    )
    replay = parser.add_argument_group("recorded files")
    for name, what in (
        ("--replay", "orders"),
        ("--markets-replay", "Dome markets"),
        ("--gamma-replay", "Gamma answers"),
    ):
        replay.add_argument(name, nargs="+", action="extend", type=Path, default=[], metavar="FILE", help=what)
    files = parser.add_argument_group("files to write before serving")
    files.add_argument("--write-wallets", type=Path, metavar="FILE", help="CSV of the wallets")
    files.add_argument("--write-fills", type=Path, metavar="FILE", help="NDJSON of every record that counts")
    files.add_argument("--write-malformed", type=Path, metavar="FILE", help="NDJSON of the damaged records")
    files.add_argument("--write-only", action="store_true", help="end after writing, serve nothing")
    behaviour = parser.add_argument_group("behaviour")
    behaviour.add_argument("--api-key", metavar="KEY", help="refuse Dome and Predexon requests without this key")
    behaviour.add_argument("--latency-ms", type=_milliseconds, default=0.0, metavar="MS", help="delay of every answer")
    behaviour.add_argument(
        "--late", type=_share, default=0.0, metavar="SHARE", help="hide this share of the fills until POST /reveal"
    )
    behaviour.add_argument(
        "--clock-skew", type=_skew, default=0.0, metavar="SECONDS", help="how far the Date header and `now` run ahead"
    )
    behaviour.add_argument(
        "--rpc", action="append", default=[], metavar="NAME=VALUE", help="a setting of the node, see below"
    )
    behaviour.add_argument(
        "--head", type=int, default=0, metavar="BLOCKS", help="the chain ends so many blocks before --until"
    )
    behaviour.add_argument("--fault", action="append", default=[], metavar="SPEC", help="see below; may be repeated")
    behaviour.add_argument(
        "--no-compression", dest="compression", action="store_false", help="compress no answer, whoever accepts it"
    )
    behaviour.add_argument(
        "--rate-limit", type=_positive, metavar="N", help="answer 429 to more than N requests in any second"
    )
    add("--list-faults", action="store_true", help="print the kinds of faults, with --json as JSON, and end")
    return parser


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError("a port is between 0 and 65535")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _days(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 3_650:
        raise argparse.ArgumentTypeError("days between 1 and 3650")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("a share is between 0 and 1")
    return value


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 600_000:
        raise argparse.ArgumentTypeError("milliseconds between 0 and 600000")
    return value


def _skew(text: str) -> float:
    value = float(text)
    if not abs(value) <= _MOST_SKEW:
        raise argparse.ArgumentTypeError("at most ten years of skew")
    return value


def _instant(text: str) -> int:
    """Return Unix seconds of an ISO instant; without a zone it is UTC."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no instant like 2026-01-31T00:00:00Z") from None
    seconds = int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    if not _EARLIEST <= seconds <= _LATEST:
        raise argparse.ArgumentTypeError("an instant between 2010 and 2100")
    return seconds


# argparse names the function in "invalid ... value" when a number does not parse.
_port.__name__ = "port"
_positive.__name__ = _days.__name__ = _count.__name__ = "whole number"
_share.__name__, _milliseconds.__name__, _skew.__name__ = "share", "number", "number"


def _upstream(options: argparse.Namespace) -> Upstream:
    # Imported here so that --help and a wrong option answer at once.
    from simulator import faults
    from simulator.blocks import block_of
    from simulator.chain import Chain
    from simulator.dome import DomeCatalogue, dome_catalogue
    from simulator.gamma_world import gamma_catalogue
    from simulator.replay import ReplayedOrders, ReplayError, replayed_gamma, replayed_markets
    from simulator.rpc import Rpc, node_of
    from simulator.server import Upstream
    from simulator.world import Settings, World

    behaviour = {
        "api_key": options.api_key,
        "latency": options.latency_ms / 1_000,
        "is_compressing": options.compression,
        "late": options.late,
        "clock_skew": options.clock_skew,
        "rate_limit": options.rate_limit,
    }
    try:
        asked = [faults.parse(spec) for spec in options.fault]
        if options.replay or options.markets_replay or options.gamma_replay:
            markets, gamma = replayed_markets(options.markets_replay), replayed_gamma(options.gamma_replay)
            orders = ReplayedOrders(options.replay)
            dome = DomeCatalogue(markets)
            return Upstream(orders, lambda: dome, lambda: gamma, len(markets), False, **behaviour, faults=asked)
    except (faults.FaultError, ReplayError) as error:
        raise _UsageError(str(error)) from error
    until = options.until if options.until is not None else int(datetime.now(UTC).timestamp() + options.clock_skew)
    world = World(
        Settings(
            options.seed, options.wallets, options.fills, options.days, until, options.malformed, options.twice_each
        )
    )
    try:
        node = node_of(options.rpc)
    except ValueError as error:
        raise _UsageError(f"--rpc {error}") from error
    if options.prerender:
        world.prerender()
    catalogue = world.catalogue
    return Upstream(
        world,
        lambda: dome_catalogue(catalogue, until),
        lambda: gamma_catalogue(catalogue, until),
        len(catalogue.markets),
        True,
        **behaviour,
        faults=asked,
        rpc=Rpc(Chain(world, block_of(until) - options.head), node),
    )


def _write(options: argparse.Namespace, upstream: Upstream) -> None:
    store = upstream.orders
    try:
        if options.write_wallets:
            _lines(options.write_wallets, (line.encode() for line in ("wallet_address", *store.wallets)))
        if options.write_fills:
            _lines(options.write_fills, _bodies(store.well_formed()))
        if options.write_malformed:
            _lines(options.write_malformed, _bodies(store.malformed()))
    except OSError as error:
        raise _UsageError(f"{error.filename}: cannot be written: {error.strerror}") from error


def _bodies(feed: Feed) -> Iterable[bytes]:
    return (feed.render(ref).replace(b"\n", b" ") for ref in feed.refs)


def _lines(file: Path, lines: Iterable[bytes]) -> None:
    with file.open("wb") as out:
        out.writelines(line + b"\n" for line in lines)


def _fault_list(as_json: bool) -> str:
    from simulator.faults import KINDS

    if as_json:
        listed = [
            {"kind": kind.name, "written": kind.written, "meaning": kind.meaning, "examples": kind.examples}
            for kind in KINDS.values()
        ]
        return json.dumps(listed)
    width = max(len(kind.written) for kind in KINDS.values())
    return "\n".join(f"{kind.written:{width}}  {kind.meaning}" for kind in KINDS.values())


def _announcement(options: argparse.Namespace, upstream: Upstream, host: str, port: int) -> str:
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    store = upstream.orders
    wallets, fills, markets = len(store.wallets), store.size, upstream.market_count
    if options.json:
        ready = {"url": url, "port": port, "wallets": wallets, "fills": fills, "markets": markets, "pid": os.getpid()}
        return json.dumps(ready)
    node = f"  export POLYTRADES_POLYGON_RPC_URLS={url}/rpc\n" if upstream.rpc is not None else ""
    return (
        f"Serving {fills:,} fills of {wallets:,} wallets and {markets:,} markets at {url}\n"
        f"  export POLYTRADES_DOME_BASE_URL={url}\n"
        f"  export POLYTRADES_GAMMA_BASE_URL={url}\n"
        f"{node}"
        "Stop it with Ctrl-C."
    )


def _run(arguments: list[str] | None) -> None:
    options = _parser().parse_args(arguments)
    if options.list_faults:
        print(_fault_list(options.json))
        return
    if options.port is None and not options.write_only:
        raise _UsageError("--port is required (0 takes a free one)")
    upstream = _upstream(options)
    _write(options, upstream)
    if options.write_only:
        return

    from simulator.server import listen, serve

    try:
        bound = listen(options.host, options.port)
    except OSError as error:
        raise _UsageError(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}") from error
    port = bound.getsockname()[1]
    serve(upstream, bound, lambda: print(_announcement(options, upstream, options.host, port), flush=True))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when it ended as asked, 2 when it could not start (one line on stderr says why)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the server takes over, both signals end alike
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _run(arguments)
    except _UsageError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
