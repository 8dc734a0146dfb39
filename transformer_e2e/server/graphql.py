"""One GraphQL schema out of the packages' parts, executed leniently.

The clients' queries differ from version to version. Queries are therefore executed without the validation
pass (unknown fields, arguments and fragments are left out), and every variable is declared anew as the
scalar `Any`, because an input type that the schema lacks would fail the whole request. Resolvers check
what they use.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    NamedTypeNode,
    NameNode,
    OperationDefinitionNode,
    VariableDefinitionNode,
    Visitor,
    build_schema,
    execute_sync,
    parse,
    visit,
)

from transformer_e2e.server import storage_errors
from transformer_e2e.server.context import Context
from transformer_e2e.server.wire import Refusal

FOLDER = Path(__file__).parent / "schema"
Resolvers = Mapping[str, Mapping[str, Callable[..., Any]]]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """An HTTP status and the JSON body that goes with it."""

    status: int
    body: dict[str, Any]


def assemble(*parts: Resolvers) -> GraphQLSchema:
    """The schema files of this package with the resolvers of `parts`. A resolver of a field that no file
    declares, or two for one field, raises ValueError: it could never be called."""
    text = "\n".join(path.read_text() for path in sorted(FOLDER.glob("*.graphql")))
    schema = build_schema(text, assume_valid=True)
    for part in parts:
        for type_name, resolvers in part.items():
            type_ = schema.type_map.get(type_name)
            for name, resolver in resolvers.items():
                if not isinstance(type_, GraphQLObjectType) or name not in type_.fields:
                    raise ValueError(f"no schema file declares {type_name}.{name}")
                if type_.fields[name].resolve is not None:
                    raise ValueError(f"two resolvers for {type_name}.{name}")
                type_.fields[name].resolve = resolver
    return schema


def execute(schema: GraphQLSchema, request: Any, context: Context) -> Answer:
    """Answer one GraphQL request `{"query", "variables", "operationName"}`; never raises.

    A refusal in any field refuses the whole request with its status. Runs in a worker thread.
    """
    try:
        query, variables = _checked(request)
        document = _prepared(query)
    except (Refusal, GraphQLError) as error:
        return _refused(getattr(error, "status", 400), error.message)
    result = execute_sync(
        schema,
        document,
        variable_values={**_missing(document), **variables},
        operation_name=request.get("operationName") or None,
        context_value=context,
        field_resolver=_read_field,
    )
    if result.errors:
        return _first_refusal(result.errors)
    return Answer(200, {"data": result.data})


def _checked(request: Any) -> tuple[str, dict[str, Any]]:
    query = request.get("query") if isinstance(request, dict) else None
    if not isinstance(query, str):
        raise Refusal(400, "the request must be a JSON object with a 'query' string")
    variables = request.get("variables") or {}
    if not isinstance(variables, dict):
        raise Refusal(400, "'variables' must be a JSON object")
    return query, variables


@lru_cache(maxsize=512)
def _prepared(query: str) -> DocumentNode:
    document = parse(query, no_location=True)
    return visit(document, _AnyVariables())


class _AnyVariables(Visitor):
    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> VariableDefinitionNode:
        return VariableDefinitionNode(
            variable=node.variable,
            type=NamedTypeNode(name=NameNode(value="Any")),
            default_value=node.default_value,
        )


def _operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]


def _missing(document: DocumentNode) -> dict[str, None]:
    """Null for each variable without a default, so that resolvers know only values and None."""
    return {
        variable.variable.name.value: None
        for operation in _operations(document)
        for variable in operation.variable_definitions or ()
        if variable.default_value is None
    }


def _first_refusal(errors: list[GraphQLError]) -> Answer:
    for error in errors:
        original = error.original_error
        if isinstance(original, Refusal):
            return _refused(original.status, original.message)
        if original is not None and storage_errors.is_out_of_space(original):
            return _refused(503, storage_errors.report(original))
    cause = errors[0].original_error
    if cause is not None:
        log.error("internal error in %s", errors[0].path, exc_info=cause)
        return _refused(400, f"internal error in the embedded server: {type(cause).__name__}: {cause}")
    return _refused(400, errors[0].message)


def _refused(status: int, message: str) -> Answer:
    return Answer(status, {"errors": [{"message": message}]})


def _read_field(parent: Any, info: GraphQLResolveInfo, **_arguments: Any) -> Any:
    """A field without a resolver: the parent's key of that name, or of its snake_case spelling, or null."""
    if parent is None:
        return None
    keys = parent.keys()
    for key in (info.field_name, _snake_case(info.field_name)):
        if key in keys:
            return parent[key]
    return None


@lru_cache(maxsize=2048)
def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
