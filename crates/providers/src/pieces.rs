//! Text with captures in it: how a provider file writes a model or a family, `{owner}/{name}`.

use smallvec::SmallVec;

use crate::route::{Captures, Segment, Template};

/// Parses text with `{name}` and `{**}` in it.
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
            name => Segment::Capture { name: name.into(), prefix: "".into(), suffix: "".into() },
        });
        left = &left[close + 1..];
    }
    if !left.is_empty() {
        pieces.push(Segment::Literal(left.into()));
    }
    Ok(pieces)
}

/// The same, bound to the captures of one template.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces(SmallVec<[Piece; 4]>);

#[derive(Clone, Debug)]
enum Piece {
    Text(Box<str>),
    Capture(u8),
}

impl Pieces {
    /// Binds text to a template. The loader has checked both.
    pub(crate) fn bind(text: &str, template: &Template) -> Self {
        let position = |name: &str| template.captures().position(|capture| capture == name);
        let bound = |piece: Segment| match piece {
            Segment::Literal(text) => Some(Piece::Text(text)),
            Segment::Capture { name, .. } => position(&name).map(|at| Piece::Capture(at as u8)),
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
