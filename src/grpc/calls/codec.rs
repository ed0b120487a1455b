//! How messages come off the wire and go onto it: prost, behind the bounds of [`bounds`](super::bounds).

use std::marker::PhantomData;

use bytes::Buf;
use prost::{Message, Name};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use super::{bounds, status};

/// The codec of every method.
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder { kind: U::full_name(), message: PhantomData }
    }
}

/// Decodes messages that are within their bounds.
pub struct BoundedDecoder<U> {
    kind: String,
    message: PhantomData<U>,
}

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, wire: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A whole message is in one piece.
        if wire.chunk().len() == wire.remaining() {
            bounds::check_wire(&self.kind, wire.chunk()).map_err(|fault| status::too_large(&fault))?;
            return decode(wire);
        }
        let whole = wire.copy_to_bytes(wire.remaining());
        bounds::check_wire(&self.kind, &whole).map_err(|fault| status::too_large(&fault))?;
        decode(whole)
    }
}

fn decode<U: Message + Default>(wire: impl Buf) -> Result<Option<U>, Status> {
    U::decode(wire).map(Some).map_err(|error| status::malformed(&error.to_string()))
}
