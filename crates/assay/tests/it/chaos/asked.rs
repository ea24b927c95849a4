//! The jobs that are submitted: of many kinds, each with an answer that only it has.

use assay_core::{Clock as _, SystemClock};
use serde_json::{Value, json};

/// Rows of an answer that is too large for the store's rows and becomes an object.
pub const LARGE_ROWS: u64 = 20_000;

/// Who is told of some jobs by mail.
pub const MAIL_ADDRESS: &str = "anna@example.org";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ping,
    /// A query whose answer is the number of the job.
    Number,
    /// A query whose answer is an object that begins with the number of the job.
    Large,
    Describe,
    /// A query that fails when it runs.
    Failing,
    /// A ping that waits for an earlier job of its client.
    After,
    /// A query over the answer of an earlier job.
    FromAnswer,
    /// A ping of which there may be only one at a time.
    Unique,
    /// Canceled as soon as it is there.
    Canceled,
    /// A ping that waits for its time.
    Later,
}

impl Kind {
    pub fn of(turn: usize) -> Self {
        use Kind::*;
        const TURNS: [Kind; 20] = [
            Ping, Number, After, Canceled, Ping, Number, Unique, Later, Ping, Large, Ping, FromAnswer, Number, Unique,
            Ping, Failing, Number, Canceled, Ping, Describe,
        ];
        TURNS[turn % TURNS.len()]
    }

    /// The state in which it ends, when no cancel comes in between.
    pub fn end(self) -> &'static str {
        match self {
            Self::Failing => "failed",
            _ => "succeeded",
        }
    }

    pub fn is_told_by_mail(self) -> bool {
        matches!(self, Self::Describe | Self::Failing)
    }

    /// The request for the job with this number. `earlier` is a query of the same client.
    pub fn request(self, number: usize, earlier: Option<&str>) -> Value {
        let mut request = match self {
            Self::Ping | Self::Later | Self::Unique | Self::After => json!({"analysis": "ping"}),
            Self::Number => sql_with("SELECT $1 AS n", &json!([number])),
            Self::Canceled => sql(&format!("SELECT count(*) + {number} AS n FROM range(3000000)")),
            Self::Large => sql(&format!(
                "SELECT value + {number} AS n FROM range({LARGE_ROWS}) ORDER BY n"
            )),
            Self::Describe => json!({"analysis": "describe", "input": "penguins"}),
            Self::Failing => sql(&format!(
                "SELECT {number} / (body_mass_g - body_mass_g) AS n FROM penguins"
            )),
            Self::FromAnswer => sql("SELECT n + 1 AS n FROM input"),
        };
        let more = match self {
            Self::Later => json!({"run_at": SystemClock.now().plus_millis(1_000).to_string()}),
            Self::Unique => json!({"unique_key": "only one"}),
            Self::After => json!({"depends_on": [earlier]}),
            Self::FromAnswer => json!({"input": {"job": earlier}}),
            _ if self.is_told_by_mail() => json!({"notify": [{"email": MAIL_ADDRESS}]}),
            _ => json!({}),
        };
        let common = json!({
            "cache": false,
            "tags": {"number": number.to_string()},
            // A kill costs an attempt.
            "retry": {"max_attempts": 100, "base_ms": 1},
        });
        for members in [more, common] {
            let members = members.as_object().unwrap().clone();
            request.as_object_mut().unwrap().extend(members);
        }
        request
    }
}

fn sql(text: &str) -> Value {
    json!({"analysis": "sql", "params": {"sql": text}})
}

fn sql_with(text: &str, params: &Value) -> Value {
    json!({"analysis": "sql", "params": {"sql": text, "params": params}})
}
