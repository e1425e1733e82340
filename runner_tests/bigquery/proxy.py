"""A proxy in front of the emulator that adds what BigQuery has and the emulator lacks: bytes, their limit, and trouble.

    with Proxy(emulator.url) as proxy:
        client = proxy.client("any-project")

It stands on a free port, speaks BigQuery's REST API and passes everything on; load jobs' uploads too, multipart and
resumable. Beside that it

- reports the bytes of query jobs, dry runs included, by the rule of `bytes_rule.py`; a failed job and a load job 0;
- refuses a query above its `maximumBytesBilled` as BigQuery does: nothing is executed;
- answers `INFORMATION_SCHEMA.JOBS…` from its own record of jobs, a script's statements as child jobs included, and
  `PARTITIONS` from the rule's catalog;
- injects faults (`proxy.fault(…)`, see `faults.py`);
- records every request and every job.

It knows only the jobs that were sent through it, and its catalog forgets only tables that were written through it; call
`forget()` after writing past it. Its own questions go to the emulator directly, under another project.
"""

from __future__ import annotations

import copy
import email
import email.policy
import gzip
import http.client
import json
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from re import compile as pattern
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit

from google.cloud import bigquery
from sqlglot.errors import SqlglotError

from runner_tests.bigquery import bytes_rule, information_schema
from runner_tests.bigquery.bytes_rule import Key
from runner_tests.bigquery.catalog import EmulatorCatalog, call
from runner_tests.bigquery.faults import HTTP_KINDS, Creation, Fault, error_body
from runner_tests.bigquery.running import client

ROUTE = pattern(r"^(/upload)?/bigquery/v2/projects/([^/]+)/(jobs|queries)(?:/([^/]+))?(?:/(cancel|delete))?$")
CONTENT_RANGE = pattern(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
NOT_PASSED = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}
HTTP_CODES = {"accessDenied": 403, "notFound": 404, "duplicate": 409, "quotaExceeded": 403, "notImplemented": 501}
RESULTS_WAIT = 10.0
"""Seconds that BigQuery waits for a query when the request does not say."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json; charset=UTF-8"),)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body) if self.body else {}

    def with_json(self, body: Any) -> Reply:
        """The same answer with another body."""
        return Reply(self.status, json.dumps(body).encode(), self.headers)


@dataclass
class Request:
    """One request that came. `status` is None when the connection was ended without an answer."""

    method: str
    path: str
    status: int | None = None
    fault: str | None = None
    job_id: str | None = None


@dataclass(frozen=True)
class Statement:
    """One statement of a script, which is a child job."""

    type: str
    bytes: int
    billed: int


@dataclass
class Job:
    """One job that was accepted, or a dry run, which has no id."""

    project: str
    id: str
    type: str
    """QUERY, LOAD, COPY or EXTRACT."""
    statement: str
    """As it was sent by the client."""
    labels: dict[str, str]
    maximum_bytes_billed: int | None
    configuration: dict[str, Any]
    dry_run: bool = False
    bytes: int = 0
    """What the statement reads by the rule, whether or not it was executed."""
    billed: int = 0
    """The same with the minimum for each table."""
    statements: list[Statement] = field(default_factory=list)
    """What it consists of; more than one is a script."""
    unparsed: bool = False
    """The bytes are too few: the parser did not understand the statement."""
    created: float = field(default_factory=time.time)
    resource: dict[str, Any] = field(default_factory=dict)
    """The job as the emulator last gave it."""
    executed: bool = True
    """False: it never reached the emulator."""
    held_until: float = 0.0
    writes: set[Key] | None = field(default_factory=set)
    sent: str = ""
    """The statement as the emulator got it: our INFORMATION_SCHEMA is written into it."""

    @property
    def state(self) -> str:
        """As a client sees it."""
        return "RUNNING" if self.held else str((self.resource.get("status") or {}).get("state") or "RUNNING")

    @property
    def error(self) -> dict[str, Any] | None:
        """Its errorResult."""
        return None if self.held else (self.resource.get("status") or {}).get("errorResult")

    @property
    def held(self) -> bool:
        """Made to look as if it still ran."""
        return time.time() < self.held_until

    @property
    def ended(self) -> bool:
        """Done, whatever it looks like."""
        return (self.resource.get("status") or {}).get("state") == "DONE"

    @property
    def reported(self) -> tuple[int, int]:
        """Bytes processed and billed as answers say them."""
        if self.type != "QUERY" or (self.resource.get("status") or {}).get("errorResult"):
            return 0, 0
        return self.bytes, 0 if self.dry_run else self.billed


@dataclass(frozen=True)
class _Route:
    upload: bool
    project: str
    collection: str
    job_id: str | None
    action: str | None


class Proxy:
    """Started by `with`, or by `start` and `stop`. Cheap: a socket and a thread."""

    def __init__(self, emulator_url: str, minimum_per_table: int = 0, prices: bool = True) -> None:
        """`minimum_per_table` is billed for each table referenced (BigQuery: 10 MB) and counts for the limit.

        Without `prices` every job costs nothing, and the emulator is not asked how large its tables are.
        """
        self.emulator_url = emulator_url
        self.minimum_per_table = minimum_per_table
        self.prices = prices
        self.catalog = EmulatorCatalog(emulator_url)
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.failures: list[str] = []
        """Tracebacks of the proxy's own failures; a test may assert that there are none."""
        self.after_job: Callable[[Job], None] | None = None
        """Called with each job that the emulator accepted, before its client hears of it; no other job runs then."""
        self._turn = threading.Lock()
        self._jobs: dict[tuple[str, str], Job] = {}
        self._dry_runs: list[Job] = []
        self._uploads: dict[str, dict[str, Any]] = {}
        self._lock = threading.RLock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    # For tests

    def start(self) -> Self:
        """Listens."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends all connections."""
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def client(self, project: str) -> bigquery.Client:
        """Google's client, through this proxy."""
        return client(self.url, project)

    def fault(self, kind: str, **rule: Any) -> Fault:
        """Adds a rule; the fields of `Fault` are its arguments. What it gives counts what it struck."""
        fault = Fault(kind, **rule)
        with self._lock:
            self.faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        """Nothing goes wrong from here on."""
        with self._lock:
            self.faults.clear()

    @property
    def jobs(self) -> list[Job]:
        """All jobs in the order they came, dry runs apart, each as it stands now."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            self._refresh(job)
        return jobs

    @property
    def dry_runs(self) -> list[Job]:
        """The dry runs in the order they came."""
        with self._lock:
            return list(self._dry_runs)

    def forget(self) -> None:
        """Asks the emulator for all tables again: something was written past this proxy."""
        self.catalog.forget()

    # One request

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
        """The answer to a request; None ends the connection without one."""
        request = Request(method, target)
        with self._lock:
            self.requests.append(request)
        try:
            reply = self._handle(request, headers, body)
        except Exception:
            failure = traceback.format_exc()
            self.failures.append(failure)
            reply = _refusal(400, "proxyFailure", f"The test's proxy failed: {failure}", "INTERNAL")
        request.status = None if reply is None else reply.status
        return reply

    def _handle(self, request: Request, headers: Mapping[str, str], body: bytes) -> Reply | None:
        parts = urlsplit(request.path)
        match = ROUTE.match(parts.path)
        route = _Route(bool(match[1]), match[2], match[3], match[4], match[5]) if match else None
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        created = self._created(request.method, route, query, headers, body)
        job = self._job(route, *created) if route and created else None
        fault = self._struck(request, job)
        kind = fault.kind if fault else None
        if kind in HTTP_KINDS:
            code, reason, status, message = HTTP_KINDS[kind]
            return _refusal(code, reason, message, status)
        if kind == "drop_before":
            return None
        if route is not None and job is not None and created is not None:
            reply = self._create(request, route, job, created[0], headers, body, query, fault)
            request.job_id = job.id or None
        else:
            reply = self._other(request, route, query, headers, body)
        return None if kind == "drop_after" else reply

    def _struck(self, request: Request, job: Job | None) -> Fault | None:
        creation = Creation(job.statement, job.labels) if job else None
        with self._lock:
            struck = [fault for fault in self.faults if fault.strikes(request.method, request.path, creation)]
            if not struck:
                return None
            struck[0].hits += 1
        request.fault = struck[0].kind
        return struck[0]

    def _other(
        self, request: Request, route: _Route | None, query: dict[str, str], headers: Mapping[str, str], body: bytes
    ) -> Reply:
        if route is None:
            reply = self._forward(request.method, request.path, headers, body)
            if request.method != "GET":
                self.catalog.forget()
            return reply
        known = self._jobs.get((route.project, route.job_id or ""))
        if route.collection == "queries" and known:
            return self._results(known, request.path, query, headers)
        if request.method == "GET" and route.collection == "jobs" and route.job_id is None:
            return self._list(route.project, query)
        if known and not known.executed:
            resource = self._presented(known)
            return _ok({"kind": "bigquery#jobCancelResponse", "job": resource} if route.action else resource)
        reply = self._forward(request.method, request.path, headers, body)
        if known and reply.status == 200 and route.action != "delete":
            answer = reply.json
            self._saw(known, answer.get("job", answer))
            resource = self._presented(known)
            return reply.with_json(answer | {"job": resource} if "job" in answer else resource)
        if route.upload and request.method == "POST":
            with self._lock:
                self._uploads[dict(reply.headers).get("X-GUploader-UploadID", "")] = json.loads(body or b"{}")
        return reply

    def _forward(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Passes a request on, as to this host: so the addresses in the answer are ours."""
        passed = {name: value for name, value in headers.items() if name.lower() not in NOT_PASSED}
        passed |= {"Host": urlsplit(self.url).netloc, "Accept-Encoding": "identity"}
        emulator = urlsplit(self.emulator_url)
        connection = http.client.HTTPConnection(emulator.hostname or "", emulator.port, timeout=600)
        try:
            connection.request(method, target, body if body or method not in ("GET", "DELETE") else None, passed)
            response = connection.getresponse()
            content = response.read()
            names = {"x-guploader-uploadid": "X-GUploader-UploadID"}
            kept = tuple(
                (names.get(name.lower(), name.title()), value.replace(self.emulator_url, self.url))
                for name, value in response.getheaders()
                if name.lower() not in NOT_PASSED
            )
            return Reply(response.status, content, kept)
        finally:
            connection.close()

    # Jobs come into being

    def _created(
        self, method: str, route: _Route | None, query: dict[str, str], headers: Mapping[str, str], body: bytes
    ) -> tuple[dict[str, Any], str | None] | None:
        """What the request that creates a job says (in the shape of jobs.insert), and the id it gives."""
        if route is None or route.job_id is not None:
            return None
        if route.upload and method == "PUT":
            said = self._uploads.get(query.get("upload_id", ""))
            if said is None or not _is_last_chunk(headers):
                return None
        elif method != "POST" or (route.upload and query.get("uploadType") != "multipart"):
            return None
        elif route.upload:
            said = json.loads(_first_part(headers, body))
        else:
            said = json.loads(body)
        assert said is not None
        if route.collection == "queries":
            outside = ("dryRun", "labels")
            configuration = {"query": {name: value for name, value in said.items() if name not in outside}}
            return {"configuration": configuration | {name: said[name] for name in outside if name in said}}, said.get(
                "requestId"
            )
        return said, (said.get("jobReference") or {}).get("jobId")

    def _job(self, route: _Route, said: dict[str, Any], job_id: str | None) -> Job:
        configuration = said.get("configuration") or {}
        kind = next((kind for kind in ("query", "load", "copy", "extract") if kind in configuration), "query")
        own = configuration.get(kind) or {}
        maximum = own.get("maximumBytesBilled") if kind == "query" else None
        return Job(
            project=route.project,
            id=job_id or "",
            type=kind.upper(),
            statement=own.get("query") or "",
            labels=dict(configuration.get("labels") or {}),
            maximum_bytes_billed=int(maximum) if maximum is not None and int(maximum) > 0 else None,
            configuration=configuration,
            dry_run=bool(configuration.get("dryRun")),
        )

    def _create(
        self,
        request: Request,
        route: _Route,
        job: Job,
        said: dict[str, Any],
        headers: Mapping[str, str],
        body: bytes,
        query: dict[str, str],
        fault: Fault | None,
    ) -> Reply:
        with self._lock:
            known = self._jobs.get((job.project, job.id)) if job.id and not job.dry_run else None
        if known and route.collection == "queries":
            # The same requestId again: BigQuery answers for the job it has.
            job.id = known.id
            path = f"/bigquery/v2/projects/{route.project}/queries/{quote(known.id)}"
            return self._results(
                known, path, {"timeoutMs": str(job.configuration["query"].get("timeoutMs", 10_000))}, {}
            )
        if known:
            return _refusal(409, "duplicate", f"Already Exists: Job {job.project}:US.{job.id}", "ALREADY_EXISTS")

        sent = self._price(job) if job.type == "QUERY" else None
        job.writes = self._written(job)
        if not job.dry_run:
            maximum = job.maximum_bytes_billed
            if maximum is not None and job.billed > maximum:
                message = f"Query exceeded limit for bytes billed: {maximum}. {job.billed} or higher required."
                return self._failed(route, job, "bytesBilledLimitExceeded", message)
            if fault and fault.kind in ("job_error", "backendError"):
                reason = fault.reason if fault.kind == "job_error" else "backendError"
                return self._failed(route, job, reason, fault.message)
        if sent is not None and sent != job.statement:
            body = _with_statement(body, route.collection, sent)
        job.sent = sent or ""
        if fault and fault.kind == "slow" and not job.dry_run:
            job.held_until = time.time() + fault.seconds
        if not job.dry_run and job.id:
            with self._lock:
                self._jobs[(job.project, job.id)] = job
        with self._turn if self.after_job else nullcontext():
            reply = self._forward(request.method, request.path, headers, body)
            accepted = self._accepted(route, job, reply, query)
            if self.after_job and reply.status == 200 and not job.dry_run:
                self.after_job(job)
        return accepted

    def _accepted(self, route: _Route, job: Job, reply: Reply, query: dict[str, str]) -> Reply:
        """Records what became of a job that was passed on."""
        answer = reply.json
        if job.dry_run:
            with self._lock:
                self._dry_runs.append(job)
            job.resource = answer if reply.status == 200 else {}
            if reply.status != 200:
                return reply
            if route.collection == "queries":
                return reply.with_json(answer | self._totals(job))
            return reply.with_json(self._presented(job))
        if reply.status == 200:
            job.id = (answer.get("jobReference") or {}).get("jobId") or job.id
            with self._lock:
                self._jobs[(job.project, job.id)] = job
        if route.collection == "queries":
            status, resource = call(self.emulator_url, "GET", _job_path(job)) if job.id else (404, {})
            if status == 200:
                self._saw(job, resource)
        elif reply.status == 200:
            self._saw(job, answer)
        if reply.status != 200:
            if not job.resource:
                with self._lock:
                    self._jobs.pop((job.project, job.id), None)
            return reply
        if route.collection == "jobs":
            return reply.with_json(self._presented(job))
        wait = job.configuration["query"].get("timeoutMs")
        return self._held_back(job, wait) or reply.with_json(answer | self._totals(job))

    def _failed(self, route: _Route, job: Job, reason: str, message: str) -> Reply:
        """A job that ends at once with an error and never reaches the emulator."""
        job.id = job.id or str(uuid.uuid4())
        job.executed = False
        now = str(int(time.time() * 1000))
        error = {"reason": reason, "message": message}
        statistics: dict[str, Any] = {"creationTime": now, "startTime": now, "endTime": now, "totalBytesProcessed": "0"}
        if job.type == "QUERY":
            kind = job.statements[0].type if len(job.statements) == 1 else "SCRIPT"
            statistics["query"] = {"statementType": kind, "cacheHit": False}
        job.resource = {
            "kind": "bigquery#job",
            "id": f"{job.project}:US.{job.id}",
            "jobReference": {"projectId": job.project, "jobId": job.id, "location": "US"},
            "configuration": job.configuration | {"jobType": job.type},
            "status": {"state": "DONE", "errorResult": error, "errors": [error]},
            "statistics": statistics,
            "user_email": "local-bigquery@localhost",
        }
        with self._lock:
            self._jobs[(job.project, job.id)] = job
        return _job_refusal(job) if route.collection == "queries" else _ok(self._presented(job))

    # Bytes

    def _price(self, job: Job) -> str:
        """Prices a query, and gives the statement as it is to be sent."""
        dataset = job.configuration["query"].get("defaultDataset") or {}
        place = dataset.get("projectId") or job.project, dataset.get("datasetId")
        parameters = {
            parameter["name"]: str((parameter.get("parameterValue") or {}).get("value"))
            for parameter in job.configuration["query"].get("queryParameters") or ()
            if "name" in parameter
        }
        self._settle()
        try:
            found = bytes_rule.bytes_by_table(
                job.statement, *place, self.catalog if self.prices else _NoTables(), parameters
            )
        except (SqlglotError, RecursionError):
            job.unparsed = True
        else:
            for kind, tables in zip(bytes_rule.statement_types(job.statement), found, strict=True):
                billed = sum(max(size, self.minimum_per_table) for size in tables.values())
                job.statements.append(Statement(kind, sum(tables.values()), billed))
            job.bytes = sum(statement.bytes for statement in job.statements)
            job.billed = sum(statement.billed for statement in job.statements)
            job.unparsed = not bytes_rule.understood(job.statement)
        return information_schema.rewritten(
            job.statement, lambda view, before: self._rows(view, before, job.project, place)
        )

    def _written(self, job: Job) -> set[Key] | None:
        own = job.configuration.get(job.type.lower()) or {}
        keys: set[Key] | None = set()
        if job.type == "QUERY":
            dataset = own.get("defaultDataset") or {}
            try:
                keys = bytes_rule.written(
                    job.statement, dataset.get("projectId") or job.project, dataset.get("datasetId")
                )
            except (SqlglotError, RecursionError):
                keys = None
        table = own.get("destinationTable")
        if keys is not None and table:
            # A decorator names a partition of the table.
            keys.add((table["projectId"], table["datasetId"], table["tableId"].partition("$")[0]))
        return keys

    def _settle(self) -> None:
        """Forgets what unfinished jobs write: while they run, what was just asked may already be wrong."""
        with self._lock:
            unfinished = [job for job in self._jobs.values() if not job.ended]
        for job in unfinished:
            self._refresh(job)
            self.catalog.forget(job.writes)

    def _refresh(self, job: Job) -> None:
        if not job.ended and job.executed:
            status, resource = call(self.emulator_url, "GET", _job_path(job))
            if status == 200:
                self._saw(job, resource)

    def _saw(self, job: Job, resource: dict[str, Any]) -> None:
        job.resource = resource
        if job.ended:
            self.catalog.forget(job.writes)

    # Answers about jobs

    def _presented(self, job: Job) -> dict[str, Any]:
        """The job as a client sees it."""
        resource = copy.deepcopy(job.resource)
        statistics = resource.setdefault("statistics", {})
        if job.type == "QUERY":
            resource.setdefault("configuration", {}).setdefault("query", {})["query"] = job.statement
        if job.held:
            resource["status"] = {"state": "RUNNING"}
            statistics.pop("endTime", None)
            statistics.pop(job.type.lower(), None)
        if resource["status"]["state"] == "DONE":
            processed, billed = map(str, job.reported)
            statistics["totalBytesProcessed"] = processed
            if "startTime" in statistics and "endTime" in statistics:
                statistics["totalSlotMs"] = str(int(statistics["endTime"]) - int(statistics["startTime"]))
            if job.type == "QUERY":
                totals = {"totalBytesProcessed": processed, "totalBytesBilled": billed}
                statistics["query"] = (statistics.get("query") or {}) | totals
        return resource

    def _totals(self, job: Job) -> dict[str, str]:
        processed, billed = map(str, job.reported)
        return {"totalBytesProcessed": processed, "totalBytesBilled": billed}

    def _held_back(self, job: Job, timeout_ms: Any) -> Reply | None:
        """Waits as BigQuery does for a query; an answer when it is not complete by then."""
        wait = RESULTS_WAIT if timeout_ms is None else int(timeout_ms) / 1000
        time.sleep(max(0.0, min(wait, job.held_until - time.time())))
        if not job.held:
            return None
        reference = {"projectId": job.project, "jobId": job.id, "location": "US"}
        return _ok({"kind": "bigquery#queryResponse", "jobReference": reference, "jobComplete": False})

    def _results(self, job: Job, path: str, query: dict[str, str], headers: Mapping[str, str]) -> Reply:
        if held := self._held_back(job, query.get("timeoutMs")):
            return held
        if not job.executed:
            return _job_refusal(job)
        reply = self._forward("GET", path, headers, b"")
        self._refresh(job)
        if reply.status != 200:
            return reply
        answer = reply.json
        return reply.with_json(answer | self._totals(job) if answer.get("jobComplete") else answer)

    def _list(self, project: str, query: dict[str, str]) -> Reply:
        """All jobs of a project, those included that never reached the emulator."""
        parent = query.get("parentJobId")
        path = f"/bigquery/v2/projects/{project}/jobs" + (f"?parentJobId={quote(parent)}" if parent else "")
        status, answer = call(self.emulator_url, "GET", path)
        if status != 200:
            return Reply(status, json.dumps(answer).encode())
        found = answer.get("jobs") or []
        if not parent:
            with self._lock:
                found += [
                    copy.deepcopy(job.resource)
                    for job in self._jobs.values()
                    if job.project == project and not job.executed
                ]
        items = [self._item(project, resource) for resource in found]
        if parent:
            self._price_children(project, parent, items)
        items.sort(key=lambda item: int(item["statistics"]["creationTime"]), reverse=True)
        since, until = int(query.get("minCreationTime", 0)), int(query.get("maxCreationTime", 2**62))
        items = [item for item in items if since <= int(item["statistics"]["creationTime"]) <= until]
        if wanted := query.get("stateFilter"):
            items = [item for item in items if item["state"] == wanted.upper()]
        start, size = int(query.get("pageToken", 0)), int(query.get("maxResults", 1000))
        page: dict[str, Any] = {"kind": "bigquery#jobList", "jobs": items[start : start + size]}
        return _ok(page | ({"nextPageToken": str(start + size)} if len(items) > start + size else {}))

    def _item(self, project: str, resource: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            job = self._jobs.get((project, resource["jobReference"]["jobId"]))
        if job:
            self._saw(job, resource)
            resource = self._presented(job)
        return resource | {"state": resource["status"]["state"], "errorResult": resource["status"].get("errorResult")}

    def _price_children(self, project: str, parent: str, items: list[dict[str, Any]]) -> None:
        """Gives the emulator's child jobs the bytes of their statements, which come in the same order."""
        with self._lock:
            job = self._jobs.get((project, parent))
        statements = list(job.statements) if job else []
        for item in sorted(items, key=lambda item: int(item["jobReference"]["jobId"].rpartition("_")[2])):
            query = item["statistics"].setdefault("query", {})
            same = [statement for statement in statements if statement.type == query.get("statementType")]
            if same:
                statements = statements[statements.index(same[0]) + 1 :]
                item["statistics"]["totalBytesProcessed"] = query["totalBytesProcessed"] = str(same[0].bytes)
                query["totalBytesBilled"] = str(same[0].billed)

    # INFORMATION_SCHEMA

    def _rows(self, view: str, before: list[str], project: str, place: tuple[str, str | None]) -> list[dict[str, Any]]:
        if view == "JOBS":
            named = [part for part in before if not part.lower().startswith("region-")]
            asked = named[0] if named else project
            return [row for job in self.jobs if job.project == asked for row in self._job_rows(job)]
        dataset = before[-1] if before else place[1] or ""
        owner = before[-2] if len(before) > 1 else place[0]
        rows = []
        for name in self.catalog.names(owner, dataset):
            table = self.catalog.table((owner, dataset, name))
            for identifier, partition in (table.partitions if table else {}).items():
                rows.append(
                    {
                        "table_catalog": owner,
                        "table_schema": dataset,
                        "table_name": name,
                        "partition_id": identifier or None,
                        "total_rows": partition.rows,
                        "total_logical_bytes": sum(partition.sizes.values()),
                    }
                )
        return rows

    def _job_rows(self, job: Job) -> list[dict[str, Any]]:
        """The row of a job; after that of a script a row for each of its statements, with the script's labels."""
        row = self._job_row(job)
        if row["statement_type"] != "SCRIPT" or job.state != "DONE" or job.error:
            return [row]
        return [row] + [
            row
            | {
                "job_id": f"script_job_{job.id}_{index}",
                "parent_job_id": job.id,
                "statement_type": statement.type,
                "query": None,
                "total_bytes_processed": statement.bytes,
                "total_bytes_billed": statement.billed,
                "total_slot_ms": 0,
            }
            for index, statement in enumerate(job.statements)
        ]

    def _job_row(self, job: Job) -> dict[str, Any]:
        resource = self._presented(job)
        statistics = resource["statistics"]
        creation, start, end = (_instant(statistics.get(name)) for name in ("creationTime", "startTime", "endTime"))
        done, processed = job.state == "DONE", job.reported
        error = job.error and {"reason": job.error.get("reason"), "message": job.error.get("message")}
        return {
            "creation_time": creation,
            "start_time": start,
            "end_time": end,
            "project_id": job.project,
            "user_email": resource.get("user_email"),
            "job_id": job.id,
            "parent_job_id": None,
            "job_type": job.type,
            "statement_type": (statistics.get("query") or {}).get("statementType"),
            "state": job.state,
            "query": job.statement if job.type == "QUERY" else None,
            "labels": [{"key": key, "value": value} for key, value in job.labels.items()],
            "total_bytes_processed": processed[0] if done else None,
            "total_bytes_billed": processed[1] if done else None,
            "total_slot_ms": int((end - start).total_seconds() * 1000) if start and end else None,
            "cache_hit": False if job.type == "QUERY" else None,
            "error_result": error or None,
        }


class _NoTables:
    """A catalog in which nothing is known, so that nothing has a price."""

    def table(self, key: Key) -> None:
        """None."""


def _instant(milliseconds: str | None) -> datetime | None:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


def _job_path(job: Job) -> str:
    return f"/bigquery/v2/projects/{quote(job.project)}/jobs/{quote(job.id)}"


def _ok(body: Any) -> Reply:
    return Reply(200, json.dumps(body).encode())


def _refusal(code: int, reason: str, message: str, status: str) -> Reply:
    return Reply(code, json.dumps(error_body(code, reason, message, status)).encode())


def _job_refusal(job: Job) -> Reply:
    """A failed job as jobs.query and getQueryResults say it: reasons that a request may have too are called job…."""
    error = job.error or {}
    reason = str(error.get("reason"))
    if reason in ("backendError", "internalError", "rateLimitExceeded"):
        reason = f"job{reason[0].upper()}{reason[1:]}"
    return _refusal(HTTP_CODES.get(reason, 400), reason, str(error.get("message")), "INVALID_ARGUMENT")


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _first_part(headers: Mapping[str, str], body: bytes) -> bytes:
    """The job of a multipart upload; the data behind it stays unread."""
    message = email.message_from_bytes(
        f"Content-Type: {_header(headers, 'content-type')}\r\n\r\n".encode() + body[:1_000_000],
        policy=email.policy.HTTP,
    )
    payload = next(message.iter_parts()).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def _is_last_chunk(headers: Mapping[str, str]) -> bool:
    match = CONTENT_RANGE.match(_header(headers, "content-range"))
    if match is None:
        return True
    return match[3] != "*" and (match[2] is None or int(match[2]) + 1 == int(match[3]))


def _with_statement(body: bytes, collection: str, statement: str) -> bytes:
    said = json.loads(body)
    (said if collection == "queries" else said["configuration"]["query"])["query"] = statement
    return json.dumps(said).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def end_connections(self) -> None:
        for connection in list(self.open):
            _shut(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def _serve(self) -> None:
        body = self._body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        reply = self.server.proxy.handle(self.command, self.path, dict(self.headers.items()), body)
        if reply is None:
            self.close_connection = True
            _shut(self.connection)
            return
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *_: Any) -> None:
        pass


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # ended by the client already
