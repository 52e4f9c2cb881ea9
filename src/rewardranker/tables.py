"""Tables of dataclasses as Parquet: one row an object, one column a field."""

import types
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from rewardranker.errors import UserError
from rewardranker.files import atomic_path, encodable

Row = TypeVar("Row")

_BATCH = 1000
"""Rows that `parquet_rows` holds."""

_ROW_GROUP = 5000
"""Rows that `TableWriter` holds; a row counts as many as the longest of its lists has items."""

_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _arrow_type(annotation: Any) -> pa.DataType:
    if annotation in _ARROW:
        return _ARROW[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        (inner,) = [a for a in arguments if a is not type(None)]
        return _arrow_type(inner)
    if origin is typing.Literal:
        return pa.string()
    if origin in (tuple, list):
        return pa.list_(_arrow_type(arguments[0]))
    raise TypeError(f"no Parquet column for a field of type {annotation}")


def table_schema(row_type: type[Any]) -> pa.Schema:
    """The columns of a table of `row_type`, a dataclass."""
    hints = typing.get_type_hints(row_type)
    return pa.schema([(f.name, _arrow_type(hints[f.name])) for f in fields(row_type)])


def write_table(path: Path, row_type: type[Row], rows: Sequence[Row]) -> None:
    """Write `rows` (instances of the dataclass `row_type`) as Parquet, atomically."""
    schema = table_schema(row_type)
    columns = [_column([getattr(r, f.name) for r in rows], f.type) for f in schema]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), temporary, compression="zstd")


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array(list(map(_encodable, values)), kind)


def _encodable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return list(map(_encodable, value))
    return encodable(value) if isinstance(value, str) else value


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:  # pq.read_table would also make columns of folders called a=b
            yield file
    except pa.ArrowInvalid as e:
        raise UserError(f"{path}: not a Parquet file ({e})") from e
    except OSError as e:
        raise UserError(f"{path}: cannot read it ({e.strerror or e})") from e


class TableWriter:
    """A Parquet file of `row_type` (a dataclass) that is written as its rows come, some thousands at a time.

    The file is whole once `close` was called.
    """

    def __init__(self, path: Path, row_type: type[Any]) -> None:
        self._schema = table_schema(row_type)
        self._rows: list[dict[str, Any]] = []
        self._values = 0
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, row: dict[str, Any]) -> None:
        """Add a row: its fields by their names."""
        self._rows.append(row)
        self._values += max((len(v) for v in row.values() if isinstance(v, (list, tuple))), default=1)
        if self._values >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the file's end."""
        if self._rows:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        columns = [_column([row.get(f.name) for row in self._rows], f.type) for f in self._schema]
        self._file.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows, self._values = [], 0


def read_parquet(path: Path) -> pa.Table:
    """Any Parquet file as an Arrow table.

    Raises:
        UserError: the file is missing, unreadable or not Parquet.
    """
    with _opened(path) as file:
        return file.read()


def parquet_columns(path: Path) -> list[str]:
    """The names of the columns of any Parquet file.

    Raises:
        UserError: as `read_parquet`.
    """
    with _opened(path) as file:
        names: list[str] = file.schema_arrow.names
        return names


def count_parquet(path: Path) -> int:
    """How many rows any Parquet file has.

    Raises:
        UserError: as `read_parquet`.
    """
    with _opened(path) as file:
        n: int = file.metadata.num_rows
        return n


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of any Parquet file, of which a thousand are held at a time.

    Raises:
        UserError: as `read_parquet`.
    """
    with _opened(path) as file:
        for batch in file.iter_batches(_BATCH):
            yield from batch.to_pylist()


def read_table(path: Path, row_type: type[Row]) -> list[Row]:
    """Read what `write_table` wrote, maybe before a field with a default was added.

    Raises:
        UserError: the file is missing, not Parquet, or lacks a column of `row_type`.
    """
    names = [f.name for f in fields(row_type)]  # type: ignore[arg-type]
    hints = typing.get_type_hints(row_type)
    table = read_parquet(path)
    defaults = {f.name: f.default for f in fields(row_type) if f.default is not MISSING}  # type: ignore[arg-type]
    missing = [n for n in names if n not in table.column_names and n not in defaults]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; columns: {', '.join(table.column_names)}")
    columns: list[list[Any]] = []
    for name in names:
        known = name in table.column_names
        values = table.column(name).to_pylist() if known else [defaults[name]] * len(table)
        if typing.get_origin(hints[name]) is tuple:
            values = [tuple(v) for v in values]
        columns.append(values)
    return [row_type(*values) for values in zip(*columns, strict=True)]
