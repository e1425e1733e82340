"""Settings: flags > POLYTRADES_* in the environment > polytrades.toml in the current folder > defaults.

Secrets are read from the environment only; in the file they are refused.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from runner import log
from runner.errors import UsageError

SETTINGS_FILE = Path("polytrades.toml")
SECRETS = (
    "dome_api_key",
    "polygon_rpc_urls",
    "alert_webhook_url",
    "alert_slack_url",
    "alert_apprise_urls",
    "smtp_url",
    "ping_url",
)
_READ_BY_OTHERS = (
    "BIGQUERY_PROJECT",
    "BIGQUERY_METHOD",
    "BIGQUERY_KEYFILE",
    "BIGQUERY_IMPERSONATE",
    "BIGQUERY_LOCATION",
    "FAULT",
)
"""After POLYTRADES_: variables of profiles.example.yml and of the failpoints."""
_SCHEMA_NAMES = frozenset(
    {"main", "temp", "system", "landing", "state", "staging", "intermediate", "monitoring", "reference"}
)


class Settings(BaseSettings):
    """One field per setting; the environment variable is POLYTRADES_ and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="POLYTRADES_", toml_file=SETTINGS_FILE, extra="forbid", allow_inf_nan=False
    )

    target: str = Field("duckdb", description="The output in profiles.yml to build into.")
    duckdb_path: Path = Field(
        Path("polytrades.duckdb"), description="The DuckDB file. A relative path is relative to the current folder."
    )
    source: Literal["api", "polygon"] = Field(
        "api", description="Where fills are fetched from: the order API, or the chain itself."
    )
    order_api: Literal["dome", "predexon-v1", "predexon-v2"] = Field(
        "dome", description="The dialect of the order API. `polytrades doctor` recognises it."
    )
    dome_base_url: str = Field(
        "https://api.domeapi.io/v1", description="Where the order API answers: the address before its path."
    )
    orders_path: str = Field(
        "",
        pattern=r"^(/[\w/.-]*)?$",
        description="The path of its list of fills; empty: the dialect's, such as /polymarket/orders.",
    )
    dome_api_key: SecretStr | None = Field(
        None, description="Its API key; sent when set. Environment only.", examples=["…"]
    )
    dome_auth_header: str = Field("Authorization", description="The header that carries the key.")
    dome_auth_scheme: str = Field("Bearer", description="What stands before the key in that header; may be empty.")
    polygon_rpc_urls: SecretStr | None = Field(
        None,
        description="JSON-RPC endpoints of Polygon, the preferred one first, with spaces between them; an address "
        "often holds a key. Environment only.",
        examples=["https://…"],
    )
    polygon_finality: Literal["auto", "finalized", "latest"] = Field(
        "auto",
        description="Up to which block the chain is read: `finalized`, `latest` (then settle_lag_minutes counts), or "
        "`auto`: finalized where the node knows it.",
    )
    polygon_overlap_minutes: float = Field(
        30,
        ge=0,
        le=1_000_000,
        description="How far before its checkpoint a wallet is read from the chain again, should a node have left out "
        "a log.",
    )
    polygon_block_range: int = Field(
        2_000,
        ge=1,
        le=1_000_000,
        description="Blocks asked for at a time before a node's limit is known; what it refuses is remembered.",
    )
    polygon_wallets_per_request: int = Field(
        1_000, ge=1, le=5_000, description="Wallets named in one request for logs; nodes take 1,000 or more."
    )
    polygon_logs_per_block: int = Field(
        150,
        ge=1,
        description="Fills of everybody in a block, an estimate: decides whether whole ranges are cheaper than asking "
        "by wallet.",
    )
    gamma_base_url: str = Field("https://gamma-api.polymarket.com", description="Where Gamma answers /markets.")
    gamma_lists: Literal["auto", "keyset", "legacy"] = Field(
        "auto",
        description="Which of Gamma's lists are asked: `keyset`, `legacy`, or `auto`: keyset, and legacy where there "
        "is none.",
    )
    metadata_requests: int = Field(
        2_000,
        ge=50,
        description="Most requests for markets and events in a run, half of them for markets at most; a retry is not "
        "counted. What is left out is asked first by the next run.",
    )
    winner_wait_days: int = Field(
        30, ge=0, le=3650, description="How many days after its close a market without a winner is still asked for."
    )
    overlap_hours: float = Field(
        6,
        ge=0,
        le=100_000,
        description="How far before its checkpoint a wallet is asked again: late fills are found there.",
    )
    settle_lag_minutes: float = Field(
        5, ge=0, le=100_000, description="How far behind now a window ends: the newest fills may still change."
    )
    requests_per_second: float = Field(
        10, gt=0, description="Most requests a second to one upstream. 10 is what Dome's free tier allowed."
    )
    requests_in_flight: int = Field(20, ge=1, le=1000, description="Most requests to one upstream at a time.")
    page_size: int = Field(1000, ge=1, le=1000, description="Records asked for in one request.")
    request_timeout_seconds: float = Field(30, gt=0, description="How long one request may take.")
    request_attempts: int = Field(5, ge=1, description="How often a request is tried before its wallet fails.")
    request_patience_seconds: float = Field(
        300, gt=0, description="No attempt at a request begins later than this after its first one."
    )
    history_requests_per_run: int = Field(
        20_000,
        ge=0,
        description="Most requests that a run sends for the past of wallets that are new or have gaps; the next run "
        "goes on.",
    )
    silent_wallet_days: float = Field(
        50,
        ge=0,
        description="A run that gets not one new fill for this many wallets times days, silent nights before it "
        "included, ends with exit code 4 and leaves the checkpoints where they were; 0: never.",
    )
    batch_rows: int = Field(50_000, ge=1, description="Records collected before a batch is landed.")
    max_rejected_share: float = Field(
        0.01, ge=0, le=1, description="Share of rejected records above which a run ends with exit code 4."
    )
    landing_retention_days: int = Field(
        30, ge=1, le=3650, description="Landed days older than this are deleted once everything in them is merged."
    )
    lease_minutes: float = Field(
        10,
        ge=1,
        le=1440,
        description="How long others wait for a run that died where they cannot see it. Renewed while it lives.",
    )
    dbt_attempts: int = Field(
        3, ge=1, le=10, description="How often dbt is run again when what failed is of a kind that passes by itself."
    )
    retry_pause_seconds: float = Field(
        5, ge=0, le=60, description="How long to wait before dbt is run again the first time; doubled each time."
    )
    bigquery_patience_seconds: float = Field(
        120, gt=0, description="BigQuery: how long a request or a job that fails in passing is tried again."
    )
    maximum_bytes_billed: int = Field(
        20_000_000_000, ge=10_000_000, description="BigQuery: no job may bill more than this."
    )
    whole_table_bytes_limit: int = Field(
        50_000_000_000,
        ge=10_000_000,
        description="BigQuery: the same for the one check that reads the three key columns of all of `trades`.",
    )
    daily_bytes_budget: int = Field(
        200_000_000_000,
        ge=1,
        description="BigQuery: no run starts, and none goes on to its next phase, once the jobs of the UTC day have "
        "billed this much.",
    )
    price_per_tib: float = Field(
        6.25, ge=0, description="BigQuery: what a TiB costs, for `polytrades cost`. US on demand, in dollars."
    )
    alert_webhook_url: SecretStr | None = Field(
        None, description="Where alerts are posted as JSON. Environment only.", examples=["…"]
    )
    alert_slack_url: SecretStr | None = Field(
        None, description="An incoming webhook of Slack, or of what takes its form. Environment only.", examples=["…"]
    )
    alert_email_to: str = Field("", description="Who gets alerts by e-mail; several separated by commas.")
    alert_email_from: str = Field("", description="The sender of these e-mails; empty: polytrades at the mail server.")
    smtp_url: SecretStr | None = Field(
        None,
        description="The mail server, as smtp://user:password@host:587 or smtps://…; without it, localhost:25. "
        "Environment only.",
        examples=["…"],
    )
    alert_apprise_urls: SecretStr | None = Field(
        None,
        description="Addresses of any other service in apprise's form, separated by commas; needs `make "
        "install-alerts`. Environment only.",
        examples=["…"],
    )
    alert_from: Literal["WARN", "FAIL"] = Field("WARN", description="The least verdict that opens an incident.")
    ping_url: SecretStr | None = Field(
        None,
        description="Asked after each sync whose data is complete (exit code 0 or 4): a dead man's switch, which "
        "raises the alarm when nobody asks. Environment only.",
        examples=["…"],
    )
    metrics_file: str = Field(
        "",
        description="Where each run writes the status as OpenMetrics, for the textfile collector of the node exporter.",
    )
    migration_memory: str = Field(
        "4GB",
        pattern=r"^[0-9]+(\.[0-9]+)?(MB|GB|MiB|GiB)$",
        description="DuckDB: how much memory a migration may use; what does not fit is written beside the DuckDB file.",
    )
    staging_columns: dict[str, str] = Field(
        {},
        description="For `polytrades migrate`: our name of a column and its name in the staging table, where these "
        "differ.",
        examples=['{"tx_hash": "transaction_hash"}'],
    )
    lock_wait_seconds: float = Field(
        10, ge=0, description="How long to wait for a DuckDB file that another process has open."
    )

    @field_validator("dome_base_url", "gamma_base_url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        host = urlsplit(value).hostname or ""
        if not all(host.removesuffix(".").split(".")):
            raise ValueError("has no host, or one with an empty part between its dots")
        return value.rstrip("/")

    @field_validator("dome_api_key")
    @classmethod
    def _is_one_line(cls, value: SecretStr | None) -> SecretStr | None:
        """A header is one line; a file that was pasted ends in a new one."""
        key = value.get_secret_value().strip() if value else ""
        if not key.isprintable():
            raise ValueError("holds a line break or another character that no header can carry")
        return SecretStr(key) if key else None

    @field_validator("alert_webhook_url", "alert_slack_url", "ping_url")
    @classmethod
    def _is_private(cls, value: SecretStr | None) -> SecretStr | None:
        """Alerts name wallets and runs: they travel encrypted, or stay on this machine."""
        parts = urlsplit(value.get_secret_value()) if value else None
        is_local = parts and parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        if parts and not is_local and (parts.scheme != "https" or not parts.hostname):
            raise ValueError("must start with https:// (http:// only to this machine)")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts and (parts.scheme not in ("smtp", "smtps") or not parts.hostname):
            raise ValueError("must be smtp://host:port or smtps://host:port")
        return value

    @field_validator("duckdb_path")
    @classmethod
    def _is_usable_name(cls, value: Path) -> Path:
        # DuckDB calls the database as the file is called, and then cannot tell it from a schema of that name.
        if value.stem.lower() in _SCHEMA_NAMES or '"' in value.name:
            raise ValueError("DuckDB confuses a file of this name with a schema; take another name")
        return value

    @cached_property
    def duckdb_file(self) -> Path:
        """The DuckDB file as an absolute path."""
        return self.duckdb_path.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of precedence."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(**flags: Any) -> Settings:
    """Reads the settings; `flags` that are not None win.

    Raises:
        UsageError: a value is wrong, a name is unknown or misspelt, the file is no TOML, or holds a secret.
    """
    _check_file()
    _check_environment(os.environ)
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise UsageError(_explained(error)) from None
    for name in SECRETS:
        if secret := getattr(settings, name):
            log.hide(secret.get_secret_value())
    return settings


def _check_file() -> None:
    if not SETTINGS_FILE.exists():
        return
    try:
        with SETTINGS_FILE.open("rb") as file:
            names = {name.lower() for name in tomllib.load(file)}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{SETTINGS_FILE} cannot be read: {error}. Mend it, or start from its example.") from None
    for name in SECRETS:
        if name in names:
            raise UsageError(
                f"{SETTINGS_FILE} holds {name}, a secret. Remove it there and set POLYTRADES_{name.upper()} instead."
            )


def _check_environment(names: Iterable[str]) -> None:
    """A misspelt variable would be ignored without a word. Others may be a profile's own."""
    known = [*(name.upper() for name in Settings.model_fields), *_READ_BY_OTHERS]
    for variable in names:
        prefix, _, name = variable.upper().partition("_")
        if prefix == "POLYTRADES" and name not in known and (meant := difflib.get_close_matches(name, known, 1, 0.8)):
            raise UsageError(f"The variable {variable} is set, and nothing reads it. Did you mean {prefix}_{meant[0]}?")


def _explained(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else "?"
        if problem["type"] == "extra_forbidden":
            lines.append(f"{SETTINGS_FILE} has an unknown setting {name}; polytrades.example.toml lists them all.")
            continue
        given = "***" if name in SECRETS else repr(problem["input"])
        lines.append(
            f"The setting {name} is {given}: {problem['msg'].removeprefix('Value error, ')}. It was looked for in the "
            f"flags, in POLYTRADES_{name.upper()}, and in {SETTINGS_FILE}."
        )
    return "\n".join(lines)
