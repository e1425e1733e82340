"""What every part of a SQL warehouse is written with: sending statements, names, and the dialect."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

from runner import project
from runner.errors import Failed
from runner.settings import Settings
from runner.warehouse.protocol import Batch


class Statements(ABC):
    """A warehouse that speaks SQL. Statements name their parameters `@name`; each has a name of its own, for the bill.

    A subclass gives the connection (`_query`, `_execute`, `_insert`, `_load`), the dialect, and `_step`.
    """

    name: str
    place: str

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._schemas = project.schemas(self.name)
        self._run_id: str | None = None
        """The run for which we hold the lease."""

    @abstractmethod
    def _query(self, name: str, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""

    @abstractmethod
    def _execute(self, name: str, sql: str, **parameters: Any) -> int:
        """Runs a statement; gives the number of rows that it wrote."""

    @abstractmethod
    def _insert(self, name: str, table: project.SourceTable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Inserts rows; columns that a row lacks are NULL."""

    @abstractmethod
    def _load(self, batch: Batch) -> datetime:
        """Puts the rows of a batch into landing, once, whatever happened before; gives their `landed_at`."""

    @abstractmethod
    def _step(self) -> AbstractContextManager[None]:
        """Context: what is written in it is written as a whole where the warehouse can do that, else in order."""

    @abstractmethod
    def _columns(self, schema: str, table: str) -> dict[str, str] | None:
        """Name and type of a table's columns; None if there is no such table, or no warehouse yet."""

    @abstractmethod
    def _create_schema(self, schema: str) -> None:
        """Creates a schema where there is none."""

    @abstractmethod
    def _create(self, table: project.SourceTable) -> None:
        """Creates a landing or state table in its schema."""

    @abstractmethod
    def _layout_problems(self) -> list[str]:
        """What is wrong with the way `trades` lies in storage, in sentences with what to do."""

    @abstractmethod
    def _quoted(self, *names: str) -> str:
        """A dotted name, each part quoted."""

    @abstractmethod
    def _type(self, kind: str) -> str:
        """A type of the sources' YAML in this dialect."""

    @abstractmethod
    def _each(self, parameter: str, column: str) -> str:
        """A table with one column: the elements of an array parameter of strings."""

    @abstractmethod
    def _in_minutes(self, minutes: float) -> str:
        """The warehouse's time, some minutes from now."""

    @abstractmethod
    def _work_table(self, name: str, place: str) -> str:
        """A work table of a migration, as the macro `work_table` names it."""

    # Names.

    def _landing(self, table: str) -> str:
        return self._quoted(self._schemas.landing, table)

    def _state(self, table: str) -> str:
        return self._quoted(self._schemas.state, table)

    def _mart(self, table: str) -> str:
        return self._quoted(self._schemas.production, table)

    def _schema_of(self, table: project.SourceTable) -> str:
        return self._schemas.landing if table.source == "landing" else self._schemas.state

    def _has_mart(self, mart: str) -> bool:
        return self._columns(self._schemas.production, mart) is not None

    def _has_state(self, table: str) -> bool:
        return self._columns(self._schemas.state, table) is not None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See Warehouse."""
        yield

    def _one(self, name: str, sql: str, **parameters: Any) -> tuple[Any, ...]:
        rows = self._query(name, sql, **parameters)
        if not rows:
            raise Failed(f"A query gave no row: {sql}")
        return rows[0]
