"""Checks statements with GoogleSQL's own analyzer: the parser and type checker that BigQuery itself is built on.

    analyzer = Analyzer({"p.analytics.trades": {"ts": "TIMESTAMP", "price": "NUMERIC"}})
    analyzer.error("select ts from `p`.`analytics`.`trades`")   # None: the statement is valid
    analyzer.error("select tss from `p`.`analytics`.`trades`")  # 'Unrecognized name: tss; Did you mean ts? [at 1:8]'

The emulator runs SQL through another parser, which takes some things that BigQuery refuses and the reverse. This one
has neither problem, but runs nothing. It is a WebAssembly build inside the `zetasql` wheel and works in this process:
no server, no network. The first use compiles it (half a minute) and keeps that in `.venv`; later ones take a second.

What it does not know and BigQuery does: `max_by`, `min_by`, `contains_substr`, `collate`, `@@project_id`, scripting
(DECLARE, SET, IF, CALL), CREATE FUNCTION, and BIGINT, which is replaced before it looks. INFORMATION_SCHEMA must be
given to it like any other table.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import wasmtime
from google.protobuf.message import Message
from zetasql.core import wasm_client
from zetasql.core.exceptions import ServerError
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2, simple_catalog_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public_options
from zetasql.wasi._pb2.zetasql.public import type_pb2
from zetasql.wasi._pb2.zetasql.resolved_ast import resolved_ast_pb2, resolved_node_kind_pb2

from runner_tests.bigquery.running import ROOT

COMPILED = ROOT / ".venv" / "googlesql"
TYPES = {"FLOAT64": "DOUBLE", "INTEGER": "INT64", "FLOAT": "DOUBLE", "BOOLEAN": "BOOL", "BIGINT": "INT64"}
NAMES = {"DOUBLE": "FLOAT64"}
ADDED_FEATURES = ("FEATURE_CREATE_TABLE_CLONE", "FEATURE_CREATE_TABLE_COPY")
REFUSED_FEATURES = re.compile(r"SPANNER|FEATURE_TEST_")
STATEMENTS = (
    "QUERY", "MERGE", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "ASSERT", "EXPORT_DATA", "BEGIN", "COMMIT", "ROLLBACK",
    "CREATE_SCHEMA", "CREATE_TABLE", "CREATE_TABLE_AS_SELECT", "CREATE_VIEW", "CREATE_SNAPSHOT_TABLE", "DROP",
    "DROP_SNAPSHOT_TABLE", "ALTER_TABLE", "ALTER_TABLE_SET_OPTIONS", "ALTER_VIEW", "ALTER_SCHEMA",
)  # fmt: skip
SIZED_TYPE = re.compile(r"\b(numeric|decimal|bignumeric|bigdecimal|string|bytes)\s*\(\s*\d", re.IGNORECASE)
BIGINT = re.compile(r"\bbigint\b", re.IGNORECASE)

Columns = Mapping[str, str]
"""Name → BigQuery's name of the type, in order: STRING, ARRAY<INT64>, STRUCT<key STRING, value STRING>."""


class _Client(wasm_client.WasmClient):
    """The wheel's client, with block copies instead of one Python step per byte."""

    def write_bytes(self, ptr: int, data: bytes) -> None:
        ctypes.memmove(ctypes.addressof(self.memory.data_ptr().contents) + ptr, data, len(data))

    def read_bytes(self, ptr: int, size: int) -> bytes:
        return ctypes.string_at(ctypes.addressof(self.memory.data_ptr().contents) + ptr, size)


def _load() -> _Client:
    wasm_client.Config = _cached_config
    return _Client(get_wasm_path())


def _cached_config() -> wasmtime.Config:
    config = wasmtime.Config()
    config.cache = str(_cache_settings(COMPILED))
    return config


def _cache_settings(folder: Path) -> Path:
    """The file that tells wasmtime where what it compiled is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cache.toml"
    file.write_text(f"[cache]\ndirectory = '{folder}'\n")
    return file


class Analyzer:
    """GoogleSQL with BigQuery's dialect switches. Not for several threads.

    `tables` maps `project.dataset.table` to its columns. Tables and views that a statement creates are known to those
    after it, with the types that the analyzer found.
    """

    def __init__(self, tables: Mapping[str, Columns]) -> None:
        self._client = _load()
        self._language = self._language_options()
        self._catalog = simple_catalog_pb2.SimpleCatalogProto(name="")
        self._catalog.builtin_function_options.language_options.CopyFrom(self._language)
        self._registered: int | None = None
        self.tables: dict[str, Columns] = {}
        for name, columns in tables.items():
            self.add(name, columns)

    def add(self, name: str, columns: Columns) -> None:
        """Makes a table known, or gives it other columns."""
        self.tables[name] = dict(columns)
        *path, table_id = name.split(".")
        catalog = self._catalog
        for part in path:
            found = next((each for each in catalog.catalog if each.name == part), None)
            catalog = catalog.catalog.add(name=part) if found is None else found
        # `project.dataset.table` inside one pair of backticks is a single identifier.
        for holder, alias in ((catalog, table_id), (self._catalog, name)):
            table = next((each for each in holder.table if each.name == alias), None)
            if table is None:
                table = holder.table.add(name=alias, name_in_catalog=alias, full_name=name)
            table.ClearField("column")
            for column, kind in columns.items():
                _set_type(table.column.add(name=column, is_writable_column=True).type, kind)
        self._registered = None

    def _catalog_id(self) -> int:
        """The catalog as the analyzer knows it: told once, until another table becomes known."""
        if self._registered is None:
            request = service.RegisterCatalogRequest(simple_catalog=self._catalog)
            call = self._client.call_grpc_func
            self._registered = call(
                "ZetaSqlLocalService_RegisterCatalog", request, service.RegisterResponse
            ).registered_id
        return self._registered

    def error(self, sql: str, parameters: Columns | None = None) -> str | None:
        """None when every statement of `sql` is valid, else the analyzer's message for the first that is not.

        Statements are separated by semicolons. Every `@name` must be one of `parameters`.
        """
        try:
            for statement in self._statements(BIGINT.sub("INT64", sql), parameters or {}):
                if SIZED_TYPE.search(sql) and _has_sized_cast(statement):
                    # The service's rule, not the parser's.
                    return "Parameterized types are not allowed in CAST expressions."
                for name, columns in _created(statement.resolved_statement):
                    if self.tables.get(name) != columns:
                        self.add(name, columns)
        except ServerError as error:
            return str(error.message)
        return None

    def _statements(self, sql: str, parameters: Columns) -> Iterator[service.AnalyzeResponse]:
        request = service.AnalyzeRequest()
        request.options.language_options.CopyFrom(self._language)
        request.options.error_message_mode = public_options.ERROR_MESSAGE_ONE_LINE
        request.options.default_timezone = "UTC"
        for name, kind in parameters.items():
            _set_type(request.options.query_parameters.add(name=name).type, kind)
        request.parse_resume_location.input = sql
        end = len(sql.rstrip().rstrip(";").encode())
        while request.parse_resume_location.byte_position < end:
            request.registered_catalog_id = self._catalog_id()
            response = self._client.call_grpc_func("ZetaSqlLocalService_Analyze", request, service.AnalyzeResponse)
            yield response
            request.parse_resume_location.byte_position = response.resume_byte_position

    def _language_options(self) -> options_pb2.LanguageOptionsProto:
        language = self._client.call_grpc_func(
            "ZetaSqlLocalService_GetLanguageOptions",
            service.LanguageOptionsRequest(maximum_features=True),
            options_pb2.LanguageOptionsProto,
        )
        names = public_options.LanguageFeature.Name
        enabled = [each for each in language.enabled_language_features if not REFUSED_FEATURES.search(names(each))]
        language.ClearField("enabled_language_features")
        language.enabled_language_features.extend(enabled)
        language.enabled_language_features.extend(map(public_options.LanguageFeature.Value, ADDED_FEATURES))
        language.product_mode = public_options.PRODUCT_EXTERNAL
        language.name_resolution_mode = public_options.NAME_RESOLUTION_DEFAULT
        language.supported_statement_kinds.extend(
            resolved_node_kind_pb2.ResolvedNodeKind.Value(f"RESOLVED_{kind}_STMT") for kind in STATEMENTS
        )
        language.reserved_keywords.append("QUALIFY")
        return language


def _set_type(target: type_pb2.TypeProto, kind: str) -> None:
    """Writes a type; `kind` as in `Columns`."""
    kind = kind.strip()
    if array := re.fullmatch(r"ARRAY<(.+)>", kind, re.IGNORECASE):
        target.type_kind = type_pb2.TYPE_ARRAY
        _set_type(target.array_type.element_type, array[1])
    elif struct := re.fullmatch(r"STRUCT<(.+)>", kind, re.IGNORECASE):
        target.type_kind = type_pb2.TYPE_STRUCT
        # Commas inside of <> belong to a field's own type.
        for part in re.split(r",(?![^<]*>)", struct[1]):
            name, _, of_field = part.strip().partition(" ")
            _set_type(target.struct_type.field.add(field_name=name).field_type, of_field)
    else:
        target.type_kind = type_pb2.TypeKind.Value(f"TYPE_{TYPES.get(kind.upper(), kind.upper())}")


def _type(found: type_pb2.TypeProto) -> str:
    """A type in BigQuery's words."""
    if found.type_kind == type_pb2.TYPE_ARRAY:
        return f"ARRAY<{_type(found.array_type.element_type)}>"
    if found.type_kind == type_pb2.TYPE_STRUCT:
        fields = (f"{each.field_name} {_type(each.field_type)}" for each in found.struct_type.field)
        return f"STRUCT<{', '.join(fields)}>"
    name = type_pb2.TypeKind.Name(found.type_kind).removeprefix("TYPE_")
    return NAMES.get(name, name)


def _created(statement: resolved_ast_pb2.AnyResolvedStatementProto) -> Iterator[tuple[str, Columns]]:
    """The table or view that a statement creates, with its columns."""
    create = statement.resolved_create_statement_node
    if create.HasField("resolved_create_view_base_node"):
        view = create.resolved_create_view_base_node.resolved_create_view_stmt_node.parent
        yield ".".join(view.parent.name_path), {each.name: _type(each.column.type) for each in view.output_column_list}
    elif create.HasField("resolved_create_snapshot_table_stmt_node"):
        snapshot = create.resolved_create_snapshot_table_stmt_node
        yield ".".join(snapshot.parent.name_path), _columns(snapshot.clone_from)
    elif create.HasField("resolved_create_table_stmt_base_node"):
        base = create.resolved_create_table_stmt_base_node
        which = base.WhichOneof("node") or ""
        if which in ("resolved_create_table_as_select_stmt_node", "resolved_create_table_stmt_node"):
            made = getattr(base, which)
            table = made.parent
            columns = {each.name: _type(each.type) for each in table.column_definition_list}
            if not columns and made.HasField("clone_from"):
                columns = _columns(made.clone_from)
            yield ".".join(table.parent.name_path), columns


def _columns(scan: resolved_ast_pb2.AnyResolvedScanProto) -> dict[str, str]:
    """The columns of the table that a clone is made of."""
    return {each.name: _type(each.type) for each in scan.resolved_table_scan_node.parent.column_list}


def _has_sized_cast(node: Message) -> bool:
    """Whether a resolved tree casts to a type with a length or a precision, such as NUMERIC(10, 2)."""
    if isinstance(node, resolved_ast_pb2.ResolvedCastProto) and node.type_modifiers.HasField("type_parameters"):
        return True
    return any(
        _has_sized_cast(child)
        for field, value in node.ListFields()
        if field.type == field.TYPE_MESSAGE
        for child in (value if isinstance(value, Iterable) else [value])
    )
