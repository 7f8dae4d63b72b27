//! Moves, loads, stores, atomics and address arithmetic.

use super::super::ast::{Instruction, Kind, Operand, Space, Type, width_mask};
use super::super::lanes::{one, two};
use super::super::op::{Address, AtomicOp, Op, Slot, Strength, Window};
use super::super::window;
use super::decoder::Symbol;
use super::decoder::{Decoded, Decoder};
use super::modifiers::Modifiers;

/// Scopes of an access. All threads here see one memory in one order, so none weakens another.
const SCOPES: [(&str, ()); 4] = [("cta", ()), ("cluster", ()), ("gpu", ()), ("sys", ())];

/// Cache operators and hints: they change no value.
const HINTS: [&str; 18] = [
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "L1::evict_normal",
    "L1::evict_unchanged",
    "L1::evict_first",
    "L1::evict_last",
    "L1::no_allocate",
    "L2::evict_normal",
    "L2::evict_first",
    "L2::evict_last",
    "L2::64B",
    "L2::128B",
    "L2::256B",
];

const ATOMICS: [(&str, AtomicOp); 10] = [
    ("add", AtomicOp::Add),
    ("min", AtomicOp::Min),
    ("max", AtomicOp::Max),
    ("and", AtomicOp::And),
    ("or", AtomicOp::Or),
    ("xor", AtomicOp::Xor),
    ("exch", AtomicOp::Exchange),
    ("cas", AtomicOp::CompareAndSwap),
    ("inc", AtomicOp::Increment),
    ("dec", AtomicOp::Decrement),
];

fn space(m: &mut Modifiers<'_>) -> Window {
    let spaces = [
        ("global", Window::Global),
        ("const", Window::Const),
        ("shared", Window::Shared),
        ("shared::cta", Window::Shared),
        ("local", Window::Local),
        ("param", Window::Param),
        ("param::entry", Window::Param),
        ("param::func", Window::Param),
    ];
    m.choice(&spaces).unwrap_or(Window::Generic)
}

/// The start of a window in the generic address space.
const fn window_base(window: Window) -> u64 {
    match window {
        Window::Generic | Window::Global | Window::Const => 0,
        Window::Shared => window::SHARED,
        Window::Local => window::LOCAL,
        Window::Param => window::PARAM,
    }
}

impl Decoder<'_> {
    pub(super) fn memory(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        match ins.opcode.as_str() {
            "mov" => self.mov(ins, m),
            "ld" | "ldu" | "st" => self.load_store(ins, m),
            "atom" | "red" => self.atomic(ins, m),
            "cvta" => self.convert_address(ins, m),
            "isspacep" => self.is_space(ins, m),
            "createpolicy" => {
                // A policy is an opaque number that only hints take.
                m.flag("fractional");
                while m.choice(&HINTS.map(|hint| (hint, ()))).is_some() {}
                m.ty()?;
                let d = self.write(ins, 0, 64)?;
                let token = self.constant(0x0bad_cafe);
                self.emit_compute(d, &[token], one(|a| a));
                Ok(())
            }
            "prefetch" => {
                space(m);
                m.choice(&[
                    ("L1", ()),
                    ("L2", ()),
                    ("L2::evict_last", ()),
                    ("L2::evict_normal", ()),
                ]);
                self.emit(Op::Nothing);
                Ok(())
            }
            _ => self.async_copy(ins, m),
        }
    }

    fn mov(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let ty = m.ty()?;
        self.operand_count(ins, 2)?;
        match (self.at(ins, 0)?.clone(), self.at(ins, 1)?.clone()) {
            (Operand::Vector(parts), _) => self.unpack(ins, ty, &parts),
            (_, Operand::Vector(parts)) => self.pack(ins, ty, &parts),
            (_, source) => {
                let a = match self.variable_address(&source) {
                    Some(slot) => slot,
                    None => self.read(ins, 1, ty.bits)?,
                };
                let d = self.write(ins, 0, ty.bits)?;
                self.emit(Op::Move { d, a });
                Ok(())
            }
        }
    }

    /// A register that holds a variable's address in its own space, if `operand` names a variable.
    fn variable_address(&mut self, operand: &Operand) -> Option<Slot> {
        let (name, offset) = match operand {
            Operand::Name(name) => (name, 0),
            Operand::Address { base, offset } => match &**base {
                Operand::Name(name) => (name, *offset),
                _ => return None,
            },
            _ => return None,
        };
        match self.lookup(name)? {
            Symbol::Variable { address, .. } => {
                Some(self.constant(address.wrapping_add_signed(offset)))
            }
            Symbol::DynamicShared if offset == 0 => {
                let slot = self.new_slot();
                self.dynamic_shared.push(slot);
                Some(slot)
            }
            _ => None,
        }
    }

    fn unpack(&mut self, ins: &Instruction, ty: Type, parts: &[Operand]) -> Decoded<()> {
        let bits = ty.bits / parts.len() as u32;
        let a = self.read(ins, 1, ty.bits)?;
        for (i, part) in parts.iter().enumerate() {
            if *part == Operand::Sink {
                continue;
            }
            let d = self.target(ins, part, bits, false)?;
            let (shift, mask) = (i as u32 * bits, width_mask(bits));
            self.emit_compute(d, &[a], one(move |a| a >> shift & mask));
        }
        Ok(())
    }

    fn pack(&mut self, ins: &Instruction, ty: Type, parts: &[Operand]) -> Decoded<()> {
        let bits = ty.bits / parts.len() as u32;
        let d = self.write(ins, 0, ty.bits)?;
        let mut sum = self.sized(ins, &parts[0], bits, false)?;
        for (i, part) in parts.iter().enumerate().skip(1) {
            let next = self.sized(ins, part, bits, false)?;
            let out = if i + 1 == parts.len() { d } else { self.new_slot() };
            let shift = i as u32 * bits;
            self.emit_compute(out, &[sum, next], two(move |a, b| a | b << shift));
            sum = out;
        }
        Ok(())
    }

    /// The address operand `index`.
    fn address(&mut self, ins: &Instruction, index: usize, window: Window) -> Decoded<Address> {
        let Operand::Address { base, offset } = self.at(ins, index)?.clone() else {
            return self
                .fail(ins, format!("operand {} of {:?} is not an address", index + 1, ins.text));
        };
        let Operand::Name(name) = &*base else {
            let base = self.sized(ins, &base, 64, false)?;
            return Ok(Address { window, base, offset });
        };
        match self.lookup(name) {
            Some(Symbol::Variable { space, address }) => {
                // A parameter of an inlined call lives in the thread's local memory.
                let window = match (window, space) {
                    (Window::Param, Space::Local) => Window::Local,
                    (Window::Generic, Space::Shared) => Window::Shared,
                    (Window::Generic, Space::Local) => Window::Local,
                    _ => window,
                };
                let base = self.constant(address);
                Ok(Address { window, base, offset })
            }
            Some(Symbol::DynamicShared) => {
                let base = self.new_slot();
                self.dynamic_shared.push(base);
                Ok(Address { window, base, offset })
            }
            _ => {
                // Addresses within a window other than generic may be 32 bits wide.
                let bits = self.register_width(name).unwrap_or(64);
                if bits != 64
                    && !(bits == 32 && window != Window::Generic && window != Window::Global)
                {
                    return self.fail(ins, format!("{name} has {bits} bits, an address has 64"));
                }
                let base = self.sized(ins, &base, bits, false)?;
                Ok(Address { window, base, offset })
            }
        }
    }

    fn load_store(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let store = ins.opcode == "st";
        let mut strength = Strength::Weak;
        if m.choice(&[("relaxed", ()), ("acquire", ()), ("release", ()), ("volatile", ())])
            .is_some()
        {
            strength = Strength::Strong;
        }
        m.flag("weak");
        m.choice(&SCOPES);
        let window = space(m);
        if m.flag("nc") || ins.opcode == "ldu" {
            strength = Strength::ReadOnly;
        }
        while m.choice(&HINTS.map(|hint| (hint, ()))).is_some() {}
        let hint = m.flag("L2::cache_hint");
        let lanes = m.choice(&[("v2", 2), ("v4", 4), ("v8", 8)]);
        let ty = m.ty()?;
        self.operand_count(ins, if hint { 3 } else { 2 })?;
        if hint {
            self.read(ins, 2, 64)?;
        }
        let data = usize::from(store);
        let parts = match (self.at(ins, data)?.clone(), lanes) {
            (Operand::Vector(parts), Some(count)) if parts.len() == count => parts,
            (operand, None) if !matches!(operand, Operand::Vector(_)) => vec![operand],
            _ => return m.error(format!("{:?} has another number of elements", ins.text)),
        };
        let address = self.address(ins, 1 - data, window)?;
        if store {
            let mut from = Vec::new();
            for part in &parts {
                from.push(self.sized(ins, part, ty.bits, true)?);
            }
            self.emit(Op::Store { from, ty, to: address, strength });
        } else {
            let mut to = Vec::new();
            let mut width = ty.bits;
            for part in &parts {
                if let Operand::Name(name) = part {
                    width = self.register_width(name).unwrap_or(width);
                }
                to.push(self.target(ins, part, ty.bits, true)?);
            }
            self.emit(Op::Load { to, ty, width, from: address, strength });
        }
        Ok(())
    }

    /// `ldmatrix.sync.aligned.m8n8.x4{.trans}.shared.b16`.
    pub(super) fn load_matrix(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        for needed in ["sync", "aligned", "m8n8"] {
            m.require(&[(needed, ())])?;
        }
        let matrices = m.require(&[("x1", 1), ("x2", 2), ("x4", 4)])?;
        let transposed = m.flag("trans");
        if space(m) != Window::Shared || m.ty()? != Type::new(Kind::Bits, 16) {
            return m.error("ldmatrix loads .b16 from .shared");
        }
        self.operand_count(ins, 2)?;
        let parts = match self.at(ins, 0)?.clone() {
            Operand::Vector(parts) if parts.len() == matrices => parts,
            _ => return m.error(format!("{:?} has another number of matrices", ins.text)),
        };
        let from = self.address(ins, 1, Window::Shared)?;
        let mut to = Vec::new();
        for part in &parts {
            to.push(self.target(ins, part, 32, false)?);
        }
        self.emit(Op::LoadMatrix { to, from, transposed });
        Ok(())
    }

    fn atomic(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        m.choice(&[("relaxed", ()), ("acquire", ()), ("release", ()), ("acq_rel", ())]);
        m.choice(&SCOPES);
        let window = space(m);
        let op = m.require(&ATOMICS)?;
        let ty = m.ty()?;
        let integer = matches!(ty.kind, Kind::Unsigned | Kind::Signed);
        let legal = matches!(ty.bits, 32 | 64)
            && match op {
                AtomicOp::Add | AtomicOp::Min | AtomicOp::Max => integer,
                AtomicOp::Increment | AtomicOp::Decrement => ty == Type::new(Kind::Unsigned, 32),
                _ => ty.kind == Kind::Bits,
            };
        if !legal {
            return m.error(format!("{:?} is not supported with this type", ins.text));
        }
        let returns = usize::from(ins.opcode == "atom");
        let two = op == AtomicOp::CompareAndSwap;
        self.operand_count(ins, returns + 2 + usize::from(two))?;
        let at = self.address(ins, returns, window)?;
        let a = self.read(ins, returns + 1, ty.bits)?;
        let b = if two { Some(self.read(ins, returns + 2, ty.bits)?) } else { None };
        let dest = if returns == 1 { Some(self.write(ins, 0, ty.bits)?) } else { None };
        self.emit(Op::Atomic { op, ty, dest, at, a, b });
        Ok(())
    }

    fn convert_address(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let to = m.flag("to");
        let window = space(m);
        if window == Window::Generic || m.ty()?.bits != 64 {
            return m.error("cvta needs a state space and .u64");
        }
        let base = window_base(window);
        self.operand_count(ins, 2)?;
        let operand = self.at(ins, 1)?.clone();
        let a = match self.variable_address(&operand) {
            Some(slot) => slot,
            None => self.read(ins, 1, 64)?,
        };
        let d = self.write(ins, 0, 64)?;
        let f = if to {
            one(move |a| a.wrapping_sub(base))
        } else {
            one(move |a| a.wrapping_add(base))
        };
        self.emit_compute(d, &[a], f);
        Ok(())
    }

    fn is_space(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let window = space(m);
        self.operand_count(ins, 2)?;
        let a = self.read(ins, 1, 64)?;
        let d = self.write(ins, 0, 1)?;
        let (from, to) = match window {
            Window::Global => (window::GLOBAL, window::PARAM),
            Window::Shared | Window::Local | Window::Param => {
                (window_base(window), window_base(window) + window::SIZE)
            }
            _ => return m.error("isspacep of this space is not supported"),
        };
        self.emit_compute(d, &[a], one(move |a| u64::from((from..to).contains(&a))));
        Ok(())
    }

    fn async_copy(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        if !m.flag("async") {
            return m.error("only cp.async is supported");
        }
        if m.flag("commit_group") {
            self.emit(Op::AsyncCommit);
            return Ok(());
        }
        if m.flag("wait_all") {
            self.emit(Op::AsyncWait { pending: 0, uncommitted: true });
            return Ok(());
        }
        if m.flag("wait_group") {
            let Operand::Integer(pending) = *self.at(ins, 0)? else {
                return m.error("cp.async.wait_group needs a constant");
            };
            self.emit(Op::AsyncWait { pending: pending as u32, uncommitted: false });
            return Ok(());
        }
        let all_levels = m.require(&[("ca", true), ("cg", false)])?;
        let shared = m.flag("shared") || m.flag("shared::cta");
        if !(shared && m.flag("global")) {
            return m.error("cp.async copies from global to shared memory");
        }
        m.choice(&[("L2::64B", ()), ("L2::128B", ()), ("L2::256B", ())]);
        let hint = m.flag("L2::cache_hint");
        let Operand::Integer(bytes) = *self.at(ins, 2)? else {
            return m.error("the size of cp.async is not a constant");
        };
        if !(bytes == 16 || all_levels && matches!(bytes, 4 | 8)) {
            return m.error(format!("cp.async can't copy {bytes} bytes"));
        }
        let to = self.address(ins, 0, Window::Shared)?;
        let from = self.address(ins, 1, Window::Global)?;
        let sized = ins.operands.len() == 4 + usize::from(hint);
        self.operand_count(ins, 3 + usize::from(sized) + usize::from(hint))?;
        let source_bytes = if sized { Some(self.read(ins, 3, 32)?) } else { None };
        self.emit(Op::AsyncCopy { to, from, bytes: bytes as u32, source_bytes });
        Ok(())
    }
}
