//! One module's tokens: the items it defines, the modules it declares, the paths it names.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What a module has.
#[derive(Default)]
pub(super) struct Found {
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    pub(super) named: Vec<Named>,
    pub(super) modules: Vec<Declared>,
    /// Macros that `#[macro_export]` puts at the root of the crate.
    pub(super) exported: Vec<String>,
}

/// A path, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// A name that a `use` binds; a glob has none.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
}

/// `mod name { body }`, or `mod name;` with its `#[path]`.
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) body: Option<TokenStream>,
    pub(super) path: Option<String>,
}

/// Keywords that may stand before the one that says what an item is.
const BEFORE: [&str; 6] = ["pub", "unsafe", "async", "extern", "default", "safe"];

/// Reads a module item by item; those for unit tests only are left out.
pub(super) fn module(tokens: TokenStream) -> Found {
    let mut found = Found::default();
    let mut item: Vec<TokenTree> = Vec::new();
    for token in tokens {
        let ends = match &token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                !matches!(keyword(&item).as_deref(), Some("use" | "const" | "static" | "type"))
            }
            _ => false,
        };
        item.push(token);
        if ends {
            found.add(&std::mem::take(&mut item));
        }
    }
    found.add(&item);
    found
}

impl Found {
    fn add(&mut self, item: &[TokenTree]) {
        if attributes(item).any(is_test) {
            return;
        }
        let body = without_attributes(item);
        match keyword(item).as_deref() {
            Some("mod") => {
                let (Some(name), last) = (name(body, "mod"), body.last()) else { return };
                let body = match last {
                    Some(TokenTree::Group(group)) => Some(group.stream()),
                    _ => None,
                };
                let path = attributes(item).find_map(path_attribute);
                self.modules.push(Declared { name, body, path });
                return;
            }
            Some("use") => {
                let start = body.iter().position(|token| is(token, "use")).map_or(0, |at| at + 1);
                let mut tree = Tree::default();
                tree.read(&body[start..], &[]);
                self.imports.extend(tree.imports);
                self.named.extend(tree.named);
                return;
            }
            Some("macro_rules")
                if attributes(item).any(|it| it.iter().any(|t| is(t, "macro_export"))) =>
            {
                self.exported.extend(name(body, "macro_rules"));
            }
            Some(keyword) => self.items.extend(name(body, keyword)),
            None => {}
        }
        paths(item, &mut self.named);
    }
}

/// What kind of item it is: the first word that is not a modifier.
fn keyword(item: &[TokenTree]) -> Option<String> {
    let words: Vec<_> = without_attributes(item)
        .iter()
        .filter_map(
            |token| if let TokenTree::Ident(word) = token { Some(word.to_string()) } else { None },
        )
        .collect();
    let mut words = words.iter().skip_while(|word| BEFORE.contains(&word.as_str()));
    let first = words.next()?;
    // `const fn`, `const unsafe fn`: what counts comes after.
    if first == "const" {
        let next = words.find(|word| !BEFORE.contains(&word.as_str()))?;
        return Some(if next == "fn" { next.clone() } else { first.clone() });
    }
    Some(first.clone())
}

/// The name after the keyword: of `macro_rules! name` and `static mut NAME` as well.
fn name(body: &[TokenTree], keyword: &str) -> Option<String> {
    let known =
        ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules", "mod"];
    if !known.contains(&keyword) {
        return None;
    }
    let at = body.iter().position(|token| is(token, keyword))?;
    let mut words = body[at + 1..].iter().filter_map(|token| match token {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    });
    words.find(|word| word != "mut")
}

fn is(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_punct(token: Option<&TokenTree>, char: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == char)
}

fn colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

/// The contents of an item's attributes.
fn attributes(item: &[TokenTree]) -> impl Iterator<Item = Vec<TokenTree>> {
    let end = item.len() - without_attributes(item).len();
    item[..end].iter().filter_map(|token| match token {
        TokenTree::Group(group) => Some(group.stream().into_iter().collect()),
        _ => None,
    })
}

/// An item from behind its attributes, and behind those of its module.
fn without_attributes(mut item: &[TokenTree]) -> &[TokenTree] {
    loop {
        item = match item {
            [hash, TokenTree::Group(_), rest @ ..] if is_punct(Some(hash), '#') => rest,
            [hash, bang, TokenTree::Group(_), rest @ ..]
                if is_punct(Some(hash), '#') && is_punct(Some(bang), '!') =>
            {
                rest
            }
            _ => return item,
        };
    }
}

/// `cfg(test)`, or `cfg(all(test, …))`.
fn is_test(attribute: Vec<TokenTree>) -> bool {
    let [cfg, TokenTree::Group(condition)] = &attribute[..] else { return false };
    let condition: Vec<_> = condition.stream().into_iter().collect();
    is(cfg, "cfg")
        && match &condition[..] {
            [one] => is(one, "test"),
            [all, TokenTree::Group(parts)] if is(all, "all") => {
                parts.stream().into_iter().any(|part| is(&part, "test"))
            }
            _ => false,
        }
}

/// The file of `path = "file"`.
fn path_attribute(attribute: Vec<TokenTree>) -> Option<String> {
    match &attribute[..] {
        [path, _, TokenTree::Literal(file)] if is(path, "path") => {
            Some(file.to_string().trim_matches('"').to_owned())
        }
        _ => None,
    }
}

/// Every path of two names or more, at any depth; a `use` inside a function is read as one.
fn paths(tokens: &[TokenTree], named: &mut Vec<Named>) {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => {
                let inside: Vec<_> = group.stream().into_iter().collect();
                paths(&inside, named);
                at += 1;
            }
            TokenTree::Ident(word) if word == "use" && !is_punct(tokens.get(at + 1), '<') => {
                let length = tokens[at..].iter().position(|token| is_punct(Some(token), ';'));
                let end = length.map_or(tokens.len(), |length| at + length);
                let mut tree = Tree::default();
                tree.read(&tokens[at + 1..end], &[]);
                named.extend(tree.named);
                at = end;
            }
            TokenTree::Ident(word) => {
                let (line, mut path) = (word.span().start().line, vec![word.to_string()]);
                let absolute = at >= 2 && colons(tokens, at - 2);
                while colons(tokens, at + 1) {
                    let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
                    path.push(next.to_string());
                    at += 3;
                }
                if path.len() > 1 && !absolute {
                    named.push(Named { path, line });
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// The leaves of a `use` tree.
#[derive(Default)]
struct Tree {
    imports: Vec<Import>,
    named: Vec<Named>,
}

impl Tree {
    fn read(&mut self, tokens: &[TokenTree], before: &[String]) {
        for branch in tokens.split(|token| is_punct(Some(token), ',') || is_punct(Some(token), ';'))
        {
            self.branch(branch, before);
        }
    }

    fn branch(&mut self, tokens: &[TokenTree], before: &[String]) {
        // `::name` is another crate.
        if before.is_empty() && colons(tokens, 0) {
            return;
        }
        let mut path = before.to_vec();
        let mut line = 0;
        let mut rename = None;
        let mut renames = false;
        for token in tokens {
            match token {
                TokenTree::Ident(word) if word == "as" => renames = true,
                TokenTree::Ident(word) if renames => rename = Some(word.to_string()),
                TokenTree::Ident(word) => {
                    line = word.span().start().line;
                    path.push(word.to_string());
                }
                TokenTree::Group(group) => {
                    let inside: Vec<_> = group.stream().into_iter().collect();
                    return self.read(&inside, &path);
                }
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    line = punct.span().start().line;
                    self.named.push(Named { path: path.clone(), line });
                    self.imports.push(Import { name: None, path });
                    return;
                }
                _ => {}
            }
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        if path.len() > before.len() || !before.is_empty() && !tokens.is_empty() {
            let name = rename.or_else(|| path.last().cloned());
            self.named.push(Named { path: path.clone(), line });
            self.imports.push(Import { name, path });
        }
    }
}
