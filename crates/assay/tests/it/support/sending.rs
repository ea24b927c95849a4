//! An upload that is sent piece by piece.

use serde_json::{Value, json};

use super::{TestServer, answer};

pub struct Sending<'s> {
    pub server: &'s TestServer,
    pub id: String,
}

impl<'s> Sending<'s> {
    pub async fn begin(server: &'s TestServer, about: &Value) -> Self {
        let (status, upload) = server.post("/v1/uploads", about).await;
        assert_eq!(status, 201, "{upload:#}");
        let id = upload["id"].as_str().unwrap().to_owned();
        Self { server, id }
    }

    /// A whole upload called `name`.
    pub async fn whole(server: &'s TestServer, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let about = json!({"name": name, "length": bytes.len()});
        let upload = Self::begin(server, &about).await;
        let length = bytes.len() as u64;
        assert_eq!(upload.append(0, bytes, &[]).await.0, (204, Some(length)));
        upload
    }

    /// Status and `Upload-Offset`, and the answer.
    pub async fn append(&self, offset: u64, bytes: Vec<u8>, more: &[(&str, &str)]) -> ((u16, Option<u64>), Value) {
        let url = format!("{}/v1/uploads/{}", self.server.url, self.id);
        let mut request = self.server.http.patch(url).header("upload-offset", offset);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let response = request.body(bytes).send().await.unwrap();
        let reached = reached(&response);
        let (status, body) = answer(response).await;
        ((status, reached), body)
    }

    /// What HEAD tells: status, offset and whether it is complete.
    pub async fn head(&self) -> (u16, Option<u64>, bool) {
        let url = format!("{}/v1/uploads/{}", self.server.url, self.id);
        let response = self.server.http.head(url).send().await.unwrap();
        let complete = response.headers().get("upload-complete");
        let is_complete = complete.is_some_and(|value| value == "?1");
        (response.status().as_u16(), reached(&response), is_complete)
    }
}

fn reached(response: &reqwest::Response) -> Option<u64> {
    response.headers().get("upload-offset")?.to_str().ok()?.parse().ok()
}
