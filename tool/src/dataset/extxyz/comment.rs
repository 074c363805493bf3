//! The second line of a frame: cell, periodicity and the meaning of the columns.

use super::columns::Columns;
use super::{format_error, number, quoted};
use mlff_student::error::Result;

/// What a comment line says.
pub(crate) struct Comment {
    pub(crate) cell: Option<[[f64; 3]; 3]>,
    pub(crate) periodic: [bool; 3],
    pub(crate) columns: Columns,
    /// Whether LAMMPS wrote it in a format that has no place for a cell (dump xyz).
    pub(crate) cell_is_lost: bool,
    pairs: Vec<(String, String)>,
}

impl Comment {
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let pairs = pairs(line);
        let value = |key| last(&pairs, key);
        let cell = value("Lattice").map(lattice).transpose()?;
        let periodic = match value("pbc") {
            Some(text) => periodicity(text)?,
            None => [cell.is_some(); 3],
        };
        let columns = Columns::parse(value("Properties"))?;
        let cell_is_lost = cell.is_none() && line.trim_start().starts_with("Atoms. Timestep:");
        Ok(Self { cell, periodic, columns, cell_is_lost, pairs })
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        last(&self.pairs, key)
    }
}

/// The last one counts, as in a Python dictionary.
fn last<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|pair| pair.0 == key).map(|pair| &*pair.1)
}

fn lattice(text: &str) -> Result<[[f64; 3]; 3]> {
    let numbers: Option<Vec<f64>> = items(text).map(number).collect();
    match numbers.as_deref() {
        Some(&[ax, ay, az, bx, by, bz, cx, cy, cz]) => {
            Ok([[ax, ay, az], [bx, by, bz], [cx, cy, cz]])
        }
        _ => format_error(format!(
            "expected nine numbers, Lattice=\"ax ay az bx by bz cx cy cz\", found {}",
            quoted(text)
        )),
    }
}

fn periodicity(text: &str) -> Result<[bool; 3]> {
    let flag = |text| match text {
        "T" | "True" | "TRUE" | "true" | "1" => Some(true),
        "F" | "False" | "FALSE" | "false" | "0" => Some(false),
        _ => None,
    };
    let flags: Option<Vec<bool>> = items(text).map(flag).collect();
    match flags.as_deref() {
        Some(&[a, b, c]) => Ok([a, b, c]),
        Some(&[all]) => Ok([all; 3]),
        _ => format_error(format!(
            "expected three of T and F, such as pbc=\"T T F\", found {}",
            quoted(text)
        )),
    }
}

pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|item| !item.is_empty())
}

enum Token {
    Word(String),
    Equals,
}

/// The `key=value` pairs among other words.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut key = None;
    let mut tokens = tokens(line).into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) => key = Some(word),
            Token::Equals => {
                let value = tokens.next_if(|next| matches!(next, Token::Word(_)));
                let value = if let Some(Token::Word(word)) = value { word } else { String::new() };
                match (key.take(), pairs.last_mut()) {
                    (Some(key), _) => pairs.push((key, value)),
                    // key=a=b: the value is "a=b".
                    (None, Some(last)) => last.1.extend(["=", &value]),
                    (None, None) => {}
                }
            }
        }
    }
    pairs
}

/// Words, whole where they are quoted or in brackets, and unquoted equals signs. A backslash
/// takes the next character as it is.
fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut closing = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (character, closing) {
            ('\\', _) => word.get_or_insert_default().extend(characters.next()),
            (_, Some(end)) if character == end => closing = None,
            (_, Some(_)) => word.get_or_insert_default().push(character),
            ('"' | '\'' | '{' | '[', None) => {
                closing = Some(match character {
                    '{' => '}',
                    '[' => ']',
                    quote => quote,
                });
                word.get_or_insert_default();
            }
            ('=', None) => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::Equals);
            }
            (_, None) if character.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            (_, None) => word.get_or_insert_default().push(character),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}
