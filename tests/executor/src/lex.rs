//! Tokens of PTX text, each with its line and column.

use super::ast::{ParseError, Pos};

/// One token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// An identifier: an opcode, a register, a label or a symbol.
    Ident(&'a str),
    /// A dot and what follows it: a directive or a modifier, without its dot.
    Dot(&'a str),
    /// An integer literal, as its 64 bits.
    Integer(u64),
    /// A floating-point literal, as the 64 bits of its double.
    Double(u64),
    /// A floating-point literal, as the 32 bits of its single.
    Single(u32),
    /// A string literal, without its quotes.
    Text(&'a str),
    /// Punctuation.
    Punct(char),
    /// The end of the text.
    End,
}

/// Reads all tokens of `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, Pos)>, ParseError> {
    let mut lexer = Lexer { text, at: 0, line: 1, line_start: 0 };
    let mut out = Vec::with_capacity(text.len() / 4);
    loop {
        lexer.skip_blank()?;
        let pos = lexer.pos();
        let token = lexer.token()?;
        out.push((token, pos));
        if token == Token::End {
            return Ok(out);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
}

const fn in_identifier(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$' | b'%')
}

impl<'a> Lexer<'a> {
    fn pos(&self) -> Pos {
        Pos { line: self.line, column: (self.at - self.line_start + 1) as u32 }
    }

    fn error(&self, message: String) -> ParseError {
        ParseError { pos: self.pos(), message }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Steps over `count` bytes, keeping the line number.
    fn advance(&mut self, count: usize) {
        for _ in 0..count {
            if self.peek(0) == b'\n' {
                self.line += 1;
                self.line_start = self.at + 1;
            }
            self.at += 1;
        }
    }

    fn skip_blank(&mut self) -> Result<(), ParseError> {
        loop {
            let rest = &self.text[self.at..];
            if rest.starts_with("//") {
                self.advance(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                let Some(end) = rest.find("*/") else {
                    return Err(self.error("this comment never ends".into()));
                };
                self.advance(end + 2);
            } else if rest.as_bytes().first().is_some_and(u8::is_ascii_whitespace) {
                self.advance(1);
            } else {
                return Ok(());
            }
        }
    }

    fn span(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let len = rest.bytes().position(|c| !accept(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn token(&mut self) -> Result<Token<'a>, ParseError> {
        let c = self.peek(0);
        match c {
            0 if self.at >= self.text.len() => Ok(Token::End),
            b'0'..=b'9' => self.number(),
            b'.' if in_identifier(self.peek(1)) => {
                self.at += 1;
                Ok(Token::Dot(self.span(|c| in_identifier(c) || c == b':')))
            }
            b'"' => {
                let rest = &self.text[self.at + 1..];
                let Some(end) = rest.find('"') else {
                    return Err(self.error("this text never ends".into()));
                };
                self.advance(end + 2);
                Ok(Token::Text(&rest[..end]))
            }
            _ if in_identifier(c) => Ok(Token::Ident(self.span(in_identifier))),
            b'{' | b'}' | b'(' | b')' | b'[' | b']' | b'<' | b'>' | b',' | b';' | b':' | b'='
            | b'+' | b'-' | b'!' | b'|' | b'@' => {
                self.at += 1;
                Ok(Token::Punct(char::from(c)))
            }
            _ => Err(self.error(format!("unexpected character {:?}", char::from(c)))),
        }
    }

    fn number(&mut self) -> Result<Token<'a>, ParseError> {
        let bad = |lexer: &Self, text: &str| lexer.error(format!("{text:?} is not a number"));
        let prefix = (self.peek(0), self.peek(1).to_ascii_lowercase());
        let radix = match prefix {
            (b'0', b'x') => Some(16),
            (b'0', b'b') => Some(2),
            (b'0', b'f' | b'd') => {
                self.at += 2;
                let digits = self.span(|c| c.is_ascii_hexdigit());
                let bits = u64::from_str_radix(digits, 16).map_err(|_| bad(self, digits))?;
                return match (prefix.1, digits.len()) {
                    (b'f', 8) => Ok(Token::Single(bits as u32)),
                    (b'd', 16) => Ok(Token::Double(bits)),
                    _ => Err(self.error(format!("a float literal of {} digits", digits.len()))),
                };
            }
            _ => None,
        };
        if let Some(radix) = radix {
            self.at += 2;
            let digits = self.span(|c| c.is_ascii_alphanumeric());
            let plain = digits.trim_end_matches('U');
            return u64::from_str_radix(plain, radix)
                .map(Token::Integer)
                .map_err(|_| bad(self, digits));
        }
        let digits = self.span(|c| c.is_ascii_digit());
        if self.peek(0) == b'.' && self.peek(1).is_ascii_digit() {
            self.at += 1;
            let fraction = self.span(|c| c.is_ascii_alphanumeric());
            let text = format!("{digits}.{fraction}");
            let value: f64 = text.parse().map_err(|_| bad(self, &text))?;
            return Ok(Token::Double(value.to_bits()));
        }
        let octal = digits.len() > 1 && digits.starts_with('0');
        let value = u64::from_str_radix(digits, if octal { 8 } else { 10 });
        let value = value.map_err(|_| bad(self, digits))?;
        if self.peek(0) == b'U' {
            self.at += 1;
        }
        Ok(Token::Integer(value))
    }
}
