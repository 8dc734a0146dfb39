"""Who is asking, and what this server can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformer_e2e.server.settings import DEFAULT_ENTITY
from transformer_e2e.server.wire import encode_id

# Every other feature is off: the clients then take their simplest way (plain console text, MD5 digests).
FEATURES = (
    "LARGE_FILENAMES",
    "ARTIFACT_TAGS",
    "CLIENT_IDS",
    "ARTIFACT_COLLECTION_MEMBERSHIP_FILES",
    "USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION",
    "PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP",
    "TOTAL_COUNT_IN_FILE_CONNECTION",
    "MARK_RUN_FILES_UPLOADED",
    "ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE",
    "SWEEPS_QUERY_FILTERING",
    "ARTIFACT_COLLECTIONS_FILTERING_SORTING",
)


def entity_view(name: str | None) -> dict[str, Any]:
    """An entity as clients see it; there are no organisations and no teams."""
    name = name or DEFAULT_ENTITY
    return {"id": encode_id("Entity", name), "name": name, "is_team": False, "organization": None}


def user_view(name: str) -> dict[str, Any]:
    return {
        "id": encode_id("User", name),
        "name": name,
        "username": name,
        "entity": name,
        "email": f"{name}@localhost",
        "admin": True,
        "flags": "{}",
        "deleted_at": None,
        "api_keys": {"edges": []},
        "teams": {"edges": []},
        "organizations": [],
        "default_entity": entity_view(name),
    }


def _viewer(_parent: None, info: Any) -> dict[str, Any]:
    return user_view(info.context.user)


def _user(_parent: None, info: Any, userName: str | None = None) -> dict[str, Any] | None:
    return user_view(info.context.user) if userName in (None, info.context.user) else None


def _users(_parent: None, info: Any, query: str | None = None) -> dict[str, Any]:
    user = user_view(info.context.user)
    return {"edges": [{"node": user}] if query in (user["username"], user["email"]) else []}


def _server_info(_parent: None, info: Any) -> dict[str, Any]:
    return {
        "features": [{"name": name, "is_enabled": True} for name in FEATURES],
        "cli_version_info": {"min_cli_version": "0.0.0", "max_cli_version": "999.0.0"},
        "latest_local_version_info": None,
    }


def _entity(_parent: None, info: Any, name: str | None = None) -> dict[str, Any]:
    return entity_view(name)


def _entity_user(parent: dict[str, Any], info: Any) -> dict[str, Any]:
    return user_view(parent["name"])


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Query": {
        "viewer": _viewer,
        "user": _user,
        "users": _users,
        "serverInfo": _server_info,
        "entity": _entity,
    },
    "Entity": {"user": _entity_user},
}
