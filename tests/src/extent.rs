//! How much of an exhaustive check runs: all of it with `EXTENSIVE=1`, else a slice that rotates by the
//! day. `SLICE=k` repeats one, by the number that was printed; `SLICE=k/n` is one of n larger or smaller
//! slices, so that a whole can be had in parts.

/// The numbers below `count` that are tried in this run, of each `slices` one, the first and the last.
/// Says which.
#[must_use]
pub fn chosen(what: &str, count: u64, slices: u64) -> Vec<u64> {
    if is_extensive() {
        println!("{what}: all of {count}");
        return (0..count).collect();
    }
    let days = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() / 86_400);
    let number = |text: &str| text.parse().expect("SLICE is a number, or two with / between");
    let (slice, slices) = match std::env::var("SLICE") {
        Ok(asked) => match asked.split_once('/') {
            Some((slice, of)) => (number(slice), number(of)),
            None => (number(&asked), slices),
        },
        Err(_) => (days, slices),
    };
    assert!(slices > 0, "SLICE: of 0 slices there is none");
    let slice = slice % slices;
    let numbers: Vec<u64> =
        (0..count).filter(|i| i % slices == slice || *i == 0 || i + 1 == count).collect();
    println!("{what}: {} of {count}, SLICE={slice} of {slices}", numbers.len());
    numbers
}

/// Whether long forms run whole.
#[must_use]
pub fn is_extensive() -> bool {
    std::env::var("EXTENSIVE").is_ok_and(|value| value == "1")
}
