//! The gate: no hot path may get longer than its line in `docs/benchmarks/budgets.csv` says.
//!
//! People write that file, `cargo xtask sass` only reads it: a table that is written anew says what is, this one
//! what may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::kernel::in_short;
use super::measure::Measured;

/// The targets that have a column, in its order.
const TARGETS: [&str; 3] = ["sm_90", "sm_100f", "sm_120f"];
const FILE: &str = "docs/benchmarks/budgets.csv";

/// Instructions a block by kernel and target.
type Budgets = BTreeMap<(String, &'static str), f64>;

/// Compares hot paths with the committed budgets.
///
/// # Errors
/// If one is over its budget or has none, each with what to do.
pub(crate) fn check(root: &Path, measured: &[Measured]) -> Result<(), String> {
    let path = root.join(FILE);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let wrong = compare(&parse(&text)?, &hot_paths(measured));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The counted hot paths: kernel, target, instructions a block.
fn hot_paths(measured: &[Measured]) -> Vec<(String, &'static str, f64)> {
    let counted = measured.iter().filter(|m| in_short(m.kernel)).filter_map(|m| {
        let target = TARGETS.into_iter().find(|target| *target == m.arch)?;
        let walked = m.walked.as_ref()?;
        Some((m.kernel.to_string(), target, walked.hot as f64 / f64::from(walked.work.blocks)))
    });
    counted.collect()
}

fn parse(text: &str) -> Result<Budgets, String> {
    let mut budgets = Budgets::new();
    for line in text.lines().skip(1) {
        let wrong = || format!("{FILE}: {line:?} is not a kernel and {} numbers", TARGETS.len());
        let [kernel, numbers @ ..] = &line.split(',').collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        if numbers.len() != TARGETS.len() {
            return Err(wrong());
        }
        for (target, number) in TARGETS.into_iter().zip(numbers) {
            budgets.insert(((*kernel).to_owned(), target), number.parse().map_err(|_| wrong())?);
        }
    }
    Ok(budgets)
}

fn compare(budgets: &Budgets, hot: &[(String, &'static str, f64)]) -> Vec<String> {
    let one = |(kernel, target, hot): &(String, &'static str, f64)| match budgets
        .get(&(kernel.clone(), *target))
    {
        Some(budget) if hot <= budget => None,
        Some(budget) => Some(format!(
            "{kernel} on {target} executes {hot:.1} instructions for a block of 16, its budget is {budget}: \
                 make it shorter, or raise the number in {FILE} and say in the commit what is bought with it"
        )),
        None => Some(format!(
            "{kernel} executes {hot:.1} instructions for a block of 16 on {target} and has no budget: add a \
                 line to {FILE}"
        )),
    };
    hot.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::{compare, parse};

    const TEXT: &str = "kernel,sm_90,sm_100f,sm_120f\namax_bf16,20,20,17\n";

    fn hot(kernel: &str, hot: f64) -> Vec<String> {
        let budgets = parse(TEXT).expect("it is a table");
        compare(&budgets, &[(kernel.to_owned(), "sm_100f", hot)])
    }

    #[test]
    fn a_path_within_its_budget_passes_and_a_longer_one_is_named() {
        assert_eq!(hot("amax_bf16", 19.9), [""; 0]);
        assert_eq!(hot("amax_bf16", 20.0), [""; 0]);
        let [message] = &hot("amax_bf16", 20.1)[..] else { panic!("one is over") };
        for part in ["amax_bf16 on sm_100f", "20.1", "its budget is 20:", "budgets.csv"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_kernel_without_a_budget_is_named() {
        let [message] = &hot("quantize_rows_bf16_plain", 1.0)[..] else { panic!("it has none") };
        assert!(message.contains("no budget: add a line"), "{message}");
    }

    #[test]
    fn lines_that_are_no_budgets_are_refused() {
        for line in ["amax_bf16,20,20", "amax_bf16,20,20,17,3", "amax_bf16,20,x,17", ""] {
            assert!(parse(&format!("{TEXT}{line}\n")).is_err(), "{line:?}");
        }
    }
}
