//! Secrets out of the lines that an error shows.
//!
//! An error shows its line and those beside it, and a text that is not yet YAML has no values that could be
//! asked what they are. So secrets are looked for in the text alone, by the key before them, and rather too
//! much is masked than too little. What is masked keeps its length: labels stay where they belong.

/// What stands in a key whose value may be a secret, wherever it stands: as a header, or misplaced.
const SECRET_WORDS: [&str; 8] =
    ["token", "secret", "password", "passwd", "authorization", "api_key", "api-key", "apikey"];
/// Keys whose values are secrets, also when they are misspelt.
const SECRET_KEYS: [&str; 2] = ["token", "headers"];
/// How alike to one of them a key must be (Jaro-Winkler, 1 is equal).
const MISSPELT: f64 = 0.9;
/// Keys that are like one and hold none.
const NO_SECRETS: [&str; 3] = ["token_file", "allowed_headers", "exposed_headers"];

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_like = |word: &&str| strsim::jaro_winkler(word, &key) >= MISSPELT;
    !NO_SECRETS.contains(&key.as_str())
        && (SECRET_WORDS.iter().any(|word| key.contains(word)) || SECRET_KEYS.iter().any(is_like))
}

/// The text with `*` for what may be a secret: values of keys that say so, all that is under `headers`, and
/// what stands before an `@`, as a password does in a URL.
pub(super) fn masked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while let Some((key, value)) = next_secret(text, at) {
        let values = values(bytes, key, value);
        at = values[0].1;
        for (from, to) in values {
            mask(&mut masked[from..to]);
        }
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some((from, to)) = before_at(line) {
            mask(&mut masked[start + from..start + to]);
        }
        start += line.len();
    }
    String::from_utf8_lossy(&masked).into_owned()
}

fn mask(secret: &mut [u8]) {
    for byte in secret.iter_mut().filter(|byte| !byte.is_ascii_whitespace()) {
        *byte = b'*';
    }
}

/// The next key that names a secret: where it begins, and where what follows its colon does.
fn next_secret(text: &str, mut at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let is_word = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    while at < bytes.len() {
        let end = at + bytes[at..].iter().take_while(is_word).count();
        let quote = usize::from(matches!(bytes.get(end), Some(b'"' | b'\'')));
        let blanks = bytes[end + quote..].iter().take_while(|byte| b" \t".contains(byte)).count();
        let colon = end + quote + blanks;
        if end > at && bytes.get(colon) == Some(&b':') && is_secret(&text[at..end]) {
            return Some((at, colon + 1));
        }
        at = end.max(at + 1);
        at += (at..bytes.len()).take_while(|at| !text.is_char_boundary(*at)).count();
    }
    None
}

/// The value of a key: the rest of its line, and the lines that belong to it.
fn values(bytes: &[u8], key: usize, value: usize) -> Vec<(usize, usize)> {
    let line = bytes[..key].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let in_flow = bytes[line..key].iter().any(|byte| b"{[,".contains(byte));
    let mut end = value_end(bytes, value, in_flow);
    let mut values = vec![(value, end)];
    let (column, mut has_strayed) = (key - line, false);
    while end < bytes.len() && !in_flow {
        let start = end + 1;
        let blanks = bytes[start..].iter().take_while(|byte| b" \t".contains(byte)).count();
        let (indentation, first) = (&bytes[start..start + blanks], bytes.get(start + blanks));
        let line_end = bytes[start..].iter().position(|byte| *byte == b'\n');
        end = line_end.map_or(bytes.len(), |length| start + length);
        // They are further to the right; empty ones and comments may be anywhere.
        if blanks > column || indentation.contains(&b'\t') || blanks == column && first == Some(&b'-') {
            end = value_end(bytes, start + blanks, false);
            values.push((start, end));
            has_strayed = false;
        } else if !matches!(first, None | Some(b'\r' | b'\n' | b'#')) {
            // So may be one that does not belong there at all; but one that begins a section ends ours.
            if has_strayed || bytes[start..end].trim_ascii_end().ends_with(b":") {
                break;
            }
            has_strayed = true;
        }
    }
    values
}

/// Where a value ends that begins at a place: with the line, or in a list in brackets before what follows;
/// past the end of quotes and brackets in any case.
fn value_end(bytes: &[u8], mut at: usize, in_flow: bool) -> usize {
    let (mut depth, mut begins) = (0_usize, true);
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        let is_followed = next.is_none_or(|next| next.is_ascii_whitespace() || b",]}".contains(next));
        match byte {
            b'"' | b'\'' if begins => at = quoted_end(bytes, at),
            b'{' | b'[' if begins || depth > 0 => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b'\n' if depth == 0 && !in_flow => return at,
            b'}' | b']' | b',' if depth == 0 && in_flow && is_followed => return at,
            _ => {}
        }
        begins = byte.is_ascii_whitespace() || b"{[,:".contains(&byte);
        at += 1;
    }
    bytes.len()
}

/// The quote that ends what another one begins, or the last byte.
fn quoted_end(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => at += 1,
            byte if byte == quote && quote == b'\'' && bytes.get(at + 1) == Some(&quote) => at += 1,
            byte if byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len() - 1
}

/// What stands before the last `@` of a line: from the URL's `//` on, else the word.
fn before_at(line: &str) -> Option<(usize, usize)> {
    let last = line.rfind('@')?;
    let url = line[..last].find("://").map(|at| at + 3);
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let word = || line[..line.find('@').unwrap_or(last)].rfind(is_end).map_or(0, |at| at + 1);
    Some((url.unwrap_or_else(word), last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_masked_and_nothing_moves() {
        for (text, shown) in [
            ("token: hush", "token: ****"),
            ("- {name: a, token: hush, rate: 1}", "- {name: a, token: ****, rate: 1}"),
            ("{token: hu,sh}", "{token: *****}"),
            ("{\"token\":\"hu, sh\", name: a}", "{\"token\":**** ***, name: a}"),
            ("token : 'hu''s\n h'\nname: a", "token : ******\n **\nname: a"),
            ("token: \"hu\\\"s\nh", "token: ******\n*"),
            ("token: |\n  hush\n\n  hush\nname: a", "token: *\n  ****\n\n  ****\nname: a"),
            ("- token: hush\n  name: a", "- token: ****\n  name: a"),
            ("headers:\n  x-key: hush\n# a\nname: a", "headers:\n  ****** ****\n# a\nname: a"),
            ("headers: {a: hush,\nb: hush}\nname: a", "headers: *** *****\n** *****\nname: a"),
            ("headers:\n# why\n  x-key: hush", "headers:\n# why\n  ****** ****"),
            ("headers:\nname: a\n  x-key: hush", "headers:\nname: a\n  ****** ****"),
            ("  headers:\n  name:\n    x: y", "  headers:\n  name:\n    x: y"),
            ("headers:\n\tx-key: hush", "headers:\n\t****** ****"),
            ("headers:\n- hush\nname: a", "headers:\n* ****\nname: a"),
            ("hedaers: {a: hush}", "hedaers: *** *****"),
            ("# tokens: hush", "# tokens: ****"),
            ("authorization: Bearer hush", "authorization: ****** ****"),
            ("token: h\u{fc}sh", "token: *****"),
            ("endpoint: http://me:hush@host/x", "endpoint: http://*******@host/x"),
            ("\"\u{e9} me:hush@host:1\"", "\"\u{e9} *******@host:1\""),
            ("token_file: /run/token", "token_file: /run/token"),
            ("name: ${env:TOKEN}", "name: ${env:TOKEN}"),
        ] {
            assert_eq!(masked(text), shown, "{text}");
            let ends = (0..=text.len()).filter(|end| text.is_char_boundary(*end));
            for part in ends.map(|end| &text[..end]) {
                assert_eq!(masked(part).len(), part.len(), "{part}");
            }
        }
    }

    #[test]
    fn of_the_shipped_file_only_secrets_are_masked() {
        let shipped = include_str!("../../../../config/spantally.yaml");
        let masked = masked(shipped);
        for (line, shown) in shipped.lines().zip(masked.lines()).filter(|(line, shown)| line != shown) {
            assert!(line.contains("token") || line.contains("headers"), "{shown}");
        }
        assert_eq!(masked.lines().count(), shipped.lines().count());
    }
}
