//! When jobs are identical, so that one run answers them all.

use assay_core::{AnalysisSpec, JobSpec, Sharing, Timestamp, names};
use serde_json::{Value, json};

use crate::cursor::fingerprint;
use crate::submit::SQL;

/// Words of SQL whose value changes from run to run. A column of such a name costs no more than a run.
const VOLATILE: [&str; 12] = [
    "now",
    "random",
    "rand",
    "uuid",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "shuffle",
    "version",
];

/// What a client says of shared runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// False when the job must have a run of its own.
    pub(crate) cache: bool,
    /// The oldest finished run that may answer; any when absent.
    pub(crate) max_age_s: Option<u64>,
}

/// How the job may share a run; `None` when it may not.
pub(crate) fn of(analysis: &AnalysisSpec, job: &JobSpec, wish: Wish, now: Timestamp) -> Option<Sharing> {
    if !wish.cache || !analysis.cacheable || !is_repeatable(job) {
        return None;
    }
    let JobSpec {
        params,
        inputs,
        input_job,
        limits,
        ..
    } = job;
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|input| json!([input.name.folded(), input.version]))
        .collect();
    // What cuts the answer or makes it fail is part of what was asked; its time limit is not.
    let cut = json!([limits.rows, limits.result_bytes, limits.memory_bytes]);
    let asked = json!([analysis.name, analysis.version, sorted(params), inputs, input_job, cut]);
    let finished_after = match wish.max_age_s {
        Some(seconds) => {
            let age = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
            Timestamp(now.0.saturating_sub(age))
        }
        None => Timestamp(0),
    };
    Some(Sharing {
        key: fingerprint(asked.to_string().as_bytes()),
        finished_after: (wish.max_age_s != Some(0)).then_some(finished_after),
    })
}

/// Whether the same job on the same data always has the same answer.
fn is_repeatable(job: &JobSpec) -> bool {
    let Some(sql) = job
        .params
        .get("sql")
        .and_then(Value::as_str)
        .filter(|_| job.analysis == SQL)
    else {
        return true;
    };
    let sql = sql.to_ascii_lowercase();
    let mut words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    !words.any(|word| VOLATILE.contains(&word)) && !names::mentions_history(&sql)
}

/// The same value with the members of its objects in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            names
                .into_iter()
                .map(|name| (name.clone(), sorted(&members[name])))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_core::Retry;

    fn analysis() -> AnalysisSpec {
        AnalysisSpec {
            name: SQL.to_owned(),
            version: 1,
            summary: String::new(),
            description: String::new(),
            needs_input: false,
            params: Value::Null,
            cacheable: true,
            retry: Retry::default(),
            example: Value::Null,
        }
    }

    fn key(params: Value) -> Option<String> {
        let wish = Wish {
            cache: true,
            max_age_s: None,
        };
        of(&analysis(), &JobSpec::new(SQL, params), wish, Timestamp(5)).map(|sharing| sharing.key)
    }

    #[test]
    fn the_order_of_members_does_not_matter_and_their_values_do() {
        let one = json!({"sql": "SELECT 1", "params": {"a": 1, "b": 2}});
        let same = json!({"params": {"b": 2, "a": 1}, "sql": "SELECT 1"});
        assert_eq!(key(one.clone()), key(same));
        assert_ne!(key(one), key(json!({"sql": "SELECT 1", "params": {"a": 1, "b": 3}})));
    }

    #[test]
    fn what_changes_from_run_to_run_is_not_shared() {
        for sql in [
            "SELECT now()",
            "SELECT Random ()",
            "SELECT current_date",
            "SELECT * FROM assay.jobs",
        ] {
            assert_eq!(key(json!({"sql": sql})), None, "{sql}");
        }
        assert!(key(json!({"sql": "SELECT nowhere FROM t"})).is_some());
    }

    #[test]
    fn a_client_says_how_old_an_answer_may_be() {
        let job = JobSpec::new(SQL, json!({"sql": "SELECT 1"}));
        let wish = |cache, max_age_s| of(&analysis(), &job, Wish { cache, max_age_s }, Timestamp(100_000));
        assert_eq!(wish(false, None), None);
        assert_eq!(wish(true, Some(0)).unwrap().finished_after, None);
        assert_eq!(wish(true, Some(10)).unwrap().finished_after, Some(Timestamp(90_000)));
        assert_eq!(wish(true, None).unwrap().finished_after, Some(Timestamp(0)));
    }
}
