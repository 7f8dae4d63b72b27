//! The kernels of one instruction set, compressed: lzip members, one for each operation.
//!
//! `lzip -dc archive/sm_80.lz` prints them, with register numbers as [`numbers`] says. A member is taken
//! apart when a kernel of it is first asked for, and kept.

use std::io::Read;
use std::ops::Range;
use std::sync::OnceLock;

use lzma_rust2::LzipReader;

use crate::numbers;

/// An archive file, and where its kernels are.
pub(crate) struct Packed {
    bytes: &'static [u8],
    /// The bytes of each member.
    members: &'static [Range<usize>],
    /// Name, member, and the bytes of its text; sorted by name.
    pub(crate) kernels: &'static [(&'static str, usize, Range<usize>)],
}

#[cfg(feature = "sm_80")]
pub(crate) static SM_80: Packed = include!("../archive/sm_80.rs");
#[cfg(feature = "sm_89")]
pub(crate) static SM_89: Packed = include!("../archive/sm_89.rs");
#[cfg(feature = "sm_100f")]
pub(crate) static SM_100F: Packed = include!("../archive/sm_100f.rs");

/// Members of an archive at most.
const MEMBERS: usize = 16;

/// An archive that is taken apart member by member.
pub(crate) struct Archive {
    pub(crate) packed: &'static Packed,
    /// For a family whose kernels are another's: that one's target and its own.
    target: Option<[&'static str; 2]>,
    texts: [OnceLock<String>; MEMBERS],
}

#[allow(dead_code, reason = "a build may carry no instruction set, or not both of Blackwell's")]
impl Archive {
    pub(crate) const fn new(packed: &'static Packed) -> Self {
        assert!(packed.members.len() <= MEMBERS);
        Self { packed, target: None, texts: [const { OnceLock::new() }; MEMBERS] }
    }

    /// The same kernels for another target, whose name is as long.
    pub(crate) const fn retargeted(
        packed: &'static Packed,
        from: &'static str,
        to: &'static str,
    ) -> Self {
        assert!(from.len() == to.len());
        assert!(packed.members.len() <= MEMBERS);
        Self { packed, target: Some([from, to]), texts: [const { OnceLock::new() }; MEMBERS] }
    }

    /// The text of a kernel.
    pub(crate) fn kernel(&self, name: &str) -> Option<&str> {
        let kernels = self.packed.kernels;
        let at = kernels.binary_search_by_key(&name, |(name, ..)| name).ok()?;
        let (_, member, text) = &kernels[at];
        self.member(*member).get(text.clone())
    }

    fn member(&self, member: usize) -> &str {
        self.texts[member].get_or_init(|| {
            let mut text = String::new();
            LzipReader::new(&self.packed.bytes[self.packed.members[member].clone()])
                .read_to_string(&mut text)
                .expect("the archive is whole: tests take every member apart");
            let text = numbers::absolute(&text);
            match self.target {
                None => text,
                Some([from, to]) => {
                    text.replace(&format!("\n.target {from}\n"), &format!("\n.target {to}\n"))
                }
            }
        })
    }
}
