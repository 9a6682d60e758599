//! Path templates, and the tree that finds the one that a path matches.
//!
//! A template is a list of segments: a literal, a capture `{name}` (one segment, never empty; it may have
//! literal text around it, `{model}:predict`), and at the end `**` (any number of segments, also none).
//! Of several templates that match, the one with the earlier literal wins, then the narrower capture,
//! then `**`. Two templates of equal shape and method on one host cannot both be reached: that is an error
//! at compile time, see [`Routes::insert`].

use memchr::memchr;
use smallvec::SmallVec;

use crate::placeholder::is_placeholder;

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Matches itself.
    Literal(Box<str>),
    /// Takes one segment, less the text around it.
    Capture { name: Box<str>, prefix: Box<str>, suffix: Box<str> },
    /// Takes what is left.
    Rest,
}

/// A parsed path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
}

impl Template {
    /// Parses `/v1/{name}/**`. The error says what is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(inner) = text.strip_prefix('/') else {
            return Err("a path template starts with `/`".into());
        };
        let mut segments = Vec::new();
        for part in inner.split('/') {
            if segments.last() == Some(&Segment::Rest) {
                return Err("`**` takes all that is left, so it must be the last segment".into());
            }
            let segment = parse_segment(part)?;
            if let Segment::Capture { name, .. } = &segment
                && segments.iter().any(|s| matches!(s, Segment::Capture { name: other, .. } if other == name))
            {
                return Err(format!("the segment name `{name}` occurs twice"));
            }
            segments.push(segment);
        }
        Ok(Self { segments })
    }

    /// Names of the captures, in the order in which a match yields them.
    pub(crate) fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture { name, .. } => Some(&**name),
            Segment::Rest => Some("**"),
            Segment::Literal(_) => None,
        })
    }
}

fn parse_segment(part: &str) -> Result<Segment, String> {
    if part == "**" {
        return Ok(Segment::Rest);
    }
    if part.is_empty() {
        return Err("an empty segment can never match".into());
    }
    let Some(open) = part.find('{') else {
        if part.contains(['}', '*', '?', '#']) {
            return Err(format!("`{part}` is neither a literal, `{{name}}` nor `**`"));
        }
        return Ok(Segment::Literal(part.into()));
    };
    let Some(close) = part.find('}').filter(|close| *close > open + 1) else {
        return Err(format!("`{part}`: a capture is written `{{name}}`"));
    };
    let (prefix, name, suffix) = (&part[..open], &part[open + 1..close], &part[close + 1..]);
    if suffix.contains(['{', '}']) {
        return Err(format!("`{part}` has two captures in one segment"));
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err(format!("`{name}`: a segment name has lower-case letters and `_` only"));
    }
    Ok(Segment::Capture { name: name.into(), prefix: prefix.into(), suffix: suffix.into() })
}

/// An HTTP method that rules may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(crate) const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "GET" | "get" => Some(Self::Get),
            "POST" | "post" => Some(Self::Post),
            "PUT" | "put" => Some(Self::Put),
            "PATCH" | "patch" => Some(Self::Patch),
            "DELETE" | "delete" => Some(Self::Delete),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a match captured, in the order of [`Template::captures`]; empty where the path hides it.
pub(crate) type Captures<'a> = SmallVec<[&'a str; 6]>;

/// The templates of one host.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// A handful, told apart by their lengths as a rule.
    literals: Vec<(Box<str>, u32)>,
    /// Longest surrounding text first.
    captures: Vec<Branch>,
    /// Targets of a template that ends here.
    ends: SmallVec<[(Method, u32); 2]>,
    /// Targets of a template that ends in `**` here.
    rests: SmallVec<[(Method, u32); 2]>,
}

#[derive(Clone, Debug)]
struct Branch {
    prefix: Box<str>,
    suffix: Box<str>,
    node: u32,
}

impl Branch {
    fn take<'a>(&self, segment: &'a str) -> Option<&'a str> {
        // Most captures are a whole segment. Comparing with an empty text is not free: its pointer is no
        // address, and a vectorised `memcmp` pays for touching it.
        let mut inner = segment;
        if !self.prefix.is_empty() {
            inner = inner.strip_prefix(&*self.prefix)?;
        }
        if !self.suffix.is_empty() {
            inner = inner.strip_suffix(&*self.suffix)?;
        }
        (!inner.is_empty()).then_some(inner)
    }
}

impl Node {
    #[inline]
    fn literal(&self, segment: &str) -> Option<u32> {
        self.literals.iter().find(|(text, _)| **text == *segment).map(|(_, node)| *node)
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Routes {
    /// Adds a template. Fails with the target of an earlier template of equal shape and method.
    pub(crate) fn insert(&mut self, template: &Template, method: Method, target: u32) -> Result<(), u32> {
        let mut at = 0;
        let mut rest = false;
        for segment in &template.segments {
            match segment {
                Segment::Literal(text) => at = self.literal(at, text),
                Segment::Capture { prefix, suffix, .. } => at = self.capture(at, prefix, suffix),
                Segment::Rest => rest = true,
            }
        }
        let node = &mut self.nodes[at];
        let list = if rest { &mut node.rests } else { &mut node.ends };
        if let Some((_, earlier)) = list.iter().find(|(other, _)| *other == method) {
            return Err(*earlier);
        }
        list.push((method, target));
        Ok(())
    }

    fn add(&mut self) -> u32 {
        self.nodes.push(Node::default());
        self.nodes.len() as u32 - 1
    }

    fn literal(&mut self, at: usize, text: &str) -> usize {
        if let Some(node) = self.nodes[at].literal(text) {
            return node as usize;
        }
        let node = self.add();
        self.nodes[at].literals.push((text.into(), node));
        node as usize
    }

    fn capture(&mut self, at: usize, prefix: &str, suffix: &str) -> usize {
        let same = |branch: &&Branch| *branch.prefix == *prefix && *branch.suffix == *suffix;
        if let Some(branch) = self.nodes[at].captures.iter().find(same) {
            return branch.node as usize;
        }
        let node = self.add();
        let branches = &mut self.nodes[at].captures;
        branches.push(Branch { prefix: prefix.into(), suffix: suffix.into(), node });
        branches.sort_by_key(|branch| std::cmp::Reverse(branch.prefix.len() + branch.suffix.len()));
        node as usize
    }

    /// The target that a method and a path lead to, and what its template captured.
    pub(crate) fn find<'a>(&self, method: Method, path: &'a str) -> Option<(u32, Captures<'a>)> {
        let path = path.trim_start_matches('/');
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut captures = Captures::new();
        let target = self.walk(0, method, path, &mut captures)?;
        captures.iter_mut().filter(|text| is_placeholder(text)).for_each(|text| *text = "");
        Some((target, captures))
    }

    /// `path` is what is left, without a leading slash; an empty one is the end. Depth is bounded by the
    /// longest template, not by the path.
    fn walk<'a>(&self, at: usize, method: Method, path: &'a str, captures: &mut Captures<'a>) -> Option<u32> {
        let node = &self.nodes[at];
        let of = |list: &[(Method, u32)]| list.iter().find(|(m, _)| *m == method).map(|(_, target)| *target);
        if path.is_empty() {
            return of(&node.ends).or_else(|| {
                let target = of(&node.rests)?;
                captures.push("");
                Some(target)
            });
        }
        let (segment, left) = first_segment(path);
        if segment.is_empty() {
            return self.walk_on(node, method, left, captures);
        }
        if let Some(next) = node.literal(segment)
            && let Some(target) = self.walk(next as usize, method, left, captures)
        {
            return Some(target);
        }
        for branch in &node.captures {
            let Some(taken) = branch.take(segment) else { continue };
            let depth = captures.len();
            captures.push(taken);
            if let Some(target) = self.walk(branch.node as usize, method, left, captures) {
                return Some(target);
            }
            captures.truncate(depth);
        }
        let target = of(&node.rests)?;
        captures.push(path);
        Some(target)
    }

    /// Past an empty segment, which a client leaves that joins a base URL and a path with a slash each. Only
    /// to a literal: behind an id that is empty there is no other id.
    #[cold]
    fn walk_on<'a>(
        &self,
        node: &Node,
        method: Method,
        path: &'a str,
        captures: &mut Captures<'a>,
    ) -> Option<u32> {
        let (segment, left) = first_segment(path.trim_start_matches('/'));
        self.walk(node.literal(segment)? as usize, method, left, captures)
    }
}

/// The first segment of a path without a leading slash, and what is left.
fn first_segment(path: &str) -> (&str, &str) {
    match memchr(b'/', path.as_bytes()) {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (path, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(templates: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for (target, text) in templates.iter().enumerate() {
            routes.insert(&Template::parse(text).unwrap(), Method::Get, target as u32).unwrap();
        }
        routes
    }

    #[test]
    fn the_most_specific_template_wins() {
        let routes = routes(&[
            "/{owner}/{alias}/**",
            "/{owner}/{alias}/requests/{task}",
            "/{owner}/{alias}/requests/{task}/status",
            "/workflows/{owner}/{alias}/requests/{task}",
            "/v1/{model}:predict",
            "/v1/{model}",
        ]);
        let table: [(&str, u32, &[&str]); 12] = [
            ("/fal-ai/flux/dev", 0, &["fal-ai", "flux", "dev"]),
            ("/fal-ai/flux", 0, &["fal-ai", "flux", ""]),
            ("/fal-ai/kling/v2/master/x", 0, &["fal-ai", "kling", "v2/master/x"]),
            ("/fal-ai/flux/requests/1", 1, &["fal-ai", "flux", "1"]),
            ("/fal-ai/flux/requests/1/", 1, &["fal-ai", "flux", "1"]),
            ("/fal-ai/flux/requests/1/status", 2, &["fal-ai", "flux", "1"]),
            ("/workflows/me/flow/requests/1", 3, &["me", "flow", "1"]),
            ("/v1/veo:predict", 4, &["veo"]),
            ("/v1/veo", 5, &["veo"]),
            ("//v1/veo", 5, &["veo"]),
            ("/fal-ai/flux//requests/1", 1, &["fal-ai", "flux", "1"]),
            ("/workflows/me/flow//requests/1", 3, &["me", "flow", "1"]),
        ];
        for (path, target, captured) in table {
            let (found, captures) = routes.find(Method::Get, path).unwrap();
            assert_eq!((found, captures.as_slice()), (target, captured), "{path}");
        }
        for path in ["/", "", "/fal-ai", "/workflows//flow/requests/1/x", "/v1//veo"] {
            assert_eq!(routes.find(Method::Get, path), None, "{path}");
        }
        assert_eq!(routes.find(Method::Post, "/v1/veo"), None);
    }

    #[test]
    fn an_equal_shape_is_refused_with_the_earlier_target() {
        let mut routes = routes(&["/v1/{a}", "/v1/{a}/x"]);
        let same = Template::parse("/v1/{b}").unwrap();
        assert_eq!(routes.insert(&same, Method::Get, 9), Err(0));
        assert_eq!(routes.insert(&same, Method::Post, 9), Ok(()));
    }

    #[test]
    fn templates_that_can_never_match_are_refused() {
        for text in ["v1", "/a//b", "/**/b", "/{", "/{}", "/{a}{b}", "/{A}", "/{a}/{a}", "/a*", "/a?x=1"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
