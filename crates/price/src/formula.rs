//! Formulas over facts, in CEL's syntax, evaluated exactly.
//!
//! Where a table does not do (pixel tokens, two-part tariffs), a provider file writes an expression of the
//! Common Expression Language. The `cel` crate parses it. It is then compiled to a small tree of our own and
//! evaluated in decimals: CEL's own numbers are 64-bit floats and integers, and money is neither. So `7 / 2`
//! is 3.5 here, and a literal such as `0.1` is one tenth. Supported: `+ - * / %`, comparisons, `&& || !`,
//! `?:`, parentheses, numbers, strings, facts by name, and `ceil floor round min max`. Anything else is
//! refused when the file is loaded. The next file in the flow is `glob.rs`.

use std::fmt;
use std::sync::Arc;

use cel::Program;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use rust_decimal::{Decimal, RoundingStrategy};
use spantally_stitch::{Attempt, FactValue};

use crate::fact;

/// A compiled formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    text: Arc<str>,
    root: Node,
}

/// Why a formula cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormulaError(String);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Number(Decimal),
    Text(Arc<str>),
    Truth(bool),
    Fact(Arc<str>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Round(Direction, Box<Node>),
    Extreme(Extreme, Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
    Nearest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extreme {
    Least,
    Most,
}

/// What a part of a formula is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Worth<'a> {
    Number(Decimal),
    Text(&'a str),
    Truth(bool),
}

const BINARY: [(&str, Operator); 13] = [
    (operators::ADD, Operator::Add),
    (operators::SUBSTRACT, Operator::Subtract),
    (operators::MULTIPLY, Operator::Multiply),
    (operators::DIVIDE, Operator::Divide),
    (operators::MODULO, Operator::Remainder),
    (operators::EQUALS, Operator::Equal),
    (operators::NOT_EQUALS, Operator::NotEqual),
    (operators::LESS, Operator::Less),
    (operators::LESS_EQUALS, Operator::LessOrEqual),
    (operators::GREATER, Operator::Greater),
    (operators::GREATER_EQUALS, Operator::GreaterOrEqual),
    (operators::LOGICAL_AND, Operator::And),
    (operators::LOGICAL_OR, Operator::Or),
];

const ROUNDING: [(&str, Direction); 3] =
    [("ceil", Direction::Up), ("floor", Direction::Down), ("round", Direction::Nearest)];

const EXTREMES: [(&str, Extreme); 2] = [("min", Extreme::Least), ("max", Extreme::Most)];

impl Formula {
    /// Parses and compiles a formula.
    pub fn new(text: &str) -> Result<Self, FormulaError> {
        let program = Program::compile(text).map_err(|errors| {
            let first = errors.errors.first().map(|error| error.msg.trim().to_owned());
            FormulaError(first.unwrap_or_else(|| errors.to_string()))
        })?;
        Ok(Self { text: text.into(), root: compile(&program.expression().expr)? })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its value for an attempt; none when a fact that it needs is not seen, when it is no number, or out of
    /// range.
    pub(crate) fn evaluate(&self, attempt: &Attempt) -> Option<Decimal> {
        match self.root.worth(attempt)? {
            Worth::Number(number) => Some(number),
            Worth::Text(_) | Worth::Truth(_) => None,
        }
    }

    /// Names of the facts that it reads, in order of their first use.
    pub fn facts(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.facts(&mut names);
        names
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn compile(expr: &Expr) -> Result<Node, FormulaError> {
    match expr {
        Expr::Literal(literal) => compile_literal(literal),
        Expr::Ident(name) => Ok(Node::Fact(name.as_str().into())),
        Expr::Call(call) => compile_call(call),
        _ => Err(FormulaError(
            "lists, maps, fields and macros are not supported; use numbers, strings and names of facts"
                .into(),
        )),
    }
}

fn compile_literal(literal: &LiteralValue) -> Result<Node, FormulaError> {
    let number = |text: String| {
        text.parse().map(Node::Number).map_err(|_| FormulaError(format!("{text} is out of range")))
    };
    match literal {
        LiteralValue::Int(value) => number(value.inner().to_string()),
        LiteralValue::UInt(value) => number(value.inner().to_string()),
        // The shortest text that reads back as the same float is what the file's author wrote, up to 15
        // digits.
        LiteralValue::Double(value) => number(value.inner().to_string()),
        LiteralValue::Boolean(value) => Ok(Node::Truth(*value.inner())),
        LiteralValue::String(value) => Ok(Node::Text(value.inner().into())),
        LiteralValue::Bytes(_) | LiteralValue::Null => {
            Err(FormulaError("bytes and null are not supported; use numbers and strings".into()))
        }
    }
}

fn compile_call(call: &CallExpr) -> Result<Node, FormulaError> {
    let name = call.func_name.as_str();
    let named = |table: &[&str]| table.contains(&name);
    if call.target.is_some() {
        return Err(FormulaError(format!("`.{name}()`: methods are not supported")));
    }
    let mut parts = call.args.iter().map(|arg| compile(&arg.expr)).collect::<Result<Vec<_>, _>>()?;
    if let Some((_, extreme)) = EXTREMES.iter().find(|(word, _)| *word == name)
        && !parts.is_empty()
    {
        return Ok(Node::Extreme(*extreme, parts));
    }
    let mut next = || Box::new(parts.remove(0));
    match call.args.len() {
        1 if named(&[operators::LOGICAL_NOT]) => Ok(Node::Not(next())),
        1 if named(&[operators::NEGATE]) => Ok(Node::Negate(next())),
        1 => match ROUNDING.iter().find(|(word, _)| *word == name) {
            Some((_, direction)) => Ok(Node::Round(*direction, next())),
            None => Err(unknown_function(name)),
        },
        2 => match BINARY.iter().find(|(word, _)| *word == name) {
            Some((_, operator)) => Ok(Node::Binary(*operator, next(), next())),
            None => Err(unknown_function(name)),
        },
        3 if named(&[operators::CONDITIONAL]) => Ok(Node::If(next(), next(), next())),
        _ => Err(unknown_function(name)),
    }
}

fn unknown_function(name: &str) -> FormulaError {
    FormulaError(format!(
        "`{name}` with these arguments is not supported; there are ceil(x), floor(x), round(x), min(x, ...) \
         and max(x, ...)"
    ))
}

impl Node {
    fn worth<'a>(&'a self, attempt: &'a Attempt) -> Option<Worth<'a>> {
        Some(match self {
            Self::Number(number) => Worth::Number(*number),
            Self::Text(text) => Worth::Text(text),
            Self::Truth(truth) => Worth::Truth(*truth),
            Self::Fact(name) => match attempt.fact(name).map(|fact| &fact.value) {
                Some(FactValue::Number(number)) => Worth::Number(*number),
                Some(FactValue::Text(text)) => Worth::Text(text),
                None => Worth::Number(fact::derived(name, attempt)?),
            },
            Self::Not(part) => Worth::Truth(!part.truth(attempt)?),
            Self::Negate(part) => Worth::Number(-part.number(attempt)?),
            Self::If(condition, yes, no) => {
                return if condition.truth(attempt)? { yes.worth(attempt) } else { no.worth(attempt) };
            }
            Self::Round(direction, part) => {
                let number = part.number(attempt)?;
                Worth::Number(match direction {
                    Direction::Up => number.ceil(),
                    Direction::Down => number.floor(),
                    Direction::Nearest => {
                        number.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero)
                    }
                })
            }
            Self::Extreme(extreme, parts) => {
                let numbers = parts.iter().map(|part| part.number(attempt)).collect::<Option<Vec<_>>>()?;
                let numbers = numbers.into_iter();
                Worth::Number(match extreme {
                    Extreme::Least => numbers.min()?,
                    Extreme::Most => numbers.max()?,
                })
            }
            Self::Binary(operator, left, right) => return binary(*operator, left, right, attempt),
        })
    }

    fn number(&self, attempt: &Attempt) -> Option<Decimal> {
        match self.worth(attempt)? {
            Worth::Number(number) => Some(number),
            Worth::Text(text) => text.parse().ok(),
            Worth::Truth(_) => None,
        }
    }

    fn truth(&self, attempt: &Attempt) -> Option<bool> {
        match self.worth(attempt)? {
            Worth::Truth(truth) => Some(truth),
            Worth::Number(_) | Worth::Text(_) => None,
        }
    }

    fn facts<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Truth(_) => {}
            Self::Fact(name) => {
                if !names.contains(&&**name) {
                    names.push(name);
                }
            }
            Self::Not(part) | Self::Negate(part) | Self::Round(_, part) => part.facts(names),
            Self::Binary(_, left, right) => {
                left.facts(names);
                right.facts(names);
            }
            Self::If(condition, yes, no) => {
                for part in [condition, yes, no] {
                    part.facts(names);
                }
            }
            Self::Extreme(_, parts) => parts.iter().for_each(|part| part.facts(names)),
        }
    }
}

fn binary<'a>(
    operator: Operator,
    left: &'a Node,
    right: &'a Node,
    attempt: &'a Attempt,
) -> Option<Worth<'a>> {
    let numbers = || Some((left.number(attempt)?, right.number(attempt)?));
    let computed = |f: fn(Decimal, Decimal) -> Option<Decimal>| {
        numbers().and_then(|(left, right)| f(left, right)).map(Worth::Number)
    };
    let compared =
        |f: fn(&Decimal, &Decimal) -> bool| numbers().map(|(left, right)| Worth::Truth(f(&left, &right)));
    match operator {
        Operator::Add => computed(Decimal::checked_add),
        Operator::Subtract => computed(Decimal::checked_sub),
        Operator::Multiply => computed(Decimal::checked_mul),
        Operator::Divide => computed(Decimal::checked_div),
        Operator::Remainder => computed(Decimal::checked_rem),
        Operator::Less => compared(Decimal::lt),
        Operator::LessOrEqual => compared(Decimal::le),
        Operator::Greater => compared(Decimal::gt),
        Operator::GreaterOrEqual => compared(Decimal::ge),
        Operator::Equal => Some(Worth::Truth(left.worth(attempt)? == right.worth(attempt)?)),
        Operator::NotEqual => Some(Worth::Truth(left.worth(attempt)? != right.worth(attempt)?)),
        Operator::And => Some(Worth::Truth(left.truth(attempt)? && right.truth(attempt)?)),
        Operator::Or => Some(Worth::Truth(left.truth(attempt)? || right.truth(attempt)?)),
    }
}

#[cfg(test)]
mod tests;
