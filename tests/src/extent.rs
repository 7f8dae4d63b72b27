//! How much of an exhaustive check runs: all of it with `EXTENSIVE=1`, else a slice that rotates by the
//! day. `SLICE=k` repeats one, by the number that was printed.

/// The numbers below `count` that are tried in this run, of each `slices` one, the first and the last.
/// Says which.
#[must_use]
pub fn chosen(what: &str, count: u64, slices: u64) -> Vec<u64> {
    if is_extensive() {
        println!("{what}: all of {count}");
        return (0..count).collect();
    }
    let days = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() / 86_400);
    let asked = std::env::var("SLICE").ok();
    let slice = asked.map_or(days, |text| text.parse().expect("SLICE is a number")) % slices;
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
