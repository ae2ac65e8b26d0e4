"""(e) A declarative source of airbyte-cdk.

Reads conversations, and also their messages if TAP_DRIFT_CONCURRENCY is set.
"""

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
REQUESTER = {
    "type": "HttpRequester",
    "url_base": os.environ["TAP_DRIFT_API_URL"],
    "http_method": "GET",
    "authenticator": {"type": "BearerAuthenticator", "api_token": "token"},
    # By default it makes 5 attempts, too few under a rate limit, and ignores Retry-After.
    "error_handler": {
        "type": "DefaultErrorHandler",
        "max_retries": 20,
        "backoff_strategies": [
            {"type": "WaitTimeFromHeader", "header": "Retry-After"},
            {"type": "ExponentialBackoffStrategy", "factor": 1},
        ],
    },
}
CONVERSATIONS = {
    "type": "DeclarativeStream",
    "name": "conversations",
    "primary_key": "id",
    "schema_loader": {"type": "InlineSchemaLoader", "schema": SCHEMA},
    "retriever": {
        "type": "SimpleRetriever",
        "requester": REQUESTER
        | {"path": "/conversations/list", "request_parameters": {"limit": "100"}},
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
MESSAGES = {
    "type": "DeclarativeStream",
    "name": "messages",
    "primary_key": "id",
    "schema_loader": {"type": "InlineSchemaLoader", "schema": SCHEMA},
    "retriever": {
        "type": "SimpleRetriever",
        "requester": REQUESTER
        | {"path": "/conversations/{{ stream_partition.conversation }}/messages"},
        "record_selector": {
            "type": "RecordSelector",
            "extractor": {"type": "DpathExtractor", "field_path": ["data", "messages"]},
        },
        "paginator": {
            "type": "DefaultPaginator",
            "page_token_option": {
                "type": "RequestOption",
                "inject_into": "request_parameter",
                "field_name": "next",
            },
            "pagination_strategy": {
                "type": "CursorPagination",
                "cursor_value": "{{ response.get('pagination', {}).get('next') }}",
                "stop_condition": "{{ not response.get('pagination', {}).get('more') }}",
            },
        },
        "partition_router": {
            "type": "SubstreamPartitionRouter",
            "parent_stream_configs": [
                {
                    "type": "ParentStreamConfig",
                    "stream": CONVERSATIONS,
                    "parent_key": "id",
                    "partition_field": "conversation",
                }
            ],
        },
    },
}
CONCURRENCY = int(os.environ.get("TAP_DRIFT_CONCURRENCY", "0"))
STREAMS = [CONVERSATIONS, MESSAGES] if CONCURRENCY else [CONVERSATIONS]
MANIFEST = {
    "version": "6.0.0",
    "type": "DeclarativeSource",
    "check": {"type": "CheckStream", "stream_names": ["conversations"]},
    "streams": STREAMS,
    "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
}
if CONCURRENCY:
    MANIFEST["concurrency_level"] = {
        "type": "ConcurrencyLevel",
        "default_concurrency": CONCURRENCY,
    }
CATALOG = {
    "streams": [
        {
            "stream": {
                "name": stream["name"],
                "json_schema": SCHEMA,
                "supported_sync_modes": ["full_refresh"],
            },
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        }
        for stream in STREAMS
    ]
}

with tempfile.TemporaryDirectory() as folder:
    config, catalog = Path(folder, "config.json"), Path(folder, "catalog.json")
    config.write_text(json.dumps({"__injected_declarative_manifest": MANIFEST}))
    catalog.write_text(json.dumps(CATALOG))
    sys.argv = ["source", "read", "--config", str(config), "--catalog", str(catalog)]
    run()
