//! Work on consecutive pieces by several threads, with what comes of them in the order of the pieces.
//!
//! It knows nothing of records; how many pieces are in memory at once is bounded by the number of threads.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use assay_core::{Code, Error, Result};

/// Has `work` done on every piece that `next` gives, by at most `threads` threads, and gives what comes of each to
/// `finish`, in order. `next` and `finish` are called by the thread of the caller, in turns.
///
/// # Errors
/// The first of `next`, `work` and `finish`, as if one piece was dealt with after the other.
pub(super) fn run<T: Send, U: Send>(
    threads: usize,
    mut next: impl FnMut() -> Result<Option<T>>,
    work: impl Fn(T) -> Result<U> + Sync,
    mut finish: impl FnMut(U) -> Result<()>,
) -> Result<()> {
    if threads <= 1 {
        while let Some(piece) = next()? {
            finish(work(piece)?)?;
        }
        return Ok(());
    }
    let (give, take) = sync_channel::<Order<T, U>>(threads);
    let take = Mutex::new(take);
    let (take, work) = (&take, &work);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(move || serve(take, work));
        }
        // Dropped at the end of this closure, whatever its outcome, which ends the threads.
        let give = give;
        let mut waiting = VecDeque::with_capacity(threads);
        loop {
            let piece = match next() {
                Ok(Some(piece)) => piece,
                other => {
                    // What was begun comes first, its errors too.
                    for outcome in waiting {
                        finish(told(&outcome)?)?;
                    }
                    return other.map(drop);
                }
            };
            let (tell, outcome) = sync_channel(1);
            give.send(Order { piece, tell }).map_err(|_| stopped())?;
            waiting.push_back(outcome);
            if waiting.len() == threads
                && let Some(oldest) = waiting.pop_front()
            {
                finish(told(&oldest)?)?;
            }
        }
    })
}

struct Order<T, U> {
    piece: T,
    tell: SyncSender<Result<U>>,
}

fn serve<T, U>(orders: &Mutex<Receiver<Order<T, U>>>, work: &(impl Fn(T) -> Result<U> + Sync)) {
    loop {
        let order = orders.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Order { piece, tell }) = order else {
            return;
        };
        // Nobody listens any more after an error.
        let _ = tell.send(work(piece));
    }
}

fn told<U>(outcome: &Receiver<Result<U>>) -> Result<U> {
    outcome.recv().map_err(|_| stopped())?
}

/// A thread has panicked, which the caller learns of by a panic of its own as soon as this error ends the scope.
fn stopped() -> Error {
    Error::new(Code::FileDamaged, "the file is damaged: it cannot be decoded").hint("write it again, and load it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(to: u32) -> impl FnMut() -> Result<Option<u32>> {
        let mut at = 0;
        move || {
            at += 1;
            Ok((at <= to).then_some(at))
        }
    }

    #[test]
    fn what_comes_of_the_pieces_is_in_their_order() {
        for threads in [1, 2, 3, 8] {
            let mut squares = Vec::new();
            let finish = |square| {
                squares.push(square);
                Ok(())
            };
            run(threads, numbers(100), |number| Ok(number * number), finish).unwrap();
            assert_eq!(squares, (1..=100).map(|number| number * number).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_counts_and_nothing_behind_it_is_finished() {
        for threads in [1, 2, 8] {
            let mut finished = Vec::new();
            let work = |number| match number {
                7 | 9 => Err(Error::new(Code::InvalidJson, format!("piece {number}"))),
                _ => Ok(number),
            };
            let finish = |number| {
                finished.push(number);
                Ok(())
            };
            let error = run(threads, numbers(100), work, finish).unwrap_err();
            assert_eq!((error.code, error.message.as_str()), (Code::InvalidJson, "piece 7"));
            assert_eq!(finished, (1..7).collect::<Vec<_>>());
            // An error of the source comes after all that it gave before.
            let mut finished = 0;
            let mut numbers = numbers(5);
            let next = || numbers()?.map(Some).ok_or_else(|| Error::internal("reading"));
            let finish = |_| {
                finished += 1;
                Ok(())
            };
            run(threads, next, Ok, finish).unwrap_err();
            assert_eq!(finished, 5);
        }
    }

    #[test]
    fn a_panic_comes_through() {
        let caught = std::panic::catch_unwind(|| {
            run(
                2,
                numbers(10),
                |number| if number == 3 { panic!("three") } else { Ok(number) },
                |_| Ok(()),
            )
        });
        assert!(caught.is_err());
    }
}
