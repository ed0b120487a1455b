//! Requests in JSON: their lists are counted while they are read, before anything is made of them.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tonic::Status;

use super::{
    bounds::{Counting, FieldOf, ShapeOf, TooLarge},
    status,
};

/// Checks a request of a kind in JSON. What it does not know is left to whoever reads the message.
pub fn check(kind: &str, json: &[u8]) -> Result<(), Status> {
    let Some(shape) = ShapeOf::request(kind) else { return Ok(()) };
    let (mut counting, mut fault) = (Counting::default(), None);
    let mut reader = serde_json::Deserializer::from_slice(json);
    let walk = Walk { message: Some(shape), list: None, entered: None, counting: &mut counting, fault: &mut fault };
    let read = walk.deserialize(&mut reader).and_then(|()| reader.end());
    match (fault, read) {
        (Some(fault), _) => Err(status::too_large(&fault)),
        (None, Err(error)) => Err(status::malformed(&format!("it is no JSON: {error}"))),
        (None, Ok(())) => Ok(()),
    }
}

/// A value on the way.
struct Walk<'c> {
    /// The kind of message that it is, or that its elements are.
    message: Option<ShapeOf>,
    /// The field whose elements it holds, if it is a list.
    list: Option<FieldOf>,
    /// The field that it is one value of: another element, where the field is a list.
    entered: Option<FieldOf>,
    counting: &'c mut Counting,
    fault: &'c mut Option<TooLarge>,
}

fn noted<E: serde::de::Error>(fault: &mut Option<TooLarge>, counted: Result<(), TooLarge>) -> Result<(), E> {
    counted.map_err(|found| {
        let message = found.to_string();
        *fault = Some(found);
        E::custom(message)
    })
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        let Some(field) = self.entered else { return reader.deserialize_any(self) };
        noted(self.fault, field.enter(self.counting))?;
        let inner = Walk { entered: None, counting: &mut *self.counting, fault: &mut *self.fault, ..self };
        reader.deserialize_any(inner)?;
        FieldOf::leave(self.counting);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.list.is_some() {
            // A map: each of its keys is an element.
            while map.next_key::<IgnoredAny>()?.is_some() {
                let (counting, fault) = (&mut *self.counting, &mut *self.fault);
                map.next_value_seed(Walk { message: None, list: None, entered: self.list, counting, fault })?;
            }
            return Ok(());
        }
        let Some(message) = self.message else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        noted(self.fault, self.counting.enter())?;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let field = message.field(&name);
            let list = field.filter(|field| field.is_list());
            let entered = if list.is_some() { None } else { field };
            let message = field.and_then(FieldOf::message);
            let walk = Walk { message, list, entered, counting: &mut *self.counting, fault: &mut *self.fault };
            map.next_value_seed(walk)?;
        }
        self.counting.leave();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { message, list: entered, counting, fault, .. } = self;
        let mut next = || {
            let (counting, fault) = (&mut *counting, &mut *fault);
            elements.next_element_seed(Walk { message, list: None, entered, counting, fault })
        };
        while next()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/json.rs"]
mod tests;
