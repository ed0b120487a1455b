//! The description of the port for tools that know OpenAPI 3.1: made of the same descriptors as the calls, with what `proto/`
//! says of each.

use std::{collections::BTreeSet, sync::LazyLock};

use prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};
use serde_json::{Map, Value, json};

use super::content::Form;
use crate::grpc::POOL;

/// The whole of it.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// The description, in JSON.
pub fn text() -> &'static str {
    &DOCUMENT
}

fn document() -> Value {
    let mut paths = Map::new();
    let mut schemas = Schemas::default();
    for service in POOL.services() {
        for method in service.methods().filter(|method| !method.is_client_streaming()) {
            let path = format!("/{}/{}", service.full_name(), method.name());
            paths.insert(path, json!({ "post": operation(&method, &mut schemas) }));
        }
    }
    paths.insert("/v1/accounts/{account}/events".to_owned(), json!({ "post": events() }));
    let mut components = schemas.finished();
    components.insert("Error".to_owned(), error());
    components.insert("EventResults".to_owned(), event_results());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hookline",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache 2.0", "identifier": "Apache-2.0" },
            "description": "Turns a platform's domain events into conditional, templated webhook requests. Methods are called \
                by the Connect protocol, with messages in protobuf's JSON.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
    })
}

fn operation(method: &MethodDescriptor, schemas: &mut Schemas) -> Value {
    let (input, output) = (schemas.reference(&method.input()), schemas.reference(&method.output()));
    let service = method.parent_service();
    let description = comment(&method.parent_file(), method.path());
    let is_stream = method.is_server_streaming();
    let (request, answer) = match is_stream {
        false => (
            json!({ Form::Json.content_type(): { "schema": input } }),
            json!({ Form::Json.content_type(): { "schema": output } }),
        ),
        // Messages come in envelopes: what each holds cannot be said here.
        true => (json!({ Form::Json.stream_type(): {} }), json!({ Form::Json.stream_type(): {} })),
    };
    let description = match is_stream {
        false => description,
        true => format!(
            "{description}\n\nOne envelope with a `{}` comes in; envelopes with a `{}` each go out, and one that tells how it ended.",
            method.input().full_name(),
            method.output().full_name()
        ),
    };
    json!({
        "operationId": format!("{}.{}", service.name(), method.name()),
        "tags": [service.name()],
        "summary": sentence(&description),
        "description": description,
        "requestBody": { "required": true, "content": request },
        "responses": {
            "200": { "description": "What was asked for.", "content": answer },
            "default": failed(),
        },
    })
}

fn failed() -> Value {
    json!({
        "description": "Why not.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    })
}

fn events() -> Value {
    let results = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/EventResults" } } });
    let described = |text: &str| json!({ "description": text, "content": results });
    json!({
        "operationId": "events",
        "tags": ["EventService"],
        "summary": "Takes events in, in the form that their platform has.",
        "description": "One event or a list of up to 1,000: Pipedrive's envelopes (v1, v2), CloudEvents 1.0 (structured, in a batch, \
            binary), or events of ours. The answer comes when everything is durable that they cause.",
        "parameters": [{
            "name": "account", "in": "path", "required": true, "schema": { "type": "string" },
            "description": "The account that the events belong to.",
        }],
        "requestBody": { "required": true, "content": {
            "application/json": { "schema": { "type": ["object", "array"] } },
            "application/cloudevents+json": { "schema": { "type": "object" } },
            "application/cloudevents-batch+json": { "schema": { "type": "array", "items": { "type": "object" } } },
        } },
        "responses": {
            "200": described("Every event is taken in, or was before."),
            "400": described("Some were refused and never fit as they are; the others are taken in. Without `results`, nothing was."),
            "503": described("Some are neither taken in nor refused: send all of it again after `Retry-After`."),
            "default": failed(),
        },
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": { "type": "string", "description": "The code of gRPC, such as `invalid_argument`." },
            "message": { "type": "string" },
            "details": { "type": "array", "items": {
                "type": "object",
                "required": ["type", "value"],
                "properties": {
                    "type": { "type": "string", "description": "The kind of detail, such as `google.rpc.ErrorInfo`." },
                    "value": { "type": "string", "description": "It, as protobuf in base64 without padding." },
                    "debug": { "description": "It, readable." },
                },
            } },
        },
    })
}

fn event_results() -> Value {
    json!({
        "type": "object",
        "properties": {
            "results": { "type": "array", "items": {
                "type": "object",
                "required": ["index", "status"],
                "properties": {
                    "index": { "type": "integer" },
                    "status": { "type": "string", "enum": ["ACCEPTED", "DUPLICATE", "REJECTED", "RETRY_LATER"] },
                    "field": { "type": "string" },
                    "reason": { "type": "string" },
                    "message": { "type": "string" },
                },
            } },
        },
    })
}

/// The schemas of messages, each made once.
#[derive(Default)]
struct Schemas {
    made: Map<String, Value>,
    open: Vec<MessageDescriptor>,
    seen: BTreeSet<String>,
}

impl Schemas {
    /// A reference to a message, or the form that it has in JSON where it is one of those that everybody knows.
    fn reference(&mut self, message: &MessageDescriptor) -> Value {
        match message.full_name() {
            "google.protobuf.Timestamp" => return json!({ "type": "string", "format": "date-time" }),
            "google.protobuf.Duration" => {
                return json!({ "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$", "examples": ["2.5s"] });
            }
            "google.protobuf.FieldMask" => {
                return json!({ "type": "string", "description": "Names of fields in lowerCamelCase, separated by commas." });
            }
            _ => {}
        }
        if self.seen.insert(message.full_name().to_owned()) {
            self.open.push(message.clone());
        }
        json!({ "$ref": format!("#/components/schemas/{}", message.name()) })
    }

    /// All that was referred to, and what that refers to.
    fn finished(mut self) -> Map<String, Value> {
        while let Some(message) = self.open.pop() {
            let mut properties = Map::new();
            for field in message.fields() {
                let schema = self.field(&field);
                properties.insert(field.json_name().to_owned(), schema);
            }
            let description = comment(&message.parent_file(), message.path());
            let schema = json!({
                "type": "object", "description": description, "properties": properties, "additionalProperties": false,
            });
            self.made.insert(message.name().to_owned(), schema);
        }
        self.made
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut description = comment(&field.parent_message().parent_file(), field.path());
        let choice = field.containing_oneof().filter(|one| one.fields().len() > 1);
        if let Some(choice) = choice {
            let names: Vec<_> = choice.fields().map(|field| format!("`{}`", field.json_name())).collect();
            description = format!("{description}\n\nOne of {}.", names.join(", "));
        }
        let mut schema = match field.cardinality() {
            _ if field.is_map() => {
                let Kind::Message(entry) = field.kind() else { return json!({}) };
                json!({ "type": "object", "additionalProperties": self.kind(&entry.map_entry_value_field().kind()) })
            }
            Cardinality::Repeated => json!({ "type": "array", "items": self.kind(&field.kind()) }),
            _ => self.kind(&field.kind()),
        };
        let is_deprecated = field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated());
        if let Some(schema) = schema.as_object_mut() {
            if !description.is_empty() {
                schema.insert("description".to_owned(), description.into());
            }
            if is_deprecated {
                schema.insert("deprecated".to_owned(), true.into());
            }
        }
        schema
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Double | Kind::Float => json!({ "type": "number" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0 }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "string", "format": "int64" }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
            Kind::Enum(one) if one.full_name() == "google.protobuf.NullValue" => json!({ "type": "null" }),
            Kind::Enum(one) => enumeration(one),
            Kind::Message(message) => self.reference(message),
        }
    }
}

fn enumeration(one: &EnumDescriptor) -> Value {
    let names: Vec<_> = one.values().map(|value| value.name().to_owned()).collect();
    json!({ "type": "string", "enum": names })
}

/// What a `.proto` file says of something in it.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let found = info.and_then(|info| info.location.iter().find(|location| location.path == path));
    let lines = found.map(|location| location.leading_comments().lines().map(str::trim).collect::<Vec<_>>());
    lines.unwrap_or_default().join("\n").trim().to_owned()
}

/// Its first sentence.
fn sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    text.split_once(". ").map_or(text.clone(), |(first, _)| format!("{first}."))
}

#[cfg(test)]
#[path = "tests/openapi.rs"]
mod tests;
