//! Timing by events of the device, several works in turns.

use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaStream, sys};
use fouroversix::Error;
use fouroversix::cuda::internals::check;

use super::statistics::Times;
use crate::captured::captured;

/// Enqueues one launch on the given slot of rotating memory.
pub(crate) type Enqueue<'a> = dyn Fn(usize, sys::CUstream) -> Result<(), Error> + 'a;

/// Launches of a work in a row, of which the last counts. What a launch leaves dirty in L2 is written back while
/// the next one runs: an amax pass, which writes nothing, would pay for the copy's output every time.
const IN_A_ROW: usize = 2;

/// Rounds whose events are recorded before the device is waited for.
const ROUNDS: usize = 50;

/// Runs the works in turns, each twice on the next slots, and times the second launch.
///
/// The first round after each wait is dropped: its work may start before the host has enqueued
/// the next event.
pub(crate) fn in_turns(
    stream: &Arc<CudaStream>,
    works: &[&Enqueue<'_>],
    warmup: usize,
    iterations: usize,
) -> Result<Vec<Times>, Error> {
    timed(stream, works, 1, warmup, iterations)
}

/// As [`in_turns`], with each work captured `launches` times into a graph that is then replayed:
/// for work so short that enqueueing it takes longer than doing it. Times are for one launch.
pub(crate) fn in_graphs(
    stream: &Arc<CudaStream>,
    works: &[&Enqueue<'_>],
    launches: usize,
    warmup: usize,
    iterations: usize,
) -> Result<Vec<Times>, Error> {
    let graphs = works.iter().map(|work| {
        captured(stream, || (0..launches).try_for_each(|slot| work(slot, stream.cu_stream())))
    });
    let graphs = graphs.collect::<Result<Vec<_>, Error>>()?;
    let replays: Vec<_> = graphs
        .iter()
        .map(|graph| move |_, _| Ok(check("launch a graph", graph.launch())?))
        .collect();
    let replays: Vec<&Enqueue<'_>> = replays.iter().map(|replay| replay as _).collect();
    timed(stream, &replays, launches, warmup, iterations)
}

/// Times of works in turns, in microseconds for one of the `launches` that each comes to.
fn timed(
    stream: &Arc<CudaStream>,
    works: &[&Enqueue<'_>],
    launches: usize,
    warmup: usize,
    iterations: usize,
) -> Result<Vec<Times>, Error> {
    let mut slot = 0;
    let mut next = || {
        slot += 1;
        slot
    };
    for work in works.iter().cycle().take(warmup * works.len()) {
        work(next(), stream.cu_stream())?;
    }
    let mut samples = vec![Vec::with_capacity(iterations); works.len()];
    let works: Vec<_> = works.iter().flat_map(|work| [work; IN_A_ROW]).collect();
    let events = events(stream, (ROUNDS + 1) * works.len() + 1)?;
    while samples[0].len() < iterations {
        let mut recorded = events.iter();
        let mut mark = || {
            let event = recorded.next().expect("one for each launch");
            check("record an event", event.record(stream))
        };
        mark()?;
        for work in works.iter().cycle().take((ROUNDS + 1) * works.len()) {
            work(next(), stream.cu_stream())?;
            mark()?;
        }
        collect(&events, launches as f64, &mut samples)?;
    }
    Ok(samples.into_iter().map(Times::of).collect())
}

fn events(stream: &Arc<CudaStream>, count: usize) -> Result<Vec<CudaEvent>, Error> {
    let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
    let new = || check("create an event", stream.context().new_event(flags));
    Ok((0..count).map(|_| new()).collect::<Result<_, _>>()?)
}

/// Appends the times between events that count, in microseconds for one of `launches`.
fn collect(events: &[CudaEvent], launches: f64, samples: &mut [Vec<f64>]) -> Result<(), Error> {
    let round = samples.len() * IN_A_ROW;
    for (index, pair) in events.windows(2).enumerate().skip(round) {
        if index % IN_A_ROW == IN_A_ROW - 1 {
            let milliseconds = check("time a launch", pair[0].elapsed_ms(&pair[1]))?;
            samples[index % round / IN_A_ROW].push(f64::from(milliseconds) * 1000.0 / launches);
        }
    }
    Ok(())
}
