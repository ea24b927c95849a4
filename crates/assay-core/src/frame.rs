//! Frames on the pipe between the server and an engine process: a length in four bytes (big endian), then
//! MessagePack, where texts and bytes are as they are.

use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Frames beyond this are a fault of the peer.
const MAX_FRAME_BYTES: u32 = 256 << 20;

/// Writes one frame and flushes it.
///
/// # Errors
/// When the value cannot be serialized or the pipe is closed.
pub async fn write_frame<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), value: &T) -> std::io::Result<()> {
    let mut bytes = vec![0; 4];
    // With the names of members, as absent ones are left out.
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    value.serialize(&mut serializer).map_err(std::io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4)
        .ok()
        .filter(|length| *length <= MAX_FRAME_BYTES);
    let length = length.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidInput, "frame too large"))?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    to.write_all(&bytes).await?;
    to.flush().await
}

/// Reads one frame; `None` when the peer closed the pipe between frames.
///
/// # Errors
/// When the pipe breaks inside a frame or the frame is not what was expected.
pub async fn read_frame<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<T>> {
    let mut head = [0; 4];
    if !some(from.read_exact(&mut head).await)? {
        return Ok(None);
    }
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body).await?;
    decoded(&body).map(Some)
}

/// As [`read_frame`], for a thread that may wait.
///
/// # Errors
/// As [`read_frame`].
pub fn read_frame_blocking<T: DeserializeOwned>(from: &mut impl Read) -> std::io::Result<Option<T>> {
    let mut head = [0; 4];
    if !some(from.read_exact(&mut head))? {
        return Ok(None);
    }
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body)?;
    decoded(&body).map(Some)
}

fn decoded<T: DeserializeOwned>(body: &[u8]) -> std::io::Result<T> {
    rmp_serde::from_slice(body).map_err(|cause| std::io::Error::new(std::io::ErrorKind::InvalidData, cause))
}

/// Whether there was something to read before the end.
fn some<T>(read: std::io::Result<T>) -> std::io::Result<bool> {
    match read {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn length(head: [u8; 4]) -> std::io::Result<usize> {
    let length = u32::from_be_bytes(head);
    if length > MAX_FRAME_BYTES {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "frame too large"));
    }
    Ok(length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_arrive_one_by_one_and_then_the_end() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let writer = tokio::spawn(async move {
            write_frame(&mut near, &"a".repeat(500)).await.unwrap();
            write_frame(&mut near, &7).await.unwrap();
        });
        assert_eq!(read_frame::<String>(&mut far).await.unwrap().unwrap().len(), 500);
        assert_eq!(read_frame::<i32>(&mut far).await.unwrap(), Some(7));
        assert_eq!(read_frame::<i32>(&mut far).await.unwrap(), None);
        writer.await.unwrap();
    }

    #[test]
    fn a_thread_may_wait_for_frames() {
        let bytes: &[u8] = &[0, 0, 0, 1, 7, 0, 0, 0, 2, 0xa1, b'a', 0, 0];
        let mut from = bytes;
        assert_eq!(read_frame_blocking::<i32>(&mut from).unwrap(), Some(7));
        assert_eq!(read_frame_blocking::<String>(&mut from).unwrap().unwrap(), "a");
        assert_eq!(read_frame_blocking::<i32>(&mut from).unwrap(), None);
        assert!(read_frame_blocking::<String>(&mut &bytes[5..10]).is_err());
    }

    #[tokio::test]
    async fn a_length_beyond_the_bound_is_refused_before_it_is_read() {
        let bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, b'x'];
        assert!(read_frame::<String>(&mut &*bytes).await.is_err());
        assert!(read_frame_blocking::<String>(&mut &*bytes).is_err());
    }
}
