//! PTX text to [`ast`](super::ast): directives, declarations and statements.

use super::ast::{
    Function, Init, Instruction, Operand, ParseError, Pos, Space, Statement, Text, Type, Variable,
};
use super::lex::{Token, tokens};

/// Elements that a variable may have: more than any kernel's, and few enough to be given memory.
const MOST_ELEMENTS: u64 = 1 << 24;
/// Registers that a text may declare by number: more than any kernel's, each of which gets a name.
const MOST_REGISTERS: u64 = 1 << 20;

/// Scopes and operands in each other: more than any kernel's, few enough for a stack.
const DEEPEST: u32 = 64;

/// Bytes that a variable may be aligned to.
const MOST_ALIGNED: u64 = 1 << 16;

type Parsed<T> = Result<T, ParseError>;

/// Parses a module's text.
pub(super) fn parse(text: &str) -> Parsed<Text> {
    Parser { tokens: tokens(text)?, at: 0, registers: 0, depth: 0 }.text()
}

struct Parser<'a> {
    tokens: Vec<(Token<'a>, Pos)>,
    at: usize,
    /// Registers that were declared by number.
    registers: u64,
    /// Scopes and operands that what is parsed is in.
    depth: u32,
}

/// Linkage and function properties, which change nothing of what is executed.
const IGNORED_PREFIXES: [&str; 5] = ["visible", "weak", "extern", "common", "noreturn"];

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens[self.at].0
    }

    fn peek_second(&self) -> Token<'a> {
        self.tokens.get(self.at + 1).map_or(Token::End, |t| t.0)
    }

    fn pos(&self) -> Pos {
        self.tokens[self.at].1
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError { pos: self.pos(), message: message.into() })
    }

    fn expected<T>(&self, what: &str) -> Parsed<T> {
        self.error(format!("expected {what}, found {:?}", self.peek()))
    }

    fn accept(&mut self, punct: char) -> bool {
        let found = self.peek() == Token::Punct(punct);
        if found {
            self.at += 1;
        }
        found
    }

    fn accept_dot(&mut self, name: &str) -> bool {
        let found = self.peek() == Token::Dot(name);
        if found {
            self.at += 1;
        }
        found
    }

    fn require(&mut self, punct: char) -> Parsed<()> {
        if self.accept(punct) { Ok(()) } else { self.expected(&format!("{punct:?}")) }
    }

    fn ident(&mut self) -> Parsed<&'a str> {
        match self.peek() {
            Token::Ident(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => self.expected("a name"),
        }
    }

    fn integer(&mut self) -> Parsed<u64> {
        match self.peek() {
            Token::Integer(value) => {
                self.at += 1;
                Ok(value)
            }
            _ => self.expected("an integer"),
        }
    }

    fn text(mut self) -> Parsed<Text> {
        let mut out = Text::default();
        loop {
            match self.peek() {
                Token::End => return Ok(out),
                Token::Dot("version") => {
                    self.next();
                    out.version = self.version()?;
                }
                Token::Dot("target") => {
                    self.next();
                    out.target = self.ident()?.to_string();
                    while self.accept(',') {
                        self.ident()?;
                    }
                }
                Token::Dot("address_size") => {
                    self.next();
                    if self.integer()? != 64 {
                        return self.error("only .address_size 64 is supported");
                    }
                }
                Token::Dot("file") => self.skip_file()?,
                Token::Dot("section") => {
                    self.next();
                    self.skip_braces()?;
                }
                Token::Dot(name) if IGNORED_PREFIXES.contains(&name) => {
                    self.next();
                }
                Token::Dot("entry" | "func") => {
                    let function = self.function()?;
                    out.functions.push(function);
                }
                Token::Dot("global" | "const" | "shared") => {
                    let variable = self.variable()?;
                    self.require(';')?;
                    out.variables.push(variable);
                }
                _ => return self.expected("a directive"),
            }
        }
    }

    fn version(&mut self) -> Parsed<(u32, u32)> {
        match self.next() {
            Token::Double(bits) => {
                let tenths = (f64::from_bits(bits) * 10.0).round() as u32;
                Ok((tenths / 10, tenths % 10))
            }
            _ => self.error("expected a version such as 8.8 before this"),
        }
    }

    fn skip_file(&mut self) -> Parsed<()> {
        self.next();
        self.integer()?;
        match self.next() {
            Token::Text(_) => {}
            _ => return self.expected("a file name"),
        }
        while self.accept(',') {
            self.integer()?;
        }
        Ok(())
    }

    fn skip_braces(&mut self) -> Parsed<()> {
        while !matches!(self.peek(), Token::Punct('{') | Token::End) {
            self.next();
        }
        let mut depth = 0;
        loop {
            match self.next() {
                Token::Punct('{') => depth += 1,
                Token::Punct('}') => depth -= 1,
                Token::End => return self.expected("'}'"),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn function(&mut self) -> Parsed<Function> {
        let entry = self.next() == Token::Dot("entry");
        while matches!(self.peek(), Token::Dot(name) if IGNORED_PREFIXES.contains(&name)) {
            self.next();
        }
        let returns = if self.peek() == Token::Punct('(') { self.params()? } else { Vec::new() };
        let name = self.ident()?.to_string();
        let params = if self.peek() == Token::Punct('(') { self.params()? } else { Vec::new() };
        let mut function = Function {
            name,
            entry,
            returns,
            params,
            required_block: None,
            max_block: None,
            body: None,
        };
        loop {
            match self.peek() {
                Token::Dot("reqntid") => function.required_block = Some(self.dimensions()?),
                Token::Dot("maxntid") => function.max_block = Some(self.dimensions()?),
                Token::Dot("minnctapersm" | "maxnreg") => {
                    self.next();
                    self.integer()?;
                }
                Token::Dot("noreturn") => {
                    self.next();
                }
                Token::Dot("pragma") => self.pragma()?,
                Token::Punct(';') => {
                    self.next();
                    return Ok(function);
                }
                Token::Punct('{') => {
                    self.next();
                    function.body = Some(self.statements()?);
                    return Ok(function);
                }
                _ => return self.expected("a body, ';' or a performance directive"),
            }
        }
    }

    fn dimensions(&mut self) -> Parsed<[u32; 3]> {
        self.next();
        let mut out = [1; 3];
        for (i, slot) in out.iter_mut().enumerate() {
            if i > 0 && !self.accept(',') {
                break;
            }
            *slot = self.integer()? as u32;
        }
        Ok(out)
    }

    fn pragma(&mut self) -> Parsed<()> {
        self.next();
        match self.next() {
            Token::Text(_) => self.require(';'),
            _ => self.expected("a string"),
        }
    }

    fn params(&mut self) -> Parsed<Vec<Variable>> {
        self.require('(')?;
        let mut out = Vec::new();
        if self.accept(')') {
            return Ok(out);
        }
        loop {
            out.push(self.variable()?);
            if !self.accept(',') {
                self.require(')')?;
                return Ok(out);
            }
        }
    }

    /// A variable from its state space on, up to but not including its `;` or `,`.
    fn variable(&mut self) -> Parsed<Variable> {
        let pos = self.pos();
        let space = match self.next() {
            Token::Dot("global") => Space::Global,
            Token::Dot("const") => Space::Const,
            Token::Dot("shared") => Space::Shared,
            Token::Dot("local") => Space::Local,
            Token::Dot("param") => Space::Param,
            other => return self.error(format!("{other:?} is not a state space")),
        };
        let mut align = None;
        let element = loop {
            match self.next() {
                Token::Dot("align") => align = Some(self.integer()?),
                Token::Dot("ptr" | "global" | "shared" | "const" | "local") => {}
                Token::Dot(name) => match Type::from_name(name) {
                    Some(ty) => break ty,
                    None => return self.error(format!(".{name} is not a type of a variable")),
                },
                _ => return self.error("expected a type before this"),
            }
        };
        // `.param .u64 .ptr .global .align 16 name`: what the pointer points to, not itself.
        while let Token::Dot(name) = self.peek() {
            self.next();
            match name {
                "ptr" | "global" | "shared" | "const" | "local" => {}
                "align" => {
                    self.integer()?;
                }
                _ => return self.error(format!("unknown attribute .{name}")),
            }
        }
        let name = self.ident()?.to_string();
        let mut length = Some(1);
        if self.accept('[') {
            length = if self.peek() == Token::Punct(']') { None } else { Some(self.integer()?) };
            self.require(']')?;
        }
        if length.is_some_and(|length| length > MOST_ELEMENTS) {
            return self.error(format!("{name} has more than {MOST_ELEMENTS} elements"));
        }
        let init = if self.accept('=') { self.initializer()? } else { Vec::new() };
        let align = align.unwrap_or(u64::from(element.bytes()));
        if !align.is_power_of_two() || align > MOST_ALIGNED {
            return self.error(format!("{align} is no power of two up to {MOST_ALIGNED}"));
        }
        let align = align as u32;
        Ok(Variable { pos, space, name, align, element, length, init })
    }

    fn initializer(&mut self) -> Parsed<Vec<Init>> {
        if !self.accept('{') {
            return Ok(vec![self.initial_value()?]);
        }
        let mut out = Vec::new();
        while !self.accept('}') {
            out.push(self.initial_value()?);
            if !self.accept(',') {
                self.require('}')?;
                break;
            }
        }
        Ok(out)
    }

    fn initial_value(&mut self) -> Parsed<Init> {
        let negative = self.accept('-');
        match self.next() {
            Token::Integer(value) => {
                Ok(Init::Number(if negative { value.wrapping_neg() } else { value }))
            }
            Token::Single(bits) if !negative => Ok(Init::Number(u64::from(bits))),
            Token::Double(bits) if !negative => Ok(Init::Number(bits)),
            Token::Ident("generic") => {
                self.require('(')?;
                let symbol = self.ident()?.to_string();
                self.require(')')?;
                let offset = self.offset()?;
                Ok(Init::Address { symbol, offset })
            }
            Token::Ident(symbol) => {
                let symbol = symbol.to_string();
                let offset = self.offset()?;
                Ok(Init::Address { symbol, offset })
            }
            other => self.error(format!("{other:?} can't initialize a variable")),
        }
    }

    /// `+16`, `-16`, `+-16` or nothing.
    fn offset(&mut self) -> Parsed<i64> {
        let plus = self.accept('+');
        if self.accept('-') {
            return Ok((self.integer()? as i64).wrapping_neg());
        }
        if plus { Ok(self.integer()? as i64) } else { Ok(0) }
    }

    /// What is in a scope or an operand.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error(format!("scopes or operands more than {DEEPEST} deep"));
        }
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    /// Statements up to and including the closing brace.
    fn statements(&mut self) -> Parsed<Vec<Statement>> {
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Token::Punct('}') => {
                    self.next();
                    return Ok(out);
                }
                Token::Punct('{') => {
                    self.next();
                    out.push(Statement::Scope(self.nested(Self::statements)?));
                }
                Token::Punct(';') => {
                    self.next();
                }
                Token::Dot("reg") => out.push(self.registers()?),
                Token::Dot("local" | "shared" | "param" | "global" | "const") => {
                    let variable = self.variable()?;
                    self.require(';')?;
                    out.push(Statement::Variable(variable));
                }
                Token::Dot("loc") => self.skip_loc()?,
                Token::Dot("pragma") => self.pragma()?,
                Token::Ident(name) if self.peek_second() == Token::Punct(':') => {
                    self.at += 2;
                    out.push(self.label(name)?);
                }
                Token::Ident(_) | Token::Punct('@') => {
                    out.push(Statement::Instruction(self.instruction()?));
                }
                _ => return self.expected("a statement"),
            }
        }
    }

    fn label(&mut self, name: &str) -> Parsed<Statement> {
        if !self.accept_dot("branchtargets") {
            return Ok(Statement::Label(name.to_string()));
        }
        let mut labels = vec![self.ident()?.to_string()];
        while self.accept(',') {
            labels.push(self.ident()?.to_string());
        }
        self.require(';')?;
        Ok(Statement::Targets { name: name.to_string(), labels })
    }

    fn skip_loc(&mut self) -> Parsed<()> {
        let line = self.pos().line;
        while self.pos().line == line && self.peek() != Token::End {
            self.next();
        }
        Ok(())
    }

    fn registers(&mut self) -> Parsed<Statement> {
        self.next();
        let ty = match self.next() {
            Token::Dot(name) => Type::from_name(name),
            _ => None,
        };
        let Some(ty) = ty else { return self.error("no such register type before this") };
        let mut names = Vec::new();
        loop {
            let pos = self.pos();
            let name = self.ident()?.to_string();
            let count = if self.accept('<') {
                let count = self.integer()?;
                self.registers = self.registers.saturating_add(count);
                if self.registers > MOST_REGISTERS {
                    return self.error(format!("{name} is past {MOST_REGISTERS} registers"));
                }
                self.require('>')?;
                Some(count as u32)
            } else {
                None
            };
            names.push((pos, name, count));
            if !self.accept(',') {
                self.require(';')?;
                return Ok(Statement::Registers { ty, names });
            }
        }
    }

    fn instruction(&mut self) -> Parsed<Instruction> {
        let start = self.at;
        let guard = if self.accept('@') {
            let negated = self.accept('!');
            Some((self.ident()?.to_string(), negated))
        } else {
            None
        };
        let pos = self.pos();
        let opcode = self.ident()?.to_string();
        let mut modifiers = Vec::new();
        while let Token::Dot(name) = self.peek() {
            modifiers.push(name.to_string());
            self.next();
        }
        let mut operands = Vec::new();
        if !self.accept(';') {
            loop {
                operands.push(self.operand()?);
                if !self.accept(',') {
                    self.require(';')?;
                    break;
                }
            }
        }
        let text = render(&self.tokens[start..self.at - 1]);
        Ok(Instruction { pos, guard, opcode, modifiers, operands, text })
    }

    fn operand(&mut self) -> Parsed<Operand> {
        let first = self.operand_part()?;
        if self.accept('|') {
            return Ok(Operand::Pair(Box::new(first), Box::new(self.operand_part()?)));
        }
        Ok(first)
    }

    fn operand_part(&mut self) -> Parsed<Operand> {
        match self.next() {
            Token::Ident("_") => Ok(Operand::Sink),
            Token::Ident(name) => match self.peek() {
                Token::Dot(part @ ("x" | "y" | "z" | "w")) => {
                    self.next();
                    Ok(Operand::Name(format!("{name}.{part}")))
                }
                Token::Punct('+' | '-') => {
                    let base = Box::new(Operand::Name(name.to_string()));
                    Ok(Operand::Address { base, offset: self.offset()? })
                }
                _ => Ok(Operand::Name(name.to_string())),
            },
            Token::Integer(value) => Ok(Operand::Integer(value)),
            Token::Double(bits) => Ok(Operand::Double(bits)),
            Token::Single(bits) => Ok(Operand::Single(bits)),
            Token::Punct('-') => match self.next() {
                Token::Integer(value) => Ok(Operand::Integer(value.wrapping_neg())),
                Token::Double(bits) => Ok(Operand::Double(bits ^ 1 << 63)),
                other => self.error(format!("'-' before {other:?}")),
            },
            Token::Punct('!') => Ok(Operand::Not(Box::new(self.nested(Self::operand_part)?))),
            Token::Punct('{') => Ok(Operand::Vector(self.nested(|p| p.list('}'))?)),
            Token::Punct('(') => Ok(Operand::List(self.nested(|p| p.list(')'))?)),
            Token::Punct('[') => {
                let base = match self.next() {
                    Token::Ident(name) => Operand::Name(name.to_string()),
                    Token::Integer(value) => Operand::Integer(value),
                    other => return self.error(format!("{other:?} is not an address")),
                };
                let offset = self.offset()?;
                self.require(']')?;
                Ok(Operand::Address { base: Box::new(base), offset })
            }
            other => self.error(format!("{other:?} is not an operand")),
        }
    }

    fn list(&mut self, close: char) -> Parsed<Vec<Operand>> {
        let mut out = Vec::new();
        if self.accept(close) {
            return Ok(out);
        }
        loop {
            out.push(self.operand_part()?);
            if !self.accept(',') {
                self.require(close)?;
                return Ok(out);
            }
        }
    }
}

/// An instruction's tokens as one line.
fn render(tokens: &[(Token<'_>, Pos)]) -> String {
    let mut out = String::new();
    let mut opened = false;
    for (token, _) in tokens {
        match token {
            Token::Ident(name) => {
                if matches!(out.chars().last(), Some(c) if c.is_alphanumeric()) {
                    out.push(' ');
                }
                out.push_str(name);
            }
            Token::Dot(name) => {
                out.push('.');
                out.push_str(name);
            }
            Token::Punct(',') => out.push_str(", "),
            Token::Punct(c) => {
                if matches!(c, '[' | '{' | '(') && !opened {
                    opened = true;
                    if !out.ends_with(' ') {
                        out.push(' ');
                    }
                }
                out.push(*c);
            }
            Token::Integer(value) if (*value as i64) < 0 => out.push_str(&format!("{value:#x}")),
            Token::Integer(value) => out.push_str(&value.to_string()),
            Token::Single(bits) => out.push_str(&format!("0f{bits:08X}")),
            Token::Double(bits) => out.push_str(&format!("0d{bits:016X}")),
            Token::Text(text) => out.push_str(&format!("{text:?}")),
            Token::End => {}
        }
    }
    out
}
