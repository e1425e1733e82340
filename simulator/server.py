"""The HTTP side: routes, key check, counting, compression, and a server that says when it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator import orders
from simulator.activity import Activity
from simulator.answers import ApiError
from simulator.dome import DomeCatalogue
from simulator.faults import Fault, Faults
from simulator.gamma import GammaCatalogue
from simulator.late import LateOrders
from simulator.predexon import Trades
from simulator.rate import Arrivals, RateLimit
from simulator.rpc import Rpc
from simulator.wire import RAW, Protocol, Wire

_UNCOUNTED = ("/healthz", "/stats", "/reveal", "/chain/reorganise", "/chain/grow")


@dataclass
class Upstream:
    """Everything that is served. The market catalogues are built when first asked for, so that a start stays quick."""

    orders: orders.OrderStore
    make_dome: Callable[[], DomeCatalogue]
    make_gamma: Callable[[], GammaCatalogue]
    market_count: int
    is_synthetic: bool
    api_key: str | None = None
    latency: float = 0.0
    late: float = 0.0
    clock_skew: float = 0.0
    rate_limit: int | None = None
    is_compressing: bool = True
    faults: Sequence[Fault] = ()
    rpc: Rpc | None = None
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    arrivals: Arrivals = field(default_factory=Arrivals)

    @cached_property
    def dome(self) -> DomeCatalogue:
        """The Dome-shaped markets and events."""
        return self.make_dome()

    @cached_property
    def gamma(self) -> GammaCatalogue:
        """The Gamma markets and events."""
        return self.make_gamma()


def application(upstream: Upstream) -> ASGIApp:
    """Return the ASGI application: Dome and Gamma at the root and below /v1, Predexon below its own /v1 and /v2."""
    visible = LateOrders(upstream.orders, upstream.late)
    trades = Trades(visible, has_pending=upstream.is_synthetic)
    activity = Activity(upstream.orders, upstream.is_synthetic)

    def dome(answer: Callable[[Request], bytes]) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            _check_key(request, upstream.api_key, ("authorization", "x-api-key"))
            return _json(answer(request))

        return handle

    def predexon(answer: Callable[[QueryParams], bytes]) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            _check_key(request, upstream.api_key, ("x-api-key",))
            return _json(answer(request.query_params))

        return handle

    def gamma(answer: Callable[[Request], bytes]) -> Callable[[Request], Response]:
        return lambda request: _json(answer(request))

    handlers: dict[str, Callable[[Request], Response]] = {
        "/polymarket/orders": dome(lambda r: orders.answer(visible, r.query_params)),
        "/polymarket/activity": dome(lambda r: activity.answer(r.query_params)),
        "/polymarket/markets": dome(lambda r: upstream.dome.markets(r.query_params)),
        "/polymarket/events": dome(lambda r: upstream.dome.events(r.query_params)),
        "/markets": gamma(lambda r: upstream.gamma.markets(r.query_params)),
        "/markets/keyset": gamma(lambda r: upstream.gamma.markets_keyset(r.query_params)),
        "/markets/slug/{slug}": gamma(lambda r: upstream.gamma.market(lambda m: m.slug == r.path_params["slug"])),
        "/markets/{id}": gamma(lambda r: upstream.gamma.market(lambda m: m.id == r.path_params["id"])),
        "/events": gamma(lambda r: upstream.gamma.events(r.query_params)),
        "/events/keyset": gamma(lambda r: upstream.gamma.events_keyset(r.query_params)),
        "/events/slug/{slug}": gamma(lambda r: upstream.gamma.event(lambda e: e.slug == r.path_params["slug"])),
        "/events/{id}": gamma(lambda r: upstream.gamma.event(lambda e: e.id == r.path_params["id"])),
    }
    routes = [
        Route("/healthz", _on_loop(lambda _: _json(b'{"ok":true}'))),
        Route("/stats", _on_loop(_stats(upstream))),
        Route(
            "/reveal", _on_loop(lambda _: _json(msgspec.json.encode({"revealed": visible.reveal()}))), methods=["POST"]
        ),
    ]
    if upstream.rpc is not None:
        routes += _chain_routes(upstream.rpc)
    for prefix in ("", "/v1"):
        routes += [Route(prefix + path, _on_loop(handle)) for path, handle in handlers.items()]
    for prefix, answer in (("/v1", trades.v1), ("/v2", trades.v2)):
        routes.append(Route(prefix + "/polymarket/trades", _on_loop(predexon(answer))))
    handled = {ApiError: _refused, HTTPException: _not_found, Exception: _broken}
    inner = Starlette(routes=routes, exception_handlers=handled)
    inner.router.redirect_slashes = False
    served: ASGIApp = inner
    if upstream.is_compressing:
        # Level 1: hashes do not compress any better at higher levels, they only take longer.
        served = GZipMiddleware(served, minimum_size=2_000, compresslevel=1)
    if upstream.faults:
        served = Faults(served, upstream.faults)
    if upstream.rate_limit is not None:
        served = RateLimit(served, upstream.rate_limit)
    return Wire(_Counted(served, inner, upstream), lambda: time.time() + upstream.clock_skew)


def _chain_routes(rpc: Rpc) -> list[Route]:
    """The node, and what happens to its chain: blocks mined anew, blocks mined on top."""

    async def node(request: Request) -> Response:
        status, body = rpc.answer(await request.body())
        return _json(body, status)

    def reorganise(request: Request) -> Response:
        asked = request.query_params
        return _json(
            msgspec.json.encode({"first": rpc.chain.reorganise(int(asked["depth"]), int(asked.get("salt", "1")))})
        )

    def grow(request: Request) -> Response:
        rpc.chain.head += int(request.query_params["blocks"])
        return _json(msgspec.json.encode({"head": rpc.chain.head}))

    return [
        Route("/rpc", node, methods=["POST"]),
        Route("/chain/reorganise", _on_loop(reorganise), methods=["POST"]),
        Route("/chain/grow", _on_loop(grow), methods=["POST"]),
    ]


def _on_loop(handle: Callable[[Request], Response]) -> Callable[[Request], object]:
    """Run a handler on the event loop: answers take milliseconds, and a thread pool would only add a queue."""

    async def run(request: Request) -> Response:
        return handle(request)

    return run


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status_code=status, media_type="application/json")


def _check_key(request: Request, key: str | None, headers: Sequence[str]) -> None:
    """Refuse a request without `key` in one of `headers`; in `authorization` it is a bearer token."""
    if key is None:
        return
    wanted = {name: f"Bearer {key}" if name == "authorization" else key for name in headers}
    if not any(request.headers.get(name) == value for name, value in wanted.items()):
        raise ApiError(401, {"error": "Unauthorized", "message": "Invalid or missing API key"})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this class only
    return _json(msgspec.json.encode(error.body), error.status)


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    body = {"error": error.detail, "message": f"{request.method} {request.url.path} is not served here"}
    return _json(msgspec.json.encode(body), error.status_code)


async def _broken(request: Request, error: Exception) -> Response:
    print(f"simulator: {request.method} {request.url} failed", file=sys.stderr)
    traceback.print_exception(error)
    return _json(b'{"error":"Internal Server Error","message":"the simulator failed, see its stderr"}', 500)


def _stats(upstream: Upstream) -> Callable[[Request], Response]:
    def handle(_: Request) -> Response:
        paths: dict[str, dict[str, int]] = {}
        for (path, status), count in sorted(upstream.requests.items()):
            paths.setdefault(path, {})[status] = count
        body = {"total": sum(upstream.requests.values()), "requests": paths, **upstream.arrivals.figures()}
        return _json(msgspec.json.encode(body))

    return handle


class _Counted:
    """Counts what the client saw, faults included, and adds the configured latency.

    What is asked of the simulator itself goes past all that, straight to `inner`.
    """

    def __init__(self, app: ASGIApp, inner: ASGIApp, upstream: Upstream) -> None:
        self._app = app
        self._inner = inner
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path in _UNCOUNTED:
            await self._inner(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] in ("http.response.start", RAW):
                # A connection that was closed without an answer has none.
                self._upstream.requests[path, str(message["status"] or "none")] += 1
            await send(message)

        with self._upstream.arrivals.under_way():
            if self._upstream.latency:
                await asyncio.sleep(self._upstream.latency)
            await self._app(scope, receive, counting)


class _Server(uvicorn.Server):
    """Announces itself once it accepts connections, and takes a signal as a wish to end well (exit code 0)."""

    announce: Callable[[], None] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        await super().startup(sockets)
        self.announce()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The base class would raise the signal again after the shutdown and so end with its code.
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(1_024)
    except OSError:
        bound.close()
        raise
    return bound


def serve(upstream: Upstream, bound: socket.socket, announce: Callable[[], None]) -> None:
    """Serve on `bound` until SIGTERM or SIGINT; `announce` is called once connections are accepted."""
    config = uvicorn.Config(
        application(upstream),
        http=Protocol,
        log_level="critical",
        access_log=False,
        lifespan="off",
        date_header=False,  # the date is the simulator's own
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    server.announce = announce
    asyncio.run(server.serve(sockets=[bound]))
