//! How large a message may be before anything is made of it: its bytes, by method, and the elements of its repeated fields,
//! by field. Both come from the description of the wire format, so every door has the same bounds: [`Counting`] is told of
//! messages and elements by whoever reads them, here from the protobuf wire ([`check_wire`]).

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use prost_reflect::{Kind, MessageDescriptor};

use crate::grpc::descriptors::POOL;

/// How large a message of events may be: a frame, or a batch.
pub const EVENTS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How large a call may be that saves a resource, or tries one out.
pub const RESOURCE_BYTES_MAX: usize = 1024 * 1024;
/// How large any other call may be.
pub const CALL_BYTES_MAX: usize = 64 * 1024;
/// How many elements all repeated fields of one message have together.
pub const ELEMENTS_OF_ALL_MAX: usize = 100_000;
/// How deep messages nest.
const DEPTH_MAX: usize = 32;

/// Methods whose messages are events.
const OF_EVENTS: [&str; 2] = ["EventService/Publish", "EventService/PublishBatch"];
/// Methods that save a resource, or try one out.
const OF_RESOURCES: [&str; 10] = [
    "WebhookService/CreateWebhook",
    "WebhookService/UpdateWebhook",
    "AutomationService/CreateAutomation",
    "AutomationService/UpdateAutomation",
    "AutomationService/ActivateAutomation",
    "AutomationService/DeactivateAutomation",
    "CatalogueService/SetFields",
    "ExplainService/DryRun",
    "ExplainService/Backtest",
    "ExplainService/TestAutomation",
];
/// How many elements each repeated field of a request has at most. These only keep a tree small; what a field may hold is
/// said where it is checked, in words that help more.
const ELEMENTS_MAX: [(&str, usize); 27] = [
    ("hookline.v1.PublishRequest.events", 1_000),
    ("hookline.v1.PublishBatchRequest.events", 1_000),
    ("hookline.v1.Event.permitted_user_ids", 10_000),
    ("hookline.v1.PermittedUsers.user_ids", 10_000),
    ("hookline.v1.Automation.actions", 100),
    ("hookline.v1.Automation.trigger_actions", 100),
    ("hookline.v1.Automation.warnings", 1_000),
    ("hookline.v1.Activation.user_ids", 1_000),
    ("hookline.v1.ActivateAutomationRequest.user_ids", 1_000),
    ("hookline.v1.DeactivateAutomationRequest.user_ids", 1_000),
    ("hookline.v1.ConditionGroup.conditions", 200),
    ("hookline.v1.Clause.values", 200),
    ("hookline.v1.KeyValueBody.entries", 200),
    ("hookline.v1.FormBody.entries", 200),
    ("hookline.v1.WebhookAction.headers", 100),
    ("hookline.v1.Webhook.success_statuses", 100),
    ("hookline.v1.RetryPolicy.delays", 100),
    ("hookline.v1.RetryPolicy.final_failures", 100),
    ("hookline.v1.HeaderCredentials.headers", 100),
    ("hookline.v1.WebhookHealth.hours", 100),
    ("hookline.v1.ExecutionFilter.states", 100),
    ("hookline.v1.ExecutionFilter.reasons", 100),
    ("hookline.v1.ListExecutionsRequest.states", 100),
    ("hookline.v1.ListExecutionsRequest.reasons", 100),
    ("hookline.v1.SetFieldsRequest.fields", 1_000),
    ("hookline.v1.CatalogueField.options", 1_000),
    ("google.protobuf.FieldMask.paths", 100),
];
/// The same where nothing is listed; a test has every list of a request listed.
const ELEMENTS_OF_A_LIST_MAX: usize = 100;

/// A message is larger than it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// In bytes.
    #[error("the message has {bytes} bytes, the limit of this method is {most}")]
    Bytes {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// A repeated field has too many elements.
    #[error("{field}: has more than {most} elements")]
    Elements {
        /// The field's path.
        field: String,
        /// How many it may have.
        most: usize,
    },
    /// All repeated fields have too many elements together.
    #[error("the message has more than {ELEMENTS_OF_ALL_MAX} elements in its lists: send them in several calls")]
    OfAll,
    /// Messages nest too deep.
    #[error("{0}: nests deeper than {DEPTH_MAX} messages")]
    Depth(String),
    /// It is no message of that kind.
    #[error("the message cannot be read")]
    Malformed,
}

/// What one method takes.
#[derive(Debug, Clone, Copy)]
pub struct MethodBounds {
    /// How large its messages are at most, inflated.
    pub bytes_max: usize,
    /// The same for a body that is one message in JSON; a third more where bytes are in it, as base64.
    pub whole_bytes_max: usize,
    /// Whether the client may send more than one.
    pub is_stream: bool,
}

/// The kinds of messages that requests are made of, each as far as its bounds must know it; the first ones are requests.
struct Bounds {
    methods: HashMap<String, MethodBounds>,
    /// How large a kind of request is at most, and which shape it has.
    requests: HashMap<String, (usize, usize)>,
    shapes: Vec<Shape>,
}

#[derive(Default)]
struct Shape {
    fields: HashMap<u32, ShapeField>,
    /// Whether it has a list, or a message that has one.
    has_lists: bool,
}

pub(super) struct ShapeField {
    name: String,
    /// What it is called in JSON.
    json_name: String,
    /// How many elements it has at most, where it is a list.
    elements_max: Option<usize>,
    /// The shape of the message that it holds.
    message: Option<usize>,
    /// How large an element is where several are packed into one field: 0 where each tells by itself.
    packed_bytes: Option<usize>,
}

static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| {
    let mut bounds = Bounds { methods: HashMap::new(), requests: HashMap::new(), shapes: Vec::new() };
    let mut known = HashMap::new();
    for service in POOL.services() {
        for method in service.methods() {
            let bytes_max = match format!("{}/{}", service.name(), method.name()).as_str() {
                name if OF_EVENTS.contains(&name) => EVENTS_BYTES_MAX,
                name if OF_RESOURCES.contains(&name) => RESOURCE_BYTES_MAX,
                _ => CALL_BYTES_MAX,
            };
            let path = format!("/{}/{}", service.full_name(), method.name());
            let shape = add_shape(&method.input(), &mut bounds.shapes, &mut known);
            let has_bytes = has_bytes(&method.input(), &mut HashSet::new());
            let whole_bytes_max = if has_bytes { bytes_max / 3 * 4 } else { bytes_max };
            let is_stream = method.is_client_streaming();
            bounds.methods.insert(path, MethodBounds { bytes_max, whole_bytes_max, is_stream });
            bounds.requests.insert(method.input().full_name().to_owned(), (bytes_max, shape));
        }
    }
    // Messages may hold themselves, so this goes on until nothing changes.
    while let Some(at) = bounds.shapes.iter().position(|shape| !shape.has_lists && shape.reaches_lists(&bounds.shapes))
    {
        bounds.shapes[at].has_lists = true;
    }
    bounds
});

impl Shape {
    fn reaches_lists(&self, shapes: &[Shape]) -> bool {
        let of_field = |field: &ShapeField| {
            field.elements_max.is_some() || field.message.is_some_and(|message| shapes[message].has_lists)
        };
        self.fields.values().any(of_field)
    }
}

/// Whether a message has bytes, or holds a message that has.
fn has_bytes(message: &MessageDescriptor, seen: &mut HashSet<String>) -> bool {
    seen.insert(message.full_name().to_owned())
        && message.fields().any(|field| match field.kind() {
            Kind::Bytes => true,
            Kind::Message(inner) => has_bytes(&inner, seen),
            _ => false,
        })
}

fn add_shape(message: &MessageDescriptor, shapes: &mut Vec<Shape>, known: &mut HashMap<String, usize>) -> usize {
    if let Some(at) = known.get(message.full_name()) {
        return *at;
    }
    let at = shapes.len();
    shapes.push(Shape::default());
    known.insert(message.full_name().to_owned(), at);
    for field in message.fields() {
        // The key and the value of a map are a message that has them as its fields.
        let of_message = field.kind().as_message().map(|inner| add_shape(inner, shapes, known));
        let is_list = field.is_list() || field.is_map();
        let listed = ELEMENTS_MAX.iter().find(|(name, _)| *name == field.full_name());
        let packed_bytes = match field.kind() {
            _ if !is_list => None,
            Kind::String | Kind::Bytes | Kind::Message(_) => None,
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Some(8),
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Some(4),
            _ => Some(0),
        };
        shapes[at].fields.insert(
            field.number(),
            ShapeField {
                name: field.name().to_owned(),
                json_name: field.json_name().to_owned(),
                elements_max: is_list.then(|| listed.map_or(ELEMENTS_OF_A_LIST_MAX, |(_, most)| *most)),
                message: of_message,
                packed_bytes,
            },
        );
    }
    at
}

/// What a method takes; none where there is no such method.
pub fn method(path: &str) -> Option<MethodBounds> {
    BOUNDS.methods.get(path).copied()
}

/// How large a body is at most that is one message of a method in JSON, or in any form that HTTP has.
pub fn whole_bytes_max(path: &str) -> usize {
    method(path).map_or(CALL_BYTES_MAX, |method| method.whole_bytes_max)
}

/// How large the messages of a service are at most, inflated.
pub fn bytes_max(service: &str) -> usize {
    let of_service = BOUNDS.methods.iter().filter(|(path, _)| path.split('/').nth(1) == Some(service));
    of_service.map(|(_, method)| method.bytes_max).max().unwrap_or(CALL_BYTES_MAX)
}

/// Counts the elements of a message's lists, whatever form the message comes in: whoever reads it says where it is.
#[derive(Default)]
pub struct Counting {
    of_all: usize,
    /// The lists of each message that is open, by field number.
    open: Vec<HashMap<u32, usize>>,
    path: Vec<(String, Option<usize>)>,
}

impl Counting {
    /// A message begins.
    pub(super) fn enter(&mut self) -> Result<(), TooLarge> {
        if self.open.len() >= DEPTH_MAX {
            return Err(TooLarge::Depth(self.path()));
        }
        self.open.push(HashMap::new());
        Ok(())
    }

    /// The message that began last ends.
    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    /// So many more elements of a list of the message that is open. Answers the place of the last one.
    fn elements(&mut self, number: u32, field: &ShapeField, more: usize) -> Result<Option<usize>, TooLarge> {
        let Some(most) = field.elements_max else { return Ok(None) };
        self.of_all += more;
        if self.of_all > ELEMENTS_OF_ALL_MAX {
            return Err(TooLarge::OfAll);
        }
        let Some(lists) = self.open.last_mut() else { return Ok(None) };
        let count = lists.entry(number).or_default();
        *count += more;
        if *count > most {
            self.path.push((field.name.clone(), None));
            return Err(TooLarge::Elements { field: self.path(), most });
        }
        // An empty packed list has none.
        Ok(Some(count.saturating_sub(1)))
    }

    fn path(&self) -> String {
        let steps = self.path.iter().map(|(name, at)| match at {
            Some(at) => format!("{name}[{at}]"),
            None => name.clone(),
        });
        steps.collect::<Vec<_>>().join(".")
    }
}

/// A kind of message, for whoever counts its elements in another form than the wire's.
#[derive(Clone, Copy)]
pub(super) struct ShapeOf(usize);

impl ShapeOf {
    /// A kind of request.
    pub(super) fn request(kind: &str) -> Option<Self> {
        BOUNDS.requests.get(kind).map(|(_, shape)| Self(*shape))
    }

    /// Its field of a name, as it is in the `.proto` file or in JSON.
    pub(super) fn field(self, name: &str) -> Option<FieldOf> {
        let fields = &BOUNDS.shapes[self.0].fields;
        let found = fields.iter().find(|(_, field)| field.name == name || field.json_name == name);
        found.map(|(number, field)| FieldOf { number: *number, field })
    }
}

/// A field of a kind of message.
#[derive(Clone, Copy)]
pub(super) struct FieldOf {
    number: u32,
    field: &'static ShapeField,
}

impl FieldOf {
    /// The kind of message that it holds.
    pub(super) fn message(self) -> Option<ShapeOf> {
        self.field.message.map(ShapeOf)
    }

    /// Whether it has elements.
    pub(super) fn is_list(self) -> bool {
        self.field.elements_max.is_some()
    }

    /// One more element of it, where it is a list, and the way to it.
    pub(super) fn enter(self, counting: &mut Counting) -> Result<(), TooLarge> {
        let at = counting.elements(self.number, self.field, 1)?;
        counting.path.push((self.field.name.clone(), at));
        Ok(())
    }

    /// The way back.
    pub(super) fn leave(counting: &mut Counting) {
        counting.path.pop();
    }
}

/// Checks a request of a kind as it comes over the wire, before anything is made of it. Other messages pass.
pub fn check_wire(kind: &str, wire: &[u8]) -> Result<(), TooLarge> {
    let Some((most, shape)) = BOUNDS.requests.get(kind) else { return Ok(()) };
    if wire.len() > *most {
        return Err(TooLarge::Bytes { bytes: wire.len(), most: *most });
    }
    match BOUNDS.shapes[*shape].has_lists {
        true => count(*shape, wire, &mut Counting::default()),
        false => Ok(()),
    }
}

fn count(shape: usize, mut wire: &[u8], counting: &mut Counting) -> Result<(), TooLarge> {
    counting.enter()?;
    while !wire.is_empty() {
        let key = varint(&mut wire)?;
        let number = u32::try_from(key >> 3).map_err(|_| TooLarge::Malformed)?;
        let value = match key & 7 {
            0 => {
                varint(&mut wire)?;
                None
            }
            1 => take(&mut wire, 8)?,
            2 => {
                let length = usize::try_from(varint(&mut wire)?).map_err(|_| TooLarge::Malformed)?;
                take(&mut wire, length)?
            }
            5 => take(&mut wire, 4)?,
            // Groups are of no message of ours.
            _ => return Err(TooLarge::Malformed),
        };
        let Some(field) = BOUNDS.shapes[shape].fields.get(&number) else { continue };
        let more = match (field.packed_bytes, key & 7, value) {
            (Some(0), 2, Some(packed)) => packed.iter().filter(|byte| **byte < 0x80).count(),
            (Some(bytes), 2, Some(packed)) => packed.len() / bytes.max(1),
            _ => 1,
        };
        let at = counting.elements(number, field, more)?;
        if let (Some(message), 2, Some(inner)) = (field.message, key & 7, value)
            && BOUNDS.shapes[message].has_lists
        {
            counting.path.push((field.name.clone(), at));
            count(message, inner, counting)?;
            counting.path.pop();
        }
    }
    counting.leave();
    Ok(())
}

fn varint(wire: &mut &[u8]) -> Result<u64, TooLarge> {
    let mut value = 0_u64;
    for (at, byte) in wire.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *wire = &wire[at + 1..];
            return Ok(value);
        }
    }
    Err(TooLarge::Malformed)
}

fn take<'w>(wire: &mut &'w [u8], length: usize) -> Result<Option<&'w [u8]>, TooLarge> {
    let (taken, rest) = wire.split_at_checked(length).ok_or(TooLarge::Malformed)?;
    *wire = rest;
    Ok(Some(taken))
}

#[cfg(test)]
#[path = "tests/bounds.rs"]
mod tests;
