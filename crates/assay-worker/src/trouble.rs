//! What a loop that looks again and again says of a store that fails: once when that begins, and once when it is over.

use assay_core::{Code, Result};

/// The failure of the latest looks of one loop.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// What is attempted, as in `could not look for queued jobs`.
    attempted: &'static str,
    code: Option<Code>,
}

/// What an answer means for the log.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// It fails from now on, or with another code than before.
    Begins,
    Ends,
    /// As before.
    Stays,
}

impl Trouble {
    pub(crate) fn to(attempted: &'static str) -> Self {
        Self { attempted, code: None }
    }

    /// The answer; nothing for a failure, of which the log tells unless it was told last.
    pub(crate) fn note<T>(&mut self, answer: Result<T>) -> Option<T> {
        let turn = self.turn(answer.as_ref().err().map(|error| error.code));
        match answer {
            Ok(answer) => {
                if turn == Turn::Ends {
                    tracing::info!("could {} again", self.attempted);
                }
                Some(answer)
            }
            Err(error) => {
                if turn == Turn::Begins {
                    tracing::warn!(%error, code = %error.code, "could not {}; tried again and again", self.attempted);
                }
                None
            }
        }
    }

    fn turn(&mut self, code: Option<Code>) -> Turn {
        match (std::mem::replace(&mut self.code, code), code) {
            (before, after) if before == after => Turn::Stays,
            (_, None) => Turn::Ends,
            (_, Some(_)) => Turn::Begins,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let mut trouble = Trouble::to("look");
        let mut turn = |code| trouble.turn(code);
        assert_eq!(turn(None), Turn::Stays);
        assert_eq!(turn(Some(Code::StoreFailed)), Turn::Begins);
        assert_eq!(turn(Some(Code::StoreFailed)), Turn::Stays);
        assert_eq!(turn(Some(Code::StorageFull)), Turn::Begins);
        assert_eq!(turn(None), Turn::Ends);
        assert_eq!(turn(None), Turn::Stays);
    }
}
