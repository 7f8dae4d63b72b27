//! What the text of a PTX module says, before any of it is understood as an operation.

use std::fmt;

/// A place in PTX text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pos {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// PTX text that the executor can't read, or an instruction that it doesn't know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where in the text.
    pub pos: Pos,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.pos, self.message)
    }
}

impl std::error::Error for ParseError {}

/// A fundamental type's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Untyped bits.
    Bits,
    /// Unsigned integer.
    Unsigned,
    /// Signed integer.
    Signed,
    /// IEEE binary16, 32 or 64.
    Float,
    /// bfloat16.
    Brain,
    /// Predicate.
    Pred,
}

/// A type such as `.u32`: its kind and its width in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Type {
    pub(super) kind: Kind,
    pub(super) bits: u32,
}

impl Type {
    pub(super) const fn new(kind: Kind, bits: u32) -> Self {
        Self { kind, bits }
    }

    /// Reads a type's name, without its dot. Packed types are not fundamental and are not read.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        if name == "pred" {
            return Some(Self::new(Kind::Pred, 1));
        }
        if name == "bf16" {
            return Some(Self::new(Kind::Brain, 16));
        }
        let (kind, bits) = name.split_at_checked(1)?;
        let kind = match kind {
            "b" => Kind::Bits,
            "u" => Kind::Unsigned,
            "s" => Kind::Signed,
            "f" => Kind::Float,
            _ => return None,
        };
        let bits = match bits {
            "8" if kind != Kind::Float => 8,
            "16" => 16,
            "32" => 32,
            "64" => 64,
            _ => return None,
        };
        Some(Self::new(kind, bits))
    }

    pub(super) fn signed(self) -> bool {
        self.kind == Kind::Signed
    }

    pub(super) fn float(self) -> bool {
        matches!(self.kind, Kind::Float | Kind::Brain)
    }

    pub(super) const fn bytes(self) -> u32 {
        self.bits.div_ceil(8)
    }

    /// The bits of a register that hold a value of this type.
    pub(super) const fn mask(self) -> u64 {
        width_mask(self.bits)
    }
}

/// The low `bits` bits set.
pub(super) const fn width_mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

/// A state space that variables are declared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Space {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// An initial value of a variable's element.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Init {
    Number(u64),
    /// The address of another variable plus an offset, generic or in its own space.
    Address {
        symbol: String,
        offset: i64,
    },
}

/// A declared variable: `.shared .align 16 .b8 name[64];`
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) pos: Pos,
    pub(super) space: Space,
    pub(super) name: String,
    pub(super) align: u32,
    pub(super) element: Type,
    /// Elements; `None` for `name[]`, whose length the launch decides.
    pub(super) length: Option<u64>,
    pub(super) init: Vec<Init>,
}

impl Variable {
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.element.bytes()) * self.length.unwrap_or(0)
    }
}

/// An operand as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    /// A register, variable, label or function; `%tid.x` is one name.
    Name(String),
    Integer(u64),
    Double(u64),
    Single(u32),
    /// `!%p1`
    Not(Box<Operand>),
    /// `{%r1, _}`
    Vector(Vec<Operand>),
    /// `[%rd1+16]`
    Address {
        base: Box<Operand>,
        offset: i64,
    },
    /// `%p1|%p2`
    Pair(Box<Operand>, Box<Operand>),
    /// `_`
    Sink,
    /// `(a, b)` of a call.
    List(Vec<Operand>),
}

/// An instruction as written.
#[derive(Clone, Debug)]
pub(super) struct Instruction {
    pub(super) pos: Pos,
    /// The guard's register and whether it is negated.
    pub(super) guard: Option<(String, bool)>,
    pub(super) opcode: String,
    pub(super) modifiers: Vec<String>,
    pub(super) operands: Vec<Operand>,
    /// Its text on one line, for messages.
    pub(super) text: String,
}

/// One statement of a body.
#[derive(Clone, Debug)]
pub(super) enum Statement {
    Instruction(Instruction),
    Label(String),
    Registers {
        ty: Type,
        names: Vec<(Pos, String, Option<u32>)>,
    },
    Variable(Variable),
    /// `name: .branchtargets a, b;`
    Targets {
        name: String,
        labels: Vec<String>,
    },
    Scope(Vec<Statement>),
}

/// A kernel or a device function.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) entry: bool,
    pub(super) returns: Vec<Variable>,
    pub(super) params: Vec<Variable>,
    /// `.reqntid` and `.maxntid`, where given.
    pub(super) required_block: Option<[u32; 3]>,
    pub(super) max_block: Option<[u32; 3]>,
    /// `None` for a declaration.
    pub(super) body: Option<Vec<Statement>>,
}

/// A whole text.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    pub(super) version: (u32, u32),
    pub(super) target: String,
    pub(super) variables: Vec<Variable>,
    pub(super) functions: Vec<Function>,
}
