"""How many bytes a statement reads, by a rule that can be checked by hand. The emulator itself always says 0.

**The rule.** A statement reads the sum, over the tables it reads, of the bytes that the columns it mentions take in the
partitions that literal predicates do not exclude. A table that is named twice counts once.

*Bytes of a column* are BigQuery's documented logical sizes, added up by the emulator for each partition: INT64,
FLOAT64, TIMESTAMP, DATE, DATETIME and TIME 8, BOOL 1, NUMERIC and INTERVAL 16, BIGNUMERIC 32, STRING, JSON and BYTES 2
and their length, 0 for NULL. ARRAY, STRUCT and GEOGRAPHY count 2 and the length of their JSON text, which is not
BigQuery's way.

*Columns.* All columns of the target of MERGE, UPDATE and DELETE. Otherwise those that are mentioned, wherever that is;
for `*` all, in a subquery, CTE or view those that the query around it mentions. `count(*)` reads none.

*Partitions.* One is excluded only by a conjunct of WHERE, or of ON in a MERGE, that compares the bare partition column
with literals: `=`, `<`, `<=`, `>`, `>=`, `between`, `in`; of an OR, each arm must exclude it. `date '…'`, `timestamp
'…'` and `datetime '…'` are literals, and a query parameter counts as the literal it carries. A function or a cast
around the column excludes nothing, nor does a subquery, a call (`current_timestamp()`) or a script's variable on the
other side, nor the ON of a join. A predicate reaches a table through subqueries, CTEs and views whose output is the
bare column, but not past LIMIT, QUALIFY or a window function. With WHEN NOT MATCHED BY SOURCE the whole target is read.
Partitioned means by a column, by hour, day, month or year; any other table is one partition.

*Zero*: DDL without a query, INFORMATION_SCHEMA, tables that do not exist yet. Each statement of a script is counted;
what stands in IF and BEGIN … END is not understood by the parser and counts nothing.

BigQuery prices some things lower (a DELETE of whole partitions, clustering, ON of inner joins, constant expressions);
none of that is taken off, so that the figure is an upper bound where it is not exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

import sqlglot
from sqlglot import exp

Key = tuple[str, str, str]
"""Project, dataset, table."""

Span = tuple[datetime, datetime]
"""What a partition covers: [start, end)."""

NULL_PARTITION = "__NULL__"
FORMATS = {"HOUR": "%Y%m%d%H", "DAY": "%Y%m%d", "MONTH": "%Y%m", "YEAR": "%Y"}


@dataclass(frozen=True)
class Partition:
    """Rows of a partition, and the bytes each of its columns takes."""

    rows: int
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Table:
    """What the rule knows of a table. Names of columns are lower case; a table without partitions has one, ''."""

    columns: tuple[str, ...] = ()
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    partition_column: str | None = None
    granularity: str = "DAY"
    view: str | None = None


class Catalog(Protocol):
    """Where tables are looked up."""

    def table(self, key: Key) -> Table | None:
        """The table, or None where there is none."""


def estimate(
    sql: str,
    default_project: str,
    default_dataset: str | None,
    catalog: Catalog,
    parameters: Mapping[str, str] | None = None,
    minimum_per_table: int = 0,
) -> int:
    """Bytes that all statements of `sql` read; each table at least `minimum_per_table` (BigQuery bills 10 MB)."""
    return sum(
        max(size, minimum_per_table)
        for tables in bytes_by_table(sql, default_project, default_dataset, catalog, parameters)
        for size in tables.values()
    )


def bytes_by_table(
    sql: str,
    default_project: str,
    default_dataset: str | None,
    catalog: Catalog,
    parameters: Mapping[str, str] | None = None,
) -> list[dict[Key, int]]:
    """For each statement the tables it reads and the bytes of each."""
    found = []
    for statement in parse(sql):
        reading = _Reading(catalog, parameters or {})
        reading.statement(statement, _Scope(default_project, default_dataset, {}))
        found.append({key: reading.size(key) for key in reading.read})
    return found


def written(sql: str, default_project: str, default_dataset: str | None) -> set[Key] | None:
    """The tables that `sql` may change; None when that cannot be told."""
    scope = _Scope(default_project, default_dataset, {})
    keys: set[Key] = set()
    for statement in parse(sql):
        if isinstance(statement, exp.Query | exp.Transaction | exp.Commit | exp.Rollback | exp.Declare | exp.Set):
            continue
        if isinstance(statement, exp.TruncateTable):
            targets = statement.expressions
        elif isinstance(statement, exp.Drop):
            targets = statement.args["tables"]
        elif isinstance(statement, exp.DML | exp.Create | exp.Alter):
            targets = [statement.this.this if isinstance(statement.this, exp.Schema) else statement.this]
        else:
            return None
        kind = str(statement.args.get("kind") or "TABLE").upper()
        if isinstance(statement, exp.Create) and kind == "SCHEMA":
            continue
        if kind not in ("TABLE", "VIEW"):
            return None
        if not all(isinstance(target, exp.Table) for target in targets):
            return None
        keys |= {scope.key(target) for target in targets}
    return keys


def statement_types(sql: str) -> list[str]:
    """What BigQuery calls each statement."""
    return [_statement_type(statement) for statement in parse(sql)]


def understood(sql: str) -> bool:
    """Whether the parser understands every statement; where it does not, the rule counts nothing."""
    return not any(isinstance(statement, exp.Command) for statement in parse(sql))


def _statement_type(statement: exp.Expr) -> str:
    if isinstance(statement, exp.Query):
        return "SELECT"
    if isinstance(statement, exp.Transaction):
        return "BEGIN_TRANSACTION"
    if isinstance(statement, exp.Commit | exp.Rollback):
        return f"{type(statement).__name__.upper()}_TRANSACTION"
    kind = str(statement.args.get("kind") or "TABLE").upper()
    if isinstance(statement, exp.Create):
        return f"CREATE_{kind}" + ("_AS_SELECT" if kind == "TABLE" and statement.expression else "")
    if isinstance(statement, exp.Drop | exp.Alter):
        return f"{type(statement).__name__.upper()}_{kind}"
    return "TRUNCATE_TABLE" if isinstance(statement, exp.TruncateTable) else type(statement).__name__.upper()


@lru_cache(maxsize=512)
def parse(sql: str) -> tuple[exp.Expr, ...]:
    """The statements of `sql`; nobody changes the trees, they are shared."""
    return tuple(statement for statement in sqlglot.parse(sql, dialect="bigquery") if statement is not None)


@dataclass(frozen=True)
class _Scope:
    """Where a name is looked up: first the CTEs, then the project and the dataset."""

    project: str
    dataset: str | None
    ctes: Mapping[str, tuple[exp.Expr, _Scope]]

    def key(self, table: exp.Table) -> Key:
        return table.catalog or self.project, table.db or self.dataset or "", table.name

    def cte(self, table: exp.Table) -> tuple[exp.Expr, _Scope] | None:
        return None if table.db else self.ctes.get(table.name.lower())

    def inside(self, node: exp.Expr) -> _Scope:
        """The names inside a query: each CTE sees those before it."""
        scope = self
        with_ = node.args.get("with_")
        for cte in with_.expressions if with_ else ():
            scope = _Scope(scope.project, scope.dataset, {**scope.ctes, cte.alias.lower(): (cte.this, scope)})
        return scope


@dataclass
class _Source:
    """One thing a FROM names. `outputs` None: unknown columns. `everything`: a `*` asks for all it has."""

    alias: str
    node: exp.Expr | None
    scope: _Scope
    outputs: tuple[str, ...] | None
    key: Key | None = None
    table: Table | None = None
    mentioned: set[str] = field(default_factory=set)
    everything: bool = False

    def has(self, name: str) -> bool:
        return self.outputs is None or name in self.outputs

    def mention(self, name: str) -> None:
        if name == "*":
            self.everything = True
        else:
            self.mentioned.add(name)


class _Reading:
    """Walks one statement and notes, for each table and partition, the columns that are read."""

    def __init__(self, catalog: Catalog, parameters: Mapping[str, str]) -> None:
        self.catalog = catalog
        self.parameters = {name.lower(): value for name, value in parameters.items()}
        self.read: dict[Key, dict[str, set[str]]] = {}

    def size(self, key: Key) -> int:
        table = self.catalog.table(key)
        assert table is not None
        return sum(
            table.partitions[name].sizes.get(column, 0)
            for name, columns in self.read[key].items()
            for column in columns
        )

    # Statements

    def statement(self, node: exp.Expr, scope: _Scope) -> None:
        if isinstance(node, exp.Query):
            self.query(node, scope, None, [])
        elif isinstance(node, exp.Create):
            if str(node.args.get("kind")).upper() == "TABLE" and isinstance(node.expression, exp.Query):
                self.query(node.expression, scope, None, [])
        elif isinstance(node, exp.Insert):
            if isinstance(node.expression, exp.Query):
                self.query(node.expression, scope.inside(node), None, [])
        elif isinstance(node, exp.Merge):
            self.merge(node, scope.inside(node))
        elif isinstance(node, exp.Update | exp.Delete):
            self.change(node, scope.inside(node))
        else:
            for query in _outermost_queries(node):
                self.query(query, scope, None, [])

    def merge(self, node: exp.Merge, scope: _Scope) -> None:
        target, using = (self.sources(part, scope)[0] for part in (node.this, node.args["using"]))
        sources = [target, using]
        target.everything = True
        by_source = False
        self.mention(node.args["on"], sources, scope)
        for when in node.args["whens"].expressions:
            by_source |= not when.args.get("matched") and bool(when.args.get("source"))
            self.mention(when.args.get("condition"), sources, scope)
            then = when.args["then"]
            if isinstance(then, exp.Update):
                for change in then.expressions:
                    self.mention(change.expression, sources, scope)
            elif isinstance(then, exp.Insert):
                using.everything |= then.expression is None or not then.expression
                self.mention(then.expression, sources, scope)
        own = [] if by_source else [self.restricted(node.args["on"], target, sources)]
        self.source(target, own)
        self.source(using, [])

    def change(self, node: exp.Update | exp.Delete, scope: _Scope) -> None:
        sources = self.sources(node.this, scope)
        sources[0].everything = True
        if from_ := node.args.get("from_"):
            sources += self.sources(from_.this, scope)
        for change in node.expressions if isinstance(node, exp.Update) else ():
            self.mention(change.expression, sources, scope)
        where = node.args.get("where")
        self.mention(where, sources, scope)
        for source in sources:
            self.source(source, [self.restricted(where.this, source, sources)] if where else [])

    # Queries. `needed` are the outputs that are asked for, None for all; `filters` speak of the outputs.

    def query(self, node: exp.Expr, scope: _Scope, needed: set[str] | None, filters: list[exp.Expr]) -> None:
        scope = scope.inside(node)
        if node.args.get("limit") or node.args.get("offset"):
            filters = []
        if isinstance(node, exp.Subquery):
            self.query(node.this, scope, needed, filters)
        elif isinstance(node, exp.SetOperation):
            self.set_operation(node, scope, needed, filters)
        elif isinstance(node, exp.Select):
            self.select(node, scope, needed, filters)
        elif isinstance(node, exp.Table):
            for source in self.sources(node, scope):
                source.everything = True
                self.source(source, filters)

    def set_operation(
        self, node: exp.SetOperation, scope: _Scope, needed: set[str] | None, filters: list[exp.Expr]
    ) -> None:
        left, right = self.outputs(node.left, scope), self.outputs(node.right, scope)
        if not isinstance(node, exp.Union) or node.args.get("distinct"):
            needed = None
        if left is None or right is None or len(left) != len(right):
            self.query(node.left, scope, None, filters if left else [])
            self.query(node.right, scope, None, [])
            return
        self.query(node.left, scope, needed, filters)
        names = dict(zip(left, right, strict=True))
        there = None if needed is None else {names[name] for name in needed if name in names}
        renamed = [
            _translated(condition, lambda column: exp.column(names[_name(column)]) if _name(column) in names else None)
            for condition in filters
        ]
        self.query(node.right, scope, there, renamed)

    def select(self, node: exp.Select, scope: _Scope, needed: set[str] | None, filters: list[exp.Expr]) -> None:
        sources = [
            source
            for part in [node.args.get("from_"), *(node.args.get("joins") or ())]
            if part is not None
            for source in self.sources(part.this, scope)
        ]
        for join in node.args.get("joins") or ():
            for name in join.args.get("using") or ():
                for source in sources:
                    if source.has(name.name.lower()):
                        source.mention(name.name.lower())
            self.mention(join.args.get("on"), sources, scope)
        for unnest in _own(node, exp.Unnest):
            for expression in unnest.expressions:
                self.mention(expression, sources, scope)
        others = [
            node.args.get(name) for name in ("where", "group", "having", "qualify", "order", "windows", "distinct")
        ]
        for clause in others:
            for part in clause if isinstance(clause, list) else [clause]:
                self.mention(part, sources, scope)
        self.projections(node, scope, sources, needed)

        conditions = [node.args["where"].this] if node.args.get("where") else []
        if not any(node.args.get(name) for name in ("qualify", "limit", "offset")) and not _own(node, exp.Window):
            conditions += [_translated(condition, lambda column: _projected(node, column)) for condition in filters]
        for source in sources:
            self.source(source, [self.restricted(condition, source, sources) for condition in conditions])

    def projections(self, node: exp.Select, scope: _Scope, sources: list[_Source], needed: set[str] | None) -> None:
        """Mentions what the projections that are asked for mention."""
        group = node.args.get("group")
        by_position = group and (
            group.args.get("all") or any(isinstance(part, exp.Literal) for part in group.expressions)
        )
        if node.args.get("distinct") or by_position or node.args.get("kind"):
            needed = None
        reused = {
            _name(column)
            for clause in ("group", "having", "qualify", "order")
            if node.args.get(clause)
            for column in node.args[clause].find_all(exp.Column)
        }
        for projection in node.expressions:
            star = _star(projection)
            if star is not None:
                for source in sources:
                    if projection.text("table").lower() in ("", source.alias):
                        _mention_star(source, star, needed)
                for replaced in star.args.get("replace") or ():
                    self.mention(replaced, sources, scope)
            elif needed is None or projection.alias_or_name.lower() in needed | reused:
                self.mention(projection, sources, scope)

    # Sources

    def sources(self, node: exp.Expr, scope: _Scope) -> list[_Source]:
        """What one item of a FROM names, with what is joined inside it."""
        found = [self._one_source(node, scope)]
        for join in node.args.get("joins") or ():
            found += self.sources(join.this, scope)
            self.mention(join.args.get("on"), found, scope)
        return found

    def _one_source(self, node: exp.Expr, scope: _Scope) -> _Source:
        alias = node.alias_or_name.lower()
        if isinstance(node, exp.Table):
            if cte := scope.cte(node):
                source = _Source(alias, cte[0], cte[1], self.outputs(*cte))
            else:
                key = scope.key(node)
                table = None if "INFORMATION_SCHEMA" in f"{key}".upper() else self.catalog.table(key)
                source = _Source(alias, None, scope, table.columns if table else (), key, table)
            source.everything = bool(node.args.get("pivots"))
            return source
        if isinstance(node, exp.Query):
            return _Source(alias, node, scope, self.outputs(node, scope), everything=bool(node.args.get("pivots")))
        return _Source(alias, None, scope, tuple(column.lower() for column in node.alias_column_names) or (alias,))

    def source(self, source: _Source, conditions: list[exp.Expr]) -> None:
        """Reads a source under conditions that speak of its columns only."""
        wanted = None if source.everything else source.mentioned
        if source.node is not None:
            self.query(source.node, source.scope, wanted, conditions)
        elif source.table is not None and source.key is not None:
            if source.table.view is not None:
                for view in parse(source.table.view):
                    self.query(view, _Scope(source.key[0], None, {}), wanted, conditions)
            else:
                self.note(source.key, source.table, wanted, conditions)

    def note(self, key: Key, table: Table, wanted: set[str] | None, conditions: list[exp.Expr]) -> None:
        columns = set(table.columns) if wanted is None else wanted & set(table.columns)
        read = self.read.setdefault(key, {})
        tests = [_test(condition, table.partition_column or "", self.parameters) for condition in conditions]
        for name in table.partitions:
            if table.partition_column is not None:
                span = span_of(name, table.granularity)
                if not all(test(span) for test in tests):
                    continue
            elif not all(test(None) for test in tests if test is _never):
                continue
            read.setdefault(name, set()).update(columns)

    # Names

    def outputs(self, node: exp.Expr, scope: _Scope) -> tuple[str, ...] | None:
        """The names of the columns a query gives; None when that cannot be told."""
        scope = scope.inside(node)
        if isinstance(node, exp.Subquery):
            return self.outputs(node.this, scope)
        if isinstance(node, exp.SetOperation):
            return self.outputs(node.left, scope)
        if not isinstance(node, exp.Select):
            return None
        names: list[str] = []
        for projection in node.expressions:
            star = _star(projection)
            if star is None:
                names.append(projection.alias_or_name.lower())
                continue
            dropped = _excepted(star)
            for part in [node.args.get("from_"), *(node.args.get("joins") or ())]:
                for source in self.sources(part.this, scope) if part is not None else ():
                    if projection.text("table").lower() not in ("", source.alias):
                        continue
                    if source.outputs is None:
                        return None
                    names += [name for name in source.outputs if name not in dropped]
        return tuple(names)

    def mention(self, node: exp.Expr | None, sources: list[_Source], scope: _Scope) -> None:
        """Notes the columns an expression mentions, and reads the queries that stand in it."""
        if not isinstance(node, exp.Expr):
            return
        for part in node.walk(prune=lambda part: isinstance(part, exp.Query)):
            if isinstance(part, exp.Column):
                for source, name in _owners(part, sources):
                    source.mention(name)
            elif isinstance(part, exp.Query):
                self.query(part, scope, set() if isinstance(part.parent, exp.Exists) else None, [])
                for column in self._free(part, scope):
                    for source, name in _owners(column, sources):
                        source.mention(name)

    def _free(self, query: exp.Expr, scope: _Scope) -> Iterator[exp.Column]:
        """The columns in a nested query that belong to the query around it."""
        inner = scope.inside(query)
        nested = [self._one_source(table, inner) for table in query.find_all(exp.Table)]
        aliases = {source.alias for source in nested} | {part.alias.lower() for part in query.find_all(exp.Subquery)}
        for column in query.find_all(exp.Column):
            names = [part.name.lower() for part in column.parts]
            if names[0] not in aliases and not (len(names) == 1 and any(source.has(names[0]) for source in nested)):
                yield column

    def restricted(self, condition: exp.Expr, source: _Source, sources: list[_Source]) -> exp.Expr:
        """The condition as one that speaks of this source only."""

        def own(column: exp.Column) -> exp.Expr | None:
            owners = _owners(column, sources)
            if len(owners) == 1 and owners[0][0] is source and len(column.parts) <= 2:
                bare = len(column.parts) == 1 or column.parts[0].name.lower() == source.alias
                return exp.column(owners[0][1]) if bare else None
            return None

        return _translated(condition, own)


def _owners(column: exp.Column, sources: Sequence[_Source]) -> list[tuple[_Source, str]]:
    """The sources a column may belong to, with its name there; `*` for a whole row."""
    names = [part.name.lower() for part in column.parts]
    if len(names) > 1:
        for source in sources:
            if source.alias == names[0]:
                return [(source, names[1])]
    owners = [(source, names[0]) for source in sources if source.has(names[0])]
    return owners or [(source, "*") for source in sources if source.alias == names[0]]


def _name(column: exp.Expr) -> str:
    return column.name.lower()


def _star(projection: exp.Expr) -> exp.Expr | None:
    if isinstance(projection, exp.Star):
        return projection
    return projection.this if isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star) else None


def _excepted(star: exp.Expr) -> set[str]:
    return {part.name.lower() for part in star.args.get("except_") or ()}


def _mention_star(source: _Source, star: exp.Expr, needed: set[str] | None) -> None:
    dropped = _excepted(star)
    if needed is not None:
        source.mentioned |= needed - dropped
    elif dropped and source.outputs is not None:
        source.mentioned |= set(source.outputs) - dropped
    else:
        source.everything = True


def _projected(select: exp.Select, column: exp.Column) -> exp.Expr | None:
    """The bare column that a select gives under this name; None when it is something else."""
    stars = []
    for projection in select.expressions:
        if (star := _star(projection)) is not None:
            stars.append((projection.text("table"), star))
        elif projection.alias_or_name.lower() == _name(column):
            inner = projection.unalias()
            return inner.copy() if isinstance(inner, exp.Column) else None
    if len(stars) == 1 and not stars[0][1].args.get("replace"):
        return exp.column(_name(column), table=stars[0][0] or None)
    return None


def _translated(condition: exp.Expr, replace: Callable[[exp.Column], exp.Expr | None]) -> exp.Expr:
    """The condition with its columns replaced; what has no replacement becomes a placeholder, which decides nothing."""

    def change(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Query):
            return exp.Placeholder()
        if isinstance(node, exp.Column):
            return replace(node) or exp.Placeholder()
        return node

    return condition.transform(change)


def _own(node: exp.Select, kind: type[exp.Expr]) -> list[exp.Expr]:
    """The nodes of a kind that belong to this select and not to a query inside it."""
    found = []
    for part in node.walk(prune=lambda part: part is not node and isinstance(part, exp.Query)):
        if isinstance(part, kind):
            found.append(part)
    return found


def _outermost_queries(node: exp.Expr) -> Iterable[exp.Expr]:
    return [part for part in node.walk(prune=lambda part: isinstance(part, exp.Query)) if isinstance(part, exp.Query)]


# Partitions


def span_of(partition: str, granularity: str) -> Span | None:
    """What a partition covers; None for the one of NULL."""
    if partition == NULL_PARTITION:
        return None
    start = datetime.strptime(partition, FORMATS[granularity]).replace(tzinfo=UTC)
    if granularity == "HOUR":
        return start, start + timedelta(hours=1)
    if granularity == "DAY":
        return start, start + timedelta(days=1)
    if granularity == "MONTH":
        return start, (start + timedelta(days=31)).replace(day=1)
    return start, start.replace(year=start.year + 1)


Test = Callable[[Span | None], bool]
"""Whether a partition may hold a row for which a condition is true."""


def _always(_: Span | None) -> bool:
    return True


def _never(_: Span | None) -> bool:
    return False


def _test(node: exp.Expr, column: str, parameters: Mapping[str, str]) -> Test:
    """A condition as a test of partitions; whatever is not understood holds everywhere."""
    if isinstance(node, exp.Paren):
        return _test(node.this, column, parameters)
    if isinstance(node, exp.Boolean):
        return _always if node.this else _never
    if isinstance(node, exp.And | exp.Or):
        arms = [_test(arm, column, parameters) for arm in node.flatten()]
        if isinstance(node, exp.And):
            kept = [arm for arm in arms if arm is not _always]
            if not kept or _never in kept:
                return _never if kept else _always
            return lambda span: all(arm(span) for arm in kept)
        kept = [arm for arm in arms if arm is not _never]
        if not kept or _always in kept:
            return _always if kept else _never
        return lambda span: any(arm(span) for arm in kept)
    if isinstance(node, exp.Between) and _is_bare(node.this, column):
        low, high = _moment(node.args["low"], parameters), _moment(node.args["high"], parameters)
        if low and high:
            return lambda span: span is not None and span[1] > low and span[0] <= high
    if isinstance(node, exp.In) and _is_bare(node.this, column) and node.expressions:
        moments = [_moment(value, parameters) for value in node.expressions]
        known = [moment for moment in moments if moment is not None]
        if len(known) == len(moments):
            return lambda span: span is not None and any(span[0] <= moment < span[1] for moment in known)
    if isinstance(node, exp.EQ | exp.GT | exp.GTE | exp.LT | exp.LTE):
        return _comparison(node, column, parameters)
    return _always


TURNED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.EQ: exp.EQ,
}


def _comparison(node: exp.Binary, column: str, parameters: Mapping[str, str]) -> Test:
    kind: type[exp.Expr] = type(node)
    side, other = node.left, node.right
    if not _is_bare(side, column):
        kind, side, other = TURNED[kind], other, side
    moment = _moment(other, parameters)
    if moment is None or not _is_bare(side, column):
        return _always
    value = moment
    tests: dict[type[exp.Expr], Callable[[Span], bool]] = {
        exp.EQ: lambda span: span[0] <= value < span[1],
        exp.GT: lambda span: span[1] > value,
        exp.GTE: lambda span: span[1] > value,
        exp.LT: lambda span: span[0] < value,
        exp.LTE: lambda span: span[0] <= value,
    }
    test = tests[kind]
    return lambda span: span is not None and test(span)


def _is_bare(node: exp.Expr, column: str) -> bool:
    return isinstance(node, exp.Column) and not node.table and _name(node) == column


def _moment(node: exp.Expr, parameters: Mapping[str, str]) -> datetime | None:
    """The instant a literal names; None for everything else."""
    if isinstance(node, exp.Cast):
        node = node.this
    if isinstance(node, exp.Parameter):
        text = parameters.get(node.name.lower())
    else:
        text = node.this if isinstance(node, exp.Literal) and node.is_string else None
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace(" UTC", "+00:00").strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
