//! Just enough of Rust's grammar to check style: text without comments and literals, and where functions are.

/// The source with the insides of comments, strings and characters blanked out; lines keep their number.
pub fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
            continue;
        }
        code.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or(' ');
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next(1) == '/' => find(chars, at, |rest| rest[0] == '\n'),
        '/' if next(1) == '*' => block_comment_end(chars, at),
        '"' => quoted_end(chars, at),
        'r' if !in_word && matches!(next(1), '"' | '#') => raw_string_end(chars, at).unwrap_or(at),
        'b' if !in_word && next(1) == 'r' => raw_string_end(chars, at + 1).unwrap_or(at),
        // a lifetime has no closing quote: 'a' and '\n' are characters, 'a> is not
        '\'' if next(1) == '\\' => quoted_end(chars, at),
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn find(chars: &[char], from: usize, found: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|&at| found(&chars[at..])).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0_u32;
    let mut at = at;
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => depth += 1,
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    at
}

/// The end of a literal between the quote at `at` and the next one that no backslash escapes.
fn quoted_end(chars: &[char], at: usize) -> usize {
    let mut end = at + 1;
    while end < chars.len() {
        match chars[end] {
            '\\' => end += 2,
            c if c == chars[at] => return end + 1,
            _ => end += 1,
        }
    }
    chars.len()
}

/// None when what looks like a raw string is a raw identifier (`r#type`).
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes =
        |rest: &[char]| rest[0] == '"' && rest[1..].iter().take_while(|&&c| c == '#').count() >= hashes;
    Some((find(chars, open + 1, closes) + 1 + hashes).min(chars.len()))
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Line of its `fn`, from 1.
    pub line: usize,
    /// Lines from there to the closing brace, both counted.
    pub lines: usize,
}

/// Every function of a source that [`code_only`] has cleaned.
pub fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(position) = code[from..].find("fn ").map(|position| from + position) {
        from = position + 3;
        let starts_word =
            code[..position].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let name: String = code[from..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        let Some(open) = body_start(code, from) else { continue };
        let line = code[..position].matches('\n').count() + 1;
        let lines = code[position..closing_brace(code, open)].lines().count();
        found.push(Function { name, line, lines });
    }
    found
}

/// Where the body of the function opens whose signature goes on at `from`; none when it is only declared.
fn body_start(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (offset, byte) in code[from..].bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(from + offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Byte position after the brace that closes the one at `open`.
fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0_i32;
    for (offset, byte) in code[open..].bytes().enumerate() {
        depth += i32::from(byte == b'{') - i32::from(byte == b'}');
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

/// The code in front of the tests at its end. A test module in a file of its own (`mod tests;`) ends nothing.
pub fn without_tests(code: &str) -> &str {
    let marks = code.match_indices("#[cfg(test)]").map(|(start, _)| start);
    let mut inline = marks.filter(|&start| body_start(code, start + "#[cfg(test)]".len()).is_some());
    inline.next().map_or(code, |start| &code[..start])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let cases = [
            ("let a = \"{ \\\" }\"; // {", "let a =         ;"),
            ("b'{' '\\'' 'x'", "b"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("a /* { /* } */ */ b", "a                 b"),
            ("r#\"{\"}\"# c", "         c"),
            ("r#type = r\"{\"", "r#type ="),
            ("\"two\nlines\" x", "    \n       x"),
        ];
        for (source, expected) in cases {
            let code = code_only(source);
            let trimmed: Vec<&str> = code.lines().map(str::trim_end).collect();
            let expected: Vec<&str> = expected.lines().map(str::trim_end).collect();
            assert_eq!(trimmed, expected, "{source}");
        }
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let source = "trait T { fn declared(&self); }\n\npub fn short(a: [u8; 2]) -> u8 { 1 }\nimpl T {\n\
                      fn long(&self) {\nlet s = \"}\";\nif x { }\n}\n}\n";
        let measured: Vec<(String, usize, usize)> =
            functions(&code_only(source)).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(measured, [("short".to_owned(), 3, 1), ("long".to_owned(), 5, 4)]);
    }

    #[test]
    fn tests_at_the_end_are_cut_off() {
        assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {}"), "fn a() {}\n");
        let apart = "#[cfg(test)]\nmod tests;\n\nfn a() {}\n";
        assert_eq!(without_tests(apart), apart);
    }
}
