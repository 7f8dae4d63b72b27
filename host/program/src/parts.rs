//! What `quantize --part` and `--finish` say where no output was put in its place.

use std::io;
use std::path::Path;

use fouroversix::checkpoint::{Part, PartOutcome};
use serde_json::json;

use super::args::TalkArgs;
use super::print;

/// Tells how a part ended.
pub(crate) fn tell(
    talk: TalkArgs,
    part: Option<Part>,
    output: &Path,
    outcome: &PartOutcome,
) -> io::Result<()> {
    let (finished, tensors, unfinished, running) = match outcome {
        PartOutcome::Waiting { tensors, unfinished, running } => {
            (false, tensors.as_slice(), unfinished.as_slice(), running.as_slice())
        }
        _ => (true, &[][..], &[][..], &[][..]),
    };
    let part = part.map(|part| part.to_string());
    if talk.json {
        return print::json(&json!({
            "part": part,
            "output_is_in_place": finished,
            "tensors": tensors,
            "unfinished_parts": unfinished,
            "running_parts": running,
        }));
    }
    if talk.quiet {
        return Ok(());
    }
    let Some(part) = part.filter(|_| !finished) else {
        return print::line(&format!("{} is finished already", output.display()));
    };
    let list =
        |numbers: &[usize]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let ours = format!("part {part} is complete, {} tensors quantized; ", tensors.len());
    print::line(&if unfinished == running {
        format!("{ours}the last of the parts that run ({}) ends the job", list(running))
    } else {
        format!("{ours}not complete: {}; the last to end ends the job", list(unfinished))
    })
}
