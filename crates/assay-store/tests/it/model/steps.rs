//! What may be asked of a store: random steps.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::LEASE_MS;

#[derive(Debug, Clone, Copy)]
pub enum End {
    Succeeded,
    Failed,
    Crashed,
    Canceled,
}

/// Places are taken modulo what there is.
#[derive(Debug, Clone)]
pub struct Submission {
    pub owner: u8,
    pub priority: u8,
    pub max_attempts: u32,
    pub run_in: Option<u64>,
    pub deadline_in: Option<u64>,
    pub parents: Vec<usize>,
    pub unique: Option<u8>,
    /// A key, and how old a finished run may be.
    pub share: Option<(u8, i64)>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Submit(Submission),
    Claim { max: usize },
    Beat { lease: usize },
    Finish { lease: usize, end: End },
    Release { lease: usize },
    Cancel { job: usize },
    RunNow { job: usize },
    Change(Change),
    Remove { job: usize },
    Pause,
    Resume,
    Advance { milliseconds: i64 },
    Reap,
    Reopen,
}

#[derive(Debug, Clone)]
pub struct Change {
    pub job: usize,
    pub priority: Option<u8>,
    pub deadline_in: Option<Option<u64>>,
    pub tag: Option<Option<u8>>,
    /// The revision that the change is of is the one before the newest.
    pub is_late: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let priority = prop_oneof![1 => Just(None), 3 => (0_u8..3).prop_map(Some)];
    let deadline = prop_oneof![
        4 => Just(None),
        1 => Just(Some(None)),
        2 => prop_oneof![Just(0_u64), Just(300), Just(20_000)].prop_map(|ms| Some(Some(ms)))
    ];
    let tag = prop_oneof![2 => Just(None), 1 => Just(Some(None)), 1 => (0_u8..2).prop_map(|tag| Some(Some(tag)))];
    let is_late = prop_oneof![9 => Just(false), 1 => Just(true)];
    (any::<usize>(), priority, deadline, tag, is_late).prop_map(|(job, priority, deadline_in, tag, is_late)| Change {
        job,
        priority,
        deadline_in,
        tag,
        is_late,
    })
}

fn submission() -> impl Strategy<Value = Submission> {
    let times = || prop_oneof![3 => Just(None), 1 => prop_oneof![Just(Some(300_u64)), Just(Some(20_000))]];
    let parents = prop_oneof![2 => Just(Vec::new()), 1 => vec(any::<usize>(), 1..3)];
    let unique = prop_oneof![3 => Just(None), 1 => (0_u8..2).prop_map(Some)];
    let share = prop_oneof![1 => Just(None), 1 => (0_u8..2, prop_oneof![Just(-1_i64), Just(10_000)]).prop_map(Some)];
    (0_u8..3, 0_u8..3, 1_u32..4, times(), times(), parents, unique, share).prop_map(
        |(owner, priority, max_attempts, run_in, deadline_in, parents, unique, share)| Submission {
            owner,
            priority,
            max_attempts,
            run_in,
            deadline_in,
            parents,
            unique,
            share,
        },
    )
}

pub fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        3 => Just(End::Succeeded),
        1 => Just(End::Failed),
        2 => Just(End::Crashed),
        1 => Just(End::Canceled)
    ];
    prop_oneof![
        6 => submission().prop_map(Step::Submit),
        6 => (1_usize..4).prop_map(|max| Step::Claim { max }),
        2 => any::<usize>().prop_map(|lease| Step::Beat { lease }),
        5 => (any::<usize>(), end).prop_map(|(lease, end)| Step::Finish { lease, end }),
        1 => any::<usize>().prop_map(|lease| Step::Release { lease }),
        3 => any::<usize>().prop_map(|job| Step::Cancel { job }),
        1 => any::<usize>().prop_map(|job| Step::RunNow { job }),
        3 => change().prop_map(Step::Change),
        1 => any::<usize>().prop_map(|job| Step::Remove { job }),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        4 => prop_oneof![Just(50_i64), Just(300), Just(10_000), Just(LEASE_MS)]
            .prop_map(|milliseconds| Step::Advance { milliseconds }),
        3 => Just(Step::Reap),
        1 => Just(Step::Reopen),
    ]
}

/// Steps of which many ask for the same.
pub fn crowded_step() -> impl Strategy<Value = Step> {
    let identical = submission().prop_map(|submission| {
        Step::Submit(Submission {
            run_in: None,
            parents: Vec::new(),
            unique: None,
            share: Some((0, -1)),
            ..submission
        })
    });
    prop_oneof![1 => identical, 2 => step()]
}
