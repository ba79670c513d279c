"""The JSON schema of a study, for editors and for messages, generated from the model."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from asrmeter.study.model import Study


class _Generator(GenerateJsonSchema):
    """Pydantic's generator with the model's keys, checked names, and defaults in the form that people write."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        made = {
            "type": "object",
            "propertyNames": self.generate_inner(schema["keys_schema"]),
            "additionalProperties": self.generate_inner(schema["values_schema"]),
        }
        self.update_with_validations(made, schema, self.ValidationsMapping.object)
        return made

    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().tagged_union_schema(schema)
        made.pop("discriminator", None)  # a word of OpenAPI; each branch says its kind
        return made

    def encode_default(self, dft: Any) -> Any:
        return _said(dft)


def _said(value: Any) -> Any:
    """Return a default as a person would write it, without keys that have their own default."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if dataclasses.is_dataclass(value):
        usual = {field.name: field.default for field in dataclasses.fields(value)}
        return {key: one for key, one in vars(value).items() if one != usual[key]}
    if isinstance(value, Mapping):
        return {key: _said(one) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value


def generate() -> dict[str, Any]:
    """Return the schema."""
    schema = Study.model_json_schema(schema_generator=_Generator)
    del schema["properties"]["device_note"]
    return {"$schema": _Generator.schema_dialect} | schema | {"title": "A study of asrmeter"}
