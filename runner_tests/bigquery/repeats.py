"""Each statement is sent a second time directly after the first, and may not change anything by it.

A job whose fate its client does not know is sent again, and a run that was killed is begun again: so what stands in a
table after the second time must be what stood there after the first.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from runner_tests.bigquery.bytes_rule import Key, statement_types
from runner_tests.bigquery.catalog import OWN_PROJECT, call
from runner_tests.bigquery.proxy import Job


@dataclass
class Exempt:
    """Statements that are not repeated, or of which a repeat may change some columns, and why that is well."""

    pattern: str
    """A regular expression that is searched for in `name of the job: statement`."""
    reason: str
    may_change: tuple[str, ...] = ()
    """Columns in which the rows may differ afterwards; none: it is not repeated."""
    used: int = field(default=0, init=False)

    def covers(self, job: Job) -> bool:
        """Whether it speaks of this job."""
        return bool(re.search(self.pattern, f"{job.labels.get('model')}: {job.statement}", re.DOTALL))


class Repeats:
    """What the proxy calls after each job. `differences` says what a repeat changed or what could not be repeated."""

    def __init__(self, emulator_url: str, exempt: Iterable[Exempt]) -> None:
        self.emulator_url = emulator_url
        self.exempt = list(exempt)
        self.repeated: list[Job] = []
        self._asked: set[str] = set()
        self.differences: list[str] = []
        self.seconds = 0.0

    def __call__(self, job: Job) -> None:
        """Repeats a statement that succeeded."""
        started = time.monotonic()
        try:
            if job.type == "QUERY" and self._succeeded(job):
                self._repeat(job)
        except Exception as error:
            self._differs(job, f"{type(error).__name__}: {error}")
        self.seconds += time.monotonic() - started

    def _repeat(self, job: Job) -> None:
        exempt = next((exempt for exempt in self.exempt if exempt.covers(job)), None)
        if exempt:
            exempt.used += 1
            if not exempt.may_change:
                return
        apart = exempt.may_change if exempt else ()
        before: Any
        after: Any
        types = set(statement_types(job.statement))
        if types <= {"SELECT", "CREATE_VIEW"} and self._was_asked(job):
            return
        if types == {"SELECT"}:
            before = self._result(job, apart)
            after = _rows(self._send(job), apart)
            written = 0
        else:
            assert job.writes is not None, "the parser does not say what it writes"
            before = {key: self._table(key, apart) for key in sorted(job.writes)}
            answer = self._send(job)
            written = int(answer.get("numDmlAffectedRows") or 0) if types <= {"MERGE", "INSERT", "UPDATE"} else 0
            after = {key: self._table(key, apart) for key in sorted(job.writes)}
        self.repeated.append(job)
        if before != after:
            self._differs(job, f"{before}\n→ {after}")
        elif written and not exempt:
            self._differs(job, f"the repeat wrote {written} rows")

    def _was_asked(self, job: Job) -> bool:
        """Whether the same question or view has been repeated before; dbt's comment with labels does not count."""
        text = re.sub(r"^/\*.*?\*/", "", job.statement.strip(), flags=re.DOTALL)
        known = text in self._asked
        self._asked.add(text)
        return known

    def _differs(self, job: Job, how: str) -> None:
        self.differences.append(f"{job.labels.get('kind')} {job.labels.get('model')}: {how}\n{job.statement}")

    def _succeeded(self, job: Job) -> bool:
        """Waits for its end."""
        path = f"/bigquery/v2/projects/{quote(job.project)}/jobs/{quote(job.id)}"
        while not job.ended:
            status, job.resource = call(self.emulator_url, "GET", path)
            assert status == 200, job.resource
        return job.error is None

    def _send(self, job: Job) -> dict[str, Any]:
        configuration = job.configuration["query"]
        said = {name: configuration[name] for name in ("queryParameters", "parameterMode") if name in configuration}
        place = {"projectId": job.project} | (configuration.get("defaultDataset") or {})
        return self._ask({**said, "defaultDataset": place, "query": job.sent})

    def _ask(self, said: dict[str, Any]) -> dict[str, Any]:
        """A query in the proxy's own project, so that nobody finds it among theirs."""
        body = {"useLegacySql": False, "timeoutMs": 600_000, "maxResults": 1_000_000, **said}
        status, answer = call(self.emulator_url, "POST", f"/bigquery/v2/projects/{OWN_PROJECT}/queries", body)
        if status != 200:
            raise AssertionError(f"the repeat is refused: {answer['error']['message']}")
        return dict(answer)

    def _result(self, job: Job, apart: tuple[str, ...]) -> Any:
        path = f"/bigquery/v2/projects/{quote(job.project)}/queries/{quote(job.id)}?maxResults=1000000"
        status, answer = call(self.emulator_url, "GET", path)
        assert status == 200, answer
        return _rows(answer, apart)

    def _table(self, key: Key, apart: tuple[str, ...]) -> Any:
        """Rows and layout of a table, or what a view says; None where there is none. Not by a query: that is slower."""
        project, dataset, name = map(quote, key)
        path = f"/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{name}"
        status, found = call(self.emulator_url, "GET", path)
        if status != 200:
            return None
        layout = [found.get(part) for part in ("type", "schema", "timePartitioning", "clustering", "view")]
        if found["type"] == "VIEW":
            return layout
        status, rows = call(self.emulator_url, "GET", f"{path}/data?maxResults=1000000")
        assert status == 200, rows
        return layout, _rows(rows | {"schema": found["schema"]}, apart)


def _rows(answer: dict[str, Any], apart: tuple[str, ...]) -> list[str]:
    """The rows of a result in one order, without the columns that may differ."""
    names = [column["name"] for column in (answer.get("schema") or {}).get("fields") or ()]
    rows = []
    for row in answer.get("rows") or ():
        values = {name: cell["v"] for name, cell in zip(names, row["f"], strict=True) if name not in apart}
        rows.append(json.dumps(values))
    return sorted(rows)
