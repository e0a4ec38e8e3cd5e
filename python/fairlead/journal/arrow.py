"""pyarrow, or an error that says what to install."""

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as error:  # pragma: no cover
    raise ImportError("archives and Arrow tables of a journal need pyarrow: pip install 'fairlead[archive]'") from error

__all__ = ["pa", "pc", "pq"]
