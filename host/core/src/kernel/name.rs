//! Names of kernels.

use core::fmt;
use core::ops::Deref;

/// The name of a [`Kernel`](super::Kernel): a `str` that needs no allocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Zeros after the name.
    bytes: [u8; 64],
    length: usize,
}

impl Name {
    /// Words joined by underscores, blank ones left out.
    pub(super) const fn of(words: [&str; 8]) -> Self {
        let mut name = Self { bytes: [0; 64], length: 0 };
        let mut i = 0;
        while i < words.len() {
            name.push(words[i]);
            i += 1;
        }
        name
    }

    /// Appends a word, after an underscore where it is not the first.
    const fn push(&mut self, word: &str) {
        let word = word.as_bytes();
        if self.length > 0 && !word.is_empty() {
            self.bytes[self.length] = b'_';
            self.length += 1;
        }
        let mut i = 0;
        while i < word.len() {
            self.bytes[self.length] = word[i];
            self.length += 1;
            i += 1;
        }
    }

    /// Whether it comes before another.
    pub(super) const fn precedes(&self, other: &Self) -> bool {
        let mut i = 0;
        // Zeros follow a name, so that a prefix comes first.
        while i < self.bytes.len() {
            if self.bytes[i] != other.bytes[i] {
                return self.bytes[i] < other.bytes[i];
            }
            i += 1;
        }
        false
    }

    /// The name.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.length).0) {
            Ok(name) => name,
            Err(_) => unreachable!(),
        }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
