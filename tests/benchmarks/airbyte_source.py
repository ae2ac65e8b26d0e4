"""(e) airbyte-cdk's declarative source, with a manifest for this listing."""

import json
import os
import sys
import tempfile
from pathlib import Path

from airbyte_cdk.cli.source_declarative_manifest import run

SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": True,
    "properties": {name: {"type": ["integer", "null"]} for name in ("id", "contactId", "inboxId")}
    | {name: {"type": ["integer", "null"]} for name in ("createdAt", "updatedAt")}
    | {"status": {"type": ["string", "null"]}},
}
STREAM = {
    "type": "DeclarativeStream",
    "name": "conversations",
    "primary_key": "id",
    "schema_loader": {"type": "InlineSchemaLoader", "schema": SCHEMA},
    "retriever": {
        "type": "SimpleRetriever",
        "requester": {
            "type": "HttpRequester",
            "url_base": os.environ["TAP_DRIFT_API_URL"],
            "path": "/conversations/list",
            "http_method": "GET",
            "request_parameters": {"limit": "100"},
            "authenticator": {"type": "BearerAuthenticator", "api_token": "token"},
        },
        "record_selector": {
            "type": "RecordSelector",
            "extractor": {"type": "DpathExtractor", "field_path": ["data"]},
        },
        "paginator": {
            "type": "DefaultPaginator",
            "page_token_option": {"type": "RequestPath"},
            "pagination_strategy": {
                "type": "CursorPagination",
                "cursor_value": "{{ response.get('links', {}).get('next') }}",
                "stop_condition": "{{ not response.get('links', {}).get('next') }}",
            },
        },
    },
}
MANIFEST = {
    "version": "6.0.0",
    "type": "DeclarativeSource",
    "check": {"type": "CheckStream", "stream_names": ["conversations"]},
    "streams": [STREAM],
    "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
}
CATALOG = {
    "streams": [
        {
            "stream": {
                "name": "conversations",
                "json_schema": SCHEMA,
                "supported_sync_modes": ["full_refresh"],
            },
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        }
    ]
}

with tempfile.TemporaryDirectory() as folder:
    config, catalog = Path(folder, "config.json"), Path(folder, "catalog.json")
    config.write_text(json.dumps({"__injected_declarative_manifest": MANIFEST}))
    catalog.write_text(json.dumps(CATALOG))
    sys.argv = ["source", "read", "--config", str(config), "--catalog", str(catalog)]
    run()
