"""The column types of the sources' YAML as Arrow types."""

import pyarrow as pa

TYPES = {
    "string": pa.string(),
    "bigint": pa.int64(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
