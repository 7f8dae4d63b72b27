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
    pub(crate) bytes: &'static [u8],
    /// The bytes of each member.
    pub(crate) members: &'static [Range<usize>],
    /// Name, member, and its bytes there; sorted by name.
    pub(crate) kernels: &'static [(&'static str, usize, Range<usize>)],
}

impl Packed {
    /// The member that holds a kernel, and the kernel's bytes there.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, Range<usize>)> {
        let at = self.kernels.binary_search_by_key(&name, |(name, ..)| name).ok()?;
        let (_, member, bytes) = &self.kernels[at];
        Some((*member, bytes.clone()))
    }

    /// A member, taken apart.
    pub(crate) fn unpack(&self, member: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        LzipReader::new(&self.bytes[self.members[member].clone()])
            .read_to_end(&mut bytes)
            .expect("the archive is whole: tests take every member apart");
        bytes
    }
}

#[cfg(feature = "sm_80")]
pub(crate) static SM_80: Packed = include!("../archive/sm_80.rs");
#[cfg(feature = "sm_89")]
pub(crate) static SM_89: Packed = include!("../archive/sm_89.rs");
#[cfg(feature = "sm_100f")]
pub(crate) static SM_100F: Packed = include!("../archive/sm_100f.rs");

/// Members of an archive at most.
pub(crate) const MEMBERS: usize = 16;

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
        let (member, text) = self.packed.find(name)?;
        self.member(member).get(text)
    }

    fn member(&self, member: usize) -> &str {
        self.texts[member].get_or_init(|| {
            let text = String::from_utf8(self.packed.unpack(member));
            let text = numbers::absolute(&text.expect("PTX is ASCII"));
            match self.target {
                None => text,
                Some([from, to]) => {
                    text.replace(&format!("\n.target {from}\n"), &format!("\n.target {to}\n"))
                }
            }
        })
    }
}
