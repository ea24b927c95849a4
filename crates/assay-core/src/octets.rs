//! Bytes inside what is serialized: as they are, or in text by the standard alphabet of RFC 4648 §4, with padding.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        return serializer.serialize_str(&STANDARD.encode(bytes));
    }
    serializer.serialize_bytes(bytes)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    if deserializer.is_human_readable() {
        return deserializer.deserialize_str(Octets);
    }
    deserializer.deserialize_byte_buf(Octets)
}

struct Octets;

impl Visitor<'_> for Octets {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("bytes, in text as base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        STANDARD.decode(text).map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Held(#[serde(with = "super")] Vec<u8>);

    #[test]
    fn bytes_come_back_from_text_and_from_bytes() {
        let held = Held(vec![0, 255, 10]);
        let text = serde_json::to_string(&held).unwrap();
        assert_eq!(text, r#""AP8K""#);
        assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
        assert!(serde_json::from_str::<Held>(r#""AP8""#).is_err());
        assert!(serde_json::from_str::<Held>("[1]").is_err());
        let bytes = rmp_serde::to_vec(&held).unwrap();
        assert_eq!(bytes, [0xc4, 3, 0, 255, 10], "bin 8 of the MessagePack specification");
        assert_eq!(rmp_serde::from_slice::<Held>(&bytes).unwrap(), held);
    }
}
