//! Which version is meant, and who makes one.

use assay_core::{Author, Code, DatasetName, Error, Result, Timestamp, Version};

use crate::app::App;
use crate::asker::Asker;

const MAX_MESSAGE: usize = 500;

/// The version that the parameter `name` means: a number, or the one that was newest at a time; the newest when it is
/// not there.
///
/// # Errors
/// `InvalidParameter`; `UnknownVersion`, `VersionExpired` of a time.
pub(crate) async fn version(
    app: &App,
    dataset: &DatasetName,
    text: Option<&str>,
    name: &str,
) -> Result<Option<Version>> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(number) = text.parse::<u64>() {
        return Ok(Some(Version(number)));
    }
    let at: Timestamp = text.parse().map_err(|_| {
        Error::new(
            Code::InvalidParameter,
            format!("`{name}` is `{text}`, which is neither a version nor a time"),
        )
        .hint("write a number such as `3`, or a time such as `2013-01-31T12:00:00Z`")
    })?;
    app.catalog.version_at(dataset, at).await.map(Some)
}

/// Who makes a version, and the word they have for it.
///
/// # Errors
/// `InvalidParameter` for a message that is too long.
pub(crate) fn author(asker: &Asker, message: Option<String>) -> Result<Author> {
    let message = message.filter(|message| !message.is_empty());
    if message
        .as_ref()
        .is_some_and(|message| message.chars().count() > MAX_MESSAGE)
    {
        let error = Error::new(
            Code::InvalidParameter,
            format!("`message` is longer than {MAX_MESSAGE} characters"),
        );
        return Err(error.hint("say it in fewer words").pointing("/message"));
    }
    Ok(Author {
        user: Some(asker.owner()),
        message,
    })
}
