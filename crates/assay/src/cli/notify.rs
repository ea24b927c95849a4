//! Whom to tell of the end of a job: the option that all commands share that submit one.

use assay_client::Target;
use clap::Args;

#[derive(Debug, Clone, Default, Args)]
pub struct NotifyArgs {
    /// Whom to tell of the end: address of a webhook, or of mail; may be given several times
    #[arg(long, value_name = "URL|ADDRESS", value_parser = parse_target)]
    pub notify: Vec<Target>,
}

/// What begins like a URL is a webhook; the server checks both.
fn parse_target(text: &str) -> Result<Target, String> {
    if text.contains("://") {
        return Ok(Target::Webhook(text.to_owned()));
    }
    match text.contains('@') {
        true => Ok(Target::Email(text.to_owned())),
        false => Err("it is neither a URL such as `https://example.org/told` nor a mail address".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_and_mail_addresses_are_told_apart() {
        assert_eq!(
            parse_target("https://a.example/x@y"),
            Ok(Target::Webhook("https://a.example/x@y".into()))
        );
        assert_eq!(
            parse_target("anna@a.example"),
            Ok(Target::Email("anna@a.example".into()))
        );
        assert!(parse_target("anna").is_err());
    }
}
