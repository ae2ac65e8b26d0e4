"""JSON Schemas of the streams, loaded by stream name."""

from pathlib import Path

from singer_sdk.schema.source import SchemaDirectory

_PACKAGED = Path(__file__).parent / "schemas"
_CHECKOUT = Path(__file__).parents[1] / "schemas"

# The only copy is at the root of the checkout; a built wheel carries it inside the package.
SCHEMAS = SchemaDirectory(_PACKAGED if _PACKAGED.is_dir() else _CHECKOUT)
