//! The analyses over real data, from the file to the answer: imported, run and checked through the same runner that an
//! engine process uses. Queue, store and HTTP are tested elsewhere.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod answers;
mod documents;
mod faults;
mod figures;
mod flights;
mod support;
