//! Text with captures in it: how a provider file writes a model or a family, `{owner}/{name}`.

use smallvec::SmallVec;

use crate::route::{Captures, Segment, Template};

/// Parses text with `{name}`, `{**}` and `{?parameter}` in it.
pub(crate) fn parse(text: &str) -> Result<Vec<Segment>, String> {
    let mut pieces = Vec::new();
    let mut left = text;
    while let Some(open) = left.find('{') {
        if open > 0 {
            pieces.push(Segment::Literal(left[..open].into()));
        }
        let Some(close) = left.find('}').filter(|close| *close > open + 1) else {
            return Err("a capture is written `{name}`".into());
        };
        pieces.push(match &left[open + 1..close] {
            "**" => Segment::Rest,
            "?" => return Err("a query parameter is written `{?name}`".into()),
            name => Segment::Capture { name: name.into(), prefix: "".into(), suffix: "".into() },
        });
        left = &left[close + 1..];
    }
    if !left.is_empty() {
        pieces.push(Segment::Literal(left.into()));
    }
    Ok(pieces)
}

/// The query parameter that a capture of parsed text names, if it does.
pub(crate) fn parameter(capture: &str) -> Option<&str> {
    capture.strip_prefix('?')
}

/// The same, bound to the captures of one template, after which those of the query parameters follow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces(SmallVec<[Piece; 4]>);

#[derive(Clone, Debug)]
enum Piece {
    Text(Box<str>),
    Capture(u8),
}

/// Query parameters whose values follow the captures of a path.
pub(crate) type Queries = SmallVec<[Box<str>; 1]>;

fn place(parameter: &str, queries: &mut Queries) -> usize {
    queries.iter().position(|known| **known == *parameter).unwrap_or_else(|| {
        queries.push(parameter.into());
        queries.len() - 1
    })
}

impl Pieces {
    /// Binds text to a template. The loader has checked both. `queries` gets the query parameters in it.
    pub(crate) fn bind(text: &str, template: &Template, queries: &mut Queries) -> Self {
        let captures: SmallVec<[&str; 6]> = template.captures().collect();
        let position = |name: &str| captures.iter().position(|capture| *capture == name);
        let bound = |piece: Segment| match piece {
            Segment::Literal(text) => Some(Piece::Text(text)),
            Segment::Capture { name, .. } => {
                let at = match parameter(&name) {
                    Some(name) => Some(captures.len() + place(name, queries)),
                    None => position(&name),
                };
                at.map(|at| Piece::Capture(at as u8))
            }
            Segment::Rest => position("**").map(|at| Piece::Capture(at as u8)),
        };
        Self(parse(text).unwrap_or_default().into_iter().filter_map(bound).collect())
    }

    /// Positions of the captures in it.
    pub(crate) fn captures(&self) -> impl Iterator<Item = u8> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Capture(at) => Some(*at),
        })
    }

    /// Whether nothing would be written: there is no text but slashes, and every capture is empty.
    #[inline]
    pub(crate) fn is_silent(&self, captures: &Captures<'_>) -> bool {
        let is_empty = |at: u8| captures.get(usize::from(at)).is_none_or(|capture| capture.is_empty());
        self.0.iter().all(|piece| match piece {
            Piece::Text(text) => text.bytes().all(|byte| byte == b'/'),
            Piece::Capture(at) => is_empty(*at),
        })
    }

    /// Appends the text to `out`. An empty capture at the end takes its slash with it.
    pub(crate) fn write(&self, captures: &Captures<'_>, out: &mut String) {
        let start = out.len();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Capture(at) => {
                    out.push_str(&crate::url::decode(captures.get(usize::from(*at)).unwrap_or(&""), false));
                }
            }
        }
        while out.len() > start && out.ends_with('/') {
            out.pop();
        }
    }
}
