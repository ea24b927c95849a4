//! What a mail says: one job or several, as plain text and as HTML, with a small chart where the answer suits one.

use assay_core::{Job, State};

use super::bodies::{ending, sentence};
use super::chart::{self, Chart};

const BAR_WIDTH: usize = 32;
/// Charts in one mail; a digest of hundreds is a list.
pub(super) const MAX_CHARTS: usize = 5;
/// Jobs that a mail tells one by one.
const MAX_JOBS: usize = 200;

pub(super) struct Letter {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// A letter about `jobs`, at least one, in the order of their ends.
pub(super) fn about(jobs: &[Job], public_url: Option<&str>) -> Letter {
    let subject = subject(jobs);
    let mut text = format!("{subject}\n");
    let mut html = format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"></head>\
         <body style=\"font-family:sans-serif;color:#1c2430\"><p>{}</p>\n",
        escaped(&subject)
    );
    let mut charts = 0;
    for job in jobs.iter().take(MAX_JOBS) {
        let chart = chart::of(job).filter(|_| charts < MAX_CHARTS);
        charts += usize::from(chart.is_some());
        let part = Part {
            job,
            place: format!("{}/v1/jobs/{}", public_url.unwrap_or_default(), job.id),
            is_linked: public_url.is_some(),
            chart,
        };
        text.push_str(&part.text());
        html.push_str(&part.html());
    }
    if let Some(more) = jobs.len().checked_sub(MAX_JOBS).filter(|more| *more > 0) {
        text.push_str(&format!("\nand {more} more\n"));
        html.push_str(&format!("<p>and {more} more</p>\n"));
    }
    html.push_str("</body></html>\n");
    Letter { subject, text, html }
}

fn subject(jobs: &[Job]) -> String {
    if let [job] = jobs {
        return match job.error.as_ref().filter(|_| job.state == State::Failed) {
            Some(error) => format!("{}: {}", sentence(job), error.code),
            None => sentence(job),
        };
    }
    let count = |state: State| jobs.iter().filter(|job| job.state == state).count();
    let ends = [State::Succeeded, State::Failed, State::Canceled];
    let parts: Vec<String> = ends
        .into_iter()
        .filter(|state| count(*state) > 0)
        .map(|state| format!("{} {state}", count(state)))
        .collect();
    format!("{} jobs have ended: {}", jobs.len(), parts.join(", "))
}

struct Part<'a> {
    job: &'a Job,
    place: String,
    is_linked: bool,
    chart: Option<Chart>,
}

impl Part<'_> {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let job = self.job;
        let mut facts = vec![("job", job.id.to_string())];
        if let Some(result) = &job.result {
            facts.push(("rows", result.set.rows.to_string()));
        }
        if let (Some(started), Some(finished)) = (job.started_at, job.finished_at) {
            #[expect(clippy::cast_precision_loss, reason = "seconds for display")]
            let seconds = finished.millis_since(started) as f64 / 1_000.0;
            facts.push(("took", format!("{seconds:.1} s")));
        }
        if let Some(finished) = job.finished_at {
            facts.push(("ended", finished.to_string()));
        }
        if !job.spec.tags.is_empty() {
            let tags = job.spec.tags.iter().take(10);
            let tags: Vec<String> = tags.map(|(name, value)| format!("{name}={value}")).collect();
            facts.push(("tags", one_line(&tags.join(", "))));
        }
        if let Some(error) = job.error.as_ref().filter(|_| job.state == State::Failed) {
            facts.push(("error", format!("{}: {}", error.code, one_line(&error.message))));
            facts.extend(error.hint.as_ref().map(|hint| ("hint", one_line(hint))));
        }
        facts
    }

    fn text(&self) -> String {
        let mut text = format!("\n{}\n", one_line(&sentence(self.job)));
        for (name, value) in self.facts() {
            text.push_str(&format!("  {name:<6} {value}\n"));
        }
        text.push_str(&format!("  answer {}/result\n", self.place));
        if let Some(chart) = &self.chart {
            text.push_str(&format!("\n  {}\n{}", one_line(&chart.title), chart.as_text(BAR_WIDTH)));
        }
        text
    }

    fn html(&self) -> String {
        let color = match self.job.state {
            State::Succeeded => "#1a7f4b",
            State::Failed => "#b3261e",
            _ => "#6b7280",
        };
        let title = escaped(&one_line(&sentence(self.job)));
        let title = title.replace(
            ending(self.job.state),
            &format!("<b style=\"color:{color}\">{}</b>", ending(self.job.state)),
        );
        let mut html = format!("<h3 style=\"margin:1.2em 0 .3em\">{title}</h3>\n<table>");
        for (name, value) in self.facts() {
            html.push_str(&format!(
                "<tr><td style=\"color:#6b7280;padding-right:1em\">{name}</td><td>{}</td></tr>",
                escaped(&value)
            ));
        }
        html.push_str("</table>\n");
        if self.is_linked {
            let place = escaped(&self.place);
            html.push_str(&format!(
                "<p><a href=\"{place}\">job</a> · <a href=\"{place}/result\">answer</a></p>\n"
            ));
        }
        if let Some(chart) = &self.chart {
            html.push_str(&drawn(chart));
        }
        html
    }
}

/// Bars as cells of a table: mail programs show neither scripts nor drawings.
fn drawn(chart: &Chart) -> String {
    let mut html = format!(
        "<table style=\"border-spacing:2px\"><caption>{}</caption>",
        escaped(&chart.title)
    );
    for bar in &chart.bars {
        html.push_str(&format!(
            "<tr><td align=\"right\">{}</td><td width=\"260\"><div style=\"background:#3b6fd4;height:12px;\
             width:{:.0}px\"></div></td><td>{}</td></tr>",
            escaped(&bar.label),
            bar.share * 256.0,
            escaped(&bar.shown)
        ));
    }
    html.push_str("</table>\n");
    html
}

/// Text of users on one line, so that it can pretend to be nothing else.
fn one_line(text: &str) -> String {
    let shown: String = text.chars().take(500).collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notices::samples::{charted_job, failed_job, succeeded_job};
    use assay_core::Kind;

    #[test]
    fn one_job_is_told_with_what_happened_in_the_subject() {
        let letter = about(&[succeeded_job()], None);
        assert_eq!(letter.subject, "describe on penguins has succeeded");
        assert!(letter.text.contains("took   1.5 s"), "{}", letter.text);
        assert!(letter.text.contains("answer /v1/jobs/job_"), "{}", letter.text);
        let letter = about(&[failed_job()], Some("https://assay.example.org"));
        assert_eq!(letter.subject, "describe on penguins has failed: unknown_column");
        assert!(
            letter.html.contains("column `&lt;b&gt;` does not exist"),
            "{}",
            letter.html
        );
        assert!(
            letter.html.contains("href=\"https://assay.example.org/v1/jobs/job_"),
            "{}",
            letter.html
        );
    }

    #[test]
    fn several_jobs_are_counted() {
        let letter = about(&[succeeded_job(), failed_job(), succeeded_job()], None);
        assert_eq!(letter.subject, "3 jobs have ended: 2 succeeded, 1 failed");
        assert_eq!(letter.text.matches("  job    job_").count(), 3);
    }

    #[test]
    fn a_small_answer_is_drawn() {
        let rows = r#"[{"species":"Adelie","n":152},{"species":"<i>","n":76}]"#;
        let job = charted_job(&[("species", Kind::Text), ("n", Kind::Int64)], rows);
        let letter = about(&[job], None);
        assert!(letter.text.contains("Adelie ████"), "{}", letter.text);
        assert!(
            letter.html.contains("width:256px") && letter.html.contains("width:128px"),
            "{}",
            letter.html
        );
        assert!(letter.html.contains("&lt;i&gt;"), "{}", letter.html);
    }
}
