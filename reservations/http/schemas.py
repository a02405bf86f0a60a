"""JSON schemas of models, as both documents publish them: for REST and for Kafka."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core.core_schema import WithDefaultSchema

JsonSchema = dict[str, Any]
#: A model as it is read (validation) or as it is written (serialization).
Face = tuple[type[BaseModel], JsonSchemaMode]


class _PlainSchema(GenerateJsonSchema):
    """JSON schema with what a reader needs: no titles that repeat a field's name, no null as a default."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchema:
        plain = super().default_schema(schema)
        if plain.get("default", ...) is None:
            del plain["default"]
        return plain


@dataclass(frozen=True, slots=True)
class Schemas:
    """The JSON schemas of models: where each is referred to, and each by its name."""

    references: Mapping[Face, JsonSchema]
    named: Mapping[str, JsonSchema]

    @classmethod
    def of(cls, faces: Iterable[Face]) -> "Schemas":
        """Return the schemas of models, each once, to stand under `components`."""
        models = list(dict.fromkeys(faces))
        references, definitions = models_json_schema(
            models, ref_template="#/components/schemas/{model}", schema_generator=_PlainSchema
        )
        named = {name: _untitled(schema) for name, schema in definitions.get("$defs", {}).items()}
        return cls({face: references[face] for face in models}, named)

    def name(self, face: Face) -> str:
        """Return the name of a model's schema."""
        reference: str = self.references[face]["$ref"]
        return reference.rpartition("/")[2]

    def without(self, names: Iterable[str]) -> dict[str, JsonSchema]:
        """Return the schemas to publish, sorted: all but those."""
        hidden = set(names)
        return {name: schema for name, schema in sorted(self.named.items()) if name not in hidden}


def _untitled(schema: JsonSchema) -> JsonSchema:
    return {key: value for key, value in schema.items() if key != "title"}
