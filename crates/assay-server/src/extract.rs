//! Bodies, queries and headers of requests, read strictly: what is not understood is refused with its place.

use assay_core::{Code, Error};
use axum::body::Body;
use axum::extract::FromRequestParts;
use futures::StreamExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::problem::Problem;

/// The names and ids in a path.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        found.map(|axum::extract::Path(found)| Self(found)).map_err(|_| {
            Error::new(Code::InvalidRequest, "a name in the path is not UTF-8")
                .hint("encode it as UTF-8, then by percent signs")
                .into()
        })
    }
}

/// The body of a request as JSON of at most `limit` bytes.
///
/// # Errors
/// `InvalidRequest` with line and column, or with the JSON pointer of the member; `BodyTooLarge`;
/// `UnsupportedFormat` when the content type says that it is something else.
pub(crate) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body, limit: usize) -> Result<T, Error> {
    if let Some(kind) = text(headers, &header::CONTENT_TYPE)? {
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = essence == "application/json" || essence.ends_with("+json");
        // What `curl -d` says unless told otherwise.
        if !is_json && essence != "application/x-www-form-urlencoded" {
            return Err(Error::new(
                Code::UnsupportedFormat,
                format!("a body of type `{essence}` is not read here"),
            )
            .hint("send JSON with `Content-Type: application/json`"));
        }
    }
    parse(&bytes(body, limit).await?)
}

/// What of a body that is too large is read all the same, so that the client has sent it and reads the answer.
const DRAINED: usize = 16 << 20;

/// The body of a request, of at most `limit` bytes.
///
/// # Errors
/// `BodyTooLarge`; `InvalidRequest` when it was cut off.
pub(crate) async fn bytes(body: Body, limit: usize) -> Result<Vec<u8>, Error> {
    let mut stream = body.into_data_stream();
    let (mut bytes, mut size) = (Vec::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|_| Error::new(Code::InvalidRequest, "the body was cut off").hint("send it again"))?;
        size += chunk.len();
        if size <= limit {
            bytes.extend_from_slice(&chunk);
        } else if size > limit.saturating_add(DRAINED) {
            break;
        }
    }
    if size > limit {
        return Err(too_large(limit as u64));
    }
    Ok(bytes)
}

pub(crate) fn too_large(limit: u64) -> Error {
    Error::new(
        Code::BodyTooLarge,
        format!("the body is larger than the limit of {limit} bytes"),
    )
    .hint("send less; files are uploaded to `/v1/datasets/{name}/import`")
}

/// Bytes as a JSON object.
///
/// # Errors
/// `InvalidRequest` as in [`json`].
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    if bytes.is_empty() {
        return Err(Error::new(Code::InvalidRequest, "the body is empty").hint("send a JSON object"));
    }
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|fault| explain(&fault, None))?;
        return Err(Error::new(Code::InvalidRequest, "the body is JSON, but not an object").hint("send a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|fault| {
        let pointer = pointer(fault.path());
        explain(&fault.into_inner(), pointer)
    })?;
    reader.end().map_err(|fault| explain(&fault, None))?;
    Ok(value)
}

fn explain(fault: &serde_json::Error, pointer: Option<String>) -> Error {
    let (line, column) = (fault.line() as u64, fault.column() as u64);
    let text = fault.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let is_syntax = fault.is_syntax() || fault.is_eof();
    let message = if is_syntax {
        format!("the body is not valid JSON: {text}")
    } else {
        format!("the body does not have the form expected: {text}")
    };
    let error = Error::new(Code::InvalidRequest, message).hint("`/docs` shows the members of every request");
    match pointer {
        Some(pointer) if !is_syntax => error.pointing(pointer),
        _ => error.at(line, Some(column)),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> Option<String> {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => return None,
        }
    }
    (!pointer.is_empty()).then_some(pointer)
}

/// The pairs of a query.
pub(crate) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

/// The parameters of a query, each known and at most once.
///
/// # Errors
/// `InvalidParameter` that names the parameter and what is known.
pub(crate) fn query<const N: usize>(query: Option<&str>, known: [&str; N]) -> Result<[Option<String>; N], Error> {
    once(pairs(query), known, &[])
}

/// As [`query`], of pairs beside a `list` that may come many times. Others, called `elsewhere`, were taken before.
///
/// # Errors
/// As [`query`].
pub(crate) fn pairs_with_list<const N: usize>(
    pairs: Vec<(String, String)>,
    known: [&str; N],
    list: &str,
    elsewhere: &[&str],
) -> Result<([Option<String>; N], Vec<String>), Error> {
    let (listed, others): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| name == list);
    let also: Vec<&str> = elsewhere.iter().copied().chain([list]).collect();
    let values = once(others, known, &also)?;
    Ok((values, listed.into_iter().map(|(_, value)| value).collect()))
}

fn once<const N: usize>(
    pairs: Vec<(String, String)>,
    known: [&str; N],
    also: &[&str],
) -> Result<[Option<String>; N], Error> {
    let mut values = [const { None }; N];
    for (name, value) in pairs {
        let Some(place) = known.iter().position(|known| *known == name) else {
            return Err(Error::new(
                Code::InvalidParameter,
                format!("the parameter `{name}` is not known here"),
            )
            .hint(assay_core::names::suggest(
                &name,
                known.into_iter().chain(also.iter().copied()),
            )));
        };
        if values[place].replace(value).is_some() {
            return Err(twice(&name));
        }
    }
    Ok(values)
}

/// The fault of a parameter that is given more than once.
pub(crate) fn twice(name: &str) -> Error {
    Error::new(Code::InvalidParameter, format!("the parameter `{name}` is given twice")).hint("give it once")
}

/// A yes or no of a query; no when it is not there.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn flag(name: &str, value: Option<&str>) -> Result<bool, Error> {
    match value {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(value) => Err(Error::new(
            Code::InvalidParameter,
            format!("`{name}` is `{value}`, but must be `true` or `false`"),
        )),
    }
}

/// A number of a query within `least..=most`, or `default`.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn number(name: &str, value: Option<&str>, least: u64, most: u64, default: u64) -> Result<u64, Error> {
    let Some(value) = value else { return Ok(default) };
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            Error::new(
                Code::InvalidParameter,
                format!("`{name}` is `{value}`, but must be a whole number from {least} to {most}"),
            )
            .hint(format!("leave it out to have {default}"))
        })
}

/// A header as text, when there is one.
///
/// # Errors
/// `InvalidRequest` when it is not plain text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    value.to_str().map(|text| Some(text.trim())).map_err(|_| {
        Error::new(
            Code::InvalidRequest,
            format!("the header `{name}` has characters outside of ASCII"),
        )
        .hint("use plain letters, digits and signs")
    })
}

/// The revisions that an `If-Match` names; any will do when there is none, or a `*`.
///
/// # Errors
/// `InvalidRequest` when it is not plain text.
pub(crate) fn revisions(headers: &HeaderMap) -> Result<Option<Vec<u64>>, Error> {
    let known = text(headers, &header::IF_MATCH)?.filter(|known| *known != "*");
    // What is no tag of ours, e.g. a weak one, names no revision.
    let revision = |tag: &str| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    Ok(known.map(|known| known.split(',').filter_map(revision).collect()))
}

/// Whether the list of an `If-None-Match` names `etag`.
pub(crate) fn has_tag(known: &str, etag: &str) -> bool {
    known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the way there is of interest")]
    struct Body {
        name: String,
        #[serde(default)]
        inner: Vec<u8>,
    }

    fn fault(text: &str) -> Error {
        parse::<Body>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn faults_have_a_place() {
        let syntax = fault("{\n  \"name\": \n}");
        assert_eq!(syntax.code, Code::InvalidRequest);
        assert_eq!(syntax.errors[0].line, Some(3));
        assert_eq!(
            fault(r#"{"name":"a","inner":[1,"x"]}"#).errors[0].pointer.as_deref(),
            Some("/inner/1")
        );
        let unknown = fault(r#"{"name":"a","iner":[]}"#);
        assert_eq!(unknown.errors[0].pointer.as_deref(), Some("/iner"));
        assert!(unknown.message.contains("`inner`"), "{}", unknown.message);
        assert!(fault(r#"{"name":"a"} x"#).message.contains("trailing"));
        assert!(fault(r#"["a",[]]"#).message.contains("not an object"));
        assert_eq!(fault("[1,]").errors[0].column, Some(4));
    }

    #[test]
    fn revisions_are_named_by_strong_tags() {
        let named = |known: &'static str| {
            let headers = HeaderMap::from_iter([(header::IF_MATCH, http::HeaderValue::from_static(known))]);
            revisions(&headers).unwrap()
        };
        assert_eq!(named("*"), None);
        assert_eq!(named("\"7\""), Some(vec![7]));
        assert_eq!(named("\"7\", \"x\",\"9\", W/\"8\", 6"), Some(vec![7, 9]));
        assert_eq!(revisions(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn queries_are_strict() {
        assert_eq!(query(Some("limit=5"), ["limit"]).unwrap(), [Some("5".to_owned())]);
        let unknown = query(Some("limt=5"), ["limit"]).unwrap_err();
        assert_eq!(unknown.hint.as_deref(), Some("did you mean `limit`?"));
        assert!(query(Some("limit=5&limit=6"), ["limit"]).is_err());
        let ([limit], tags) = pairs_with_list(pairs(Some("tag=a&limit=5&tag=b")), ["limit"], "tag", &[]).unwrap();
        assert_eq!((limit.as_deref(), tags.concat().as_str()), (Some("5"), "ab"));
        let unknown = pairs_with_list(pairs(Some("tags=a")), ["limit"], "tag", &["tagged"]).unwrap_err();
        assert_eq!(unknown.hint.as_deref(), Some("did you mean `tag`, `tagged`?"));
        assert_eq!(number("limit", None, 1, 10, 7), Ok(7));
        assert!(number("limit", Some("11"), 1, 10, 7).is_err());
    }
}
