//! How many tensors became what, in words.

use fouroversix::checkpoint::Counts;

/// Reasons that are spelled out.
const REASONS: usize = 6;

/// Whether it was done, and how, or only would be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb<'a> {
    Was(&'a str),
    Would,
}

/// Lines whose numbers add up to the input's tensors, with the reasons for those not quantized.
pub(crate) fn text(counts: &Counts, verb: Verb<'_>) -> String {
    let Counts { input, quantized, fp8, kept, copied, .. } = counts;
    let of_them = if *fp8 > 0 { format!(", {fp8} of them to FP8") } else { String::new() };
    let mut text = match verb {
        Verb::Was(how) => {
            format!(
                "{input} tensors: {quantized} quantized ({how}{of_them}), {kept} kept, {copied} copied\n"
            )
        }
        Verb::Would => format!(
            "{input} tensors: {quantized} would be quantized{of_them}, {kept} kept, {copied} copied\n"
        ),
    };
    if !counts.reasons.is_empty() {
        text += &format!("not quantized: {}\n", reasons(counts));
    }
    text
}

/// As [`text`], of a dequantization.
pub(crate) fn dequantized(counts: &Counts, dtype: &str) -> String {
    let Counts { input, dequantized, parts, kept, copied, left_out, .. } = counts;
    let others = match left_out {
        0 => String::new(),
        left_out => format!(", {left_out} scales left out"),
    };
    format!(
        "{input} tensors: {parts} dequantized to {dequantized} of {dtype}, {kept} kept, {copied} \
         copied{others}"
    )
}

/// The most frequent reasons with how many tensors each has.
fn reasons(counts: &Counts) -> String {
    let mut reasons: Vec<(&String, &usize)> = counts.reasons.iter().collect();
    reasons.sort_by_key(|&(_, &count)| std::cmp::Reverse(count));
    let others: usize = reasons.iter().skip(REASONS).map(|&(_, count)| count).sum();
    let mut texts: Vec<String> =
        reasons.iter().take(REASONS).map(|(reason, count)| format!("{count} ({reason})")).collect();
    if others > 0 {
        texts.push(format!("{others} for other reasons"));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_reasons_are_summed_up() {
        let reasons = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let counts = Counts {
            reasons: reasons
                .iter()
                .zip(1..)
                .map(|(text, count)| (text.to_string(), count))
                .collect(),
            ..Counts::default()
        };
        let text = super::reasons(&counts);
        assert_eq!(text, "8 (h), 7 (g), 6 (f), 5 (e), 4 (d), 3 (c), 3 for other reasons");
    }
}
